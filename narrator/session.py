"""One run: source, speaker, engine and outputs, opened for the Options, and their proper end.

What takes long is done side by side: the engine's packages are imported while camera and voice are
opened. Everything that has to be closed is registered with the Shutdown the moment it is open.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from narrator.captioning import Captioner
from narrator.commands import Commands, TypedLines
from narrator.engines.choice import EngineChoice, choose_engine, import_packages, open_engine
from narrator.errors import EngineError, ExitCode, PeteError, UsageError
from narrator.frames.files import Film
from narrator.frames.opening import SourceKind, open_source, resolve_source, source_kind
from narrator.models.weights import resolve_model
from narrator.narration import Narrator
from narrator.options import Options
from narrator.outputs.film_track import FilmNarrationTrack
from narrator.outputs.lines import Lines
from narrator.outputs.output import Output
from narrator.outputs.preview import Preview, check_display
from narrator.outputs.progress import Progress, report
from narrator.outputs.saved_frames import SavedFrames
from narrator.process import Shutdown
from narrator.reading.reader import open_reader
from narrator.scene.scene import Scene
from narrator.speaking import open_speaker
from narrator.speech.sounds import Sound
from narrator.speech.voice import Voice
from narrator.terminal import Terminal, tell_of_check
from narrator.text import minutes, without_password
from narrator.view import View

log = logging.getLogger(__name__)

# What an option with a file or folder opens, beside the two that need sound (--wav and --vtt).
OUTPUTS: dict[str, Callable[[str], Output]] = {"save": SavedFrames}


class Session:
    """What the loop in pete_sounds.py works with: view, captioner and commands."""

    def __init__(self, options: Options, shutdown: Shutdown, terminal: Terminal) -> None:
        started = time.monotonic()
        self._options, self._shutdown = options, shutdown
        self._finished = False
        name = resolve_source(options.source)
        is_film = options.vtt is not None
        if is_film and source_kind(name) is not SourceKind.FILE:
            raise UsageError(
                "--vtt is for files; for a camera or stream, --json prints each caption's time"
            )
        choice = None if options.read else choose(options)
        packages = threading.Thread(target=import_for, args=[choice], daemon=True)
        packages.start()
        if options.preview:
            check_display()
        outputs = self._open_outputs(terminal)
        with shutdown.opening() as opened:
            waits = options.limit != 1  # One caption is asked for by who will not wait.
            self._source = open_source(name, is_film, options.frames, waits)
            opened.callback(self._source.close)
            self._speaker, files = open_speaker(options, self._source, opened)
        if self._speaker is not None:
            self._speaker.looking(True)  # The engine may take long, or have to be downloaded.
        typed = self._read_terminal(terminal, is_film)
        packages.join()
        engine = None if choice is None else open_engine(choice, options.model)
        label = open_reader().label if engine is None else engine.label
        if self._speaker is not None:
            self._speaker.wait_until_ready()
            self._speaker.looking(False)
            self._speaker.play(Sound.READY)
        for file in files:
            file.begin()
        self._ready_at = time.monotonic()
        log.info(f"engine: {label} ({choice.why if choice else 'to read text'})")
        log.info(f"ready in {self._ready_at - started:.1f} s; Ctrl-C ends it")
        if self._source.lost or (isinstance(self._speaker, Voice) and self._speaker.trouble):
            tell_of_check()
        if typed is not None and not is_film:
            log.info("type a question and Enter, or ? to hear what else you can type")
        self._preview = self._open_preview(label, outputs)
        self._progress = self._open_progress()
        self.narrator = Narrator(self._source, self._speaker, outputs, every_caption=options.always)
        on_frame = None if self._progress is None else self._progress.show
        scene = Scene(options.always, options.read)
        self.view = View(self._source, scene, self.narrator, self._preview, on_frame)
        saved = next((one for one in outputs if isinstance(one, SavedFrames)), SavedFrames("."))
        listened = None if is_film else typed
        self.commands = Commands(
            self.narrator, self.view, saved, listened, options.when, has_model=not options.read
        )
        for one in self.commands.conditions.all:
            log.info(f"silent until it is in view: {one.text}")
        self.captioner = Captioner(engine, options, self.view, self.narrator, self.commands)

    @property
    def finished(self) -> bool:
        """True behind the last frame of a file, and after --limit captions."""
        return self.view.ended or self._enough

    @property
    def _enough(self) -> bool:
        return self._options.limit is not None and self.narrator.count >= self._options.limit

    # -- what is opened

    def _open_outputs(self, terminal: Terminal) -> list[Output]:
        outputs: list[Output] = [Lines(self._options.json, terminal.printing)]
        for name, make in OUTPUTS.items():
            if (value := getattr(self._options, name)) is not None:
                with self._shutdown.opening() as opened:
                    outputs.append(make(value))
                    opened.callback(outputs[-1].close)
                outputs[-1].prepare()
        return outputs

    def _read_terminal(self, terminal: Terminal, is_film: bool) -> TypedLines | None:
        """What is typed, where stdin is a terminal; of a film's, q alone is heeded."""
        if not sys.stdin or not sys.stdin.isatty():
            return None
        terminal.take(plain=is_film)
        return TypedLines(terminal, self._hush)

    def _hush(self) -> None:
        if self._speaker is not None:
            self._speaker.hush()

    def _open_preview(self, label: str, outputs: list[Output]) -> Preview | None:
        if not self._options.preview:
            return None
        outputs.append(preview := Preview(label, self._is_speaking))
        return preview

    def _is_speaking(self) -> bool:
        speaker = self._speaker
        return speaker is not None and speaker.audible and speaker.quiet_in(self._source.at) > 0

    def _open_progress(self) -> Progress | None:
        film = self._source
        if not isinstance(film, Film):
            return None
        with self._shutdown.opening() as opened:
            progress = Progress(lambda: film.length)
            opened.callback(self._close_film, progress)
        return progress

    # -- how it ends

    def _close_film(self, progress: Progress) -> None:
        progress.close()
        if not self._finished:
            vtt, at = self._options.vtt, minutes(self._source.at)
            log.info(f"{vtt} goes as far as {at} of the film")

    def finish(self) -> None:
        """Let what is being said come to its end, and complete what is kept. Raises EngineError
        when the engine was still waited for, and StopRequested."""
        if self.captioner.unavailable:
            raise EngineError("the server did not come back before the source ended")
        self.narrator.looking(False)
        self._linger()
        self._finish_film()
        self.narrator.wait_until_quiet()

    def _finish_film(self) -> None:
        """Write what waits for its place in a film's files, and tell what became of them."""
        film, speaker = self._source, self._speaker
        if not isinstance(film, Film) or self._progress is None:
            return
        self._finished = True
        if isinstance(speaker, FilmNarrationTrack):
            speaker.finish(film.length, film.ended)
        self._progress.close()
        seen = (film.length or 0.0) if film.ended else film.at
        took = time.monotonic() - self._ready_at
        report(str(self._options.vtt), seen, took, film.announced if film.ended else None)

    def fail(self, error: PeteError) -> ExitCode:
        """Say an error, as who can't see the screen must hear why it falls silent."""
        self.narrator.looking(False)
        self.narrator.sound(Sound.TROUBLE)
        self.narrator.announce(str(error))
        log.debug("", exc_info=error)
        self._finish_film()
        self.narrator.wait_until_quiet()
        return error.exit_code

    def _linger(self) -> None:
        """Keep the preview alive while the last caption is said; after the end of a film or a
        picture until it is closed, as nobody could have looked at it otherwise."""
        if self._preview is None:
            return
        if not self._enough:
            self._preview.note("the end; q closes this", math.inf)
        while not self._enough or self._is_speaking():
            self.view.refresh()
            self.commands.check()
            time.sleep(0.03)


def import_for(choice: EngineChoice | None) -> None:
    """Import what an engine needs, or a reader, where there is no choice."""
    if choice is not None:
        import_packages(choice.name)
        return
    with contextlib.suppress(Exception):  # open_reader() raises it again.
        open_reader()


def choose(options: Options) -> EngineChoice:
    """The engine for these options, and what can be told before anything is opened. Raises
    PeteError."""
    choice = choose_engine(options.engine, options.bits)
    if choice.url is not None:
        log.info(f"frames are sent to {without_password(choice.url)}")
    elif options.model is not None:
        # Nobody should wait seconds for a typing error.
        resolve_model(options.model, "mlx" if choice.name == "mlx" else "torch")
    try:
        tempfile.gettempdir()  # which torch and the voice need
    except OSError as error:
        raise EngineError(
            "no temporary folder can be written; make room in /tmp, or set TMPDIR to another one"
        ) from error
    return choice
