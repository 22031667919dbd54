"""--check: camera, model and voice are opened as the program opens them, one after the other, and
a line of each is printed and spoken: what works, or what the trouble is and what to do next.

Camera and voice are in children, which have time limits. Nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Query
from narrator.errors import EngineError, ExitCode, SourceError, UsageError, user_message
from narrator.frames.frame import Frame
from narrator.frames.opening import SourceKind, open_source, resolve_source, source_kind
from narrator.frames.source import Source
from narrator.options import Options
from narrator.process import Shutdown
from narrator.scene.picture_check import ADVICE
from narrator.scene.scene import Scene
from narrator.settings import CACHE
from narrator.speaking import open_speaker
from narrator.speech.speaker import Speaker
from narrator.speech.voice import Voice
from narrator.terminal import own_secrets
from narrator.text import printable, without_password, without_secrets
from narrator.wording import Cleaner

log = logging.getLogger(__name__)

Found = tuple[str, dict[str, Any]]  # a message about a part, and its facts for --json

ASKED_S = 45.0  # while a Mac asks its user whether the camera may be used
PICTURE_S = 1.0  # of pictures that are fine, which show how many come in a second
WATCH_S = 4.0  # for those; a camera needs some of it to adapt to the light


class Check:
    """Tries one part after the other."""

    def __init__(self, options: Options, shutdown: Shutdown, cache: Path = CACHE) -> None:
        self._options = replace(options, wav=None, vtt=None)  # which would be written
        self._shutdown, self._cache = shutdown, cache
        self._name = options.source
        self._clip: list[Frame] = []
        self._code, self._facts = ExitCode.OK, dict[str, Any]()
        self._speaker = Speaker()

    def run(self) -> ExitCode:
        """Return the exit code of the first part in trouble."""
        log.info("trying camera, model and voice one after the other; Ctrl-C ends it")
        of_voice = logging.getLogger("narrator.speech")  # Its own line reports what it would log.
        of_voice.setLevel(logging.DEBUG if self._options.debug else logging.WARNING)
        try:
            self._open_speaker()
            self._find("source", ExitCode.SOURCE, self._look)
            self._find("model", ExitCode.ENGINE, self._caption)
            self._find("voice", ExitCode.ENGINE, self._hear)
            self._tell("network", *self._network())
            if self._options.json:
                facts = {"ok": not self._code, "exit_code": self._code, **self._facts}
                print(json.dumps(facts, ensure_ascii=False), flush=True)
            self._speaker.wait_until_quiet()
            return self._code
        finally:
            of_voice.setLevel(logging.NOTSET)

    def _find(self, name: str, code: ExitCode, look: Callable[[], Found]) -> None:
        """Try a part, and report on it. code: of trouble that has none of its own."""
        try:
            self._tell(name, *look())
        except Exception as error:
            log.debug("", exc_info=error)
            message, known = user_message(error)
            self._tell(name, message, {}, code if known is ExitCode.INTERNAL else known)

    def _tell(
        self, name: str, text: str, facts: dict[str, Any], code: ExitCode = ExitCode.OK
    ) -> None:
        """Keep it for --json, or print it, and have it said."""
        self._code = self._code or code
        facts = {"ok": not code, "message": text, **facts}
        self._facts[name] = facts = {key: cleaned(value) for key, value in facts.items()}
        kind = source_kind(self._name).value if name == "source" else name
        line = f"{kind}: {'trouble' if code else 'ok'}: {facts['message']}"
        if not self._options.json:
            print(line, flush=True)
        self._say(line)

    def _say(self, line: str) -> None:
        with contextlib.suppress(UsageError):  # There is no such voice; its own line says so.
            self._speaker.say(line, 0, 0.0)

    # -- the parts

    def _open_speaker(self) -> None:
        with self._shutdown.opening() as opened:
            self._speaker, _ = open_speaker(self._options, None, opened)
        self._speaker.looking(True)

    def _open_source(self) -> Source:
        self._name = resolve_source(self._options.source)
        source = open_source(self._name, clip_length=self._options.frames)
        with self._shutdown.opening() as opened:
            opened.callback(source.close)
        return source

    def _look(self) -> Found:
        """Whether pictures come, and whether anything can be seen on them."""
        source, scene = self._open_source(), Scene(always=True)
        began = time.monotonic()
        while source.lost and time.monotonic() - began < ASKED_S:
            for message in source.messages():
                log.info(message)
                self._say(message)
            source.newest(0.1)
        frame, count, took, began = None, 0, 0.0, time.monotonic()
        while not source.ended and took < WATCH_S:
            if count > 1 and scene.problem is None and took >= PICTURE_S:
                break
            if (newest := source.newest(0.1)) is not None:
                frame, count = newest, count + 1
                scene.look(frame)
            took = time.monotonic() - began
        if frame is None or source.lost or (count < 2 and not source.ended):
            raise SourceError(
                "it was opened, but sent no more pictures; close other programs that may use it, "
                "and check its cable"
            )
        if scene.problem is not None:
            raise SourceError(f"{scene.problem.value} {ADVICE[scene.problem]}")
        self._clip = source.clip_to(frame)
        height, width = frame.image.shape[:2]
        facts: dict[str, Any] = {"width": width, "height": height}
        message = f"{width} by {height} pixels, bright enough"
        if count > 1:
            facts["pictures_per_s"] = round(count / took, 1)
            message += f", {count / took:.0f} pictures a second"
        if name := getattr(source, "name", ""):
            facts["name"], message = name, f"{name}, {message}"
        return message, facts

    def _caption(self) -> Found:
        """One caption, of what the source shows, else of a grey wall."""
        options, began = self._options, time.monotonic()
        choice = choose_engine(options.engine, options.bits)
        engine = open_engine(choice, options.model, self._cache, may_download=False)
        clip = self._clip or [Frame(np.full((480, 640, 3), 128, np.uint8), 0.0, 0.0)]
        loaded = time.monotonic()
        text = ""
        for piece in engine.describe(
            Query(clip, options.prompt, options.max_tokens, options.detail)
        ):
            text += piece.text
            if piece.notice:  # A server may have to load its model first.
                log.info(piece.notice)
                self._say(piece.notice)
        text = printable(Cleaner().add(text, ended=True))
        load_s, caption_s = loaded - began, time.monotonic() - loaded
        if not text:
            raise EngineError("it says nothing about the picture; try another --model")
        name = "" if options.model is None else f"{Path(options.model).name}, "
        message = f"{name}{engine.label}, ready in {load_s:.1f} s, a caption in {caption_s:.2f} s"
        facts: dict[str, Any] = {"model": options.model, "engine": engine.label}
        facts.update(load_s=round(load_s, 3), caption_s=round(caption_s, 3))
        if self._clip:
            facts["caption"], message = text, f"{message}: {text}"
        return message, facts

    def _hear(self) -> Found:
        """Whether it has said what was found before."""
        if self._options.mute:
            return "not tried, as --mute is given", {}
        voice = self._speaker
        if not isinstance(voice, Voice):
            raise EngineError("no temporary folder can be written; make room in it, or set TMPDIR")
        voice.looking(False)
        voice.wait_until_ready()
        voice.wait_until_quiet()
        if trouble := voice.trouble:
            loudspeaker = "is a loudspeaker connected, and chosen in the sound settings?"
            step = loudspeaker if trouble.startswith("no sound") else "--mute works without it"
            raise EngineError(f"{trouble}; {step}")
        if voice.name is None:
            raise EngineError("the system's speech does not start; --mute works without it")
        return voice.name, {"voice": voice.name}

    def _network(self) -> Found:
        """Nothing is tried: what the options need it for."""
        places = (self._name, self._options.engine)
        used = [without_password(one) for one in places if source_kind(one) is SourceKind.STREAM]
        if used:
            return f"used for {' and '.join(used)} alone", {"needed": True}
        return "not needed once the model is on this disk, and not tried", {"needed": False}


def cleaned(fact: Any) -> Any:
    """The same; a text fit to be printed and spoken, whatever a model or a server put into it."""
    return without_secrets(printable(fact), own_secrets()) if isinstance(fact, str) else fact
