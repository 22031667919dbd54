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
from collections.abc import Sequence
from typing import NamedTuple

from narrator.attempts import Attempts
from narrator.backoff import Backoff
from narrator.captioning import Captioner
from narrator.commands import Commands
from narrator.conditions import Conditions
from narrator.engines.choice import EngineChoice, choose_engine, import_packages, open_engine
from narrator.engines.engine import Engine
from narrator.errors import EngineError, ExitCode, PeteError, UsageError
from narrator.frames.files import Film
from narrator.frames.frame import Frame
from narrator.frames.live import LiveSource
from narrator.frames.opening import LIVE, SourceKind, open_source, resolve_source, source_kind
from narrator.frames.source import Source
from narrator.models.weights import resolve_model
from narrator.narration import Narrator
from narrator.options import Options
from narrator.outputs.lines import Lines
from narrator.outputs.output import Caption, Output
from narrator.outputs.preview import NoPreview, Preview, check_display
from narrator.outputs.progress import Progress, report
from narrator.outputs.saved_frames import SavedFrames
from narrator.process import Shutdown
from narrator.reading.opening import open_reader
from narrator.scene.scene import Scene
from narrator.speaking import open_speaker
from narrator.speech.sounds import Sound
from narrator.speech.speaker import Speaker
from narrator.terminal import Terminal, tell_of_check
from narrator.text import minutes, without_password
from narrator.typed import NothingTyped, TypedLines

log = logging.getLogger(__name__)

PATIENCE_S = 8.0  # with a picture that is dark, covered, too bright or blurred


class Parts(NamedTuple):
    """What the loop in pete_sounds.py works with."""

    narrator: Narrator
    commands: Commands
    captioner: Captioner


def wire(
    options: Options,
    source: Source,
    speaker: Speaker,
    engine: Engine | None,
    outputs: Sequence[Output],
    typed: NothingTyped | None = None,
    backoff: Backoff | None = None,
) -> Parts:
    """Who works with whom. engine: None to read text. typed: what is typed, if anything is."""
    narrator = Narrator(source, speaker, outputs, every_caption=options.always)
    saved = next((one for one in outputs if isinstance(one, SavedFrames)), SavedFrames("."))
    preview = next((one for one in outputs if isinstance(one, NoPreview)), NoPreview())
    conditions = Conditions(options.when)
    typed = typed or NothingTyped()
    has_model = engine is not None
    commands = Commands(narrator, conditions, saved, typed, preview, has_model)
    # One caption is asked for by who will not wait; only what is live can get any better.
    is_waited_for = options.limit != 1 or options.when or not isinstance(source, LiveSource)
    patience_s = math.inf if is_waited_for else PATIENCE_S
    scene = Scene(options.always, options.read, patience_s)
    attempts = Attempts(narrator, backoff)
    captioner = Captioner(engine, options, scene, narrator, commands, attempts)
    return Parts(narrator, commands, captioner)


class Session:
    """One run, to be used as `with Session(...) as session`: at its end what is being said comes to
    its end, and what is kept is completed; a PeteError is spoken. exit_code: once it has ended."""

    def __init__(self, options: Options, shutdown: Shutdown, terminal: Terminal) -> None:
        started = time.monotonic()
        self._options, self._shutdown = options, shutdown
        self.exit_code = ExitCode.OK
        name = resolve_source(options.source)
        is_film = options.vtt is not None
        if is_film and source_kind(name) is SourceKind.CAMERA:
            raise UsageError(LIVE)
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
        self._speaker.looking(True)  # The engine may take long, or have to be downloaded.
        for message in self._source.messages():
            log.info(message)
            self._speaker.say(message, 0, 0.0)
        typed = read_terminal(terminal, is_film, self._speaker)
        packages.join()
        engine = None if choice is None else open_engine(choice, options.model)
        label = open_reader().label if engine is None else engine.label
        self._speaker.wait_until_ready()
        self._speaker.looking(False)
        self._speaker.play(Sound.READY)
        for file in files:
            file.begin()
        self._say_ready(label, choice, time.monotonic() - started, can_type=typed is not None)
        self._preview = Preview(label, self._is_speaking) if options.preview else NoPreview()
        outputs.append(self._preview)
        self._film = self._open_film_report(outputs)
        self.parts = wire(options, self._source, self._speaker, engine, outputs, typed)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        try:
            if error is None:
                self._finish()
        except PeteError as late:
            error = late
        if isinstance(error, PeteError):
            self._fail(error)
        return isinstance(error, PeteError)

    # -- what is opened

    def _open_outputs(self, terminal: Terminal) -> list[Output]:
        outputs: list[Output] = [Lines(self._options.json, terminal.printing)]
        if self._options.save is not None:
            with self._shutdown.opening() as opened:
                outputs.append(saved := SavedFrames(self._options.save))
                opened.callback(saved.close)
            saved.prepare()
        return outputs

    def _say_ready(
        self, label: str, choice: EngineChoice | None, seconds: float, can_type: bool
    ) -> None:
        log.info(f"engine: {label} ({choice.why if choice else 'to read text'})")
        log.info(f"ready in {seconds:.1f} s; Ctrl-C ends it")
        if self._source.lost or self._speaker.trouble:
            tell_of_check()
        if can_type:
            log.info("type a question and Enter, or ? to hear what else you can type")
        for text in self._options.when:
            log.info(f"watching for: {text}")

    def _is_speaking(self) -> bool:
        return self._speaker.audible and self._speaker.quiet_in(self._source.at) > 0

    def _open_film_report(self, outputs: list[Output]) -> FilmReport | None:
        if not isinstance(self._source, Film):
            return None
        with self._shutdown.opening() as opened:
            outputs.append(film := FilmReport(self._source, str(self._options.vtt)))
            opened.callback(film.close)
        return film

    # -- how it ends

    def _finish(self) -> None:
        """Let what is being said come to its end, and complete what is kept. Raises EngineError
        when the engine was still unavailable, and StopRequested."""
        captioner = self.parts.captioner
        if captioner.attempts.unavailable:
            raise EngineError("the server did not come back before the source ended")
        self._speaker.looking(False)
        self._linger()
        self._finish_film()
        self._speaker.wait_until_quiet()

    def _fail(self, error: PeteError) -> None:
        """Say an error, as who can't see the screen must hear why it falls silent."""
        narrator = self.parts.narrator
        self._speaker.looking(False)
        narrator.sound(Sound.TROUBLE)
        narrator.announce(str(error))
        log.debug("", exc_info=error)
        self._finish_film()
        self._speaker.wait_until_quiet()
        self.exit_code = error.exit_code

    def _finish_film(self) -> None:
        """Write what waits for its place in a film's files, and say what became of them."""
        if self._film is not None and isinstance(self._source, Film):
            self._speaker.finish(self._source.length, self._source.ended)
            self._film.finish()

    def _linger(self) -> None:
        """Keep the preview alive while the last caption is said; after the end of a film or a
        picture until it is closed, as nobody could have looked at it otherwise."""
        narrator, commands, captioner = self.parts
        if not self._options.preview:
            return
        if not captioner.enough:
            self._preview.note("the end; q closes this", math.inf)
        while not captioner.enough or self._is_speaking():
            narrator.show(None)
            commands.check()
            time.sleep(0.03)


class FilmReport(Output):
    """Shows how far a film is described, and says what became of it. vtt: the file's name."""

    def __init__(self, film: Film, vtt: str) -> None:
        self._film, self._vtt = film, vtt
        self._progress, self._started = Progress(lambda: film.length), time.monotonic()
        self._finished = False

    def write(self, caption: Caption) -> None:
        """The captions go elsewhere."""

    def show(self, frame: Frame | None) -> None:
        if frame is not None:
            self._progress.show(frame.at)

    def finish(self) -> None:
        """The film is over, or as much of it as there will be."""
        film, took = self._film, time.monotonic() - self._started
        self._finished = True
        self._progress.close()
        seen = (film.length or 0.0) if film.ended else film.at
        report(self._vtt, seen, took, film.announced if film.ended else None)

    def close(self) -> None:
        """The program ends, perhaps before the film does."""
        self._progress.close()
        if not self._finished:
            log.info(f"{self._vtt} covers the film up to {minutes(self._film.at)}")


def read_terminal(terminal: Terminal, is_film: bool, speaker: Speaker) -> TypedLines | None:
    """What is typed, where stdin is a terminal; while a film is described only q counts."""
    if not sys.stdin or not sys.stdin.isatty():
        return None
    terminal.take(plain=is_film)
    typed = TypedLines(terminal, speaker.hush)
    return None if is_film else typed


def import_for(choice: EngineChoice | None) -> None:
    """Import what an engine needs, or a reader, where there is no choice."""
    if choice is not None:
        import_packages(choice.name)
        return
    with contextlib.suppress(Exception):  # open_reader() raises it again.
        open_reader()


def choose(options: Options) -> EngineChoice:
    """The engine for these options, and all that can be checked before anything is opened. Raises
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
