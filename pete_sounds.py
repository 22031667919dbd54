#!/usr/bin/env python3
"""Pete Sounds: a webcam narrator for the command line.

It watches a camera, says in one spoken sentence what it sees, and stays quiet while nothing
changes. Everything runs on this machine. A frame becomes a voice in this order, and so does
this file:

    camera / video / picture / stream
       -> Frames      the newest frame only, with its time; reopens what was lost
       -> SceneGate   did anything change since the last caption?
       -> MlxEngine   frame + prompt -> pieces of text, as they are generated
       -> Narrator    pieces -> sentences -> the voice and the outputs
       -> Voice       pyttsx3 in a child process that is watched, hushed and replaced from here
       -> Captions    lines or JSON on stdout;  WavFile: the whole narration as sound

Data flows one way. Frames knows nothing of models, the engine nothing of cameras, the voice
nothing of either. What this file does not do: serve a model, train one, or send a frame anywhere.
"""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":  # Ctrl-C while the imports below run ends quietly, too.
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))

import argparse
import contextlib
import enum
import hashlib
import io
import json
import math
import queue
import re
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unicodedata
import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from errno import EACCES, EBUSY, EDQUOT, EIO, ENOSPC, EPERM, EPIPE, EROFS
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import numpy as np

# ------------------------------------------------------------------------------ defaults and codes

PROJECT = Path(__file__).resolve().parent
VENV = PROJECT / ".venv"
CACHE = PROJECT / ".hf_cache"
KEPT = CACHE / "pete_sounds"  # weights that were made here
DEMO = PROJECT / "tests" / "tiny_smolvlm2"

DEFAULT_SOURCE = "0"
DEFAULT_MODEL = "smolvlm2-256m"
DEFAULT_PROMPT = "Describe what you see in one short sentence."
DEFAULT_MAX_TOKENS = 64
DEFAULT_RATE = 200  # words a minute, pyttsx3's own default
DEFAULT_VOLUME = 1.0

BITS = 4
GROUP_SIZE = 64  # weights that share one scale, mlx-vlm's default
OPEN_TIMEOUT_S = 10.0  # a camera or stream that shows nothing for so long is not there
STALL_TIMEOUT_S = 5.0  # one that stops showing anything is reopened after so long
REOPEN_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # between the tries; the last one for ever
STEADY_S = 0.5  # of pictures make a source that was lost one that is back
HUNG_READERS = 3  # threads that may hang in a camera's driver at a time
SHOW_EVERY_S = 0.5  # even where a file can't be decoded as fast as it plays
FAULTS_IN_A_ROW = 3  # frames that the engine may fail on before the program ends
# Channels, bytes a sample, samples a second: what espeak-ng speaks in, and what a Mac's speech is
# converted to.
WAV_FORMAT = (1, 2, 22050, 0, "NONE", "not compressed")
SILENCE_BETWEEN_S = 0.25  # between the sentences of a WAV
END_WITHIN_S = 1.5  # from the signal to the end, whatever the engine is doing


class ExitCode(enum.IntEnum):
    """What the shell is told."""

    OK = 0  # the normal end, and an end that was asked for (Ctrl-C)
    INTERNAL = 1  # a fault of this program
    USAGE = 2
    SOURCE = 3
    MODEL = 4
    ENGINE = 5  # what runs the model, or the speech where speech itself was asked for


class PeteError(Exception):
    """A trouble with a message for the user: what happened, and what to do."""

    exit_code = ExitCode.INTERNAL
    told = False  # True once the user has read and heard it


class UsageError(PeteError):
    """What was asked for can't be meant."""

    exit_code = ExitCode.USAGE


class SourceError(PeteError):
    """No frames come."""

    exit_code = ExitCode.SOURCE


class ModelError(PeteError):
    """The model is not there, or is not one that can be used."""

    exit_code = ExitCode.MODEL


class EngineError(PeteError):
    """What runs the model fails, or is not installed."""

    exit_code = ExitCode.ENGINE


class Ended(BaseException):
    """Nobody reads our stdout any more, so there is nothing left to do."""


def tell(message: str) -> None:
    """Print one line of our own on stderr; captions alone go to stdout."""
    with contextlib.suppress(OSError, ValueError):
        print(f"pete_sounds: {printable(message)}", file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------ command line


class OneLineParser(argparse.ArgumentParser):
    """argparse, but a wrong command line is answered in one line instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        tell(f"{without_password(message)} (--help lists the options)")
        raise SystemExit(int(ExitCode.USAGE))


def number_between(low: float, high: float) -> Any:
    """A parser for argparse: a number from low to high, both included, of low's type."""
    kind = type(low)

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    return parse


def non_empty(text: str) -> str:
    """A parser for argparse: text with at least one letter in it."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


# fmt: off
def argument_parser() -> argparse.ArgumentParser:
    """Every option that exists. The names are a contract: README and tests hold to them."""
    parser = OneLineParser(
        prog="pete_sounds.py",
        description="Watches a camera and says aloud what it sees, on your own machine.",
        epilog="Captions go to stdout, everything else to stderr. Ctrl-C ends it.",
        allow_abbrev=False,
    )
    add = parser.add_argument_group("what to watch").add_argument
    add("--source", metavar="SRC", type=non_empty, default=DEFAULT_SOURCE,
        help="camera number, video file, picture, or http stream (default: %(default)s)")
    add("--demo", action="store_true",
        help="the small bundled model on a drawn clip: no camera, no download")
    add("--list-cameras", action="store_true", help="list the cameras and exit")

    add = parser.add_argument_group("what to say").add_argument
    add("--model", metavar="NAME", type=non_empty, default=DEFAULT_MODEL,
        help=f"{', '.join(PRESETS)}, a Hub repository, or a folder (default: %(default)s)")
    add("--engine", choices=["mlx"], default="mlx",
        help="what runs the model (default: %(default)s)")
    add("--prompt", metavar="TEXT", type=non_empty, default=DEFAULT_PROMPT,
        help="what to ask of each frame (default: %(default)s)")
    add("--max-tokens", metavar="N", type=number_between(1, 4096), default=DEFAULT_MAX_TOKENS,
        help="length of a caption at most, in tokens (default: %(default)s)")

    add = parser.add_argument_group("when to say it").add_argument
    add("--once", action="store_true", help="one caption, then end")
    add("--limit", metavar="N", type=number_between(1, 1_000_000),
        help="end after N captions")
    add("--always", action="store_true", help="caption even when nothing changed")

    add = parser.add_argument_group("voice").add_argument
    add("--mute", action="store_true", help="text only, no voice")
    add("--voice", metavar="ID", type=non_empty, help="a voice's ID or name, see --list-voices")
    add("--rate", metavar="WPM", type=number_between(80, 450), default=DEFAULT_RATE,
        help="words a minute, 80 to 450 (default: %(default)s)")
    add("--volume", metavar="V", type=number_between(0.0, 1.0), default=DEFAULT_VOLUME,
        help="0 to 1 (default: %(default)s)")
    add("--list-voices", action="store_true", help="list the voices and exit")

    add = parser.add_argument_group("what to keep").add_argument
    add("--json", action="store_true", help="print each caption as one JSON object")
    add("--wav", metavar="FILE", type=non_empty, help="collect the narration in a WAV file")
    add("--debug", action="store_true", help="say more about what goes on and what goes wrong")
    return parser
# fmt: on


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Check the whole command line before anything heavy is imported. Exits 2 when it is wrong."""
    parser = argument_parser()
    options = parser.parse_args(arguments)
    if options.demo:
        for name, default in (("source", DEFAULT_SOURCE), ("model", DEFAULT_MODEL)):
            if getattr(options, name) != default:
                parser.error(f"--demo brings its own --{name}; leave one of the two out")
        options.source, options.model = str(DEMO / "demo.mp4"), str(DEMO)
    if options.once:
        if options.limit is not None:
            parser.error("--once is --limit 1; leave one of the two out")
        options.limit = 1
    if options.wav is not None and same_file(options.wav, options.source):
        parser.error("--wav would overwrite --source; give it another name")
    return options


def same_file(one: str, other: str) -> bool:
    """True when both names lead to one existing file."""
    with contextlib.suppress(OSError, ValueError):
        return os.path.samefile(one, os.path.expanduser(other))
    return False


def continue_under_venv() -> None:
    """Run this same command line again under the Python that install.sh made, unless this is it."""
    python = VENV / "bin" / "python"
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    if not python.exists():
        raise EngineError("not installed yet; run ./install.sh first")
    # Half an environment runs, but not as itself: without this it would be tried for ever.
    if os.environ.get("PETE_SOUNDS_VENV") == str(os.getpid()):
        raise EngineError(f"{VENV} is broken; run ./install.sh again")
    os.environ["PETE_SOUNDS_VENV"] = str(os.getpid())  # exec keeps the process
    try:
        os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])
    except OSError as error:
        raise EngineError(
            f"{python} does not start ({error.strerror}); run ./install.sh again"
        ) from error


# ------------------------------------------------------------------------------------------ frames


@dataclass(frozen=True)
class Frame:
    """One picture and its times.

    image: shape (height, width, 3), dtype uint8, colour order BGR, as OpenCV gives it.
    taken: when it was read, seconds on time.monotonic's clock.
    at: seconds into the source: a file's own clock, or the time since a live source's first frame.
    """

    image: np.ndarray
    taken: float
    at: float


class SourceKind(enum.Enum):
    """Where frames can come from."""

    CAMERA = "camera"
    STREAM = "stream"
    FILE = "file"


def source_kind(source: str) -> SourceKind:
    """A number is a camera, SCHEME://... a stream, anything else a file."""
    if re.fullmatch(r"[0-9]{1,4}", source):
        return SourceKind.CAMERA
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        return SourceKind.STREAM
    return SourceKind.FILE


def without_password(url: str) -> str:
    """The same text with user, password and query of a URL masked, fit to be printed."""
    before, mark, rest = url.partition("://")
    if re.search(r"[?#].*@", rest, re.DOTALL):  # a password with a ?, or a query with an @
        return f"{before}://***"
    rest = re.sub(r"[?#].*", "?***", rest, flags=re.DOTALL)
    return before + mark + re.sub(r".*@", "***@", rest, flags=re.DOTALL)


def import_cv2() -> Any:
    """Import OpenCV with its and FFmpeg's own chatter off: our messages say what is wrong."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Whole seconds that a read may wait on Linux; OpenCV's own 10 would keep the device longer.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", f"{STALL_TIMEOUT_S:.0f}")
    import cv2

    return cv2


class Frames:
    """Reads a source and keeps its newest frame only; older ones are dropped unseen.

    A camera or stream is read from the moment it is opened, so that what is seen is now; when it
    is lost it is reopened, which news() tells. A video file is paced by its own clock, which starts
    with the first call of newest(). A picture is a source of one frame. Open it on the main thread:
    macOS asks for camera permission there alone.

    Raises SourceError when the source can't be opened, and never again after that.
    """

    def __init__(self, source: str) -> None:
        cv2 = import_cv2()
        self._slot = FrameSlot()
        reader = FileReader if source_kind(source) is SourceKind.FILE else LiveSource
        try:
            self._reader: FileReader | LiveSource = reader(source, self._slot)
        except cv2.error as error:
            raise SourceError(f"{without_password(source)} can't be read: {error.err}") from error

    def newest(self, timeout: float) -> Frame | None:
        """Wait up to `timeout` seconds for a frame that was not returned before; None if none."""
        self._reader.tend()
        return self._slot.take(timeout)

    def news(self) -> list[str]:
        """What the user has to be told since the last call, a sentence each: that a live source
        is gone, and that it is back. Once each way, however often reopening fails in between."""
        return self._reader.news()

    @property
    def ended(self) -> bool:
        """True once the last frame of a file has been returned; a live source never ends."""
        return self._slot.ended

    def close(self) -> None:
        """End the reading and let go of the source, within a second."""
        self._reader.close()


class FrameSlot:
    """Room for one frame between the thread that reads and the one that looks."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._ripe_at = 0.0
        self._ended = False

    def put(self, frame: Frame, ripens: float = 0.0) -> None:
        """Replace the frame; nobody gets it before it has stood for `ripens` seconds."""
        with self._changed:
            self._frame, self._ripe_at = frame, frame.taken + ripens
            self._changed.notify_all()

    def take(self, timeout: float) -> Frame | None:
        """Wait up to `timeout` seconds for a frame and take it away; None if none came."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while (now := time.monotonic()) < deadline and not self._ended:
                if self._frame is None:
                    self._changed.wait(deadline - now)
                elif now < self._ripe_at:
                    self._changed.wait(min(deadline, self._ripe_at) - now)
                else:
                    break
            if now < self._ripe_at and not self._ended:
                return None
            frame, self._frame = self._frame, None
            return frame

    def clear(self) -> None:
        """Drop the frame, which has become old."""
        with self._changed:
            self._frame = None

    def end(self) -> None:
        """No frame will follow."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """True once the last frame has been taken."""
        with self._changed:
            return self._ended and self._frame is None


# -- files


class FileReader:
    """Shows a picture, or a video at the pace of its own clock. Raises SourceError."""

    def __init__(self, source: str, slot: FrameSlot) -> None:
        self._cv2 = import_cv2()
        self._slot = slot
        self._capture, self._first = open_file(source)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._started = False

    def tend(self) -> None:
        """Start the clock with the first look; a picture has nothing more to read."""
        if self._started:
            return
        self._started = True
        self._slot.put(Frame(self._first, time.monotonic(), 0.0))
        if self._capture is None:
            self._slot.end()
            return
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)
        self._thread.start()

    def news(self) -> list[str]:
        """Nothing: the end of a file is a normal end."""
        return []

    def close(self) -> None:
        """End the reading thread and close the file."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(0.8)
        # A read that hangs keeps the capture: releasing it under the reader would crash.
        if self._capture is not None and not (self._thread and self._thread.is_alive()):
            self._capture.release()

    def _run(self) -> None:
        try:
            self._play()
        except self._cv2.error:
            pass  # A frame that can't be decoded is the last one.
        finally:
            self._slot.end()

    def _play(self) -> None:
        """Show each frame when it is due; frames that are late already are skipped, not decoded."""
        started = shown = time.monotonic()
        frame_seconds = 1.0 / (self._capture.get(self._cv2.CAP_PROP_FPS) or 25.0)
        at = 0.0
        while not self._closing.is_set() and self._capture.grab():
            # Some files carry no time stamps: count frames then.
            stamp = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000.0
            at = stamp if stamp > at else at + frame_seconds
            early = started + at - time.monotonic()
            late = early < -frame_seconds
            if late and time.monotonic() - shown < SHOW_EVERY_S:
                continue
            if early > 0:
                self._closing.wait(early)
            good, image = self._capture.retrieve()
            if good:
                shown = time.monotonic()
                self._slot.put(Frame(image, shown, at))
        # The last frame stays on show for its own length.
        self._closing.wait(min(frame_seconds, 0.2))


def open_file(source: str) -> tuple[Any, np.ndarray]:
    """Open a file and read its first frame.

    Returns the OpenCV capture, None for a picture, and the frame: (height, width, 3), uint8, BGR.
    Raises SourceError.
    """
    cv2 = import_cv2()
    path = readable_file(source)
    if cv2.haveImageReader(path) and not is_animated(path):
        picture = cv2.imread(path, cv2.IMREAD_COLOR)
        if picture is not None:
            return None, picture
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    # FFmpeg draws text files (.txt, .nfo) as if a terminal showed them.
    if int(capture.get(cv2.CAP_PROP_FOURCC)) != int.from_bytes(b"ansi", "little"):
        good, image = capture.read()
        if good:
            return capture, image
    capture.release()
    raise SourceError(f"{source} is not a picture or video that can be read here")


def readable_file(source: str) -> str:
    """The absolute path of a file that can be opened. Raises SourceError."""
    try:
        # Absolute, as FFmpeg takes the start of "12:30.mp4" for a protocol.
        path = Path(os.path.expanduser(source)).absolute()
        str(path).encode()  # OpenCV crashes on a name that is not Unicode.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SourceError(f"{source} is a folder; give a video or a picture")
        if not stat.S_ISREG(mode):  # Opening a pipe would wait for its other end.
            raise SourceError(f"{source} is no ordinary file; give a video or a picture")
        with path.open("rb"):
            pass
    except UnicodeError as error:
        raise SourceError(f"{source} can't be opened: its name is not UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{source} can't be opened: {reason}") from error
    return str(path)


def is_animated(path: str) -> bool:
    """True for a picture file that FFmpeg plays as more than one frame: an animated GIF or PNG, or
    JPEGs one behind the other (.mjpeg)."""
    cv2 = import_cv2()
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    try:
        return bool(capture.grab() and capture.grab())
    finally:
        capture.release()


# -- cameras and streams


class LiveSource:
    """A camera or stream that is kept going.

    It is opened here, on the thread of the caller, and then read by a LiveReader, which reports
    each picture and each loss. An outage begins with a loss and lasts until pictures have come
    steadily again, so a source that flaps is told once. A reader that hangs in the driver is
    replaced. Raises SourceError when the source can't be opened.
    """

    BURST_AFTER_S = 0.5  # without a picture; what comes next may have been held up on its way
    BURST_AT_MOST_S = 2.0
    RIPENS_S = 0.025  # a picture of a burst is followed sooner than that

    def __init__(self, source: str, slot: FrameSlot) -> None:
        self._kind = source_kind(source).value
        self._slot = slot
        self._lock = threading.Lock()
        self._news: list[str] = []
        self._noise = NoiseWatch()
        self._lost = False
        self._steady_since: float | None = None
        self._tries = 0  # to reopen it, in this outage
        self._told_hung = False
        self._hung: list[LiveReader] = []
        capture, image = open_live(source)
        self._first_at = time.monotonic()
        self._last_at = self._burst_until = -math.inf
        self.show(image)
        self._source = source
        self._reader = LiveReader(self, source, capture)
        self._reader.start()

    # -- for Frames

    def news(self) -> list[str]:
        """Sentences for the user since the last call."""
        self.tend()
        with self._lock:
            news, self._news = self._news, []
        return news

    def tend(self) -> None:
        """Replace a reader that hangs; it ends by itself should the driver ever let go of it.
        At most HUNG_READERS hang at a time: each holds a thread, and perhaps the camera."""
        if self._reader.is_fine():
            return
        self._reader.join(0.05)  # Perhaps it only had no turn while this thread was busy.
        if self._reader.is_fine():
            return
        self._hung = [reader for reader in self._hung if reader.is_alive()]
        self.lost("sends no picture")
        if len(self._hung) + 1 < HUNG_READERS:
            self._reader.stop.set()
            self._hung.append(self._reader)
            self._reader = LiveReader(self, self._source)
            self._reader.start()
        elif not self._told_hung:
            self._told_hung = True
            with self._lock:
                self._news.append(
                    f"The {self._kind} does not answer at all; it may help to start again."
                )

    def close(self) -> None:
        """End the reading thread, which lets go of the source."""
        self._reader.stop.set()
        self._reader.join(0.8)

    # -- for the reader

    def show(self, image: np.ndarray) -> bool:
        """Take a new picture (height, width, 3), uint8, BGR; False when the source is frozen."""
        now = time.monotonic()
        still = self._noise.still_for(image, now)
        if still >= STALL_TIMEOUT_S:
            return False
        ripens = self._ripens(now)
        if self._lost and still == 0.0:
            self._steady_since = self._steady_since or now
            if now - self._steady_since >= STEADY_S:
                self._back()
        if not self._lost:
            self._slot.put(Frame(image, now, now - self._first_at), ripens)
        return True

    def lost(self, trouble: str) -> None:
        """Tell that the source is lost, unless that is told already."""
        with self._lock:
            self._steady_since = None
            if not self._lost:
                self._lost = True
                self._news.append(f"The {self._kind} {trouble}; trying to get it back.")
        self._noise.start_again()
        self._slot.clear()

    def next_pause(self) -> float:
        """Seconds from the last try to reopen the source to the next one."""
        pause = REOPEN_PAUSES_S[min(self._tries, len(REOPEN_PAUSES_S) - 1)]
        self._tries += 1
        return pause

    def _back(self) -> None:
        with self._lock:
            self._lost = self._told_hung = False
            self._tries = 0
            self._news.append(f"The {self._kind} is back.")

    def _ripens(self, now: float) -> float:
        """How long a picture has to stand. After a gap a stream may send all at once what it could
        not send before; only what is not followed at once by the next one shows what is now."""
        gap, self._last_at = now - self._last_at, now
        if gap >= self.BURST_AFTER_S:
            self._burst_until = now + self.BURST_AT_MOST_S
        elif gap >= self.RIPENS_S:
            self._burst_until = now
        return self.RIPENS_S if now < self._burst_until else 0.0


class LiveReader(threading.Thread):
    """Reads a live source until it is told to stop, and reopens it when it is lost.

    It alone touches its capture, and releases it when it ends, however late that is: releasing a
    capture under a read that hangs would crash.
    """

    FAILED_READS = 10  # in a row: some drivers fail a read now and then
    AFTER_A_FAILED_READ_S = 0.05
    LATE_S = 1.0  # what OpenCV's own time limits may be exceeded by

    def __init__(self, live: LiveSource, source: str, capture: Any = None) -> None:
        super().__init__(name="frames", daemon=True)
        self._live = live
        self._source = source
        self._capture = capture
        self._took = 0.0  # seconds that the last try to open it took
        self.stop = threading.Event()
        self._due = math.inf  # when the present call of OpenCV should have come back

    def is_fine(self) -> bool:
        """False when it hangs, or has died without being told to stop."""
        return self.stop.is_set() or (self.is_alive() and time.monotonic() < self._due)

    def run(self) -> None:
        """Read and reopen in turn."""
        while not self.stop.is_set():
            if self._capture is None:
                self._reopen()
                continue
            trouble = self._read()
            self._release()
            if trouble is not None:
                self._live.lost(trouble)
        self._release()

    def _read(self) -> str | None:
        """Show each picture; what is wrong once none comes any more, None when told to stop."""
        good_at, failed = time.monotonic(), 0
        while True:
            with self._call(STALL_TIMEOUT_S):
                good, image = read_picture(self._capture)
            if self.stop.is_set():
                return None
            # Even where a picture came: FFmpeg gives up waiting with one that it had kept back.
            if time.monotonic() - good_at >= STALL_TIMEOUT_S:
                return "sends no picture"
            if image is not None:
                good_at, failed = time.monotonic(), 0
                if not self._live.show(image):
                    return "sends the same picture over and over"
            elif not good:
                failed += 1
                if failed >= self.FAILED_READS:
                    return "is gone"
                self.stop.wait(self.AFTER_A_FAILED_READ_S)

    def _reopen(self) -> None:
        """Wait, then try once. macOS asks for permission on the main thread alone, but gave it when
        the source was first opened: from then on any thread will do."""
        pause = max(REOPEN_PAUSES_S[0], self._live.next_pause() - self._took)
        if self.stop.wait(pause):
            return
        started = time.monotonic()
        not_yet = (SourceError, import_cv2().error)
        with self._call(2 * OPEN_TIMEOUT_S), contextlib.suppress(*not_yet):
            self._capture, _ = open_live(self._source)
        self._took = time.monotonic() - started

    def _release(self) -> None:
        if self._capture is not None:
            with self._call(STALL_TIMEOUT_S):
                self._capture.release()
            self._capture = None

    @contextlib.contextmanager
    def _call(self, within: float) -> Iterator[None]:
        """Around what should come back within so many seconds, or hangs."""
        self._due = time.monotonic() + within + self.LATE_S
        try:
            yield
        finally:
            self._due = math.inf


class NoiseWatch:
    """Notices a camera that froze: noise made each of its pictures differ, and now none does.

    A drawn picture may stand still for ever, and so may one without any contrast (a covered lens);
    of those nothing is said.
    """

    NOISY = 100  # pictures that differed, one after the other
    CONTRAST = 32  # grey levels of 255

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._differed = 0
        self._still_since: float | None = None

    def still_for(self, image: np.ndarray, now: float) -> float:
        """Seconds for which a noisy camera has sent nothing but this picture; 0 if it is new."""
        sample = image[::8, ::8]
        last, self._last = self._last, sample.copy()
        if last is None or last.shape != sample.shape or (last != sample).any():
            self._differed = 1 if self._still_since is not None else self._differed + 1
            self._still_since = None
            return 0.0
        contrast = (sample.max(axis=(0, 1)).astype(int) - sample.min(axis=(0, 1))).max()
        if self._differed < self.NOISY or contrast < self.CONTRAST:
            self._differed = 0
            return 0.0
        if self._still_since is None:
            self._still_since = now
        return now - self._still_since

    def start_again(self) -> None:
        """Give a source that was reopened as much time as before."""
        if self._still_since is not None:
            self._still_since = time.monotonic()


def open_live(source: str) -> tuple[Any, np.ndarray]:
    """Open a camera or stream and read its first picture.

    Returns the OpenCV capture and the picture: (height, width, 3), uint8, BGR. Raises SourceError.
    """
    camera = source_kind(source) is SourceKind.CAMERA
    capture = import_cv2().VideoCapture(int(source)) if camera else open_stream(source)
    # A camera may need some seconds; a stream may begin with something broken.
    deadline = time.monotonic() + (OPEN_TIMEOUT_S if camera else 1.0)
    while capture.isOpened():
        _, image = read_picture(capture)
        if image is not None:
            return capture, image
        if time.monotonic() >= deadline:
            break
        time.sleep(0.005)
    capture.release()
    if camera:
        raise SourceError(camera_trouble(int(source)))
    raise SourceError(
        f"stream {without_password(source)} shows no picture; is it on, and is the address right?"
    )


def camera_trouble(number: int) -> str:
    """Why a camera shows nothing, as far as the system tells."""
    hint = "--list-cameras shows what there is, --source takes a video too"
    if sys.platform == "darwin":
        return (
            f"camera {number} is not there, in use, or not allowed; allow it for your terminal in "
            f"System Settings > Privacy & Security > Camera, then start again; {hint}"
        )
    device = f"/dev/video{number}"
    try:
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        if error.errno in (EACCES, EPERM):
            return (
                f"camera {number} is not allowed: you may not use {device} (on most systems those "
                "in the group video may)"
            )
        if error.errno == EBUSY:
            return f"camera {number} is in use; end the other program that shows it"
        return f"camera {number} is not there; {hint}"
    return f"camera {number} shows no picture; another program may be using it; {hint}"


def open_stream(url: str) -> Any:
    """OpenCV's capture of a stream, opened or not. Raises SourceError for what is no such URL."""
    cv2 = import_cv2()
    if not url.lower().startswith(("http://", "https://", "rtsp://", "rtsps://")):
        raise SourceError(
            f"{without_password(url)}: only http, https and rtsp streams can be watched"
        )
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        int(OPEN_TIMEOUT_S * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        int(STALL_TIMEOUT_S * 1000),
        # Each further thread decodes a picture of its own, which makes all of them one later: with
        # 16 a stream of H.264 at 30 a second came half a second late.
        cv2.CAP_PROP_N_THREADS,
        1,
    ]
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    # JPEGs are decoded here: OpenCV would squeeze each into the size of the first.
    if int(capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG"):
        capture.set(cv2.CAP_PROP_FORMAT, -1)
    return capture


def read_picture(capture: Any) -> tuple[bool, np.ndarray | None]:
    """Read once: whether anything came, and the picture, or None where that was none."""
    cv2 = import_cv2()
    try:
        good, image = capture.read()
        if good and image.ndim == 2:  # the bytes of a JPEG
            image = cv2.imdecode(image, cv2.IMREAD_COLOR)
    except cv2.error:
        return False, None
    return good, image if good else None


# -------------------------------------------------------------------------------------- scene gate


class SceneGate:
    """Lets a frame through when the scene differs from the last one that was described.

    Each frame is shrunk to 64 x 48 grey cells, which averages sensor noise away. The median of
    the cell differences is light that changed everywhere alike and is taken off; the median
    absolute deviation of what remains measures the noise, scaled to a standard deviation by 1.4826
    for Gaussian noise (Rousseeuw and Croux 1993, doi:10.1080/01621459.1993.10476408). The scene
    differs when enough cells change by more than that noise explains. A change is let through
    once it stands still, or after SETTLE_AT_MOST_S of going on.
    """

    CELLS = (64, 48)  # columns, rows
    CHANGED_CELLS = 0.006  # of all cells; an object of 2 % of the frame covers three times that
    SMALLEST_CHANGE = 10.0  # grey levels of 255
    NOISE_FACTOR = 6.0
    LOOK_EVERY_S = 0.15  # between the two looks that tell whether a scene stands still
    SETTLE_AT_MOST_S = 1.5

    def __init__(self, always: bool = False) -> None:
        self._cv2 = import_cv2()
        self._always = always
        self._described: np.ndarray | None = None
        self._earlier: np.ndarray | None = None
        self._earlier_at = 0.0
        self._changed_at: float | None = None
        self._still = False

    def wants(self, frame: Frame) -> bool:
        """True when this frame is worth a caption. Look at every frame, or motion is missed."""
        if self._always or self._described is None:
            return True
        cells = self._shrink(frame)
        if frame.taken - self._earlier_at >= self.LOOK_EVERY_S:
            self._still = self._earlier is not None and not self._differ(cells, self._earlier)
            self._earlier, self._earlier_at = cells, frame.taken
        if not self._differ(cells, self._described):
            self._changed_at = None
            return False
        if self._changed_at is None:
            self._changed_at, self._still = frame.taken, False
        return self._still or frame.taken - self._changed_at >= self.SETTLE_AT_MOST_S

    def described(self, frame: Frame) -> None:
        """From now on, compare with this frame."""
        self._described = self._shrink(frame)
        self._changed_at = None

    def _shrink(self, frame: Frame) -> np.ndarray:
        """The frame as (48, 64, 3) float32 cells: all three colours, as red on grey can be as
        bright as the grey."""
        small: np.ndarray = self._cv2.resize(
            frame.image, self.CELLS, interpolation=self._cv2.INTER_AREA
        ).astype("float32")
        return small

    def _differ(self, cells: np.ndarray, others: np.ndarray) -> bool:
        import numpy as np

        difference = cells - others
        difference -= np.median(difference, axis=(0, 1))
        change = np.abs(difference).max(axis=2)
        noise = 1.4826 * float(np.median(np.abs(difference)))
        threshold = max(self.SMALLEST_CHANGE, self.NOISE_FACTOR * noise)
        return float((change > threshold).mean()) > self.CHANGED_CELLS


# ----------------------------------------------------------------------------------------- weights


@dataclass(frozen=True)
class Checkpoint:
    """A model on the Hub: which repository, at which revision, and what its weights must be.

    sha256 is what others have seen for model.safetensors at that revision. The Hub's own list for
    the revision decides; where the two differ, that is said.
    """

    repository: str
    revision: str | None = None
    sha256: str | None = None


PRESETS = {
    "smolvlm2-256m": Checkpoint(
        "mlx-community/SmolVLM2-256M-Video-Instruct-mlx",
        "79901655c1a3d7ed6646c91325e3fde47e40e611",
        "e37d0714a5e2db99b9e4c8747028fc6ddf16f87f4a34ac175c82757d3d8e6636",
    ),
    "smolvlm2-500m": Checkpoint(
        "mlx-community/SmolVLM2-500M-Video-Instruct-mlx",
        "fa57db46815177fbdfd65cc85a2b3416a8332268",
        "a9839c8f79ecc93e54a00dc73cc0e68ba477debcd065d50c1c289fbb1075f981",
    ),
}

# Weights as safetensors and the processor's settings; never pickles, never code.
WANTED_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]


def find_weights(model: str) -> Path:
    """The folder of 4-bit mlx weights for a preset, Hub repository or folder, made where needed.

    What is made is kept in .hf_cache and found again without the network. A folder that is
    quantised already is used as it is. Raises ModelError.
    """
    folder = Path(os.path.expanduser(model))  # Path.expanduser() raises for an unknown ~user
    if model in PRESETS:
        checkpoint: Checkpoint | None = PRESETS[model]
    elif os.path.isdir(folder):  # Path.is_dir() raises for a name that is too long
        checkpoint = None
    elif re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model):
        checkpoint = Checkpoint(model)
    else:
        raise ModelError(
            f"--model {model} is no preset ({', '.join(PRESETS)}), no folder, and no "
            "Hub repository (owner/name)"
        )
    try:
        if checkpoint is None:
            return quantised(folder, folder_key(folder), label=folder.resolve().name)
        key = checkpoint_key(checkpoint)
        if is_complete(KEPT / key):
            return KEPT / key
        return quantised(fetched(checkpoint, key), key, label=checkpoint.repository)
    except OSError as error:
        raise ModelError(
            f"the model can't be kept in {CACHE}: {error.strerror or error}"
        ) from error


def checkpoint_key(checkpoint: Checkpoint) -> str:
    """The name under which a checkpoint's 4-bit weights are kept."""
    name = checkpoint.repository.replace("/", "--")
    return f"{name}-{(checkpoint.revision or 'newest')[:12]}-{BITS}bit"


def folder_key(folder: Path) -> str:
    """The same for a folder: another key whenever a file in it changes."""
    state = [
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in sorted(folder.iterdir())
        if file.suffix in (".json", ".safetensors")
    ]
    digest = hashlib.sha256(repr((str(folder.resolve()), state)).encode()).hexdigest()
    return f"{folder.resolve().name}-{digest[:12]}-{BITS}bit"


def is_complete(folder: Path) -> bool:
    """Only whole folders are moved to their final name, so a config there means all is there."""
    return (folder / "config.json").is_file()


def fetched(checkpoint: Checkpoint, key: str) -> Path:
    """The folder of a checkpoint that was fetched and checked, now or by an earlier start."""
    note = KEPT / f"{key}.fetched"
    if note.is_file() and is_complete(folder := Path(note.read_text("utf-8"))):
        return folder
    folder = fetch(checkpoint)
    KEPT.mkdir(parents=True, exist_ok=True)
    note.write_text(str(folder), "utf-8")
    return folder


def fetch(checkpoint: Checkpoint) -> Path:
    """Download a checkpoint into .hf_cache and check each file against the SHA-256 that the Hub
    lists for that revision. Raises ModelError."""
    prepare_hub(offline=False)
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        listing = HfApi().model_info(
            checkpoint.repository, revision=checkpoint.revision, files_metadata=True, timeout=15
        )
        tell(f"fetching {checkpoint.repository} (once)")
        folder = Path(
            snapshot_download(
                checkpoint.repository, revision=listing.sha, allow_patterns=WANTED_FILES
            )
        )
    except GatedRepoError as error:
        raise ModelError(
            f"{checkpoint.repository} asks you to accept its terms on huggingface.co first"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"the Hub has no model {checkpoint.repository}") from error
    except Exception as error:
        if is_disk_trouble(error):
            raise
        raise unreachable(checkpoint, error) from error
    listed = {file.rfilename: file.lfs.sha256 for file in listing.siblings or [] if file.lfs}
    check_files(folder, listed, checkpoint)
    return folder


def is_disk_trouble(error: Exception) -> bool:
    """True when the disk is full or may not be written: no fault of the Hub or the model."""
    return isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT, EACCES, EROFS, EPERM)


def unreachable(checkpoint: Checkpoint, error: Exception) -> PeteError:
    """The message for a Hub that does not answer, with the reason in a few words."""
    reason = printable(str(error)).split(". ")[0][:120] or type(error).__name__
    return ModelError(
        f"{checkpoint.repository} is not on this machine and the Hub can't be reached "
        f"({reason}); --demo works without it, the next start tries again"
    )


def check_files(folder: Path, listed: dict[str, str], checkpoint: Checkpoint) -> None:
    """Compare each fetched file with its listed SHA-256; a wrong one is deleted and refused."""
    for name, expected in listed.items():
        file = folder / name
        if not file.is_file():
            continue
        with file.open("rb") as content:
            found = sha256_of(content)
        if found != expected:
            file.resolve().unlink()
            file.unlink()
            raise ModelError(
                f"{checkpoint.repository}: {name} is not what the Hub lists for this "
                "revision; it was deleted, start again to fetch it anew"
            )
        if name == "model.safetensors" and checkpoint.sha256 not in (None, expected):
            tell(f"note: the Hub lists another SHA-256 for {name} than others saw before")


def sha256_of(content: Any) -> str:
    """SHA-256 of an open binary file, as 64 hexadecimal digits (file_digest needs Python 3.11)."""
    digest = hashlib.sha256()
    for block in iter(lambda: content.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


def prepare_hub(offline: bool) -> None:
    """Settings that huggingface_hub and transformers read when they are imported."""
    os.environ["HF_HOME"] = str(CACHE)
    os.environ["HF_HUB_OFFLINE"] = "1" if offline else "0"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if not sys.stderr.isatty():
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    # transformers imports torch where it finds it, which takes seconds; mlx-vlm has no use for
    # it. A None here makes Python answer that there is no such module.
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder that has weights too. Raises ModelError."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        model_type = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder} is no model folder: it needs a config.json that names its model_type"
        ) from error
    if not any(file.stat().st_size for file in folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder} holds a {model_type} model without weights; it needs *.safetensors files"
        )
    return dict(config)


def guard_rotary_base(config: dict[str, Any], folder: Path) -> None:
    """Refuse a rotary base that mlx-vlm would not read.

    transformers 5 saves it as rope_parameters.rope_theta; mlx-vlm 0.7.10's smolvlm reads
    rope_theta alone and takes 1,000,000 otherwise: fluent captions with things in wrong places.
    """
    text = config.get("text_config") or {}
    newer = (text.get("rope_parameters") or {}).get("rope_theta")
    if newer is not None and text.get("rope_theta") != newer:
        raise ModelError(
            f"{folder}/config.json keeps the rotary base where mlx-vlm does not look; "
            f'add "rope_theta": {newer} to its text_config'
        )


def quantised(source: Path, key: str, label: str) -> Path:
    """The folder's weights at 4 bits, in mlx-vlm's own conversion; made once, then found again."""
    made = KEPT / key
    if is_complete(made):
        return made
    config = read_config(source)
    guard_rotary_base(config, source)
    if "quantization" in config:
        return source
    prepare_hub(offline=True)
    tell(f"making the {BITS}-bit weights of {label} (once)")
    KEPT.mkdir(parents=True, exist_ok=True)
    # Made elsewhere and moved when whole: a start that was cut off leaves nothing half-made, but
    # its leavings, which are swept away unless they are another start's work.
    for leavings in KEPT.glob(".making-*"):
        if not is_running(int(leavings.name.split("-")[1])):
            shutil.rmtree(leavings, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=KEPT, prefix=f".making-{os.getpid()}-") as folder:
        making = Path(folder) / key
        try:
            convert(source, making)
        except Exception as error:
            if is_disk_trouble(error) or isinstance(error, ImportError):
                raise
            raise ModelError(
                f"the weights of {label} can't be converted: {reason_of(error)}"
            ) from error
        if not is_complete(made):  # Another start may have been quicker.
            making.rename(made)
    return made


def is_running(process: int) -> bool:
    """True when there is a process with this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def convert(source: Path, target: Path) -> None:
    """Quantise a folder with mlx-vlm: language model at 4 bits, vision tower as it is."""
    import mlx_vlm

    # Only the files we know: mlx_vlm.convert would copy code and sub-folders along.
    with (
        tempfile.TemporaryDirectory(dir=target.parent) as clean,
        contextlib.redirect_stdout(io.StringIO()),  # mlx-vlm prints its progress there
    ):
        for pattern in WANTED_FILES:
            for file in source.glob(pattern):
                (Path(clean) / file.name).symlink_to(file.resolve())
        mlx_vlm.convert(
            clean,
            str(target),
            quantize=True,
            q_bits=BITS,
            q_group_size=GROUP_SIZE,
            trust_remote_code=False,
        )


def reason_of(error: BaseException) -> str:
    """An exception in one short printable line."""
    lines = str(error).strip().splitlines()
    return printable(f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__)


def install_model() -> int:
    """What install.sh calls: bring the default model onto this machine. Returns an exit code."""
    try:
        find_weights(DEFAULT_MODEL)
    except PeteError as error:
        tell(str(error))
        return int(error.exit_code)
    tell(f"{DEFAULT_MODEL} is ready")
    return int(ExitCode.OK)


# ------------------------------------------------------------------------------------------ engine


class MlxEngine:
    """SmolVLM2 and its kin through mlx-vlm: a frame and a prompt become pieces of text.

    Load and describe on the same thread; mlx's streams belong to it. Decoding is greedy: the same
    frame gives the same caption. Raises ModelError when the folder can't be loaded.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        prepare_hub(offline=True)
        import mlx_vlm

        self._max_tokens = max_tokens
        self._mlx_vlm = mlx_vlm
        try:
            self._model, self._processor = mlx_vlm.load(str(folder), trust_remote_code=False)
        except Exception as error:
            raise ModelError(
                f"the model in {folder} can't be loaded: {reason_of(error)}"
            ) from error
        # One tile a frame: 64 image tokens and one vision pass instead of thirteen. SmolVLM2 was
        # trained on video frames of one tile.
        self._processor.image_processor.do_image_splitting = False

    def describe(self, image: np.ndarray, prompt: str) -> Iterator[str]:
        """Generate a caption, piece by piece; to interrupt it, stop iterating.

        image: shape (height, width, 3), dtype uint8, colour order BGR.
        """
        cv2 = import_cv2()
        from PIL import Image

        picture = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        chat = self._mlx_vlm.apply_chat_template(
            self._processor, self._model.config, prompt, num_images=1
        )
        for result in self._mlx_vlm.stream_generate(
            self._model,
            self._processor,
            chat,
            image=[picture],
            max_tokens=self._max_tokens,
            temperature=0.0,
            skip_special_tokens=True,
        ):
            yield result.text


# ----------------------------------------------------------------------------------- text as data


def printable(text: str) -> str:
    """Text on one line without control characters, so that it can't steer a terminal.

    Dropped are Unicode's categories C*: controls such as ESC, direction overrides, lone
    surrogates, unassigned code points; kept are the joiners that scripts and emoji need.
    """
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if character.isspace() or category in ("Zl", "Zp"):
            kept.append(" ")
        elif category[0] != "C" or character in "\u200c\u200d":
            kept.append(character)
    return " ".join("".join(kept).split())


def speakable(text: str) -> str:
    """Printable text without the commands that speech engines obey inside it.

    macOS takes [[...]] as embedded commands ("Use Embedded Speech Commands to Fine-Tune Spoken
    Output", Apple's Speech Synthesis Programming Guide) and espeak-ng as phonemes; markup in <...>
    is SSML to some voices. Brackets carry nothing for the ear, so none is left.
    """
    text = re.sub(r"\[\[.*?(\]\]|$)", " ", printable(text))
    return " ".join(re.sub(r"[\[\]<>{}|\\^`~]", " ", text).split())


CLOSING = "\"')\u201d\u2019"  # quotes and brackets that may stand behind a full stop
ENDING = ".!?" + CLOSING
SENTENCE_END = re.compile(rf"(?:(?<=[.!?])|(?<=[.!?][{CLOSING}]))\s+(?=[^\sa-z])|\n+")


def sentences(pieces: Iterable[str]) -> Iterator[str]:
    """Join pieces of text into sentences and hand each out as soon as the next one begins.

    What is left at the end is handed out too, unless it was cut off behind a whole sentence.
    """
    buffer, whole = "", False
    for piece in pieces:
        buffer += piece
        *done, buffer = SENTENCE_END.split(buffer)
        for sentence in done:
            if sentence.strip():
                whole = whole or sentence.rstrip()[-1] in ENDING
                yield sentence.strip()
    rest = buffer.strip()
    if rest and (not whole or rest[-1] in ENDING):
        yield rest


# ------------------------------------------------------------------------------------------- voice


class WavFile:
    """The whole narration as one WAV, valid at any moment: each sentence completes the header."""

    def __init__(self, path: str) -> None:
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - closed in close()
        except OSError as error:
            raise UsageError(f"--wav {path} can't be written: {error.strerror}") from error
        self._path = path
        self._wav = wave.open(self._file)  # noqa: SIM115
        self._wav.setparams(WAV_FORMAT)
        self._broken = False
        self._write(b"")

    def append(self, spoken: Path) -> None:
        """Add one sentence: a WAV file of 16-bit mono samples at 22,050 Hz."""
        with wave.open(str(spoken)) as source:
            sound = source.readframes(source.getnframes())
        silence = b"" if self._wav.getnframes() == 0 else bytes(int(22050 * SILENCE_BETWEEN_S) * 2)
        self._write(silence + sound)

    def close(self) -> None:
        """Close the file; what was written stays readable."""
        with contextlib.suppress(OSError):
            self._wav.close()
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, sound: bytes) -> None:
        if self._broken:
            return
        try:
            self._wav.writeframes(sound)
            self._file.flush()
        except OSError as error:
            self._broken = True
            tell(f"--wav {self._path}: {error.strerror}; the narration goes on without it")


@dataclass(frozen=True)
class VoiceSettings:
    """How to speak. rate: words a minute. volume: 0 to 1. aloud: play it; keep: render it too."""

    voice: str | None = None
    rate: int = DEFAULT_RATE
    volume: float = DEFAULT_VOLUME
    aloud: bool = True
    keep: bool = False


class Voice:
    """Speaks through a child process: one utterance at a time, the newest caption wins.

    pyttsx3 can hang and can't be interrupted from its own process, so it gets one to itself. A
    thread here starts it, hears from it, and replaces it when it dies or takes far longer than
    the words need; what was being said is dropped then. Trouble is told once on stderr.
    """

    START_WITHIN_S = 30.0
    WAKE_WITHIN_S = 10.0  # a sound device may need some seconds, on top of what the words take
    DEATHS_IN_A_ROW = 3

    def __init__(self, settings: VoiceSettings, wav: WavFile | None = None) -> None:
        self._settings = settings
        self._wav = wav
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, str]] = []  # sentences of the newest caption
        self._speaking = False
        self._deadline = 0.0
        self._ready = False
        self._gone = False
        self._refused: PeteError | None = None
        self._silent: str | None = None
        self._deaths = 0
        self._closing = False
        self._folder = tempfile.mkdtemp(prefix="pete_sounds-")
        self._child = self._start_child()
        self._heard = b""
        self._thread = threading.Thread(target=self._supervise, name="voice", daemon=True)
        self._thread.start()

    # -- for the narrator

    def say(self, sentence: str, caption: int) -> bool:
        """Speak a sentence of caption number `caption`; sentences of older captions that wait are
        dropped. False when there is no voice. Raises UsageError for an unknown --voice."""
        with self._changed:
            if self._refused:
                raise self._refused
            text = speakable(sentence)
            if self._gone or not text:
                return False
            self._waiting = [entry for entry in self._waiting if entry[0] == caption]
            self._waiting.append((caption, text))
            self._send_next()
            return self._silent is None or self._wav is not None

    @property
    def busy(self) -> bool:
        """True while something is being said or waits to be."""
        with self._changed:
            return not self._gone and (self._speaking or bool(self._waiting))

    def wait_until_ready(self) -> None:
        """Wait until the child can speak, or is known not to. Raises as say() does."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._gone, self.START_WITHIN_S)
            if self._refused:
                raise self._refused

    def wait_until_quiet(self) -> None:
        """Let what is being said come to its end; a hung voice is ended by its own deadline."""
        while self.busy:
            with self._changed:
                self._changed.wait(0.1)

    def close(self) -> None:
        """Hush at once and end the child."""
        self._closing = True
        self.kill()  # even where somebody keeps the lock
        with self._changed:
            self._waiting.clear()
        self.kill()
        self._thread.join(0.5)
        with contextlib.suppress(OSError):
            self._child.wait(0.5)
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End the child and whatever it plays, without a word and without waiting."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    # -- the child, seen from here

    def _start_child(self) -> subprocess.Popen[bytes]:
        """Start speech_child() in a session of its own: a Ctrl-C for us is not for it, and
        everything it starts can be ended together."""
        child = subprocess.Popen(
            speech_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        self._deadline = time.monotonic() + self.START_WITHIN_S
        self._send(child, {**vars(self._settings), "folder": self._folder})
        return child

    @staticmethod
    def _send(child: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
        assert child.stdin is not None
        with contextlib.suppress(OSError):  # A child that is gone is noticed when it is heard.
            child.stdin.write(json.dumps(message).encode() + b"\n")

    def _send_next(self) -> None:
        if self._ready and not self._speaking and self._waiting:
            _, text = self._waiting.pop(0)
            self._speaking = True
            # Some languages write without spaces: count five letters as a word there.
            words = max(len(text.split()), len(text) / 5)
            needed = 60 * words / self._settings.rate
            self._deadline = time.monotonic() + self.WAKE_WITHIN_S + 3 * needed
            self._send(self._child, {"text": text})

    def _supervise(self) -> None:
        while not self._closing and not self._gone:
            events = self._hear()
            with self._changed:
                if events is None:
                    self._replace_child("ended by itself")
                elif (self._speaking or not self._ready) and time.monotonic() > self._deadline:
                    self._replace_child("did not answer in time")
                for event in events or []:
                    self._handle(event)
                self._send_next()
                self._changed.notify_all()

    def _hear(self) -> list[dict[str, Any]] | None:
        """What the child said within a tenth of a second; None when it has ended."""
        assert self._child.stdout is not None
        if not select.select([self._child.stdout], [], [], 0.1)[0]:
            return []
        said = os.read(self._child.stdout.fileno(), 65536)
        if not said:
            return None
        *lines, self._heard = (self._heard + said).split(b"\n")
        return [json.loads(line) for line in lines]

    def _handle(self, event: dict[str, Any]) -> None:
        if event["event"] == "ready":
            self._ready = True
            self._note_silence(event["trouble"])
        elif event["event"] == "rendered" and self._wav is not None:
            with contextlib.suppress(OSError, wave.Error, EOFError):
                self._wav.append(Path(event["path"]))
                Path(event["path"]).unlink()
        elif event["event"] == "done":
            self._speaking = False
            self._deaths = 0
            self._note_silence(event["trouble"])
        elif event["event"] == "refused":
            self._gone = True
            if event["usage"]:
                self._refused = UsageError(event["trouble"])
            else:
                tell(f"no voice: {event['trouble']}; the captions go on as text")

    def _note_silence(self, trouble: str | None) -> None:
        """Tell once when sentences can't be heard, and once when they can again."""
        if trouble and not self._silent:
            tell(f"no sound: {trouble}; the captions go on as text")
        elif self._silent and not trouble:
            tell("the sound is back")
        self._silent = trouble

    def _replace_child(self, why: str) -> None:
        """Kill and start anew; drop what was being said. Called with the lock held."""
        self.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        self._speaking = self._ready = False
        self._heard = b""
        self._deaths += 1
        if self._closing:
            return
        if self._deaths >= self.DEATHS_IN_A_ROW:
            self._gone = True
            tell(f"no voice: speech {why} {self._deaths} times; the captions go on as text")
            return
        tell(f"speech {why}; it is started again")
        self._child = self._start_child()


# ------------------------------------------------------------------- the voice's child process


def speech_command() -> list[str]:
    """The command line of the child: this file again, imported, as its speech_child()."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import pete_sounds as p; p.speech_child()"
    return [sys.executable, "-c", code, str(PROJECT)]


def speech_child() -> None:
    """The child's whole life: settings first, then one utterance a line, until stdin ends.

    Lines are JSON objects on stdin and stdout. Whatever pyttsx3 and its drivers print goes
    nowhere: the real stdout is kept for the protocol alone.
    """
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def report(event: str, **facts: Any) -> None:
        channel.write(json.dumps({"event": event, **facts}) + "\n")
        channel.flush()

    settings = json.loads(sys.stdin.readline())
    requests = None if settings.get("list") else listen_to_parent(settings["folder"])
    try:
        synthesiser = MacSpeech(settings) if sys.platform == "darwin" else EspeakSpeech(settings)
        if requests is None:
            report("voices", voices=voices_of(synthesiser.engine))
            return
        choose_voice(synthesiser.engine, settings)
    except PeteError as error:
        report("refused", trouble=str(error), usage=error.exit_code is ExitCode.USAGE)
        return
    except Exception as error:
        report("refused", trouble=reason_of(error), usage=False)
        return
    report("ready", trouble=synthesiser.silent())
    while True:
        text = requests.get()["text"]
        try:
            trouble = synthesiser.speak(text, report)
        except Exception as error:
            trouble = reason_of(error)
        report("done", trouble=trouble)


def listen_to_parent(folder: str) -> queue.SimpleQueue[dict[str, Any]]:
    """Queue what the parent asks; when it is gone, for whatever reason, go too, at once."""
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            requests.put(json.loads(line))
        shutil.rmtree(folder, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=listen, daemon=True).start()
    return requests


def voices_of(engine: Any) -> list[tuple[str, str, str]]:
    """ID, name and languages of each voice that the engine has."""
    return [
        (str(voice.id), str(voice.name), " ".join(map(str, voice.languages or [])))
        for voice in engine.getProperty("voices")
    ]


def choose_voice(engine: Any, settings: dict[str, Any]) -> None:
    """Set voice, rate and volume. Raises UsageError when there is no such voice."""
    wanted = settings["voice"]
    if wanted is not None:
        matches = [
            identifier
            for identifier, name, _ in voices_of(engine)
            if wanted.lower() in (identifier.lower(), name.lower())
        ]
        if not matches:
            raise UsageError(f"there is no voice {wanted!r}; --list-voices shows them")
        engine.setProperty("voice", matches[0])
    engine.setProperty("rate", settings["rate"])
    engine.setProperty("volume", settings["volume"])


def play(command: list[str]) -> str | None:
    """Play a sound file to its end. Returns the player's complaint, or None."""
    try:
        player = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
    except FileNotFoundError:
        return f"{command[0]} is not installed (./install.sh says how)"
    if player.returncode == 0:
        return None
    complaint = player.stderr.decode(errors="replace").strip().splitlines() or ["it failed"]
    # aplay says which line of its own source complains; nobody wants to hear that.
    return printable(re.sub(r"^\w+: \w+:\d+: ", f"{command[0]}: ", complaint[-1]))[:160]


class EspeakSpeech:
    """espeak-ng through pyttsx3: rendered to a file, then played by aplay.

    pyttsx3's espeak driver would play by itself, but hides whether that worked, and leaves its
    temporary file behind when it is ended.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        import pyttsx3

        try:
            self.engine = pyttsx3.init("espeak")
        except RuntimeError as error:
            raise EngineError("espeak-ng is not installed (./install.sh says how)") from error
        self._settings = settings
        self._finished = threading.Event()
        self._count = 0
        self.engine.connect("finished-utterance", lambda **_: self._finished.set())

    def silent(self) -> str | None:
        """Why nothing can be heard, or None: play a sample of silence to find out."""
        if not self._settings["aloud"]:
            return None
        path = Path(self._settings["folder"]) / f"{os.getpid()}-silence.wav"
        with wave.open(str(path), "wb") as silence:
            silence.setparams(WAV_FORMAT)
            silence.writeframes(bytes(2))
        trouble = play(["aplay", "-q", str(path)])
        path.unlink()
        return trouble

    def speak(self, text: str, report: Any) -> str | None:
        """Say a sentence and wait for its end. Returns what went wrong, or None."""
        self._count += 1
        path = Path(self._settings["folder"]) / f"{os.getpid()}-{self._count}.wav"
        self._finished.clear()
        self.engine.save_to_file(text, str(path))
        self.engine.runAndWait()
        # The driver returns while espeak-ng still renders on a thread of its own.
        if not self._finished.wait(10) or not path.exists():
            return "espeak-ng gave no sound"
        trouble = play(["aplay", "-q", str(path)]) if self._settings["aloud"] else None
        if self._settings["keep"]:
            report("rendered", path=str(path))
        else:
            path.unlink()
        return trouble


class MacSpeech:
    """The Mac's own speech (NSSpeechSynthesizer) through pyttsx3's nsss driver.

    pyttsx3's runAndWait hangs or refuses after its first use here (its issues 22, 138, 403), so
    its loop is started once, as an external one, and the run loop is turned from here. To keep
    the sound it is saved, as AIFF whatever the file is called (issue 361), converted and played.
    No one has run this on a Mac yet; see KNOWN_ISSUES.md.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        import pyttsx3
        from Foundation import NSDate, NSRunLoop

        self._date, self._run_loop = NSDate, NSRunLoop
        self.engine = pyttsx3.init("nsss")
        self._settings = settings
        self._finished = False
        self._count = 0
        self.engine.connect("finished-utterance", self._on_finished)
        self.engine.startLoop(False)
        self.engine.iterate()

    def silent(self) -> str | None:
        """Why nothing can be heard, or None: a Mac always has a sound device."""
        return None

    def speak(self, text: str, report: Any) -> str | None:
        """Say a sentence and wait for its end. Returns what went wrong, or None."""
        self._finished = False
        if not self._settings["keep"]:
            self.engine.say(text)
            self._wait()
            return None
        self._count += 1
        path = Path(self._settings["folder"]) / f"{os.getpid()}-{self._count}.wav"
        aiff = path.with_suffix(".aiff")
        self.engine.save_to_file(text, str(aiff))
        self._wait()
        convert = ["afconvert", "-f", "WAVE", "-d", "LEI16@22050", "-c", "1"]
        trouble = play([*convert, str(aiff), str(path)])
        aiff.unlink(missing_ok=True)
        if trouble is None and self._settings["aloud"]:
            trouble = play(["afplay", str(path)])
        report("rendered", path=str(path))
        return trouble

    def _on_finished(self, **_: Any) -> None:
        self._finished = True

    def _wait(self) -> None:
        while not self._finished:
            soon = self._date.dateWithTimeIntervalSinceNow_(0.05)
            self._run_loop.currentRunLoop().runUntilDate_(soon)
            time.sleep(0.005)


# ----------------------------------------------------------------------------------------- outputs


class Captions:
    """Prints captions on stdout: a line each, or a JSON object each."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def write(self, facts: dict[str, Any]) -> None:
        """Print one caption. Raises Ended when nobody reads our stdout any more."""
        line = json.dumps(facts, ensure_ascii=False) if self._as_json else facts["caption"]
        try:
            print(line, flush=True)
        except OSError as error:
            if error.errno in (EPIPE, EIO):  # the pipe or the terminal is closed
                raise Ended from error
            raise UsageError(f"captions can't be written: {error.strerror}") from error


def stdout_is_read() -> bool:
    """False once the other end of a pipe on stdout is closed. Only a pipe is asked: macOS answers
    for a terminal that it is no valid descriptor (the BUGS of its poll(2))."""
    try:
        if not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
            return True
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return not any(flags & (select.POLLERR | select.POLLHUP) for _, flags in poll.poll(0))
    except (OSError, ValueError):
        return True


# ---------------------------------------------------------------------------------------- narrator


class Narrator:
    """Turns a frame into a caption: sentences to the voice as they come, then a line for eyes."""

    def __init__(
        self, engine: MlxEngine, voice: Voice | None, captions: Captions, prompt: str
    ) -> None:
        self._engine = engine
        self._voice = voice
        self._captions = captions
        self._prompt = prompt
        self.count = 0

    def narrate(self, frame: Frame) -> None:
        """Describe one frame. Raises what the engine raises; nothing is printed then."""
        started = time.monotonic()
        times: list[float] = []  # when each piece of text came
        spoken, age = False, 0.0
        said: list[str] = []
        for sentence in sentences(stamped(self._engine.describe(frame.image, self._prompt), times)):
            text = printable(sentence)
            if not text:
                continue
            if not said:
                age = time.monotonic() - frame.taken
            if self._voice is not None:
                spoken = self._voice.say(text, self.count) or spoken
            said.append(text)
        if not said:
            raise RuntimeError("the model had nothing to say")
        ended = time.monotonic()
        taken = datetime.now().astimezone() - timedelta(seconds=ended - frame.taken)
        self.count += 1
        self._captions.write(
            {
                "time": taken.isoformat(timespec="milliseconds"),
                "at": round(frame.at, 3),
                "caption": " ".join(said),
                "first_token_s": round(times[0] - started, 3),
                "caption_s": round(ended - started, 3),
                "frame_age_s": round(age, 3),
                "spoken": spoken,
            }
        )


def stamped(pieces: Iterable[str], times: list[float]) -> Iterator[str]:
    """The same pieces; when each one came is added to `times`, seconds on the monotonic clock."""
    for piece in pieces:
        times.append(time.monotonic())
        yield piece


def watch(
    frames: Frames,
    gate: SceneGate,
    narrator: Narrator,
    voice: Voice | None,
    limit: int | None,
    debug: bool,
) -> None:
    """The one loop: newest frame, worth a caption, caption; until the source or the limit ends."""
    faults = 0
    while not frames.ended and (limit is None or narrator.count < limit):
        frame = frames.newest(timeout=0.1)
        for sentence in frames.news():
            tell(sentence)
            if voice is not None:
                voice.say(sentence, narrator.count)
        if not stdout_is_read():
            raise Ended
        # While the voice speaks no caption is made: it would be old when its turn came.
        if frame is None or not gate.wants(frame) or (voice is not None and voice.busy):
            continue
        try:
            narrator.narrate(frame)
            faults = 0
        except PeteError:
            raise
        except Exception as error:
            faults += 1
            if debug:
                traceback.print_exc()
            if faults >= FAULTS_IN_A_ROW or frames.ended:
                raise EngineError(
                    f"the engine failed on {faults} frames in a row; the last time: "
                    f"{reason_of(error)}"
                ) from error
            tell(f"a frame could not be described: {reason_of(error)}")
            continue
        gate.described(frame)


# ----------------------------------------------------------------------------------------- devices


def list_cameras() -> None:
    """Print number, picture size and, where the system tells it, name of each camera."""
    cv2 = import_cv2()
    found = 0
    for number in range(10):
        capture = cv2.VideoCapture(number)
        if capture.isOpened():
            found += 1
            width, height = (
                int(capture.get(name))
                for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
            )
            name = Path(f"/sys/class/video4linux/video{number}/name")
            label = printable(name.read_text()) if name.exists() else ""
            print(f"{number}  {width}x{height}  {label}".rstrip())
        capture.release()
    if not found:
        raise SourceError("no camera found; --source takes a video, a picture or a stream too")


def list_voices() -> None:
    """Print ID, name and languages of each voice; a child asks for them, as drivers print."""
    answer = subprocess.run(
        speech_command(),
        input=json.dumps({"list": True}).encode() + b"\n",
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    event = json.loads(answer.stdout or '{"trouble": "no speech engine answers"}')
    if not event.get("voices"):
        raise EngineError(f"no voice found: {event.get('trouble', 'none is installed')}")
    for identifier, name, languages in event["voices"]:
        print(f"{printable(identifier)}  {printable(name)}  {printable(languages)}")


# -------------------------------------------------------------------------------------------- main


class Ending:
    """Ends the program at any moment, whatever the main thread is doing.

    A handler that raised would raise in the middle of what Python does just then, and some of
    that swallows exceptions (callbacks of weak references, as in the import system) or takes
    seconds to come back from (a vision pass). So the handlers do nothing: a signal also writes to
    the wakeup descriptor, and a thread that waits there closes what is open and ends the process.
    """

    def __init__(self) -> None:
        self._opened = contextlib.ExitStack()  # everything that has to be closed
        self._lock = threading.Lock()
        self._asked = threading.Event()

    def on_signals(self) -> None:
        """From now on Ctrl-C, SIGTERM and SIGHUP end the program; under nohup SIGHUP doesn't."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda *_: None)

        def end() -> None:
            os.read(reading, 1)
            self._asked.set()
            patience = threading.Timer(END_WITHIN_S, os._exit, [int(ExitCode.OK)])
            patience.daemon = True  # for a lock or a driver that does not let go
            patience.start()
            self.close()
            if sys.stderr.isatty():
                print(file=sys.stderr)  # the shell's prompt would stand behind the terminal's ^C
            leave(ExitCode.OK)

        threading.Thread(target=end, name="ending", daemon=True).start()

    @contextlib.contextmanager
    def opening(self) -> Iterator[contextlib.ExitStack]:
        """Where to put what has to be closed; no end comes between opening it and putting it."""
        with self._lock:
            yield self._opened

    def close(self) -> None:
        """Close everything, once; who comes second waits for the first."""
        with self._lock:
            self._opened.close()

    def give_way(self) -> None:
        """Go no further once an end was asked for: what is open is being closed."""
        if self._asked.is_set():
            time.sleep(2 * END_WITHIN_S)


def run(options: argparse.Namespace, ending: Ending) -> None:
    """Open the source and the voice, load the model, then watch."""
    started = time.monotonic()
    frames = Frames(options.source)
    with ending.opening() as opened:
        opened.callback(frames.close)
    weights = find_weights(options.model)
    with ending.opening() as opened:
        voice = open_voice(options, opened)
    engine = MlxEngine(weights, options.max_tokens)
    if voice is not None:
        voice.wait_until_ready()
    tell(f"ready in {time.monotonic() - started:.1f} s; Ctrl-C ends it")
    narrator = Narrator(engine, voice, Captions(options.json), options.prompt)
    try:
        watch(frames, SceneGate(options.always), narrator, voice, options.limit, options.debug)
    except PeteError as error:
        tell(str(error))
        error.told = True
        if voice is not None:  # Who can't see the screen must hear why it falls silent.
            voice.say(str(error), narrator.count)
            voice.wait_until_quiet()
        raise
    if voice is not None:
        voice.wait_until_quiet()


def open_voice(options: argparse.Namespace, opened: contextlib.ExitStack) -> Voice | None:
    """The voice that was asked for, or None when nothing is to be spoken or kept."""
    if options.mute and options.wav is None:
        return None
    wav = None
    if options.wav is not None:
        wav = WavFile(options.wav)
        opened.callback(wav.close)
    voice = Voice(
        VoiceSettings(
            options.voice,
            options.rate,
            options.volume,
            aloud=not options.mute,
            keep=wav is not None,
        ),
        wav,
    )
    opened.callback(voice.close)
    return voice


def main(arguments: list[str] | None = None) -> int:
    """Parse, do what was asked for, and return the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # started with it closed
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")
    options = parse_arguments(arguments)
    ending = Ending()
    code = ExitCode.OK
    try:
        continue_under_venv()
        ending.on_signals()
        if options.list_cameras:
            list_cameras()
        elif options.list_voices:
            list_voices()
        else:
            run(options, ending)
    except (Ended, BrokenPipeError):
        pass
    except Exception as error:
        ending.give_way()  # An end that was asked for breaks what goes on beside it.
        code = explain(error)
        if options.debug:
            traceback.print_exc()
    ending.close()
    return int(code)


def explain(error: Exception) -> ExitCode:
    """Tell what went wrong, in one line, and what exit code it has: the one place for that."""
    if isinstance(error, PeteError):
        if not error.told:
            tell(str(error))
        return error.exit_code
    if isinstance(error, ImportError):
        tell(f"a package can't be used ({reason_of(error)}); run ./install.sh again")
        return ExitCode.ENGINE
    tell(f"a fault of this program: {reason_of(error)}; --debug shows where")
    return ExitCode.INTERNAL


def leave(code: int) -> NoReturn:
    """Flush and end now: a thread that hangs in a driver must not hold up the end."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    try:
        status = main()
    except SystemExit as ended:  # from argparse: --help, a wrong option
        status = int(ended.code or 0)
    leave(status)
