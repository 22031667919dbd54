"""Sentences -> speech, in a child process that is watched, hushed and replaced from here.

say() queues what the narration hands over; a thread here asks the child to say one utterance at a
time. Nothing is synthesised here: see child.py for that, and for what the two say to each other.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from narrator.backoff import Backoff
from narrator.errors import UsageError, reason_of
from narrator.settings import DEFAULT_RATE, DEFAULT_VOLUME, PROJECT, SCREEN_READER
from narrator.speech.aloud import aloud
from narrator.speech.audio import SPOKEN
from narrator.speech.sounds import LIMITS as SOUND_LIMITS
from narrator.speech.sounds import Sound, SoundLimits, SoundPlayer
from narrator.speech.speaker import AudioSink
from narrator.text import count_words, speakable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VoiceSettings:
    """How to speak. rate: words a minute. volume: 0 to 1. aloud: play it, too. sounds: and play
    those of sounds.py."""

    voice: str | None = None
    rate: int = DEFAULT_RATE
    volume: float = DEFAULT_VOLUME
    aloud: bool = True
    sounds: bool = False


@dataclass(frozen=True)
class VoiceLimits:
    """How patient a voice is with its child, in seconds, and the command that starts one."""

    start_timeout_s: float = 30.0
    wake_timeout_s: float = 10.0  # a sound device may need some, on top of what the words take
    pauses_s: tuple[float, ...] = (0.0, 0.0, 5.0, 10.0, 20.0, 40.0, 60.0)  # after failures in a row
    command: tuple[str, ...] = (sys.executable, "-m", "narrator.speech.child")
    sounds: SoundLimits = SOUND_LIMITS


LIMITS = VoiceLimits()


class SpeechProcess(subprocess.Popen[bytes]):
    """A child that speaks, in a session of its own: a Ctrl-C for us is not for it, and everything
    that it starts can be ended with it."""

    def __init__(self, command: Sequence[str]) -> None:
        super().__init__(
            command, cwd=PROJECT, bufsize=0, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, question: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Send an object, and return the one that it is answered with. Raises ChildProcessError."""
        assert self.stdout is not None
        self.tell(question)
        if not select.select([self.stdout], [], [], timeout)[0]:
            raise ChildProcessError("no answer in time")
        if not (line := self.stdout.readline()):
            raise ChildProcessError("ended by itself")
        with contextlib.suppress(ValueError, TypeError):
            if "trouble" in (answer := json.loads(line)):
                return dict(answer)
        raise ChildProcessError("no proper answer")

    def tell(self, order: dict[str, Any]) -> None:
        """Send an object."""
        assert self.stdin is not None
        with contextlib.suppress(OSError):  # It has ended, as will be read.
            self.stdin.write(json.dumps(order).encode() + b"\n")

    def kill(self) -> None:
        """End it and whatever it plays, without a word and without waiting."""
        if self.returncode is None:  # else its number may be somebody else's by now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def __exit__(self, *error: Any) -> None:
        self.kill()
        super().__exit__(*error)  # closes the pipes, and waits


class Voice:
    """A Speaker: one utterance at a time, the newest caption wins.

    pyttsx3 can hang and can't be interrupted from its own process, so it gets one to itself. It is
    replaced when it ends, answers nonsense, or takes far longer than the words need; what was being
    said is dropped then. Trouble is told once, and so is its end. trouble: why nothing is heard
    now, or None. soon_s: from a sentence to its sound, the last time, where that is known. sink:
    gets the sound of what was said. Raises OSError where no temporary file can be made.
    """

    def __init__(
        self, settings: VoiceSettings, sink: AudioSink | None = None, limits: VoiceLimits = LIMITS
    ) -> None:
        self._settings, self._sink, self._limits = settings, sink, limits
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, str]] = []  # sentences of the newest caption
        self._saying: str | None = None
        self._began = 0.0  # to say it
        self._pace = 60 / settings.rate  # seconds a word, learned from what was said
        self._process: SpeechProcess | None = None
        self._ready = False
        self._tried = False  # whether anything can be heard
        self._hushed = False  # The child is being ended by hush().
        self._gone = False  # Nothing is ever said again.
        self._refused: UsageError | None = None
        self._silent: str | None = None  # why nothing is heard
        self.trouble: str | None = None  # the same, or why there is no voice
        self.soon_s: float | None = None
        self._muted = False
        self._failures = Backoff(limits.pauses_s)
        self._given_up = False  # That is told.
        self._folder = tempfile.mkdtemp(prefix="pete_sounds-")
        self._sounds: SoundPlayer | None = None
        if settings.sounds and settings.aloud:
            self._sounds = SoundPlayer(
                self._folder, settings.volume, self._changed,
                self._may_play, self._note_silence, limits.sounds,
            )  # fmt: skip
        self._thread = threading.Thread(target=self._supervise, name="voice", daemon=True)
        self._thread.start()

    def say(self, sentence: str, caption: int, at: float) -> bool:
        with self._changed:
            if self._refused:
                raise self._refused
            if not (text := speakable(aloud(sentence))) or (self._muted and self._sink is None):
                return False
            if self._gone or self._failures.wait_s():
                if self._sink is not None:
                    self._sink.unspoken(sentence, caption, at)
                return False
            if self._sink is not None:
                self._sink.expect(sentence, text, at)
            self._waiting = [entry for entry in self._waiting if entry[0] == caption]
            self._waiting.append((caption, text))
            self._begin_next()
            return not self._muted and (self._silent is None or self._sink is not None)

    def quiet_in(self, at: float) -> float:
        """Seconds until all is said, at the pace of what was said before; 0 when nothing is."""
        with self._changed:
            if self._gone or not (self._saying or self._waiting):
                return 0.0
            left = sum(count_words(text) for _, text in self._waiting) * self._pace
            needed = count_words(self._saying or "") * self._pace
            return left + max(0.01, self._began + needed - time.monotonic())

    @property
    def audible(self) -> bool:
        return self._settings.aloud and not self._gone

    def mute(self, muted: bool) -> None:
        self._muted = muted

    def play(self, sound: Sound) -> None:
        if self._sounds is not None and self._may_be_heard():
            self._sounds.play(sound)

    def looking(self, on: bool) -> None:
        if self._sounds is not None:
            self._sounds.looking(on)

    def _may_be_heard(self) -> bool:
        return self._tried and not (self._muted or self._silent or self._gone)

    def _may_play(self) -> bool:
        return self._may_be_heard() and not self._saying

    def hush(self) -> None:
        with self._changed:
            self._waiting.clear()
            if self._sounds is not None:
                self._sounds.hush()
            if self._saying and not self._hushed:
                self._hushed = True
                # A screen reader would go on without the child, which need not be ended then;
                # any other is replaced by the thread that waits for its answer.
                self._hush_reader() if self._is_reader else self._kill()

    @property
    def _is_reader(self) -> bool:
        return self._settings.voice == SCREEN_READER

    def _hush_reader(self) -> None:
        if self._process is not None:
            self._process.tell({"hush": True})

    def wait_until_ready(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._ready or self._gone or self._failures.wait_s(),
                self._limits.start_timeout_s,
            )
            if self._refused:
                raise self._refused

    def wait_until_quiet(self) -> None:
        with self._changed:
            while self.quiet_in(0.0) > 0 or self._sounds_first():
                self._changed.wait(0.1)

    def close(self) -> None:
        self._gone = True
        if self._is_reader and self._saying:
            self._hush_reader()
            time.sleep(0.1)  # for the child to do so
        self._kill()  # even where somebody keeps the lock
        if self._sounds is not None:
            self._sounds.close()
        with self._changed:
            self._kill()  # the one that was just being started
            self._changed.notify_all()
        self._thread.join(0.5)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _supervise(self) -> None:
        while not self._gone:
            if self._failures.wait_s():
                time.sleep(0.1)
                continue
            try:
                self._serve()
            except Exception as error:  # whatever it is, this thread goes on
                log.debug("speech failed", exc_info=True)
                self._fail(reason_of(error))

    def _serve(self) -> None:
        """Start a child, and have it say what comes, until there is no voice any more."""
        with self._changed:
            if self._gone:
                return
            self._process = SpeechProcess(self._limits.command)
        # Not again: it may be while a sound has the device.
        first = {"settings": asdict(self._settings), "try": not self._tried}
        first |= {"folder": self._folder, "keep": self._sink is not None}
        with self._process as process:
            answer = process.ask(first, self._limits.start_timeout_s)
            with self._changed:
                if "usage" in answer:
                    self._refuse(answer["trouble"], answer["usage"])
                    return
                self._ready = True
                if not self._tried:
                    self._tried = True
                    self._note_silence(answer["trouble"])
            while (text := self._next(process)) is not None:
                needed = 60 * count_words(text) / self._settings.rate
                order = {"text": text, "aloud": self._settings.aloud and not self._muted}
                answer = process.ask(order, self._limits.wake_timeout_s + 3 * needed)
                with self._changed:
                    if self._hushed and not self._is_reader:
                        raise ChildProcessError("hushed")
                    self.soon_s = answer.get("soon_s")
                    self._said(text, answer["trouble"])

    def _refuse(self, trouble: str, usage: bool) -> None:
        if self._failures.tries:  # It could speak: this is one more of the same kind.
            raise ChildProcessError("ended by itself")
        self._gone = True
        if usage:
            self._refused = UsageError(trouble)
        else:
            self._tell(f"no voice: {trouble}")
        self._changed.notify_all()

    def _tell(self, trouble: str) -> None:
        self.trouble = trouble
        log.info(f"{trouble}; the captions go on as text")

    def _sounds_first(self) -> bool:
        return self._sounds is not None and self._sounds.busy and self._may_be_heard()

    def _begin_next(self) -> None:
        free = self._ready and self._saying is None and not self._sounds_first()
        if free and self._waiting:
            _, self._saying = self._waiting.pop(0)
            self._began = time.monotonic()
        self._changed.notify_all()

    def _next(self, process: SpeechProcess) -> str | None:
        """Wait for something to say; None when there is no voice any more."""
        with self._changed:
            while not self._gone:
                self._begin_next()
                if self._saying is not None:
                    return self._saying
                if process.poll() is not None:
                    raise ChildProcessError("ended by itself")
                self._changed.wait(0.1)
            return None

    def _said(self, text: str, trouble: str | None) -> None:
        with contextlib.suppress(OSError, wave.Error, EOFError):
            if self._sink is not None:
                with wave.open(os.path.join(self._folder, SPOKEN)) as file:
                    self._sink.keep(text, file.readframes(file.getnframes()))
        self._saying = None
        if self._sounds is not None:
            self._sounds.restart()
        took = (time.monotonic() - self._began) / count_words(text)
        if not self._hushed:
            self._pace += 0.3 * (took - self._pace)
        self._hushed = False
        self._failures.reset()
        if self._given_up:
            log.info("the voice is back")
        self._given_up = False
        self._note_silence(trouble)

    def _note_silence(self, trouble: str | None) -> None:
        if trouble and not self._silent:
            self._tell(f"no sound: {trouble}")
        elif self._silent and not trouble:
            log.info("the sound is back")
        if not trouble:
            self.trouble = None
        self._silent = trouble

    def _fail(self, why: str) -> None:
        with self._changed:
            hushed = self._hushed
            self._ready = self._hushed = False
            self._saying = None
            self._changed.notify_all()
            if self._gone or hushed:
                return
            if not self._failures.failed():
                log.info(f"speech failed ({why}); it is started again")
                return
            if not self._given_up:
                self._tell(f"no voice: speech failed {self._failures.tries} times ({why})")
                self.play(Sound.TROUBLE)
            self._given_up = True
            self._waiting.clear()
            self._changed.notify_all()
