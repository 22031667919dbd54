#!/usr/bin/env python3
"""Pete Sounds: a webcam narrator for the command line.

It watches a camera, says in one spoken sentence what it sees, and stays quiet while nothing
changes. Everything runs on this machine, unless --engine names a server. A frame becomes a voice
in this order, and so does this file:

    camera / video / picture / stream
       -> Frames      the newest frame only, with its time; reopens what was lost
       -> Sight       can anything be told from the picture?
       -> SceneGate   did anything change since the last caption?
       -> Engine      frame or clip + prompt -> pieces of text as they come: mlx, torch or a server
       -> Narrator    pieces -> sentences -> the voice and the outputs
       -> Voice       pyttsx3 in a child process that is watched, hushed and replaced from here
       -> Captions    lines or JSON on stdout;  SavedFrames: a JPEG each;  Preview: a window
       -> VttFile, WavFile   the narration on the source's own clock, as cues and as sound

Data flows one way. Frames knows nothing of models, the engine nothing of cameras, the voice
nothing of either. What this file does not do: serve a model, train one, or send a frame anywhere
but to the server that --engine names.
"""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":  # An end that is asked for while the imports below run is quiet, too.
    for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if _number != signal.SIGHUP or signal.getsignal(_number) != signal.SIG_IGN:
            signal.signal(_number, lambda *_: os._exit(0))

import argparse
import base64
import codecs
import contextlib
import ctypes
import enum
import fcntl
import functools
import hashlib
import importlib.util
import io
import json
import math
import platform
import queue
import re
import resource
import select
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback
import unicodedata
import wave
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from errno import EACCES, EBUSY, EDQUOT, EFBIG, EIO, ENOENT, ENOSPC, EPERM, EPIPE, EROFS
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

if TYPE_CHECKING:
    import numpy as np

# ------------------------------------------------------------------------------ defaults and codes

PROJECT = Path(__file__).resolve().parent
VENV = PROJECT / ".venv"
CACHE = PROJECT / ".hf_cache"
KEPT = CACHE / "pete_sounds"  # weights that were made here
DEMO = PROJECT / "tests" / "tiny_smolvlm2"
DEV = Path("/dev")
VIDEO4LINUX = Path("/sys/class/video4linux")  # a folder for each video device of Linux

DEFAULT_SOURCE = "0"
DEFAULT_MODEL = "smolvlm2-256m"
DEFAULT_PROMPT = "Describe what you see in one short sentence."
CLIP_PROMPT = "Describe what happens in one short sentence."
MORE_PROMPT = "Describe everything that you see in detail."
MORE_TOKENS = 200
DEFAULT_MAX_TOKENS = 64
DEFAULT_RATE = 200  # words a minute, pyttsx3's own default
DEFAULT_VOLUME = 1.0

FRAMES_AT_MOST = 16  # of a clip: 16 seconds, and 16 times the work of one frame
ENGINES = ("auto", "mlx", "torch")
BITS = (4, 8, 16)
FRESH_S = 1.0  # a question is answered from no older frame, where there can be a newer one
BENCH_TOKENS = 24  # a caption as long as most
GROUP_SIZE = 64  # weights that share one scale, mlx-vlm's default
OPEN_TIMEOUT_S = 10.0  # a camera or stream that shows nothing for so long is not there
STALL_TIMEOUT_S = 5.0  # one that stops showing anything is reopened after so long
REOPEN_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # between the tries; the last one for ever
STEADY_S = 0.5  # of pictures make a source that was lost one that is back
HUNG_READERS = 3  # threads that may hang in a camera's driver at a time
SHOW_EVERY_S = 0.5  # even where a file can't be decoded as fast as it plays
FAULTS_IN_A_ROW = 3  # frames that the engine may fail on before the program ends
SERVER_KEY = "PETE_SOUNDS_API_KEY"  # no other program's key, as this goes to whoever is named
SERVER_SIDE = 512  # pixels of a frame's longer side that are sent: the one tile of SmolVLM2
SERVER_DETAIL_SIDE = 2048  # with --detail: the most that SmolVLM2 would cut into tiles
# Of frames that are sent or saved: 50 to 80 kB for a photograph at SERVER_SIDE; of the captions of
# 300 drawn scenes 299 stay as they were.
JPEG_QUALITY = 90
SERVER_CONNECT_S = 3.0
SERVER_SILENT_S = 20.0  # before the first piece, which waits for other narrators, and between two
SERVER_CAPTION_S = 60.0  # what takes longer is too old to be said
SERVER_REPLY_BYTES = 1 << 22  # some 1000 bytes a token, for as many as --max-tokens takes
CHARACTERS_A_TOKEN = 8  # at most, on average: where --max-tokens ends a server that has no end
# Channels, bytes a sample, samples a second: what espeak-ng speaks in, and what a Mac's speech is
# converted to.
WAV_FORMAT = (1, 2, 22050, 0, "NONE", "not compressed")
SILENCE_BETWEEN_S = 0.25  # between the sentences of a WAV
SPEECH_ROOM = 4_000_000  # bytes: a caption of some 60 words, spoken slowly
READ_WITHIN_S = 1.5  # a cue stays at least so long, unless the next one comes
LATE_S = 3.0  # what is said so much before or after its frame is not about it
END_WITHIN_S = 1.5  # from the signal to the end, whatever the engine is doing
DISPLAY_WITHIN_S = 20.0  # a display that opens no window for so long is not there


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


class EngineAway(Exception):
    """The engine can't describe this frame, but may well describe a later one.

    str() is one line with the reason; trouble, behind "The server", is for the ear.
    """

    def __init__(self, trouble: str, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


class Interrupted(Exception):
    """The caption in the making is not wanted any more: something was asked."""


class Ended(BaseException):
    """There is nothing left to do: nobody reads our stdout any more, or the preview was closed."""


def tell(message: str) -> None:
    """Print one line of our own on stderr; captions alone go to stdout."""
    with contextlib.suppress(OSError, ValueError), TYPED.away(), above_progress():
        print(f"pete_sounds: {printable(message)}", file=sys.stderr, flush=True)


def above_progress() -> contextlib.AbstractContextManager[None]:
    """Take a progress bar that stands on the terminal away while a line is printed."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        return contextlib.nullcontext()
    bars: contextlib.AbstractContextManager[None] = tqdm.tqdm.external_write_mode(sys.stderr)
    return bars


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


def engine_name(text: str) -> str:
    """A parser for argparse: one of ENGINES, or the URL of a server."""
    if text in ENGINES:
        return text
    if not is_server(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither {', '.join(ENGINES)} nor a server (http://HOST:PORT)"
        )
    try:
        parts = urlsplit(text)
        good = bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:  # such a port
        good = False
    if not good or " " in text or not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the address of a server (http://HOST:PORT)"
        )
    return text


def is_server(engine: str) -> bool:
    """True when --engine names a server."""
    return re.match(r"https?://", engine, re.IGNORECASE) is not None


# fmt: off
def argument_parser() -> argparse.ArgumentParser:
    """Every option that exists. The names are a contract: README and tests hold to them."""
    parser = OneLineParser(
        prog="pete_sounds.py",
        description="Watches a camera and says aloud what it sees, on your own machine.",
        epilog="Captions go to stdout, everything else to stderr. While it runs, type a question, "
               "or ? to hear what else can be typed. Ctrl-C ends it.",
        allow_abbrev=False,
    )
    add = parser.add_argument_group("what to watch").add_argument
    add("--source", metavar="SRC", type=non_empty, default=DEFAULT_SOURCE,
        help="camera's number or name, video file, picture, or http stream (default: %(default)s)")
    add("--demo", action="store_true",
        help="the small bundled model on a drawn clip: no camera, no download")
    add("--list-cameras", action="store_true", help="list the cameras and exit")

    add = parser.add_argument_group("what to say").add_argument
    add("--model", metavar="NAME", type=non_empty,
        help="a name from --list-models, a Hub repository, or a folder (default: "
             f"{DEFAULT_MODEL}); for a server, its own name for it (default: the one it serves)")
    add("--engine", metavar="NAME", type=engine_name, default=ENGINES[0],
        help="auto, mlx or torch: what runs the model; auto is mlx on Apple Silicon, torch "
             "elsewhere (default: %(default)s). Or http://HOST:PORT, an OpenAI-compatible server: "
             f"frames are sent there, with the key in {SERVER_KEY}")
    add("--bits", metavar="N", type=int, choices=BITS,
        help="4, 8 or 16 bits a weight: fewer are quicker, more are truer (default: 4 for mlx on "
             "Apple Silicon, else 16; torch takes 8 or 16)")
    add("--prompt", metavar="TEXT", type=non_empty,
        help=f"what to ask of each frame (default: {DEFAULT_PROMPT})")
    add("--max-tokens", metavar="N", type=number_between(1, 4096), default=DEFAULT_MAX_TOKENS,
        help="length of a caption at most, in tokens (default: %(default)s)")
    add("--frames", metavar="N", type=number_between(1, FRAMES_AT_MOST), default=1,
        help="describe the last N frames, a second apart, as one clip: what moves, and where to; "
             f"1 to {FRAMES_AT_MOST} (default: %(default)s)")
    add("--detail", action="store_true",
        help="look at the frame in tiles, or send a server all its pixels: finer, and some ten "
             "times slower")
    add("--list-models", action="store_true",
        help="list the models, and what of them is on this disk, and exit")

    add = parser.add_argument_group("when to say it").add_argument
    add("--once", action="store_true", help="one caption, then end")
    add("--limit", metavar="N", type=number_between(1, 1_000_000),
        help="end after N captions")
    add("--always", action="store_true", help="caption even when nothing changed")

    add = parser.add_argument_group("voice").add_argument
    add("--mute", action="store_true", help="text only, no voice")
    add("--voice", metavar="ID", type=non_empty,
        help="a voice's ID, name or language, see --list-voices")
    add("--rate", metavar="WPM", type=number_between(80, 450), default=DEFAULT_RATE,
        help="words a minute, 80 to 450 (default: %(default)s)")
    add("--volume", metavar="V", type=number_between(0.0, 1.0), default=DEFAULT_VOLUME,
        help="0 to 1 (default: %(default)s)")
    add("--list-voices", action="store_true", help="list the voices and exit")

    add = parser.add_argument_group("how fast").add_argument
    add("--bench", action="store_true", help="measure this machine and print the table")

    add = parser.add_argument_group("what to keep").add_argument
    add("--json", action="store_true", help="print each caption as one JSON object")
    add("--wav", metavar="FILE", type=non_empty, help="collect the narration in a WAV file")
    add("--save", metavar="DIR", type=non_empty,
        help="keep the frame of each caption there, a JPEG with the caption inside")
    add("--preview", action="store_true",
        help="a window with frame and caption; keys: q end, space pause, r say again, s save")
    add("--vtt", metavar="FILE", type=non_empty,
        help="write the narration as WebVTT; a video is described as fast as it goes, unheard, and "
             "--wav is then as long as it, each sentence at its cue")
    add("--debug", action="store_true", help="say more about what goes on and what goes wrong")
    return parser
# fmt: on


# What --bench does not measure, or sets itself.
NOT_FOR_BENCH = (
    "source", "demo", "list_cameras", "max_tokens", "frames", "detail", "list_models", "once",
    "limit", "always", "mute", "voice", "rate", "volume", "list_voices", "wav", "save", "preview",
    "vtt",
)  # fmt: skip


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Check the whole command line before anything heavy is imported. Exits 2 when it is wrong."""
    parser = argument_parser()
    options = parser.parse_args(arguments)
    if is_server(options.engine):
        refuse_for_server(parser, options)
    elif options.model is None:
        options.model = DEFAULT_MODEL
    if options.bench:
        for name in NOT_FOR_BENCH:
            if getattr(options, name) != parser.get_default(name):
                parser.error(f"--bench has no use for --{name.replace('_', '-')}; leave it out")
    if options.demo:
        for name, default in (("source", DEFAULT_SOURCE), ("model", DEFAULT_MODEL)):
            if getattr(options, name) != default:
                parser.error(f"--demo brings its own --{name}; leave one of the two out")
        options.source, options.model = str(DEMO / "demo.mp4"), str(DEMO)
    if options.detail and options.frames > 1:
        parser.error("--detail is for single frames, --frames for clips; leave one of the two out")
    if options.prompt is None:
        options.prompt = DEFAULT_PROMPT if options.frames == 1 else CLIP_PROMPT
    if options.once:
        if options.limit is not None:
            parser.error("--once is --limit 1; leave one of the two out")
        options.limit = 1
    for name in ("wav", "vtt"):
        path = getattr(options, name)
        if path is None:
            continue
        if same_file(path, options.source):
            parser.error(f"--{name} would overwrite --source; give it another name")
        trouble = why_not_written(path)
        if trouble:
            parser.error(f"--{name} {path} can't be written: {trouble}")
    if None not in (options.wav, options.vtt) and (
        same_file(options.wav, options.vtt)
        or os.path.realpath(options.wav) == os.path.realpath(options.vtt)
    ):
        parser.error("--wav and --vtt are one file; give one of them another name")
    return options


def refuse_for_server(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Exit 2 for what means nothing where a server runs the model."""
    if options.bits is not None:
        parser.error("--bits is for mlx and torch; a server has weights of its own")
    if options.bench:
        parser.error("--bench measures this machine; leave --engine URL out")
    if options.demo:
        parser.error("--demo brings its own model; leave --engine URL out")


def why_not_written(path: str) -> str | None:
    """Why a file can't be written, or None; what is in it, and that it is not there, stays so."""
    try:
        new = not os.path.lexists(path)
        # A pipe without a reader must not be waited for.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o666))
        if new:
            os.unlink(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        return cause_of(error)
    return None


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
    taken: when it was read, seconds on time.monotonic's clock; of a Film, the same as `at`.
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
    """A number, or what find_source() makes of a name, is a camera, SCHEME://... a stream,
    anything else a file."""
    if re.fullmatch(r"[0-9]{1,4}", source) or source.startswith(NAMED):
        return SourceKind.CAMERA
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        return SourceKind.STREAM
    return SourceKind.FILE


NAMED = "camera:"  # before the whole name of a camera that is looked up whenever it is opened


def find_source(source: str) -> str:
    """--source as Frames takes it: the name of a camera, or a part of it, becomes NAMED and the
    whole name. A number, a URL and an existing file stay what they are. Raises SourceError."""
    try:
        os.lstat(os.path.expanduser(source))
        return f"./{source}" if source.startswith(NAMED) else source
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        no_file = error
    if source_kind(source) is not SourceKind.FILE or "/" in source:
        return source
    cameras = list(known_cameras())
    wanted = source.casefold()
    found = [camera for camera in cameras if camera.name.casefold() == wanted]
    found = found or [camera for camera in cameras if wanted in camera.name.casefold()]
    if not found:
        raise SourceError(
            f"{without_password(source)} can't be opened: {cause_of(no_file)}, and no camera has "
            "that name; --list-cameras shows those that are there"
        ) from no_file
    if len(found) > 1:
        several = ", ".join(f"{camera.number} ({camera.name})" for camera in found)
        raise SourceError(f"--source {source} may be any of the cameras {several}; give its number")
    return NAMED + found[0].name


def camera_number(source: str) -> int:
    """OpenCV's number of a camera, now: a name may have got another one. Raises SourceError."""
    if not source.startswith(NAMED):
        return int(source)
    name = source.removeprefix(NAMED)
    numbers = [camera.number for camera in known_cameras() if camera.name == name]
    if not numbers:
        raise SourceError(f"camera {name} is not there; --list-cameras shows what there is")
    return numbers[0]


@dataclass(frozen=True)
class Camera:
    """A camera as the system tells of it; nobody has opened it. number: OpenCV's."""

    number: int
    name: str


def known_cameras() -> Iterator[Camera]:
    """The cameras that the system tells of, in the order of their numbers, without opening one."""
    return mac_cameras() if sys.platform == "darwin" else linux_cameras()


def mac_cameras() -> Iterator[Camera]:
    """OpenCV numbers a Mac's cameras in the order of their unique IDs (startCaptureDevice in its
    cap_avfoundation_mac.mm, since 4.7), which system_profiler tells beside their names."""
    command = ["system_profiler", "SPCameraDataType", "-json"]
    try:
        told = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=OPEN_TIMEOUT_S,
            check=True,
        )
        entries = json.loads(told.stdout)["SPCameraDataType"]
        pairs = [(str(entry["spcamera_unique-id"]), str(entry["_name"])) for entry in entries]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return
    for number, (_, name) in enumerate(sorted(pairs)):
        yield Camera(number, printable(name))


def linux_cameras() -> Iterator[Camera]:
    """Video devices that can show pictures. Most cameras have a second one, for metadata alone."""
    numbers = sorted(
        int(device.name.removeprefix("video"))
        for device in VIDEO4LINUX.glob("video*")
        if device.name.removeprefix("video").isdigit()
    )
    for number in numbers:
        with contextlib.suppress(OSError):
            name = (VIDEO4LINUX / f"video{number}" / "name").read_text("utf-8", "replace")
            if can_capture(DEV / f"video{number}"):
                yield Camera(number, printable(name))


def can_capture(device: Path) -> bool:
    """Ask a device of Video4Linux (VIDIOC_QUERYCAP) whether it captures video. One that may not be
    opened is taken for a camera, so that its trouble can be told. Raises OSError."""
    try:
        opened = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except PermissionError:
        return True
    try:
        answer = fcntl.ioctl(opened, 0x80685600, bytes(104))
    finally:
        os.close(opened)
    # struct v4l2_capability: 80 bytes of names, version, capabilities, and those of this node.
    capabilities = struct.unpack_from("=I", answer, 88)[0]
    return bool(capabilities & (0x1 | 0x1000))  # V4L2_CAP_VIDEO_CAPTURE, ..._MPLANE


def without_password(url: str) -> str:
    """The same text with user, password and query of a URL masked, fit to be printed."""
    if re.match(r"[^\s/:@]+:(?!//)", url):  # user:password@ without a scheme, or a file's name
        return re.sub(r".*@", "***@", url, flags=re.DOTALL)
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

    def __init__(self, source: str, history: ClipBuffer | None = None) -> None:
        """history: what is to keep frames for clips, if any is."""
        cv2 = import_cv2()
        self.at = 0.0  # of the frame that was returned last
        self._slot = FrameSlot(history)
        reader = FileReader if source_kind(source) is SourceKind.FILE else LiveSource
        try:
            self._reader: FileReader | LiveSource = reader(source, self._slot)
        except cv2.error as error:
            raise SourceError(f"{without_password(source)} can't be read: {error.err}") from error

    def newest(self, timeout: float) -> Frame | None:
        """Wait up to `timeout` seconds for a frame that was not returned before; None if none."""
        self._reader.tend()
        frame = self._slot.take(timeout)
        if frame is not None:
            self.at = frame.at
        return frame

    def glance(self) -> Frame | None:
        """The frame that newest() would return now, if any; it still will."""
        return self._slot.glance()

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

    def __init__(self, history: ClipBuffer | None = None) -> None:
        self._changed = threading.Condition()
        self._history = history
        self._frame: Frame | None = None
        self._ripe_at = 0.0
        self._ended = False

    def put(self, frame: Frame, ripens: float = 0.0) -> None:
        """Replace the frame; nobody gets it before it has stood for `ripens` seconds."""
        with self._changed:
            self._frame, self._ripe_at = frame, frame.taken + ripens
            self._changed.notify_all()
        if self._history is not None and not ripens:
            self._history.see(frame)

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

    def glance(self) -> Frame | None:
        """The frame that is there, left where it is; None if there is none to be had."""
        with self._changed:
            return self._frame if time.monotonic() >= self._ripe_at else None

    def clear(self) -> None:
        """Drop the frame, which has become old, and what was before it."""
        with self._changed:
            self._frame = None
        if self._history is not None:
            self._history.clear(time.monotonic())

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


class ClipBuffer:
    """Keeps the latest frames, a second apart, for clips of `length` frames; with a length of 1,
    none. The thread that reads shows it every frame, so that it misses none while the engine
    works; to show it one twice, or late, does no harm."""

    APART_S = 1.0
    NEWEST_APART_S = 0.6  # from the frame before, at least; it comes when it comes

    def __init__(self, length: int) -> None:
        self._length = length
        self._lock = threading.Lock()
        self._kept: list[Frame] = []  # oldest first
        self._due = -math.inf  # seconds into the source, for the next one to keep
        self._cleared = -math.inf  # on the clock of Frame.taken

    def see(self, frame: Frame) -> None:
        """Look at a frame, and keep one a second."""
        with self._lock:
            if self._length == 1 or frame.at < self._due or frame.taken <= self._cleared:
                return
            late = frame.at - self._due >= self.APART_S
            self._due = (frame.at if late else self._due) + self.APART_S
            self._kept = [*self._kept, frame][-self._length :]

    def clip_to(self, frame: Frame) -> list[Frame]:
        """`frame`, and before it those that were kept; fewer than `length` where there are no
        more yet."""
        with self._lock:
            if frame.taken <= self._cleared:
                return [frame]
            latest = frame.at - self.NEWEST_APART_S
            earlier = [kept for kept in self._kept if kept.at <= latest]
        return [*earlier[-(self._length - 1) :], frame]

    def clear(self, now: float) -> None:
        """Begin anew: what was taken until `now` is not the same scene as what follows."""
        with self._lock:
            self._kept, self._due = [], -math.inf
            self._cleared = now


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


class Film:
    """Every frame of a video in turn, none dropped, as fast as they are decoded and looked at.

    It has the methods of Frames. The film's own clock takes the place of the wall clock: `at` is
    the time of the frame that was returned last, and that frame's `taken` is the same. A picture
    is one frame, and has no length. on_frame: called with the time of each frame, in seconds.

    Raises SourceError when the file can't be opened; a film that is broken further on ends there.
    """

    def __init__(self, source: str) -> None:
        self._cv2 = cv2 = import_cv2()
        try:
            self._capture, first = open_file(source)
        except cv2.error as error:
            raise SourceError(f"{source} can't be read: {error.err}") from error
        self._reading = threading.Lock()
        self._next: Frame | None = Frame(first, 0.0, 0.0)
        self.at = 0.0
        self.on_frame: Callable[[float], None] = lambda at: None
        self.announced: float | None = None  # length in seconds, as the file has it
        if self._capture is not None:
            rate = self._capture.get(cv2.CAP_PROP_FPS)
            self._frame_s = 1.0 / rate if 0.01 < rate < 1000 else 1 / 25
            count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
            if count > 0:  # FFmpeg has a negative one where it is not known
                self.announced = count * self._frame_s

    @property
    def length(self) -> float | None:
        """Seconds: exact once the film has ended, else what the file says; None: not known."""
        if self._capture is None:
            return None
        return self.at + self._frame_s if self.ended else self.announced

    def newest(self, timeout: float) -> Frame | None:
        """The next frame at once, whatever the time-out; None behind the last one."""
        frame = self._next
        if frame is not None:
            self.at = frame.at
            self._next = self._read(frame.at)
            self.on_frame(frame.at)
        return frame

    def glance(self) -> Frame | None:
        """None: each frame is returned once, by newest()."""
        return None

    def news(self) -> list[str]:
        """Nothing: the end of a file is a normal end."""
        return []

    @property
    def ended(self) -> bool:
        """True once the last frame has been returned."""
        return self._next is None

    def close(self) -> None:
        """Close the file; one that is being read just now goes with the process."""
        if self._capture is not None and self._reading.acquire(timeout=0.5):
            self._capture.release()

    def _read(self, before: float) -> Frame | None:
        """The frame behind the one at `before` seconds, or None."""
        if self._capture is None:
            return None
        with self._reading:
            good, image = read_picture(self._capture)
            if not good or image is None:
                return None
            # Some files carry no time stamps: count frames then.
            stamp = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000.0
        at = stamp if stamp > before else before + self._frame_s
        return Frame(image, at, at)


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
    shown = without_password(source)
    try:
        # Absolute, as FFmpeg takes the start of "12:30.mp4" for a protocol.
        path = Path(os.path.expanduser(source)).absolute()
        str(path).encode()  # OpenCV crashes on a name that is not Unicode.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SourceError(f"{shown} is a folder; give a video or a picture")
        if not stat.S_ISREG(mode):  # Opening a pipe would wait for its other end.
            raise SourceError(f"{shown} is no ordinary file; give a video or a picture")
        with path.open("rb"):
            pass
    except UnicodeError as error:
        raise SourceError(f"{shown} can't be opened: its name is not UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        raise SourceError(f"{shown} can't be opened: {cause_of(error)}") from error
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
    number = camera_number(source) if camera else -1
    capture = import_cv2().VideoCapture(number) if camera else open_stream(source)
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
        raise SourceError(camera_trouble(number))
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
    device = str(DEV / f"video{number}")
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

CELLS = (64, 48)  # columns and rows of the grid that every picture is shrunk to
CLIPPED = 245.0  # levels; brighter ones may have been cut off by the sensor
# What is taken for light, not for news, as factors:
GAINS = (0.6, 1.67)  # automatic exposure
TINTS = (0.8, 1.25)  # automatic white balance, one colour against the middle one
ROW_FACTORS = (0.8, 1.25)  # a lamp's flicker under a rolling shutter
RIDGE = 100.0  # levels squared: the contrast that it takes to tell a gain from an offset


@dataclass(frozen=True)
class Small:
    """A frame made small once, for all who only glance at it.

    picture: uint8 BGR, 320 to 639 pixels wide where the frame is at least as wide.
    cells: float32, shape (48, 64, 3), BGR: the mean colour of each cell of the grid CELLS.
    """

    picture: np.ndarray
    cells: np.ndarray


class Shrinker:
    """Makes frames small, each one once: give the same Shrinker to all who look at a frame."""

    def __init__(self) -> None:
        self._cv2 = import_cv2()
        self._image: np.ndarray | None = None
        self._small: Small | None = None

    def of(self, frame: Frame) -> Small:
        """The frame, small. Halving first is what makes it cheap: OpenCV has fast code for it,
        and none for INTER_AREA by an odd factor."""
        if self._small is None or self._image is not frame.image:
            area = self._cv2.INTER_AREA
            picture = frame.image
            while picture.shape[1] >= 640 and picture.shape[0] >= 2:
                half = (picture.shape[1] // 2, picture.shape[0] // 2)
                picture = self._cv2.resize(picture, half, interpolation=area)
            cells = self._cv2.resize(picture, CELLS, interpolation=area).astype("float32")
            self._image, self._small = frame.image, Small(picture, cells)
        return self._small


class Background:
    """What a described scene looked like, and where a later look differs from it.

    A look is float32 (48, 64, 3), BGR levels: the cells of Small, each averaged with its eight
    neighbours. Light is taken for what changes every cell's colour by the same gain and offset, and
    each row by a factor of its own (the bands of a lamp under a rolling shutter); both are fitted
    robustly. What remains is set in proportion to what may remain although nothing happened:
    noise, a picture that moves by a pixel or two, highlights that clip.
    """

    # Levels that a cell must change by, however clean the picture is: blue, green, red. Codecs keep
    # luma, which is green for the most part, far better than they keep hue.
    SMALLEST_CHANGE = (11.0, 6.5, 9.0)
    NOISE_FACTOR = 4.0
    EDGE_FACTOR = 0.07  # of the contrast around a cell: 2 of the 30 pixels that a look averages
    CLIPPED_FACTOR = 0.5
    ADAPT_S = 5.0  # time constant
    FIRST_LOOKS = 15  # which are averaged to make up for a first one that was noisy

    def __init__(self, look: np.ndarray) -> None:
        self._cv2 = import_cv2()
        self._look = look
        self._learned = 0
        self._measure_contrast()

    def difference(self, look: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
        """Where `look` differs, as float32 (48, 64), more than 1 where more than can be explained;
        and the background as it would be in that look's light. noise: a cell's, in levels."""
        import numpy as np

        expected = self._look * rows_between(self._look, look)[:, None, None]
        gain, offset = light_between(expected, look)
        expected = expected * gain + offset
        np.clip(expected, 0, 255, out=expected)
        tolerance = self._tolerance + np.float32(self.NOISE_FACTOR * noise)
        clipped = self._brightest * np.maximum(gain, 1) > CLIPPED
        if clipped.any():
            tolerance += clipped * (self.CLIPPED_FACTOR * np.abs(gain - 1) * self._brightest)
        excess = np.abs(look - expected) / tolerance
        blue, green, red = (excess[:, :, colour] for colour in range(3))
        return np.maximum(np.maximum(blue, green), red), expected

    def adapt(
        self, look: np.ndarray, excess: np.ndarray, expected: np.ndarray, seconds: float
    ) -> None:
        """Follow a look in which nothing happened, `seconds` after the one before. Where it is
        near to differing only the light is followed, so that what comes slowly is not absorbed."""
        import numpy as np

        rate = 1.0 - float(np.exp(-min(seconds, 0.5) / self.ADAPT_S))
        self._learned += 1
        if self._learned < self.FIRST_LOOKS:
            rate = max(rate, 1.0 / (self._learned + 2))
        near = self._cv2.dilate((excess > 0.7).astype("uint8"), np.ones((3, 3), np.uint8))
        target = np.where(near[:, :, None] > 0, expected, look)
        self._look = self._look + np.float32(rate) * (target - self._look)
        if self._learned % self.FIRST_LOOKS == 0:
            self._measure_contrast()

    def _measure_contrast(self) -> None:
        import numpy as np

        kernel = self._cv2.getStructuringElement(self._cv2.MORPH_RECT, (5, 5))
        self._brightest = self._cv2.dilate(self._look, kernel)
        contrast = self._brightest - self._cv2.erode(self._look, kernel)
        smallest = np.array(self.SMALLEST_CHANGE, np.float32)
        self._tolerance = smallest + self.EDGE_FACTOR * contrast


def middle(values: np.ndarray) -> np.ndarray:
    """The median along the last axis, of two the upper; np.median takes three times as long."""
    import numpy as np

    half = values.shape[-1] // 2
    median: np.ndarray = np.partition(values, half, axis=-1)[..., half]
    return median


def rows_between(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The factor, float32 (48,), by which each row of `now` is brighter than its neighbours are:
    a lamp's flicker is one of stripes where the sensor is read row by row. Green alone tells it."""
    import numpy as np

    ratio = middle(now[:, 1::3, 1] / np.maximum(before[:, 1::3, 1], 8.0))
    factors: np.ndarray = np.clip(ratio / max(float(middle(ratio)), 0.01), *ROW_FACTORS)
    return factors


def light_between(before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset of each colour, float32 (3,), that make `before` look like `now`.

    Weighted least squares, iterated with Cauchy weights so that an object has no say in it
    (Holland and Welsch 1977, doi:10.1080/03610927708827533), from the median ratio on. One cell in
    nine is enough, as a look averages as many. A plain wall tells no gain from an offset, and an
    object on it must not: a ridge keeps the gain near the ratio where there is little contrast.
    """
    import numpy as np

    x = np.ascontiguousarray(before[1::3, 1::3].reshape(-1, 3).T)
    y = np.ascontiguousarray(now[1::3, 1::3].reshape(-1, 3).T)
    usable = ((x < CLIPPED) & (y < CLIPPED)) + np.float32(1e-3)
    ratio = middle(y / np.maximum(x, 8.0))
    gain, offset = ratio, np.zeros(3, np.float32)
    for _ in range(2):
        rest = np.abs(y - gain[:, None] * x - offset[:, None])
        scale = np.maximum(1.4826 * middle(rest), 2.0)[:, None]
        weights = usable / (1 + np.square(rest / (2 * scale)))
        total = weights.sum(axis=1)
        mean_x, mean_y = (weights * x).sum(axis=1) / total, (weights * y).sum(axis=1) / total
        off_x = x - mean_x[:, None]
        weighted = weights * off_x
        ridge = RIDGE * total
        gain = (weighted * y).sum(axis=1) + ridge * ratio
        gain /= (weighted * off_x).sum(axis=1) + ridge
        offset = mean_y - gain * mean_x
    brighter = mean_y / np.maximum(mean_x, 1.0)
    common = np.clip(middle(brighter), *GAINS)
    brighter = np.clip(brighter, common * TINTS[0], common * TINTS[1])
    gain = np.clip(gain, 0.7 * brighter, 1.4 * brighter)
    return gain.astype(np.float32), (brighter * mean_x - gain * mean_x).astype(np.float32)


class SceneGate:
    """Lets a frame through when the scene differs from the last one that was described.

    Change detection on a coarse grid, in the steps of Aach et al. (2001,
    doi:10.1109/ICIP.2001.958200): take the light out (see Background), then test whether what
    remains over a window of cells is more than noise explains. The noise is measured from one
    frame to the next. The scene differs when CHANGED_CELLS that touch each other do. Meanwhile the
    background follows what changes slowly, but not where something may have come: the conservative
    update of background subtraction (Barnich and Van Droogenbroeck 2011,
    doi:10.1109/TIP.2010.2101613).

    Looks are averaged over AVERAGE_S. A change is let through once two looks REST_S apart agree,
    or after SETTLE_AT_MOST_S of going on.
    """

    CHANGED_CELLS = 24  # of 3072; an object of 2 % of the frame covers 61
    MOVING_CELLS = 5
    AVERAGE_S = 0.15
    REST_S = 0.2
    LOOK_EVERY_S = 0.015  # at most; a source that gives more than 60 frames a second gains nothing
    SETTLE_AT_MOST_S = 1.5
    NOISE_RATE = 0.1  # weight of the newest frame in the noise

    def __init__(self, always: bool = False, shrinker: Shrinker | None = None) -> None:
        self._cv2 = import_cv2()
        self._always = always
        self._shrinker = shrinker or Shrinker()
        self._background: Background | None = None
        self._looks: list[tuple[float, np.ndarray]] = []  # seconds and look, oldest first
        self._noise: float | None = None
        self._seen: Frame | None = None
        self._mean: np.ndarray | None = None
        self._changed_at: float | None = None

    def wants(self, frame: Frame) -> bool:
        """True when this frame is worth a caption. Look at every frame, or motion is missed."""
        if self._always:
            return True
        since = frame.taken - self._seen.taken if self._seen is not None else 0.0
        mean = self._look_at(frame)
        if self._background is None:
            return True
        excess, expected = self._background.difference(mean, self._noise or 0.0)
        if self._largest(excess) < self.CHANGED_CELLS:
            self._background.adapt(mean, excess, expected, since)
            self._changed_at = None
            return False
        if self._changed_at is None:
            self._changed_at = frame.taken
        return frame.taken - self._changed_at >= self.SETTLE_AT_MOST_S or self._rests(mean)

    def described(self, frame: Frame) -> None:
        """From now on, compare with this frame."""
        if self._always:
            return
        known = self._mean if self._seen is frame else None
        self._background = Background(self._blurred(frame) if known is None else known)
        self._changed_at = None

    def _blurred(self, frame: Frame) -> np.ndarray:
        look: np.ndarray = self._cv2.blur(self._shrinker.of(frame).cells, (3, 3))
        return look

    def _look_at(self, frame: Frame) -> np.ndarray:
        """Take the frame in: the noise, and the mean of the latest looks, which is returned."""
        if not self._looks or not 0 <= frame.taken - self._looks[-1][0] < self.LOOK_EVERY_S:
            look = self._blurred(frame)
            if self._looks:
                self._measure_noise(look, self._looks[-1][1])
            self._looks.append((frame.taken, look))
        while len(self._looks) > 2 and self._looks[1][0] <= frame.taken - (
            self.AVERAGE_S + self.REST_S
        ):
            del self._looks[0]
        self._seen, self._mean = frame, self._mean_until(frame.taken)
        return self._mean

    def _measure_noise(self, look: np.ndarray, before: np.ndarray) -> None:
        """Follow the noise of a look, a standard deviation in levels. Each row's own brightness
        is taken off first, or a flickering lamp would pass for noise; the median passes over what
        moves, and 1.4826 makes a standard deviation of it (Rousseeuw and Croux 1993,
        doi:10.1080/01621459.1993.10476408)."""
        import numpy as np

        green, was = look[::2, ::2, 1], before[::2, ::2, 1]
        brighter = (green.mean(axis=1) + 1) / (was.mean(axis=1) + 1)
        difference = np.abs(green - was * brighter[:, None])
        noise = 1.4826 / 2**0.5 * float(middle(difference.ravel()))
        if self._noise is None:
            self._noise = noise
        self._noise += self.NOISE_RATE * (noise - self._noise)

    def _mean_until(self, taken: float) -> np.ndarray:
        """The mean of the looks of AVERAGE_S up to `taken`."""
        looks = [look for at, look in self._looks if taken - self.AVERAGE_S < at <= taken]
        if not looks:  # a clock that runs backwards
            return self._looks[-1][1]
        total: np.ndarray = sum(looks[1:], looks[0])
        return total / len(looks)

    def _rests(self, mean: np.ndarray) -> bool:
        """True when the looks REST_S ago were the same as `mean`, the newest."""
        newest = self._looks[-1][0]
        earlier = [at for at, _ in self._looks if at <= newest - self.REST_S]
        if not earlier:
            return False
        before = Background(self._mean_until(earlier[-1]))
        excess, _ = before.difference(mean, self._noise or 0.0)
        return self._largest(excess) < self.MOVING_CELLS

    def _largest(self, excess: np.ndarray) -> int:
        """The size of the largest connected area where `excess` is more than 1, in cells."""
        mask = (excess > 1).astype("uint8")
        if not mask.any():
            return 0
        _, _, areas, _ = self._cv2.connectedComponentsWithStats(mask, connectivity=4)
        return int(areas[1:, self._cv2.CC_STAT_AREA].max())


# ------------------------------------------------------------------------------------------- sight


class Trouble(enum.Enum):
    """Why nothing can be told from the picture, in words for the user."""

    DARK = "It is too dark to see."
    COVERED = "The lens seems to be covered."
    BRIGHT = "The picture is too bright to see."
    BLURRED = "The picture is badly out of focus."


NO_LIGHT = {Trouble.DARK, Trouble.COVERED}
CLEAR_AGAIN = "The picture is clear again."


class Sight:
    """Tells whether a frame can be described, and says when that ends and begins again.

    look() gives a sentence once when it is time to say one, else None; `readable` tells whether
    the frame just looked at is worth a caption; `trouble` is what ails that very frame, and `told`
    the trouble that lasts and was said. What is dark, bright or blurred must last: a black frame
    between two scenes is nothing. Each limit is wider for a trouble that was told, so that it is
    not told again and again. In doubt the picture is fine: a plain wall is, and so is a dim room.
    A picture that froze is the business of Frames, which reopens the camera.
    """

    LASTS_S = 0.5  # before it is told
    BLUR_LASTS_S = 1.0  # a lens needs some time to find its focus
    OVER_S = 0.5
    DARK, DARK_CONTRAST = 30.0, 8.0  # levels; a video's black can be 16
    TOLD_FACTOR = 1.3
    BLOWN, BLOWN_SHARE = 246.0, 0.9  # levels, and how much of the picture is as bright
    COVERED = 70.0  # levels; a hand lets more light through than a dark room has
    BLUR = (7.5, 6.5)  # edge widths in pixels of 160: from which on, and until which, blurred
    FOCUS_EVERY_S = 0.25

    def __init__(self, shrinker: Shrinker | None = None) -> None:
        self._cv2 = import_cv2()
        self._shrinker = shrinker or Shrinker()
        self._view = EarlierView()
        self.trouble: Trouble | None = None
        self.told: Trouble | None = None
        self._since = 0.0
        self._focus_at: float | None = None
        self._blurred = False

    @property
    def readable(self) -> bool:
        """True when the frame just looked at can be described."""
        return self.trouble is None and self.told is None

    def look(self, frame: Frame) -> str | None:
        """Look at a frame, at every one; a sentence when there is one to say, else None."""
        before, self.trouble = self.trouble, self._trouble_of(frame)
        trouble = self.trouble
        if trouble is not before and not {trouble, before} <= NO_LIGHT:
            self._since = frame.taken
        lasted = frame.taken - self._since
        if trouble is self.told or lasted < self._patience(trouble):
            return None
        told, self.told = self.told, trouble
        if trouble is None:
            return CLEAR_AGAIN
        # Who knows that it is dark need not hear that it is a hand now.
        return None if {told, trouble} <= NO_LIGHT else trouble.value

    def _patience(self, trouble: Trouble | None) -> float:
        """Seconds that a trouble, or none, must last."""
        if trouble is None:
            return self.OVER_S
        return self.BLUR_LASTS_S if trouble is Trouble.BLURRED else self.LASTS_S

    def _trouble_of(self, frame: Frame) -> Trouble | None:
        import numpy as np

        small = self._shrinker.of(frame)
        luma = small.cells @ np.array([0.114, 0.587, 0.299], np.float32)  # ITU-R BT.601
        ranked = np.sort(luma[::2, ::2], axis=None)
        low, high = float(ranked[len(ranked) // 50]), float(ranked[-len(ranked) // 50])
        dark = self.TOLD_FACTOR if self.told in NO_LIGHT else 1.0
        if high < self.DARK * dark and high - low < self.DARK_CONTRAST * dark:
            return Trouble.COVERED if self._view.is_covered_by(luma) else Trouble.DARK
        if high < self.COVERED * dark and self._view.is_covered_by(luma):
            return Trouble.COVERED
        share = self.BLOWN_SHARE - (0.05 if self.told is Trouble.BRIGHT else 0.0)
        if float(ranked[int(len(ranked) * (1 - share))]) > self.BLOWN:
            return Trouble.BRIGHT
        if self._is_blurred(small, frame.taken):
            return Trouble.BLURRED
        self._view.keep(luma, frame.taken)
        return None

    def _is_blurred(self, small: Small, taken: float) -> bool:
        """Ask the focus now and then only: nothing that lasts a second needs more."""
        if self._focus_at is None or taken - self._focus_at >= self.FOCUS_EVERY_S:
            self._focus_at = taken
            width = edge_width(small.picture)
            self._blurred = width is not None and width > self.BLUR[self._blurred]
        return self._blurred


class EarlierView:
    """What was seen a second or two ago, to tell a covered lens from a dark room: a hand takes the
    picture away at once and altogether (the way of Saglam and Temizel, "Real-Time Adaptive Camera
    Tamper Detection", AVSS 2009); when the lamp goes out, faint traces of the things are left."""

    KEEP_EVERY_S = 1.0
    DETAIL = 3.0  # levels, a standard deviation: less is a plain wall, which tells nothing
    LEFT = 0.5  # of the brightness, at most, and of the detail
    TRACES = 0.3  # correlation

    def __init__(self) -> None:
        self._cv2 = import_cv2()
        self._kept: list[tuple[float, np.ndarray]] = []  # at most two, the older first

    def keep(self, luma: np.ndarray, taken: float) -> None:
        """Remember a view in which things can be seen. luma: float32 (48, 64), levels."""
        if not self._kept or taken - self._kept[-1][0] >= self.KEEP_EVERY_S:
            self._kept = [*self._kept[-1:], (taken, luma)]

    def is_covered_by(self, luma: np.ndarray) -> bool:
        """True when nothing of the earlier view is left in `luma`, and little of its light."""
        if not self._kept:
            return False
        earlier = self._kept[0][1]
        before, now = self._detail(earlier), self._detail(luma)
        much, little = float(before.std()), float(now.std())
        if much < self.DETAIL or little > self.LEFT * much:
            return False
        if float(luma.mean()) > self.LEFT * float(earlier.mean()):
            return False
        correlation = float((before * now).mean()) / max(much * little, 1e-6)
        return correlation < self.TRACES

    def _detail(self, luma: np.ndarray) -> np.ndarray:
        """What is left of `luma` without its slow gradients; its mean is about zero."""
        detail = luma - self._cv2.blur(luma, (9, 9))
        shifted: np.ndarray = detail - detail.mean()
        return shifted


def edge_width(picture: np.ndarray) -> float | None:
    """How wide the sharper ones of the strong edges are, in pixels of a picture 160 wide; None
    where there are none. picture: uint8 BGR.

    The width of an edge measures blur (Marziliano et al. 2002, doi:10.1109/ICIP.2002.1038902) and,
    other than the variance of the Laplacian (Pech-Pacheco et al. 2000,
    doi:10.1109/ICPR.2000.903548), depends neither on how much there is to see nor, on so small a
    picture, on noise. It is taken where a slope is the steepest around, as the range of levels
    there over that slope. A step blurred by a Gaussian of s pixels comes out 2.5 s wide.
    """
    cv2 = import_cv2()
    height = max(1, round(160 * picture.shape[0] / picture.shape[1]))
    grey = cv2.cvtColor(
        cv2.resize(picture, (160, height), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY
    )
    soft = cv2.GaussianBlur(grey.astype("float32"), (0, 0), 1.0)
    across, down = (cv2.Sobel(soft, -1, x, 1 - x, scale=1 / 8) for x in (1, 0))
    around = cv2.getStructuringElement(cv2.MORPH_RECT, (13, 13))
    slope = cv2.magnitude(across, down)
    steepest = slope > 0.8 * cv2.dilate(slope, around)
    contrast = cv2.dilate(soft, around) - cv2.erode(soft, around)
    strong = (contrast > 40.0) & steepest  # levels
    if strong.mean() < 0.001:
        return None
    import numpy as np

    return float(np.percentile(contrast[strong] / slope[strong], 10))


# ----------------------------------------------------------------------------------------- weights


@dataclass(frozen=True)
class Checkpoint:
    """A model on the Hub: which repository, at which revision, and what its weights must be.

    sha256 is what others have seen for model.safetensors at that revision. The Hub's own list for
    the revision decides; where the two differ, that is said. gigabytes: of the download, roughly.
    """

    repository: str
    revision: str | None = None
    sha256: str | None = None
    gigabytes: float | None = None
    licence: str = "Apache-2.0"


class Weights(enum.Enum):
    """What an engine loads; the values are part of the names under which they are kept."""

    MLX_4BIT = "4bit"
    MLX_8BIT = "8bit"
    MLX_16BIT = "mlx"  # as published for mlx
    TORCH = "torch"  # as published
    TORCH_BFLOAT16 = "bfloat16"  # half the size, for processors that calculate in it

    @property
    def library(self) -> str:
        """Whose layout it is, mlx or torch."""
        return "torch" if self in (Weights.TORCH, Weights.TORCH_BFLOAT16) else "mlx"

    @property
    def bits(self) -> int | None:
        """Bits a weight, where mlx-vlm's conversion has to quantise it."""
        return {Weights.MLX_4BIT: 4, Weights.MLX_8BIT: 8}.get(self)


APPLES_LICENCE = "Apple's, for research only"

# By library; the revisions and hashes were read where others had noted them.
PRESETS = {
    "smolvlm2-256m": {
        "mlx": Checkpoint(
            "mlx-community/SmolVLM2-256M-Video-Instruct-mlx",
            "79901655c1a3d7ed6646c91325e3fde47e40e611",
            "e37d0714a5e2db99b9e4c8747028fc6ddf16f87f4a34ac175c82757d3d8e6636",
            0.5,
        ),
        "torch": Checkpoint(
            "HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
            "067788b187b95ebe7b2e040b3e4299e342e5b8fd",
            gigabytes=1.0,
        ),
    },
    "smolvlm2-500m": {
        "mlx": Checkpoint(
            "mlx-community/SmolVLM2-500M-Video-Instruct-mlx",
            "fa57db46815177fbdfd65cc85a2b3416a8332268",
            "a9839c8f79ecc93e54a00dc73cc0e68ba477debcd065d50c1c289fbb1075f981",
            1.0,
        ),
        "torch": Checkpoint(
            "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
            "7b375e1b73b11138ff12fe22c8f2822d8fe03467",
            gigabytes=2.0,
        ),
    },
    "smolvlm2-2.2b": {
        "mlx": Checkpoint(
            "mlx-community/SmolVLM2-2.2B-Instruct-mlx",
            "844516024a1c4400d34489b89ee067d794e432ed",
            "ed6c59250704f09f921dce1a25e0d4eff611b6c9c53e382a7eb04ce9113f2773",
            4.5,
        ),
        "torch": Checkpoint(
            "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
            "482adb537c021c86670beed01cd58990d01e72e4",
            gigabytes=9.0,
        ),
    },
    "fastvlm-0.5b": {
        "mlx": Checkpoint(
            "mlx-community/FastVLM-0.5B-bf16",
            "81ffe929046666c43de53691147b1669ba0f3a4c",
            gigabytes=1.3,
            licence=APPLES_LICENCE,
        ),
    },
}

# Weights as safetensors and the processor's settings; never pickles, never code.
WANTED_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]


def find_weights(model: str, weights: Weights) -> Path:
    """The folder of a preset, Hub repository or folder as an engine needs it, made where needed.

    What is made is kept in .hf_cache and found again without the network. Raises ModelError.
    """
    place = locate(model, weights.library)
    if is_fastvlm(place):
        tell(f"FastVLM's weights have a licence of their own: {APPLES_LICENCE}")
    try:
        if isinstance(place, Path):
            key = f"{folder_key(place)}-{weights.value}"
            return made_from(place, weights, key, label=place.resolve().name)
        key = f"{checkpoint_key(place)}-{weights.value}"
        if (made := already_made(key)) is not None:
            return made
        return made_from(fetched(place), weights, key, label=place.repository)
    except OSError as error:
        raise ModelError(
            f"the model can't be kept in {CACHE}: {error.strerror or error}"
        ) from error


def locate(model: str, library: str) -> Checkpoint | Path:
    """What --model means to a library: a checkpoint on the Hub, or a folder. Raises ModelError,
    or UsageError where the other library is needed."""
    if model in PRESETS:
        if library not in PRESETS[model]:
            raise UsageError(f"--model {model} needs --engine {' or '.join(PRESETS[model])}")
        return PRESETS[model][library]
    folder = Path(os.path.expanduser(model))  # Path.expanduser() raises for an unknown ~user
    if os.path.isdir(folder):  # Path.is_dir() raises for a name that is too long
        read_config(folder)
        return folder
    if re.fullmatch(r"apple/FastVLM-.*-(fp16|int8|int4)", model):
        raise ModelError(half_a_fastvlm(model))
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model):
        return Checkpoint(model)
    raise ModelError(
        f"--model {without_password(model)} is none of --list-models, no folder, and no Hub "
        "repository (owner/name)"
    )


# -- FastVLM, of which there are three layouts and a half

FASTVLM = "llava_qwen2"  # model_type of Apple's original and of the MLX conversion
FASTVLM_OF_TRANSFORMERS = "fast_vlm"
FASTVLM_THAT_WORKS = "mlx-community/FastVLM-0.5B-bf16"


def is_fastvlm(place: Checkpoint | Path) -> bool:
    """True for any layout of FastVLM, as far as can be told before it is fetched."""
    if isinstance(place, Checkpoint):
        return "fastvlm" in place.repository.lower()
    return read_config(place)["model_type"] in (FASTVLM, FASTVLM_OF_TRANSFORMERS)


def half_a_fastvlm(label: str) -> str:
    """The message for Apple's exports, whose vision tower is a Core ML package."""
    return (
        f"{label} holds FastVLM's language model without its vision tower; use --model "
        f"{FASTVLM_THAT_WORKS} with --engine mlx"
    )


def guard_fastvlm(config: dict[str, Any], folder: Path, library: str, label: str) -> None:
    """Refuse the FastVLM checkpoints that a library can't load. Raises ModelError."""
    if config["model_type"] == FASTVLM_OF_TRANSFORMERS:
        if library == "mlx" or importlib.util.find_spec("timm") is None:
            needs = "mlx-vlm can't read" if library == "mlx" else "needs the package timm"
            raise ModelError(
                f"{label} is FastVLM in transformers' own layout, which {needs}; use --model "
                f"{FASTVLM_THAT_WORKS} with --engine mlx"
            )
    elif config["model_type"] == FASTVLM:
        if not any("vision_tower" in name for name in tensor_names(folder)):
            raise ModelError(half_a_fastvlm(label))
        if library != "mlx":
            raise UsageError(f"{label} is FastVLM in Apple's layout, which needs --engine mlx")


def tensor_names(folder: Path) -> Iterator[str]:
    """The names of all tensors in a folder's safetensors files."""
    from safetensors import safe_open

    for file in folder.glob("*.safetensors"):
        with safe_open(file, "np") as tensors:
            yield from tensors.keys()


# -- kept on disk


def is_on_disk(model: str, weights: Weights) -> bool:
    """False for a preset whose weights would have to be fetched first."""
    if model not in PRESETS:
        return True
    key = checkpoint_key(PRESETS[model][weights.library])
    return is_complete(KEPT / f"{key}-{weights.value}") or (KEPT / f"{key}.fetched").is_file()


def checkpoint_key(checkpoint: Checkpoint) -> str:
    """The name under which what belongs to a checkpoint is kept."""
    name = checkpoint.repository.replace("/", "--")
    return f"{name}-{(checkpoint.revision or 'newest')[:12]}"


def folder_key(folder: Path) -> str:
    """The same for a folder: another key whenever a file in it changes."""
    state = [
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in sorted(folder.iterdir())
        if file.suffix in (".json", ".safetensors")
    ]
    digest = hashlib.sha256(repr((str(folder.resolve()), state)).encode()).hexdigest()
    return f"{folder.resolve().name}-{digest[:12]}"


def is_complete(folder: Path) -> bool:
    """Only whole folders are moved to their final name, so a config there means all is there."""
    return (folder / "config.json").is_file()


def fetched(checkpoint: Checkpoint) -> Path:
    """The folder of a checkpoint that was fetched and checked, now or by an earlier start."""
    note = KEPT / f"{checkpoint_key(checkpoint)}.fetched"
    if note.is_file():
        known = json.loads(note.read_text("utf-8"))
        if is_complete(folder := Path(known["folder"])):
            refuse_changes(folder, known["files"])
            return folder
    folder = fetch(checkpoint)
    KEPT.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"folder": str(folder), "files": seal(folder)}), "utf-8")
    return folder


SEAL = "seal.json"  # beside the weights that were made here


def seal(folder: Path) -> dict[str, list[Any]]:
    """Size, time of change (ns) and SHA-256 of each file that a model is loaded from."""
    files = {}
    for file in (file for pattern in WANTED_FILES for file in folder.glob(pattern)):
        if file.name != SEAL:
            status = file.stat()
            with file.open("rb") as content:
                files[file.name] = [status.st_size, status.st_ctime_ns, sha256_of(content)]
    return files


def refuse_changes(folder: Path, files: dict[str, list[Any]]) -> None:
    """Compare a folder with its seal; what is not as it was is deleted and refused.

    Only a file that has another size or time of change is read: a second, for a large one.
    Raises ModelError.
    """
    for name, (size, changed, sha256) in files.items():
        file = folder / name
        if not file.is_file():
            continue  # Its loader will say so.
        status = file.stat()
        if (status.st_size, status.st_ctime_ns) == (size, changed):
            continue
        with file.open("rb") as content:
            if sha256_of(content) == sha256:
                continue
        file.resolve().unlink()
        (folder / "config.json").unlink(missing_ok=True)  # The folder is not whole any more.
        raise ModelError(
            f"{file} changed since it was checked; it was deleted, start again to have it anew"
        )


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
        size = f", {checkpoint.gigabytes} GB" if checkpoint.gigabytes else ""
        tell(f"fetching {checkpoint.repository} (once{size})")
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


def hide_torch() -> None:
    """Make Python answer that there is no torch: transformers would import it where it finds it,
    which takes seconds, and mlx-vlm has no use for it."""
    for name in ("torch", "torchvision"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


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


def made_from(source: Path, weights: Weights, key: str, label: str) -> Path:
    """What an engine needs, from a checkpoint's folder; made once, then found again as `key`."""
    if (found := already_made(key)) is not None:
        return found
    config = read_config(source)
    try:
        guard_fastvlm(config, source, weights.library, label)
    except PeteError:
        raise
    except Exception as error:
        raise ModelError(f"the weights of {label} can't be read: {reason_of(error)}") from error
    if weights.library == "mlx":
        guard_rotary_base(config, source)
    elif "quantization" in config:
        raise ModelError(f"{label} holds weights for mlx alone; --engine mlx can use them")
    try:
        if "quantization" in config or not needs_conversion(source, weights):
            return source
    except Exception as error:
        raise ModelError(f"the weights of {label} can't be read: {reason_of(error)}") from error
    tell(f"making the {weights.value} weights of {label} (once)")
    with staged(key) as making:
        try:
            convert(source, making, weights)
        except Exception as error:
            if is_disk_trouble(error) or isinstance(error, ImportError):
                raise
            raise ModelError(
                f"the weights of {label} can't be converted: {reason_of(error)}"
            ) from error
    return KEPT / key


@contextlib.contextmanager
def staged(key: str) -> Iterator[Path]:
    """Where to make the folder `key`, which is not there yet; moved to its place when whole.

    A start that was cut off leaves nothing half-made, but its leavings, which are swept away unless
    they are another start's work.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    for leavings in KEPT.glob(".making-*"):
        if not is_running(int(leavings.name.split("-")[1])):
            shutil.rmtree(leavings, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=KEPT, prefix=f".making-{os.getpid()}-") as folder:
        making = Path(folder) / key
        yield making
        (making / SEAL).write_text(json.dumps(seal(making)), "utf-8")
        if already_made(key) is None:  # Another start may have been quicker.
            shutil.rmtree(KEPT / key, ignore_errors=True)
            making.rename(KEPT / key)


def already_made(key: str) -> Path | None:
    """The folder that an earlier start made, unchanged, or None. Raises ModelError."""
    made = KEPT / key
    if not is_complete(made) or not (made / SEAL).is_file():
        return None
    refuse_changes(made, json.loads((made / SEAL).read_text("utf-8")))
    return made


WIDER = ("F16", "F32", "F64")  # safetensors' names of what is to be rounded to bfloat16


def needs_conversion(source: Path, weights: Weights) -> bool:
    """False where the folder's own weights will do."""
    if weights is Weights.TORCH_BFLOAT16:
        from safetensors import safe_open

        for file in source.glob("*.safetensors"):
            with safe_open(file, "pt") as tensors:
                names = tensors.keys()
                if any(tensors.get_slice(name).get_dtype() in WIDER for name in names):
                    return True
        return False
    return weights.bits is not None


def convert(source: Path, target: Path, weights: Weights) -> None:
    """Write a folder's weights to another one: quantised by mlx-vlm (the language model; the
    vision tower stays as it is), or rounded to bfloat16."""
    # Only the files we know: mlx_vlm.convert would copy code and sub-folders along.
    with (
        tempfile.TemporaryDirectory(dir=target.parent) as clean,
        contextlib.redirect_stdout(io.StringIO()),  # mlx-vlm prints its progress there
    ):
        for pattern in WANTED_FILES:
            for file in source.glob(pattern):
                (Path(clean) / file.name).symlink_to(file.resolve())
        if weights is Weights.TORCH_BFLOAT16:
            round_to_bfloat16(Path(clean), target)
            return
        import_mlx_vlm().convert(
            clean,
            str(target),
            quantize=True,
            q_bits=weights.bits,
            q_group_size=GROUP_SIZE,
            trust_remote_code=False,
        )


def round_to_bfloat16(source: Path, target: Path) -> None:
    """Copy a checkpoint, its floating-point tensors rounded to bfloat16."""
    import torch
    from safetensors.torch import load_file, save_file

    target.mkdir()
    for file in sorted(source.iterdir(), key=lambda file: file.name == "config.json"):
        if file.suffix != ".safetensors":
            shutil.copyfile(file, target / file.name)
            continue
        tensors = {
            name: tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor
            for name, tensor in load_file(file).items()
        }
        save_file(tensors, target / file.name, metadata={"format": "pt"})


def is_running(process: int) -> bool:
    """True when there is a process with this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def reason_of(error: BaseException) -> str:
    """An exception in one short printable line."""
    lines = str(error).strip().splitlines()
    return printable(f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__)


def install_model() -> int:
    """What install.sh calls: bring what this machine's engine loads. Returns an exit code."""
    try:
        find_weights(DEFAULT_MODEL, choose_engine("auto", None).weights())
    except PeteError as error:
        tell(str(error))
        return int(error.exit_code)
    tell(f"{DEFAULT_MODEL} is ready")
    return int(ExitCode.OK)


# ------------------------------------------------------------------------- what a model is asked


class SmolVlmInputs:
    """Makes token numbers and pixels for the SmolVLM family, the same for every engine.

    It does what transformers' SmolVLMProcessor does (the tests compare them), without its import,
    which takes seconds, and with one resize where that has two.
    """

    KEPT_PROMPTS = 32

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        def settings(name: str) -> dict[str, Any]:
            return dict(json.loads((folder / name).read_text("utf-8")))

        processor = settings("processor_config.json")
        picture = processor.get("image_processor") or settings("preprocessor_config.json")
        config, generation = settings("config.json"), settings("generation_config.json")
        self._tile: int = picture["max_image_size"]["longest_edge"]  # pixels
        self._longest: int = picture["size"]["longest_edge"]
        self._mean, self._deviation = picture["image_mean"], picture["image_std"]
        self._image_tokens: int = processor["image_seq_len"]
        self._template = chat_template(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._ids: dict[tuple[str, tuple[int, int], tuple[int, ...]], list[int]] = {}
        self.image_token: int = config["image_token_id"]
        ends: Any = generation.get("eos_token_id", config.get("eos_token_id"))
        self.ends = set(ends if isinstance(ends, list) else [ends])

    def prepare(
        self, clip: Sequence[Frame], prompt: str, detail: bool = False
    ) -> tuple[list[int], np.ndarray]:
        """The prompt's token numbers, and pixels of shape (tiles, 3, side, side), float32, RGB.

        clip: the frame, or several, the newest last. detail: split a single frame into tiles and
        add the whole. Else the whole is the only tile of each, as with the video frames that
        SmolVLM2 was trained on: 64 image tokens and one vision pass instead of thirteen.
        """
        import numpy as np

        detail = detail and len(clip) == 1
        tiles = [self.pixels(frame, detail) for frame in clip]
        return self.numbers(clip, prompt, detail), np.concatenate(tiles)

    def numbers(self, clip: Sequence[Frame], prompt: str, detail: bool = False) -> list[int]:
        """The prompt's token numbers alone. They are the same from frame to frame, and from clip
        to clip where the seconds are."""
        grid = self._grid(*clip[0].image.shape[:2]) if detail else (0, 0)
        seconds = tuple(int(frame.at - clip[0].at + 0.5) for frame in clip)
        known = (prompt, grid, seconds)
        if known not in self._ids:
            if len(clip) == 1:
                text = self._template(prompt).replace("<image>", self._image_text(grid))
            else:
                text = self._template(prompt, self._clip_text(seconds))
            if len(self._ids) >= self.KEPT_PROMPTS:
                del self._ids[next(iter(self._ids))]  # the one made first
            self._ids[known] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return self._ids[known]

    def pixels(self, frame: Frame, detail: bool = False) -> np.ndarray:
        """One frame's pixels; shapes and dtype as from prepare()."""
        grid = self._grid(*frame.image.shape[:2]) if detail else (0, 0)
        return self._pixels(frame.image, grid)

    def text_of(self, tokens: Iterable[int]) -> Iterator[str]:
        """A piece of text for each token, empty while a character is not whole."""
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=True)
        for token in tokens:
            yield stream.step(self._tokenizer, token) or ""

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tiles beside the one of the whole frame."""
        scale = self._longest / max(height, width)
        rows, columns = (-(-int(side * scale) // self._tile) for side in (height, width))
        return (rows, columns) if rows * columns > 1 else (0, 0)

    def _image_text(self, grid: tuple[int, int]) -> str:
        fake, images = "<fake_token_around_image>", "<image>" * self._image_tokens
        rows = (
            "".join(f"{fake}<row_{row + 1}_col_{column + 1}>{images}" for column in range(grid[1]))
            for row in range(grid[0])
        )
        before = "".join(f"{row}\n" for row in rows)
        return f"{before}{chr(10) if before else ''}{fake}<global-img>{images}{fake}"

    def _clip_text(self, seconds: Sequence[int]) -> str:
        """SmolVLM2's words around the frames of a video. It tells minutes and seconds; how long
        the video is, too, in hours."""
        from num2words import num2words

        frames = "".join(
            f"\nFrame from {second // 60:02d}:{second % 60:02d}:{self._image_text((0, 0))}"
            for second in seconds
        )
        return (
            f"You are provided the following series of {num2words(len(seconds))} frames from a "
            f"{timedelta(seconds=seconds[-1])} [H:MM:SS] video.\n{frames}\n\n"
        )

    def _pixels(self, image: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        import numpy as np
        from PIL import Image

        side, (rows, columns) = self._tile, grid
        picture = rgb_picture(image)
        # Lanczos, as in training; Pillow's widens with the scale, so that nothing aliases.
        whole = picture.resize((side, side), Image.Resampling.LANCZOS)
        tiles = [np.asarray(whole)]
        if rows:
            large = picture.resize((columns * side, rows * side), Image.Resampling.LANCZOS)
            split = np.asarray(large).reshape(rows, side, columns, side, 3).swapaxes(1, 2)
            tiles = [*split.reshape(-1, side, side, 3), *tiles]
        scale = np.float32(1 / 255) / np.float32(self._deviation)
        shift = np.float32(self._mean) / np.float32(self._deviation)
        pixels = np.stack(tiles).astype(np.float32)
        pixels *= scale  # In place: thirteen tiles are 41 MB.
        pixels -= shift
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def rgb_picture(image: np.ndarray) -> Any:
    """A BGR image, shape (height, width, 3), dtype uint8, as an RGB picture of Pillow's."""
    from PIL import Image

    cv2 = import_cv2()
    return Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def split_into_tiles(processor: Any, detail: bool) -> None:
    """Tell a library's own processor whether to split a frame. Raises UsageError for detail where
    it knows of no tiles."""
    image_processor: Any = getattr(processor, "image_processor", None)
    if hasattr(image_processor, "do_image_splitting"):
        image_processor.do_image_splitting = detail
    elif detail:
        raise UsageError("--detail is for models that look at tiles; leave it out with this one")


def chat_template(folder: Path) -> Callable[..., str]:
    """The checkpoint's own wording around a prompt and what is before it, a picture or the text of
    a clip, as a function of the two."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        if (file := folder / name).is_file():
            source = file.read_text("utf-8")
            if file.suffix == ".json":
                source = json.loads(source).get("chat_template", "")
            if source:
                break
    else:
        raise ModelError(f"{folder} has no chat template")
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(source)

    def render(prompt: str, clip_text: str | None = None) -> str:
        first = {"type": "image"} if clip_text is None else {"type": "text", "text": clip_text}
        content = [first, {"type": "text", "text": prompt}]
        messages = [{"role": "user", "content": content}]
        return template.render(messages=messages, add_generation_prompt=True)

    return render


@contextlib.contextmanager
def taking_several(clip: Sequence[Frame]) -> Iterator[None]:
    """Around what prepares frames for a model that may not take several. Raises ModelError."""
    try:
        yield
    except Exception as error:
        if len(clip) == 1:
            raise
        raise ModelError(
            f"this model does not take {len(clip)} frames at once ({reason_of(error)}); leave "
            "--frames out, or use SmolVLM2"
        ) from error


def is_smolvlm(folder: Path) -> bool:
    """True for the family whose inputs SmolVlmInputs makes."""
    return bool(read_config(folder)["model_type"] == "smolvlm")


# ----------------------------------------------------------------------------------------- engines


@dataclass(frozen=True)
class EngineChoice:
    """Which engine runs the model, and why. bits: of its weights; url: of a server, which has its
    own."""

    name: str
    bits: int
    why: str
    url: str | None = None

    def weights(self) -> Weights:
        """What this engine loads on this machine."""
        if self.name == "mlx":
            return {4: Weights.MLX_4BIT, 8: Weights.MLX_8BIT, 16: Weights.MLX_16BIT}[self.bits]
        import torch

        on_cpu = torch_device() == "cpu"
        return (
            Weights.TORCH_BFLOAT16 if on_cpu and torch_dtype() is torch.bfloat16 else Weights.TORCH
        )


def choose_engine(name: str, bits: int | None) -> EngineChoice:
    """mlx where there is an Apple GPU, torch elsewhere, unless told. Raises UsageError."""
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    why = "as asked"
    if is_server(name):
        return EngineChoice("server", 0, why, name)
    if name == "auto":
        name, why = ("mlx", "Apple Silicon") if apple else ("torch", "no Apple GPU here")
    if name == "torch" and bits == 4:
        raise UsageError("--bits 4 is for --engine mlx; torch takes 8 or 16")
    return EngineChoice(name, bits or (4 if name == "mlx" and apple else 16), why)


def import_packages(engine: str) -> None:
    """Import what an engine takes long to import; nothing else is done, and no error is raised."""
    with contextlib.suppress(Exception):
        if engine == "mlx":
            import_mlx_vlm()
        elif engine == "server":
            import_inference_client()
        else:
            import_torch()


def open_engine(choice: EngineChoice, folder: Path, max_tokens: int) -> Engine:
    """Load the weights in `folder`. Raises ModelError when they can't be loaded."""
    try:
        if choice.name == "mlx":
            return MlxEngine(folder, max_tokens)
        import_torch()
        if torch_device() == "cpu" and is_smolvlm(folder):
            return CpuEngine(folder, max_tokens, torch_dtype(), choice.bits)
        if choice.bits == 8:
            raise UsageError("--bits 8 with torch is for SmolVLM2 on a CPU; leave it out")
        return TorchEngine(folder, max_tokens, torch_device(), torch_dtype())
    except (PeteError, ImportError):
        raise
    except Exception as error:
        raise ModelError(f"the model in {folder} can't be loaded: {reason_of(error)}") from error


class Engine(Protocol):
    """A frame or clip and a prompt become pieces of text, one a token. Decoding is greedy: the same
    frame gives the same caption."""

    label: str  # library, device and precision, for the user
    detail: bool  # look at a frame in tiles
    max_tokens: int  # of a caption

    def describe(self, clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        """Generate a caption, piece by piece; to interrupt it, stop iterating.

        clip: the frame to describe; or several, the newest last, as one clip.
        """

    def prepare(self, clip: Sequence[Frame], prompt: str) -> Any:
        """What describe() does before the model's turn; for measurements."""

    def peak_memory(self) -> int:
        """Bytes that were needed at most so far, on the device that runs the model."""


# -- mlx


def import_mlx_vlm() -> Any:
    """Import mlx-vlm without torch, and on Linux with a fast BLAS in the place of its own.

    mlx's Linux wheel brings the reference BLAS: 4 GFLOP/s. The OpenBLAS that OpenCV's wheel
    brings has the same functions; loaded first, with its names for all, it serves mlx as well.
    """
    prepare_hub(offline=True)
    hide_torch()
    if sys.platform == "linux":
        opencv = importlib.util.find_spec("cv2")
        libraries = (
            Path(opencv.origin or "").parents[1] / "opencv_python.libs" if opencv else PROJECT
        )
        for library in libraries.glob("libopenblas*.so*"):
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    import mlx_vlm

    return mlx_vlm


class MlxEngine:
    """SmolVLM2 and its kin through mlx-vlm. Load and describe on the same thread: mlx's streams
    belong to it.

    Without an Apple GPU the weights are turned into float32, whatever they were kept in: of all
    that mlx calculates in, that alone is quick on a CPU.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self._mlx_vlm = import_mlx_vlm()
        import mlx.core as mx

        self._mx = mx
        self.detail = False
        self.max_tokens = max_tokens
        self._inputs = SmolVlmInputs(folder) if is_smolvlm(folder) else None
        self._model, self._processor = self._mlx_vlm.load(str(folder), trust_remote_code=False)
        self.label = "mlx on the Apple GPU"
        if not mx.metal.is_available():
            self.label = "mlx on the CPU, float32"
            to_float32(self._model)
            use_numpy_for_exponentials()

    def describe(self, clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        """See Engine."""
        for result in self._results(clip, prompt):
            yield result.text

    def _results(self, clip: Sequence[Frame], prompt: str) -> Iterator[Any]:
        """mlx-vlm's own: text, token and more."""
        chat, inputs = self.prepare(clip, prompt)
        if self._inputs is not None:
            inputs["cached_image_features"] = self._features(inputs["pixel_values"][0])
        return self._mlx_vlm.stream_generate(
            self._model,
            self._processor,
            chat,
            max_tokens=self.max_tokens,
            temperature=0.0,
            skip_special_tokens=True,
            **inputs,
        )

    def prepare(self, clip: Sequence[Frame], prompt: str) -> tuple[str, dict[str, Any]]:
        """See Engine. For other models mlx-vlm does most of it itself."""
        if self._inputs is not None:
            ids, pixels = self._inputs.prepare(clip, prompt, self.detail)
            return "", {
                "input_ids": self._mx.array([ids]),
                "pixel_values": self._mx.array(pixels)[None],
            }
        split_into_tiles(self._processor, self.detail)
        with taking_several(clip):
            chat = self._mlx_vlm.apply_chat_template(
                self._processor, self._model.config, prompt, num_images=len(clip)
            )
        return chat, {"image": [rgb_picture(frame.image) for frame in clip]}

    def _features(self, tiles: Any) -> Any:
        """What the model sees in tiles of shape (tiles, 3, side, side): (image tokens, width).

        Left to itself, mlx-vlm 0.7.10 hands the tower a mask, and with one reckons the places of
        the patches in float32: of the 27 a side of SmolVLM2 2.2B ten come out one too low. Without
        a mask it counts them, as transformers does.
        """
        seen, *_ = self._model.vision_model(tiles.transpose(0, 2, 3, 1), output_hidden_states=True)
        features = self._model.connector(seen.astype(tiles.dtype))
        return features.reshape(-1, features.shape[-1])

    def peak_memory(self) -> int:
        """See Engine."""
        if self._mx.metal.is_available():
            return int(self._mx.get_peak_memory())
        return peak_process_memory()


def to_float32(model: Any) -> None:
    """Turn an mlx model's weights, quantised or not, into float32, in place."""
    import mlx.core as mx
    from mlx_vlm.quant_utils import dequantize_model

    dequantize_model(model)
    model.apply(
        lambda array: array.astype(mx.float32) if mx.issubdtype(array.dtype, mx.floating) else array
    )
    mx.eval(model.parameters())


@functools.cache
def use_numpy_for_exponentials() -> None:
    """Let numpy do for mlx what takes an exp or tanh of much: attention without a mask, and GELU.

    On a CPU mlx 0.32.4 takes them one after the other, 20 ns each, and x**3 by pow(): 0.2 s for
    the attention of one layer of SmolVLM2's vision tower, 0.1 s for its GELU.
    """
    import mlx.core as mx
    import mlx.nn.layers.activations as activations

    attention_of_mlx = mx.fast.scaled_dot_product_attention

    def attention(q: Any, k: Any, v: Any, *, scale: float, mask: Any = None, **others: Any) -> Any:
        if mask is None and q.shape == k.shape and q.dtype == mx.float32:
            return mx.array(numpy_attention(q, k, v, scale))
        return attention_of_mlx(q, k, v, scale=scale, mask=mask, **others)

    mx.fast.scaled_dot_product_attention = attention
    activations.gelu_approx = lambda x: mx.array(numpy_gelu(x))


def numpy_attention(q: Any, k: Any, v: Any, scale: float) -> np.ndarray:
    """Softmax attention. q, k, v: shape (batch, heads, patches, head width), float32, like what
    is returned."""
    import numpy as np

    q, k, v = (np.array(array, copy=False) for array in (q, k, v))
    mixed = np.empty_like(q)
    for head in np.ndindex(q.shape[:2]):
        scores = q[head] @ (k[head].T * np.float32(scale))
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        np.matmul(scores, v[head], out=mixed[head])
        mixed[head] /= scores.sum(-1, keepdims=True)
    return mixed


def numpy_gelu(x: Any) -> np.ndarray:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))), in place for the most part."""
    import numpy as np

    values = np.array(x, copy=False)
    y = values * values
    y *= 0.044715
    y += 1
    y *= values
    y *= math.sqrt(2 / math.pi)
    np.tanh(y, out=y)
    y += 1
    y *= values
    y *= 0.5
    return y


def peak_process_memory() -> int:
    """Bytes of memory that this process had at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# -- torch


def import_torch() -> Any:
    """Import torch, which takes seconds."""
    prepare_hub(offline=True)
    keep_freed_memory()
    import torch

    return torch


def keep_freed_memory() -> None:
    """Tell the GNU C library to keep freed memory for the next tensor.

    It would give large blocks back to the system each time and fault them in again, page by page:
    40,000 faults a frame. The numbers are M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of mallopt(3).
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 1 << 30)
        mallopt(-1, (1 << 31) - 1)


def torch_device() -> str:
    """cuda, mps or cpu: the best that there is."""
    torch = import_torch()
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def torch_dtype() -> Any:
    """bfloat16 where the best device calculates in it itself, else float32."""
    torch = import_torch()
    device = torch_device()
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == "mps":
        native = True
    else:
        able = torch.cpu.get_capabilities()
        native = any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32


class TorchEngine:
    """Any model that transformers can load, on a GPU or a CPU, with transformers' own classes."""

    def __init__(self, folder: Path, max_tokens: int, device: str, dtype: Any) -> None:
        self._torch = import_torch()
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.detail = False
        self.max_tokens = max_tokens
        self._device, self._dtype = device, dtype
        settings = {"local_files_only": True, "trust_remote_code": False}
        model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, **settings
        )
        self._model = model.to(device).eval()
        self._inputs = SmolVlmInputs(folder) if is_smolvlm(folder) else None
        self._processor: Any = None
        if self._inputs is None:
            self._processor = AutoProcessor.from_pretrained(folder, **settings)
            if not getattr(self._processor, "chat_template", None):
                raise ModelError(f"{folder} has no chat template, so it can't be asked anything")
        self.label = f"torch on {device}, {str(dtype).removeprefix('torch.')}"

    def describe(self, clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        """See Engine."""
        if self._inputs is not None:
            return self._inputs.text_of(self._tokens(clip, prompt))
        return self._decoded(self._tokens(clip, prompt))

    def peak_memory(self) -> int:
        """See Engine."""
        if self._device == "cuda":
            return int(self._torch.cuda.max_memory_allocated())
        return peak_process_memory()

    def _tokens(self, clip: Sequence[Frame], prompt: str) -> Iterator[int]:
        """Greedy decoding with transformers' cache, like model.generate, but interruptible."""
        torch = self._torch
        inputs = self.prepare(clip, prompt)
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        for _ in range(self.max_tokens):
            with torch.inference_mode():
                output = self._model(**inputs, use_cache=True, logits_to_keep=1)
                token = output.logits[:, -1].argmax(-1)
            if int(token) in ends:
                return
            yield int(token)
            inputs = {"input_ids": token[None], "past_key_values": output.past_key_values}

    def prepare(self, clip: Sequence[Frame], prompt: str) -> dict[str, Any]:
        """See Engine."""
        torch = self._torch
        if self._inputs is not None:
            ids, pixels = self._inputs.prepare(clip, prompt, self.detail)
            return {
                "input_ids": torch.tensor([ids], device=self._device),
                "pixel_values": torch.from_numpy(pixels)[None].to(self._device, self._dtype),
            }
        split_into_tiles(self._processor, self.detail)
        pictures = [{"type": "image", "image": rgb_picture(frame.image)} for frame in clip]
        content = [*pictures, {"type": "text", "text": prompt}]
        with taking_several(clip):
            inputs = self._processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        return dict(inputs.to(self._device, self._dtype))

    def _decoded(self, tokens: Iterator[int]) -> Iterator[str]:
        """What each token adds to the text; a character that is not whole yet waits."""
        so_far: list[int] = []
        text = ""
        for token in tokens:
            so_far.append(token)
            longer = self._processor.decode(so_far, skip_special_tokens=True)
            whole = not longer.endswith("\ufffd")
            yield longer[len(text) :] if whole else ""
            text = longer if whole else text


class CpuEngine:
    """The SmolVLM family on a CPU: transformers' arithmetic, laid out for this processor.

    transformers takes 9 s to import, and its attention, activation and cache cost a CPU a third
    of the time. The two classes below do the same sums (the tests hold them to transformers' own
    generate, token for token) with weights that oneDNN packed once, matrices joined where they
    share their input, and a cache of fixed size. What it saw of the last clip's frames is kept:
    most of them are in the next clip, too.
    """

    PROMPT_AT_ONCE = 256  # tokens: attention to those of --detail at once would take 150 MB more

    def __init__(self, folder: Path, max_tokens: int, dtype: Any, bits: int = 16) -> None:
        self._torch = import_torch()
        config = read_config(folder)
        self.detail = False
        self.max_tokens = max_tokens
        self._dtype = dtype
        self._inputs = SmolVlmInputs(folder)
        self._vision = VisionTower(Tensors(folder, dtype), config, bits)
        self._language = LanguageModel(Tensors(folder, dtype), config)
        self.guesses = True  # see _tokens()
        self._phrases = Phrases()
        self._seen: list[tuple[Frame, bool, Any]] = []  # frame, in detail, image features
        precision = str(dtype).removeprefix("torch.")
        self.label = f"torch on the CPU, {precision}" + (", vision int8" if bits == 8 else "")

    def describe(self, clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        """See Engine."""
        return self._inputs.text_of(self._tokens(clip, prompt))

    def peak_memory(self) -> int:
        """See Engine."""
        return peak_process_memory()

    def prepare(self, clip: Sequence[Frame], prompt: str) -> tuple[list[int], Any]:
        """See Engine."""
        ids, pixels = self._inputs.prepare(clip, prompt, self.detail)
        return ids, self._torch.from_numpy(pixels).to(self._dtype)

    def first_logits(self, clip: Sequence[Frame], prompt: str) -> Any:
        """Fill the cache with picture and prompt. Returns logits of shape (1, vocabulary)."""
        torch, detail = self._torch, self.detail and len(clip) == 1
        numbers = self._inputs.numbers(clip, prompt, detail)
        with torch.inference_mode():
            ids = torch.tensor(numbers)
            embedded = self._language.embed(ids)
            self._seen = [(frame, detail, self._features(frame, detail)) for frame in clip]
            embedded[ids == self._inputs.image_token] = torch.cat([seen[2] for seen in self._seen])
            self._language.start(len(numbers) + self.max_tokens + Phrases.GUESSES)
            for part in embedded.split(self.PROMPT_AT_ONCE):
                logits = self._language(part, last=True)
            return logits

    def _features(self, frame: Frame, detail: bool) -> Any:
        """What the vision tower makes of a frame's tiles, (image tokens, text width)."""
        for seen, in_detail, features in self._seen:
            if seen is frame and in_detail is detail:
                return features
        pixels = self._torch.from_numpy(self._inputs.pixels(frame, detail)).to(self._dtype)
        return self._torch.cat([self._vision(tile) for tile in pixels])

    def _tokens(self, clip: Sequence[Frame], prompt: str) -> Iterator[int]:
        """Greedy decoding, with guesses: a step that checks some tokens more costs 1.5 times what
        a step for one does, as both read all the weights once (arXiv:2304.04487)."""
        torch = self._torch
        said: list[int] = []
        sure = self.first_logits(clip, prompt).argmax(-1).tolist()
        with self._phrases.remembered(said):
            while True:
                for token in sure:
                    if token in self._inputs.ends:
                        return
                    said.append(token)
                    yield token
                    if len(said) == self.max_tokens:
                        return
                guess = self._phrases.guess(said) if self.guesses else []
                with torch.inference_mode():
                    step = self._language.embed(torch.tensor([said[-1], *guess]))
                    found = self._language(step).argmax(-1).tolist()
                sure = found[:1]
                for guessed, token in zip(guess, found[1:]):
                    if guessed != sure[-1]:
                        break
                    sure.append(token)
                self._language.forget(len(found) - len(sure))


class Phrases:
    """What was said last, to guess from: captions of one camera have most of their words in common.

    The model checks each token, so a wrong guess costs half a step and nothing else. But oneDNN
    adds several rows up in another order than torch adds one: in bfloat16, between two tokens that
    are as good as each other, a guess may decide.
    """

    KEPT = 32  # captions
    START = -1  # no token: it stands before the first one
    ALIKE = (3, 2)  # tokens that are compared; after one alone a guess is wrong too often
    GUESSES = 5  # tokens at most

    def __init__(self) -> None:
        self._captions: list[list[int]] = []  # newest first

    @contextlib.contextmanager
    def remembered(self, said: list[int]) -> Iterator[list[int]]:
        """Around the making of a caption: keep what `said` holds in the end."""
        try:
            yield said
        finally:
            caption = [self.START, *said]
            others = [other for other in self._captions if other != caption]
            self._captions = [caption, *others][: self.KEPT]

    def guess(self, said: list[int]) -> list[int]:
        """The tokens that followed the last time the same ones were said, if ever they were."""
        said = [self.START, *said]
        for alike in self.ALIKE:
            for caption in self._captions:
                for end in range(alike, len(caption)):
                    if caption[end - alike : end] == said[-alike:]:
                        return caption[end : end + self.GUESSES]
        return []


class Tensors:
    """A checkpoint's tensors by name, each read and cast when it is asked for: with all of them
    at once, beside what they are packed into, memory would peak."""

    def __init__(self, folder: Path, dtype: Any) -> None:
        from safetensors import safe_open

        self._open = safe_open
        self._dtype = dtype
        self._files: dict[str, Path] = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, "pt") as opened:
                self._files.update(dict.fromkeys(opened.keys(), file))

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __getitem__(self, name: str) -> Any:
        return self.joined([name])

    def joined(self, names: Iterable[str]) -> Any:
        """Some of them, one below the other."""
        import torch

        # What was read of a file counts as memory until it is closed and all of it copied.
        with contextlib.ExitStack() as files:
            opened = [(name, self._open(self._files[name], "pt")) for name in names]
            found = [files.enter_context(file).get_tensor(name) for name, file in opened]
            return torch.cat(found).to(self._dtype)


class CpuLinear:
    """y = x W' + b, then GELU where asked for; bfloat16 weights in oneDNN's own layout.

    weight: shape (outputs, inputs). rows: of x, as a rule; the layout is chosen for them. The
    operators are those that torch's own compiler puts in the place of torch.nn.Linear.
    """

    def __init__(
        self, weight: Any, bias: Any = None, rows: int = 1, activation: str = "none"
    ) -> None:
        import torch

        self._torch = torch
        self._bias, self._activation = bias, activation
        self._dtype = weight.dtype
        self._weight = weight.contiguous()
        self._packed = weight.dtype is self._torch.bfloat16
        if self._packed:
            self._weight = self._torch.ops.mkldnn._reorder_linear_weight(self._weight, rows)

    def __call__(self, x: Any) -> Any:
        functional = self._torch.nn.functional
        x = x.to(self._dtype)
        if self._packed:
            how = "tanh" if self._activation == "gelu" else ""
            return self._torch.ops.mkldnn._linear_pointwise(
                x, self._weight, self._bias, self._activation, [], how
            )
        y = functional.linear(x, self._weight, self._bias)
        return functional.gelu(y, approximate="tanh") if self._activation == "gelu" else y


class VisionTower:
    """SigLIP (arXiv:2303.15343) and SmolVLM's pixel shuffle: one tile becomes image features."""

    HEADS_AT_ONCE = 2  # so many heads' scores (4 MB) stay in the processor's caches

    def __init__(self, weights: Tensors, config: dict[str, Any], bits: int) -> None:
        import torch

        self._torch = torch
        vision = config["vision_config"]
        self._width: int = vision["hidden_size"]
        self._heads: int = vision["num_attention_heads"]
        self._patch: int = vision["patch_size"]
        self._side: int = vision["image_size"] // self._patch
        self._shuffle: int = config["scale_factor"]
        self._epsilon: float = vision.get("layer_norm_eps", 1e-6)
        make = Int8Linear if bits == 8 else CpuLinear

        def pair(name: str) -> tuple[Any, Any]:
            start = f"model.vision_model.{name}"
            return weights[f"{start}.weight"], weights[f"{start}.bias"]

        def linear(*names: str, activation: str = "none") -> Any:
            starts = [f"model.vision_model.{name}" for name in names]
            weight = weights.joined(f"{start}.weight" for start in starts)
            bias = weights.joined(f"{start}.bias" for start in starts)
            return make(weight, bias, rows=self._side**2, activation=activation)

        kernel, bias = pair("embeddings.patch_embedding")
        self._embed = CpuLinear(kernel.flatten(1), bias, rows=self._side**2)
        positions = weights["model.vision_model.embeddings.position_embedding.weight"]
        self._positions = positions[self._position_ids()]
        self._layers = [
            (
                pair(f"{layer}.layer_norm1"),
                linear(*(f"{layer}.self_attn.{name}_proj" for name in "qkv")),
                linear(f"{layer}.self_attn.out_proj"),
                pair(f"{layer}.layer_norm2"),
                linear(f"{layer}.mlp.fc1", activation="gelu"),
                linear(f"{layer}.mlp.fc2"),
            )
            for layer in (f"encoder.layers.{n}" for n in range(vision["num_hidden_layers"]))
        ]
        self._last_norm = pair("post_layernorm")
        shape = (2, self.HEADS_AT_ONCE, self._side**2, self._side**2)
        self._kept = torch.empty(shape, dtype=self._positions.dtype)  # for _attention()
        features = (self._side // self._shuffle) ** 2
        projection = weights["model.connector.modality_projection.proj.weight"]
        self._connector = CpuLinear(projection, rows=features)

    def __call__(self, tile: Any) -> Any:
        """tile: shape (3, side, side), RGB, normalised. Returns float32, (image tokens, text
        width)."""
        n, p, shuffle = self._side, self._patch, self._shuffle
        patches = tile[:, : n * p, : n * p].reshape(3, n, p, n, p).permute(1, 3, 0, 2, 4)
        x = self._embed(patches.reshape(n * n, -1)) + self._positions
        for norm1, qkv, out, norm2, up, down in self._layers:
            x = x + out(self._attention(qkv(self._norm(x, norm1))))
            x = x + down(up(self._norm(x, norm2)))
        x = self._norm(x, self._last_norm)
        m = n // shuffle
        x = x.view(m, shuffle, m, shuffle, -1).transpose(1, 2).reshape(m * m, -1)
        return self._connector(x).float()

    def _position_ids(self) -> Any:
        """Which embedding each patch gets, by the same sums as in transformers: for some sizes
        their rounding is off by one, and the model was trained with it."""
        torch, n = self._torch, self._side
        fractions = (torch.arange(n, dtype=torch.float32) * (1.0 / n)).clamp(max=1.0 - 1e-6)
        side = torch.bucketize(fractions, torch.arange(1 / n, 1.0, 1 / n), right=True)
        return (side[:, None] * n + side).flatten()

    def _norm(self, x: Any, pair: tuple[Any, Any]) -> Any:
        return self._torch.nn.functional.layer_norm(x, (self._width,), *pair, self._epsilon)

    def _attention(self, qkv: Any) -> Any:
        """Softmax attention, some heads at a time: on a CPU that is twice as fast as torch's
        fused kernel. qkv: shape (patches, 3 * width)."""
        torch, step = self._torch, self.HEADS_AT_ONCE
        q, k, v = qkv.view(len(qkv), 3, self._heads, -1).permute(1, 2, 0, 3).contiguous()
        q *= q.shape[-1] ** -0.5
        mixed = torch.empty_like(q)
        for head in range(0, self._heads, step):
            some = slice(head, head + step)
            scores, shares = (kept[: len(q[some])] for kept in self._kept)
            torch.bmm(q[some], k[some].transpose(1, 2), out=scores)
            torch.softmax(scores, -1, out=shares)
            torch.bmm(shares, v[some], out=mixed[some])
        return mixed.transpose(0, 1).reshape(len(qkv), -1)


class LanguageModel:
    """SmolLM2: a Llama (arXiv:2307.09288), grouped queries (arXiv:2305.13245), and its cache."""

    def __init__(self, weights: Tensors, config: dict[str, Any]) -> None:
        import torch

        self._torch = torch
        text = config["text_config"]
        self._width: int = text["hidden_size"]
        self._heads: int = text["num_attention_heads"]
        self._kv_heads: int = text["num_key_value_heads"]
        self._head_width: int = text.get("head_dim") or self._width // self._heads
        self._epsilon: float = text.get("rms_norm_eps", 1e-5)
        rotary = text.get("rope_parameters") or text.get("rope_scaling") or {}
        if rotary.get("rope_type", "default") != "default":
            raise ModelError(f"rotary positions of type {rotary['rope_type']} are not supported")
        self._rotary_base: float = text.get("rope_theta") or rotary["rope_theta"]

        def norm(name: str) -> Any:
            return weights[f"model.text_model.{name}.weight"].float()

        def joined(*names: str) -> Any:
            return weights.joined(f"model.text_model.{name}.weight" for name in names)

        def qkv(attention: str) -> Any:
            weight = joined(*(f"{attention}.{name}_proj" for name in "qkv"))
            # The halves of each query and key are interleaved, as _rotated() has them.
            turned = weight[: (self._heads + self._kv_heads) * self._head_width]
            halves = turned.view(-1, 2, self._head_width // 2, self._width)
            turned[:] = halves.transpose(1, 2).reshape(turned.shape)
            return weight

        self._layers = [
            (
                norm(f"{layer}.input_layernorm"),
                TextLinear(qkv(f"{layer}.self_attn")),
                TextLinear(joined(f"{layer}.self_attn.o_proj")),
                norm(f"{layer}.post_attention_layernorm"),
                TextLinear(joined(f"{layer}.mlp.gate_proj", f"{layer}.mlp.up_proj")),
                TextLinear(joined(f"{layer}.mlp.down_proj")),
            )
            for layer in (f"layers.{n}" for n in range(text["num_hidden_layers"]))
        ]
        self._last_norm = norm("norm")
        self._embeddings = weights["model.text_model.embed_tokens.weight"]
        untied = "lm_head.weight" in weights
        self._head = TextLinear(weights["lm_head.weight"] if untied else self._embeddings)
        self._cache = torch.empty(0, 0)
        self._used = 0

    def start(self, length: int) -> None:
        """Make an empty cache for `length` tokens, and their rotations."""
        torch, half = self._torch, self._head_width // 2
        self._used = 0
        if self._cache.shape[1] >= length:
            return
        # Keys, then values; float32, as attention to few tokens is quicker in it, and more exact.
        self._cache = torch.empty(len(self._layers), length, 2 * self._kv_heads, self._head_width)
        speeds = self._rotary_base ** -(torch.arange(half, dtype=torch.float32) / half)
        angles = torch.outer(torch.arange(length, dtype=torch.float32), speeds)[:, None]
        self._turns = torch.polar(torch.ones_like(angles), angles)

    def embed(self, ids: Any) -> Any:
        """ids: shape (tokens,), int64. Returns float32, (tokens, width)."""
        return self._embeddings[ids].float()

    def __call__(self, x: Any, last: bool = False) -> Any:
        """Append tokens, shape (tokens, width). Returns the logits behind each, or behind the last
        alone: shape (tokens, vocabulary)."""
        torch = self._torch
        functional = torch.nn.functional
        here = slice(self._used, self._used + len(x))
        self._used = here.stop
        group = self._heads // self._kv_heads  # of heads that share keys and values
        # Each sees itself and what is before it: to the scores of the rest this is added.
        unseen = torch.full((len(x), here.stop), -torch.inf).triu_(here.start + 1).repeat(group, 1)
        turns = self._turns[here]
        all_keys, all_values = self._cache[:, : here.stop].split(self._kv_heads, 2)
        for (norm1, qkv, out, norm2, gate_up, down), new, keys, values in zip(
            self._layers,
            self._cache[:, here],
            all_keys.permute(0, 2, 3, 1),
            all_values.transpose(1, 2),
        ):
            heads = self._rotated(qkv(self._norm(x, norm1)), turns)
            new.copy_(heads[:, self._heads :])
            queries = heads[:, : self._heads].unflatten(1, (self._kv_heads, group))
            queries = queries.permute(1, 2, 0, 3).flatten(1, 2)
            scores = torch.baddbmm(unseen, queries, keys, alpha=self._head_width**-0.5)
            mixed = torch.bmm(torch.softmax(scores, -1), values)
            mixed = mixed.unflatten(1, (group, len(x))).permute(2, 0, 1, 3).flatten(1)
            x = x + out(mixed)
            gate, up = gate_up(self._norm(x, norm2)).chunk(2, -1)
            x = x + down(functional.silu(gate) * up)
        return self._head(self._norm(x[-1:] if last else x, self._last_norm))

    def forget(self, tokens: int) -> None:
        """Take the last tokens back, as if they had not been appended."""
        self._used -= tokens

    def _rotated(self, qkv: Any, turns: Any) -> Any:
        """Queries and keys turned by their places (arXiv:2104.09864), and values: float32, shape
        (tokens, heads, head width). turns: complex, (tokens, 1, head width / 2)."""
        pairs = qkv.float().view(len(qkv), -1, self._head_width // 2, 2)
        self._torch.view_as_complex(pairs[:, : self._heads + self._kv_heads]).mul_(turns)
        return pairs.flatten(2)

    def _norm(self, x: Any, weight: Any) -> Any:
        """RMSNorm, arXiv:1910.07467."""
        return self._torch.rms_norm(x, (self._width,), weight, self._epsilon)


class TextLinear:
    """y = x W' for the language model: the many rows of a prompt, the few of a guess, or one.

    One is for torch's own product: it reads the weight as fast as the memory gives it, oneDNN's
    half as fast.
    """

    def __init__(self, weight: Any) -> None:
        import torch

        self._torch = torch
        self._weight = weight
        self._packed = CpuLinear(weight, rows=64)

    def __call__(self, x: Any) -> Any:
        if len(x) > 1:
            return self._packed(x)
        onednn = self._torch.backends.mkldnn
        onednn.enabled = False
        try:
            return self._torch.mv(self._weight, x[0].to(self._weight.dtype))[None]
        finally:
            onednn.enabled = True


class Int8Linear:
    """CpuLinear in 8-bit integers, which VNNI and AMX multiply at twice the speed of bfloat16.

    Weights are rounded once, with a scale for each output; x each time, with a scale for each of
    its rows (the dynamic scheme of LLM.int8(), arXiv:2208.07339, without its outliers).
    """

    def __init__(
        self, weight: Any, bias: Any = None, rows: int = 1, activation: str = "none"
    ) -> None:
        import torch

        self._torch = torch
        self._bias, self._activation = bias, activation
        scales = weight.float().abs().amax(1) / 127
        rounded = (weight.float() / scales[:, None]).round().to(torch.int8)
        self._scales = scales
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, [rows, weight.shape[1]])
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)

    def __call__(self, x: Any) -> Any:
        torch = self._torch
        scale = x.abs().amax(-1, keepdim=True).float() / 127
        # From -127..127 to 1..255; what follows the point is cut off, so .5 more rounds.
        rounded = x.float().mul_(1 / scale).add_(128.5).to(torch.uint8)
        y = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, 128, self._weight, self._scales, self._zeros,
            None, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        y = torch.addcmul(self._bias.float(), y, scale).to(x.dtype)
        if self._activation == "gelu":
            return torch.nn.functional.gelu(y, approximate="tanh")
        return y


# -- a server


class ServerRefused(Exception):
    """A server's answer with another status than 200, and its own words for it."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status} {words}")
        self.status = status


class ServerFault(NamedTuple):
    """What is wrong with a server: for the ear (behind "The server"), for the eye, what the user
    may do, and whether it may pass by itself."""

    trouble: str
    reason: str
    advice: str
    passes: bool


@functools.cache
def import_inference_client() -> Any:
    """Import huggingface-hub's client, set up so that a frame reaches the named server alone.

    It follows no redirect, asks no proxy of the environment, and ends a reply that lasts or grows
    beyond its limits, whatever drips from it: time limits of single reads would not.
    """
    prepare_hub(offline=True)
    os.environ["HF_HUB_VERBOSITY"] = "error"  # or it logs what a server's headers tell it to
    import httpx2
    from huggingface_hub import InferenceClient, set_client_factory

    class LimitedReply(httpx2.SyncByteStream):
        def __init__(self, reply: Any) -> None:
            self._reply = reply
            self._until = time.monotonic() + SERVER_CAPTION_S

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in self._reply:
                size += len(part)
                if time.monotonic() > self._until:
                    raise httpx2.ReadTimeout("")
                if size > SERVER_REPLY_BYTES:
                    raise ValueError("its answer does not end")
                yield part

        def close(self) -> None:
            self._reply.close()

    def check(response: Any) -> None:
        response.stream = LimitedReply(response.stream)
        if response.status_code != 200:
            raise ServerRefused(response.status_code, words_of_refusal(response))

    # huggingface-hub's own client would refuse to send anything while HF_HUB_OFFLINE is set.
    set_client_factory(
        lambda: httpx2.Client(
            trust_env=False,  # proxies; certificates may well be named there (SSL_CERT_FILE)
            verify=httpx2.create_ssl_context(),
            follow_redirects=False,
            event_hooks={"response": [check]},
        )
    )
    return InferenceClient


def words_of_refusal(response: Any) -> str:
    """Why a server refuses, in its own words where it has any, on one line."""
    if 300 <= response.status_code < 400:
        place = without_password(response.headers.get("location", "nowhere"))
        return f"{response.reason_phrase}, to {place}, where nothing was sent"
    words: Any = ""
    with contextlib.suppress(Exception):
        response.read()
        body = response.json()
        words = body.get("error") or body.get("detail") or body.get("message")
        words = words.get("message") if isinstance(words, dict) else words
    words = printable(str(words or ""))[:160]
    return f"{response.reason_phrase}: {words}" if words else str(response.reason_phrase)


def server_fault(error: Exception) -> ServerFault:
    """What an exception of the client says about the server. Messages of httpx2 and of
    huggingface-hub that hold the whole URL are not repeated: it may hold a key."""
    import httpx2
    from huggingface_hub.errors import TextGenerationError

    reason = re.sub(r"^\[[^]]*\] ", "", printable(str(error)))[:200] or type(error).__name__
    if isinstance(error, ServerRefused):
        if error.status in (429, 503):
            return ServerFault("has too much to do", reason, "try later", True)
        if error.status in (408, 425) or error.status >= 500:
            return ServerFault("has a fault", reason, "look at its log", True)
        key = error.status in (401, 403)
        advice = f"{SERVER_KEY} is for its key" if key else "look at --engine and --model"
        return ServerFault("refuses", reason, advice, False)
    if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
        reason = "it took too long"
    if isinstance(error, (TimeoutError, httpx2.TimeoutException, httpx2.ConnectError)):
        return ServerFault("does not answer", reason, "is it on, and is the address right?", True)
    if isinstance(error, httpx2.TransportError):
        return ServerFault("breaks off", reason, "is the address right?", True)
    if isinstance(error, TextGenerationError):  # an error in the place of a piece
        return ServerFault("has a fault", reason, "look at its log", True)
    return ServerFault("answers with nonsense", reason, "is it OpenAI-compatible?", False)


class ServerEngine:
    """A model behind an OpenAI-compatible server, through huggingface-hub's InferenceClient.

    Opening it asks the server for its models; whatever goes wrong then raises EngineError, or
    ModelError where it serves several and none was named. Until a first caption has come, what
    waiting will not mend (a refusal, nonsense) raises EngineError as well. Everything else raises
    EngineAway, and after a first caption nothing that a server does raises anything else.
    """

    def __init__(self, url: str, model: str | None, max_tokens: int) -> None:
        self.detail = False
        self.max_tokens = max_tokens
        self._place = without_password(url)
        parts = urlsplit(url)
        self._headers = {"user-agent": "pete_sounds", "authorization": authorization(parts)}
        host = parts.netloc.rpartition("@")[2]
        address = parts._replace(netloc=host).geturl()
        self._client = import_inference_client()(
            base_url=address,
            api_key="none",  # or the user's token of the Hub would be sent
            headers=self._headers,
            timeout=self._time_limits(),
        )
        self._worked = False
        served = self._served(address)
        self._model = model or the_one(served, self._place)
        self.label = f"{self._model} at {self._place}"

    def describe(self, clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        """See Engine. Raises EngineAway and EngineError."""
        messages = self.prepare(clip, prompt)
        room = self.max_tokens * CHARACTERS_A_TOKEN
        came = ended = False
        try:
            reply = self._client.chat_completion(
                messages,
                model=self._model,
                max_tokens=self.max_tokens,
                temperature=0.0,
                stream=True,
            )
            for choice in (choice for chunk in reply for choice in chunk.choices[:1]):
                piece = str(choice.delta.content or "")[:room]
                room -= len(piece)
                ended = choice.finish_reason is not None or room <= 0
                came = came or bool(piece.strip())
                self._worked = self._worked or (came and ended)
                if piece:  # Some servers begin with an empty one, before there is a token.
                    yield piece
                if ended:
                    break
            self._check_end(came, ended)
        except Exception as error:
            raise self._raised_for(error) from None
        finally:
            self._client.close()  # the reply alone; the next request opens the client again

    def prepare(self, clip: Sequence[Frame], prompt: str) -> list[dict[str, Any]]:
        """See Engine: the messages, each frame as a JPEG in a data URL, the oldest first."""
        side = SERVER_DETAIL_SIDE if self.detail else SERVER_SIDE
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": jpeg_url(frame.image, side)}}
            for frame in clip
        ]
        return [{"role": "user", "content": [*content, {"type": "text", "text": prompt}]}]

    def peak_memory(self) -> int:
        """See Engine. What the server needs is not known here."""
        return peak_process_memory()

    def _check_end(self, came: bool, ended: bool) -> None:
        """Raise for a reply that was cut off, or holds nothing. One that ends properly without a
        word is left to the caller, until it is known that this server can do better."""
        import httpx2

        if not ended:
            if came:
                raise httpx2.RemoteProtocolError("the caption has no end")
            raise ValueError("no caption in its answer")
        if not came and self._worked:
            raise EngineAway("says nothing", f"the server at {self._place} says nothing")

    def _raised_for(self, error: Exception) -> Exception:
        if isinstance(error, EngineAway):
            return error
        fault = server_fault(error)
        message = f"the server at {self._place} {fault.trouble} ({fault.reason})"
        if fault.passes or self._worked:
            return EngineAway(fault.trouble, message)
        return EngineError(f"{message}; {fault.advice}")

    def _served(self, address: str) -> list[dict[str, Any]]:
        """What the server lists as its models; empty where it has no such list."""
        from huggingface_hub import get_session

        parts = urlsplit(address)
        path = re.sub(r"(/v1)?(/chat/completions)?/*$", "", parts.path) + "/v1/models"
        try:
            answer = get_session().get(
                parts._replace(path=path).geturl(),
                headers={name: value for name, value in self._headers.items() if value},
                timeout=self._time_limits(),
            )
            return [model for model in answer.json()["data"] or [] if str(model["id"])]
        except Exception as error:
            if isinstance(error, ServerRefused) and error.status in (404, 405, 501):
                return []
            fault = server_fault(error)
            raise EngineError(
                f"the server at {self._place} {fault.trouble} ({fault.reason}); {fault.advice}"
            ) from None

    @staticmethod
    def _time_limits() -> Any:
        import httpx2

        return httpx2.Timeout(SERVER_SILENT_S, connect=SERVER_CONNECT_S)


def authorization(url: SplitResult) -> str | None:
    """The header that lets us in: from the URL's user and password, or the key of the environment.

    Raises UsageError for a key that can't be sent.
    """
    key = os.environ.get(SERVER_KEY, "").strip()
    if url.username is not None:
        both = f"{unquote(url.username)}:{unquote(url.password or '')}"
        return f"Basic {base64.b64encode(both.encode()).decode()}"
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"{SERVER_KEY} holds what no key can: control characters or letters")
    return f"Bearer {key}" if key else None


def the_one(models: list[dict[str, Any]], place: str) -> str:
    """The model that a server has: the only one, or the only one in memory, which mlx_vlm.server
    tells; "default" where it lists none. Raises ModelError when there is a choice."""
    loaded = [model for model in models if model.get("loaded")] or models
    names = [printable(str(model["id"])) for model in loaded]
    if len(names) > 1:
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise ModelError(f"the server at {place} serves {some}; name one with --model")
    return str(loaded[0]["id"]) if loaded else "default"


def jpeg_url(image: np.ndarray, side: int) -> str:
    """An image, shape (height, width, 3), dtype uint8, BGR, as a data URL of a JPEG whose longer
    side is at most `side` pixels."""
    cv2 = import_cv2()
    scale = side / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(length * scale)) for length in (image.shape[1], image.shape[0])]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


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


class Keeper:
    """Who wants the sound of what a Voice says. All of it is called by Voice, on any thread."""

    def expect(self, sentence: str, text: str) -> None:
        """A sentence is to be said, as `text`; it may still be dropped."""

    def keep(self, text: str, spoken: Path) -> None:
        """It was said. spoken: a WAV file of 16-bit mono samples at 22,050 Hz."""

    def unspoken(self, sentence: str, caption: int) -> None:
        """There is no voice any more to say this sentence of caption number `caption`."""


class WavFile(Keeper):
    """The whole narration as one WAV, valid at any moment: each sentence completes the header.

    When the disk is full the sentences that are whole are kept, and that is told once; so is a
    file that is not where it was, for what goes into a deleted one is lost.
    """

    LONGEST = 0xFFFF_FF00  # bytes, as the header counts them in 32 bits

    def __init__(self, path: str) -> None:
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - closed in close()
        except (OSError, ValueError) as error:  # ValueError: a zero byte
            raise UsageError(f"--wav {path} can't be written: {cause_of(error)}") from error
        self._path = path
        self._whole = 0  # bytes that hold whole sentences
        self._wav = wave.open(self._file)  # noqa: SIM115
        self._wav.setparams(WAV_FORMAT)
        self._broken = self._moved = False
        self._write(b"")

    def keep(self, text: str, spoken: Path) -> None:
        """Add one sentence behind the last one."""
        with wave.open(str(spoken)) as source:
            sound = source.readframes(source.getnframes())
        silence = b"" if self._wav.getnframes() == 0 else bytes(int(22050 * SILENCE_BETWEEN_S) * 2)
        self._write(silence + sound)

    def put(self, second: float, sound: bytes) -> None:
        """Add samples at this second of the file, behind silence. sound: as in Keeper.keep."""
        self.fill(second)
        self._write(sound)

    def fill(self, second: float) -> None:
        """Make it this many seconds long with silence, if it is shorter."""
        missing = int(second * WAV_FORMAT[2]) - self._wav.getnframes()
        while missing > 0 and not self._broken:
            part = min(missing, 60 * WAV_FORMAT[2])
            self._write(bytes(2 * part))
            missing -= part

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
            if 2 * self._wav.getnframes() + len(sound) > self.LONGEST:  # after 27 hours
                raise OSError(EFBIG, os.strerror(EFBIG))
            self._wav.writeframes(sound)
            self._file.flush()
            self._whole = self._file.tell()
        except OSError as error:
            self._broken = True
            self._drop_half_a_sentence()
            tell(f"--wav {self._path}: {error.strerror}; the narration goes on without it")
            return
        if not self._moved and not self._is_there():
            self._moved = True
            tell(f"--wav {self._path} was moved or deleted; the narration goes on")

    def _drop_half_a_sentence(self) -> None:
        """Cut the file where its header says it ends; what waits to be written goes nowhere."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file.fileno(), self._whole)
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._file.fileno())

    def _is_there(self) -> bool:
        """True while the file has the name that it was given."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except OSError:
            return False


def refuse_deleted(descriptor: int) -> None:
    """Raise OSError when nobody can find the open file any more: it or its folder was deleted."""
    if os.fstat(descriptor).st_nlink == 0:
        raise OSError(ENOENT, os.strerror(ENOENT))


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
    the words need; what was being said is dropped then. When one after the other dies without a
    sentence in between, the next tries come after longer and longer pauses. Trouble is told once
    on stderr, and so is its end.

    Raises OSError when there is no room for a child or its temporary files.
    """

    START_WITHIN_S = 30.0
    WAKE_WITHIN_S = 10.0  # a sound device may need some seconds, on top of what the words take
    DEATHS_IN_A_ROW = 3
    REST_S = (5.0, 10.0, 20.0, 40.0, 60.0)  # before the next try; the last one for ever

    def __init__(self, settings: VoiceSettings, keeper: Keeper | None = None) -> None:
        self._settings = settings
        self._keeper = keeper
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, str]] = []  # sentences of the newest caption
        self._speaking = False
        self._saying = ""
        self._words = 0.0  # of what is being said
        self._began = 0.0
        self._pace = 60 / settings.rate  # seconds a word, learned from what was said
        self._deadline = 0.0
        self._ready = False
        self._gone = False
        self._refused: PeteError | None = None
        self._silent: str | None = None
        self._deaths = 0
        self._rests = 0  # since something was said
        self._resting = False  # There is no child; the next one is started at self._again_at.
        self._again_at = 0.0
        self._hushed = False  # The child is being ended by hush().
        self._closing = False
        self._folder = tempfile.mkdtemp(prefix="pete_sounds-")
        try:
            self._child = self._start_child()
        except OSError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
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
            if not text:
                return False
            if self._gone or self._resting:
                if self._keeper is not None:
                    self._keeper.unspoken(sentence, caption)
                return False
            if self._keeper is not None:
                self._keeper.expect(sentence, text)
            self._waiting = [entry for entry in self._waiting if entry[0] == caption]
            self._waiting.append((caption, text))
            self._send_next()
            return self._silent is None or self._keeper is not None

    @property
    def busy(self) -> bool:
        """True while something is being said or waits to be."""
        return self.quiet_in() > 0

    def quiet_in(self) -> float:
        """Seconds until all is said, at the pace of what was said before; 0 when nothing is."""
        with self._changed:
            if self._gone or not (self._speaking or self._waiting):
                return 0.0
            left = sum(count_words(text) for _, text in self._waiting) * self._pace
            if self._speaking:
                left += max(0.0, self._began + self._words * self._pace - time.monotonic())
            return max(left, 0.01)

    @property
    def audible(self) -> bool:
        """False where nothing is ever heard: --mute with --wav, or speech that was given up."""
        return self._settings.aloud and not self._gone

    def hush(self) -> None:
        """Fall silent at once and drop what waits; another child is ready in half a second."""
        with self._changed:
            self._waiting.clear()
            if self._speaking and not self._hushed:
                self._hushed = True
                self.kill()  # The thread that hears from it notices, and replaces it.

    def wait_until_ready(self) -> None:
        """Wait until the child can speak, or is known not to. Raises as say() does."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ready or self._gone or self._resting, self.START_WITHIN_S
            )
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
        if self._child.returncode is not None:
            return  # Its number may be somebody else's by now.
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
            self._saying = text
            self._words, self._began = count_words(text), time.monotonic()
            needed = 60 * self._words / self._settings.rate
            self._deadline = self._began + self.WAKE_WITHIN_S + 3 * needed
            self._send(self._child, {"text": text})

    def _supervise(self) -> None:
        while not self._closing and not self._gone:
            if self._resting:
                self._rest_a_little()
                continue
            events = self._hear()
            with self._changed:
                if events is None:
                    self._replace_child("ended by itself")
                elif (self._speaking or not self._ready) and time.monotonic() > self._deadline:
                    self._replace_child("did not answer in time")
                for event in events or []:
                    if not self._hushed:  # else the killed child said it
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
        elif event["event"] == "rendered" and self._keeper is not None:
            with contextlib.suppress(OSError, wave.Error, EOFError):
                self._keeper.keep(self._saying, Path(event["path"]))
            with contextlib.suppress(OSError):
                Path(event["path"]).unlink()
        elif event["event"] == "done":
            self._speaking = False
            took = (time.monotonic() - self._began) / self._words
            self._pace += 0.3 * (took - self._pace)
            if self._rests:
                tell("the voice is back")
            self._deaths = self._rests = 0
            self._note_silence(event["trouble"])
        elif event["event"] == "refused" and not self._deaths:  # else it is one more death
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
        """Kill and start anew, at once or after a rest; drop what was being said and what it left.
        Called with the lock held."""
        self.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        for file in Path(self._folder).glob(f"{self._child.pid}-*"):
            with contextlib.suppress(OSError):
                file.unlink()
        self._speaking = self._ready = False
        self._heard = b""
        if self._closing:
            return
        if self._hushed:
            self._hushed = False
            self._start_again()
            return
        self._deaths += 1
        if self._deaths >= self.DEATHS_IN_A_ROW:
            self._rest(f"speech {why} {self._deaths} times")
            return
        tell(f"speech {why}; it is started again")
        self._start_again()

    def _start_again(self) -> None:
        """Start another child, or rest where the system has no room for one."""
        try:
            self._child = self._start_child()
        except OSError as error:
            self._rest(f"speech can't be started ({error.strerror})")
        else:
            self._resting = False

    def _rest(self, why: str) -> None:
        """Give up for a while, longer each time until something was said again."""
        if not self._rests:
            tell(f"no voice: {why}; the captions go on as text")
        self._again_at = time.monotonic() + self.REST_S[min(self._rests, len(self.REST_S) - 1)]
        self._rests += 1
        self._resting = True
        self._waiting.clear()

    def _rest_a_little(self) -> None:
        """Wait a tenth of a second, and start another child when it is time for it."""
        with self._changed:
            self._changed.wait(0.1)
            if not self._closing and time.monotonic() >= self._again_at:
                self._start_again()


def count_words(text: str) -> float:
    """How many words to reckon with. Some languages write without spaces: five letters are a word
    there."""
    return max(len(text.split()), len(text) / 5)


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
    """ID, name and languages (tags, a space between them) of each voice that the engine has."""
    return [
        (str(voice.id), str(voice.name), " ".join(map(language_tag, voice.languages or [])))
        for voice in engine.getProperty("voices")
    ]


def language_tag(told: Any) -> str:
    """A language as drivers tell it (en_US, en-gb, or bytes behind a number) as a tag of BCP 47,
    written as it recommends: en-US, en-GB-scotland, zh-Hans."""
    text = told.decode("utf-8", "ignore") if isinstance(told, bytes) else str(told)
    first, *rest = printable(text).replace("_", "-").split("-")
    parts = [first.lower()]
    for part in rest:
        private = "x" in parts
        region = len(part) == 2 and not private
        script = len(part) == 4 and part.isalpha() and not private
        parts.append(part.upper() if region else part.title() if script else part.lower())
    return "-".join(parts)


def choose_voice(engine: Any, settings: dict[str, Any]) -> None:
    """Set voice, rate and volume. Raises UsageError when there is no such voice."""
    if settings["voice"] is not None:
        voices = voices_of(engine)
        engine.setProperty("voice", find_voice(settings["voice"], voices, engine))
    engine.setProperty("rate", settings["rate"])
    engine.setProperty("volume", settings["volume"])


def find_voice(wanted: str, voices: list[tuple[str, str, str]], engine: Any) -> str:
    """The ID of the voice with this ID, else name, else language (en-GB), else one whose language
    begins so (en). Of several for a language it is the system's own, else the one of the
    language's home (fr-FR), else the first. Raises UsageError."""
    word, tag = wanted.casefold(), language_tag(wanted)
    for position in (0, 1):
        for voice in voices:
            if voice[position].casefold() == word:
                return voice[0]
    spoken = [(voice, spoken) for voice in voices for spoken in voice[2].split()]
    for_language = [voice for voice, language in spoken if language == tag]
    for_language = for_language or [
        voice for voice, language in spoken if language.startswith(f"{tag}-")
    ]
    if not for_language:
        raise UsageError(f"there is no voice {wanted!r}; --list-voices shows them")
    usual, home = engine.getProperty("voice"), f"{tag}-{tag.upper()}"
    return min(for_language, key=lambda voice: (voice[0] != usual, voice[2] != home))[0]


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
        from pyttsx3.drivers import _espeak

        self._wait_for_espeak = _espeak.Synchronize
        self._settings = settings
        self._count = 0

    def silent(self) -> str | None:
        """Why nothing can be heard, or None: play a sample of silence to find out."""
        if (trouble := self._no_room()) or not self._settings["aloud"]:
            return trouble
        path = Path(self._settings["folder"]) / f"{os.getpid()}-silence.wav"
        with wave.open(str(path), "wb") as silence:
            silence.setparams(WAV_FORMAT)
            silence.writeframes(bytes(2))
        trouble = play(["aplay", "-q", str(path)])
        path.unlink()
        return trouble

    def speak(self, text: str, report: Any) -> str | None:
        """Say a sentence and wait for its end. Returns what went wrong, or None."""
        if trouble := self._no_room():
            return trouble
        self._count += 1
        path = Path(self._settings["folder"]) / f"{os.getpid()}-{self._count}.wav"
        if not self._render(text, path) and not self._render(text, path):
            return "espeak-ng gave no sound"
        trouble = play(["aplay", "-q", str(path)]) if self._settings["aloud"] else None
        if self._settings["keep"]:
            report("rendered", path=str(path))
        else:
            path.unlink()
        return trouble

    def _no_room(self) -> str | None:
        """Why a sentence can't be rendered, or None. Where the driver fails to write its file, it
        waits for ever for the end of a sentence that it has given up."""
        folder = self._settings["folder"]
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            return f"{folder}: {error.strerror}"
        return None if free >= SPEECH_ROOM else f"there is no room left in {folder}"

    def _render(self, text: str, path: Path) -> bool:
        """Speak into a WAV file; False when there is nothing in it."""
        # Set anew each time: once in many starts espeak-ng's own thread loses the first setting.
        for name in ("rate", "volume"):
            self.engine.setProperty(name, self._settings[name])
        self.engine.save_to_file(text, str(path))
        self.engine.runAndWait()
        # The driver returns while espeak-ng still renders on a thread of its own, and says
        # "finished" while that thread has not: what it still does can undo the next sentence.
        self._wait_for_espeak()
        with contextlib.suppress(OSError, EOFError, wave.Error), wave.open(str(path)) as sound:
            return sound.getnframes() > 0
        return False


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


# ------------------------------------------------------------------------------------------- track


class VttFile:
    """The narration as WebVTT (https://www.w3.org/TR/webvtt1/), valid at any moment.

    A cue is written whole, in one go. What begins later takes the place of what was there: a cue
    that would still be shown ends then, its time overwritten where it stands, and cues that would
    come after it are taken away. The words behind WEBVTT are for people and for other programs;
    lines of such words would be headers, of which the standard has none today.
    """

    def __init__(self, path: str, language: str | None) -> None:
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed in close()
        except OSError as error:
            raise UsageError(f"--vtt {path} can't be written: {error.strerror}") from error
        self._path = path
        self._size = 0
        self._cues: list[tuple[int, int, int]] = []  # offset in the file; start, end in ms
        self._broken = False
        self.count = 0
        self._append(f"WEBVTT Kind: descriptions{f'; Language: {language}' if language else ''}\n")

    def add(self, start: float, end: float, text: str) -> None:
        """Write a cue. start, end: seconds. text: printable, one line."""
        begins, ends = round(start * 1000), max(round(end * 1000), round(start * 1000) + 1)
        while self._cues and self._cues[-1][1] >= begins:
            self._take_away()
        if self._cues and self._cues[-1][2] > begins:
            offset, before, was = self._cues[-1]
            place = offset + len(f"\n{cue_time(before)} --> ")
            self._write(place, cue_time(begins).zfill(len(cue_time(was))).encode())
        for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(sign, name)
        self._cues = [*self._cues[-9:], (self._size, begins, ends)]
        self.count += 1
        self._append(f"\n{cue_time(begins)} --> {cue_time(ends)}\n{text}\n")

    def close(self) -> None:
        """Close the file; what comes later is not written."""
        self._broken = True
        self._file.close()

    def _take_away(self) -> None:
        """Remove the last cue."""
        self._size = self._cues.pop()[0]
        self.count -= 1
        with contextlib.suppress(OSError, ValueError):
            os.ftruncate(self._file.fileno(), self._size)

    def _append(self, text: str) -> None:
        data = text.encode()
        self._write(self._size, data)
        if not self._broken:
            self._size += len(data)

    def _write(self, offset: int, data: bytes) -> None:
        """Write at this place; a cue that finds no room on the disk leaves nothing behind."""
        if self._broken:
            return
        try:
            refuse_deleted(self._file.fileno())
            written = 0
            while written < len(data):
                written += os.pwrite(self._file.fileno(), data[written:], offset + written)
        except OSError as error:
            self._broken = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), self._size)
            tell(f"--vtt {self._path}: {error.strerror}; the narration goes on without it")


def cue_time(milliseconds: int) -> str:
    """A time as WebVTT has it, hours first."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"


def sound_of(spoken: Path) -> bytes:
    """The samples of a WAV file, as in Keeper.keep, without the silence around them."""
    import numpy as np

    with wave.open(str(spoken)) as source:
        samples = np.frombuffer(source.readframes(source.getnframes()), "<i2")
    level = np.abs(samples.astype("int32"))
    loud = np.flatnonzero(level > (level.max() if len(level) else 0) / 300)
    if not len(loud):  # --volume 0
        return samples.tobytes()
    margin = WAV_FORMAT[2] // 100
    return samples[max(0, loud[0] - margin) : loud[-1] + margin].tobytes()


def seconds_of(sound: bytes) -> float:
    """The length of samples as sound_of gives them."""
    return len(sound) / 2 / WAV_FORMAT[2]


class Speaker(Protocol):
    """What a Narrator speaks through: a Voice, or what puts the sentences into a track."""

    def say(self, sentence: str, caption: int) -> bool:
        """Speak a sentence of caption number `caption`; False when there is no voice."""

    def quiet_in(self) -> float:
        """Seconds until all is said, on the clock of the source."""

    @property
    def audible(self) -> bool:
        """False where nothing is ever heard."""

    def hush(self) -> None:
        """Fall silent at once, and drop what waits."""

    def wait_until_ready(self) -> None:
        """Wait until it can speak, or is known not to."""

    def wait_until_quiet(self) -> None:
        """Let what is being said come to its end."""


class LiveTrack(Keeper):
    """Puts what is said of a live source into its track while it runs.

    Each sentence has its place at its frame, or behind the one before. What a Voice says is
    written once it was said, with its true length. Without a voice this is the Speaker: a cue is
    written at once, as long as its words take, and the next caption takes its place.
    """

    def __init__(self, frames: Frames, vtt: VttFile, wav: WavFile | None, rate: int) -> None:
        self._frames, self._vtt, self._wav, self._rate = frames, vtt, wav, rate
        self._expected: list[tuple[str, str, float]] = []  # as it is spoken, as text, at
        self._free = 0.0  # seconds into the source; from then on there is room
        self._caption = -1

    # -- for a Voice

    def expect(self, sentence: str, text: str) -> None:
        """Remember when the frame was that this is about."""
        self._expected.append((text, printable(sentence), self._frames.at))

    def keep(self, text: str, spoken: Path) -> None:
        """Write what was said; what was expected before it has been dropped."""
        while self._expected:
            expected, sentence, at = self._expected.pop(0)
            if expected == text:
                sound = sound_of(spoken)
                start = self._place(sentence, at, seconds_of(sound))
                if self._wav is not None:
                    self._wav.put(start, sound)
                break

    def unspoken(self, sentence: str, caption: int) -> None:
        """Write it all the same."""
        self.say(sentence, caption)

    # -- for a Narrator, without a Voice

    def say(self, sentence: str, caption: int) -> bool:
        """Write a sentence of caption number `caption`. False: nobody hears it."""
        text = printable(sentence)
        if caption != self._caption:
            self._caption, self._free = caption, self._frames.at
        self._place(text, self._frames.at, 60 * count_words(text) / self._rate)
        return False

    def quiet_in(self) -> float:
        """0: the next caption need not wait."""
        return 0.0

    @property
    def audible(self) -> bool:
        """Nothing is heard."""
        return False

    def hush(self) -> None:
        """It is silent."""

    def wait_until_ready(self) -> None:
        """It is."""

    def wait_until_quiet(self) -> None:
        """All is written."""

    def _place(self, text: str, at: float, seconds: float) -> float:
        """Write a cue, `at` or later. Returns its start."""
        start = max(at, self._free)
        self._vtt.add(start, start + max(seconds, READ_WITHIN_S), text)
        self._free = start + seconds + SILENCE_BETWEEN_S
        return start


@dataclass(frozen=True)
class Utterance:
    """A sentence for a film's track. Times in seconds, `at` into the film. sound: as sound_of
    gives it, or nothing. follows: it is not the first sentence of its caption."""

    text: str
    at: float
    seconds: float
    sound: bytes
    follows: bool


class FilmVoice(Keeper):
    """The Speaker of a film: puts each sentence at its time, and says none aloud.

    The film's clock takes the place of the wall clock. Sentences have the length that they have
    when the Voice renders them, or without one, that of their words; none begins before the one
    before has ended, so what is new meanwhile is described when its turn has come, from the frame
    of that time. The first sentence of a caption always comes to its end; the others are left out
    where something new comes before their end (not when `whole`). The last one is held back until
    the end of the film is known, and moved to an earlier time if it would not fit.
    """

    def __init__(
        self,
        film: Film,
        vtt: VttFile,
        wav: WavFile | None,
        settings: VoiceSettings,
        speaks: bool = True,
        whole: bool = False,
    ) -> None:
        self._film, self._vtt, self._wav = film, vtt, wav
        self._rate, self._whole = settings.rate, whole
        self._waiting: list[Utterance] = []
        self._last: tuple[float, Utterance] | None = None  # start and what; not written yet
        self._free_before = self._free = 0.0  # from when on there is room: for the last, after it
        self._said: tuple[int, float] | None = None  # caption and time
        self._count = 0
        self._sound = b""
        self._lock = threading.RLock()  # for an end that comes from another thread
        self._voice = Voice(settings, self) if speaks else None

    def say(self, sentence: str, caption: int) -> bool:
        """Put a sentence of caption number `caption` into the track, at the film's time or behind
        what is said then. False when there is no sound of it."""
        text, at = printable(sentence), self._film.at
        if not speakable(text):
            return False
        sound = self._rendered(text)
        seconds = seconds_of(sound) or 60 * count_words(text) / self._rate
        with self._lock:
            self._place(at)
            follows, self._said = self._said == (caption, at), (caption, at)
            if not follows:
                self._waiting = [one for one in self._waiting if not one.follows]
            self._waiting.append(Utterance(text, at, seconds, sound, follows))
            self._place(at)
        return bool(sound)

    def quiet_in(self) -> float:
        """Seconds of the film until there is room for a caption."""
        with self._lock:
            self._place(self._film.at)
            free = self._free
            for one in self._waiting:
                if self._whole or not one.follows:
                    free += one.seconds + SILENCE_BETWEEN_S
            return max(0.0, free - self._film.at)

    @property
    def audible(self) -> bool:
        """Nothing is heard."""
        return False

    def hush(self) -> None:
        """Nothing is said aloud."""

    def wait_until_ready(self) -> None:
        """Wait until sentences can be rendered, or are known not to be. Raises as Voice does."""
        if self._voice is not None:
            self._voice.wait_until_ready()

    def wait_until_quiet(self) -> None:
        """The film is over, or has been described far enough: place what is left of it."""
        length = self._film.length
        with self._lock:
            self._place(math.inf if length is None else length)
            for one in self._waiting:
                tell(f"left out, as the film ends: {one.text}")
            self._waiting.clear()
            self._fit_last(length)
            self._write_last()
            if self._wav is not None and self._film.ended and length is not None:
                self._wav.fill(length)

    def close(self) -> None:
        """Write what was held back, and end the voice."""
        if self._lock.acquire(timeout=0.3):
            self._fit_last(self._film.length)
            self._write_last()
            self._lock.release()
        if self._voice is not None:
            self._voice.close()

    def keep(self, text: str, spoken: Path) -> None:
        """Take the sound of a sentence from the Voice."""
        self._sound = sound_of(spoken)

    def _rendered(self, text: str) -> bytes:
        """The sound of a sentence; nothing when there is no voice. A child that died over it gets
        it once more."""
        for _ in range(2):
            self._count += 1
            self._sound = b""
            if self._voice is None or not self._voice.say(text, self._count):
                break
            self._voice.wait_until_quiet()
            if self._sound:
                break
        return self._sound

    def _place(self, now: float) -> None:
        """Give a time to each sentence whose turn has come `now`."""
        while self._waiting:
            one = self._waiting[0]
            start = max(self._free, one.at)
            if start + (one.seconds if one.follows else 0.0) > now:
                return
            del self._waiting[0]
            if start - one.at > LATE_S and any(not other.follows for other in self._waiting):
                continue  # Something newer is to be said.
            self._write_last()
            self._last = (start, one)
            self._free_before = self._free
            self._free = start + one.seconds + SILENCE_BETWEEN_S

    def _fit_last(self, length: float | None) -> None:
        """Move the sentence that was held back so that it ends with the film, or leave it out."""
        if self._last is None or length is None:
            return
        start, one = self._last
        earlier = min(start, length - one.seconds)
        if earlier < self._free_before or one.at - earlier > LATE_S:
            self._last = None
            tell(f"left out, as the film ends: {one.text}")
        elif earlier < start:
            self._last = (earlier, one)
            tell(f"said {start - earlier:.1f} s early, as the film ends: {one.text}")

    def _write_last(self) -> None:
        """Write the sentence that was held back."""
        if self._last is None:
            return
        start, one = self._last
        self._last = None
        end = start + max(one.seconds, READ_WITHIN_S)
        self._vtt.add(start, min(end, self._film.length or end), one.text)
        if self._wav is not None:
            self._wav.put(start, one.sound)


class Progress:
    """How far a film is described: a bar on a terminal, else a line now and then, on stderr.

    The bar is tqdm's, so that above_progress() finds it. length: seconds, or None if not known.
    """

    LINE_EVERY_S = 30.0

    def __init__(self, length: float | None) -> None:
        self._length = length
        self._told_at = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            import tqdm

            tqdm.tqdm.monitor_interval = 0  # no thread of its own
            tqdm.tqdm.set_lock(threading.RLock())  # nor a process for a lock between processes
            known = "{percentage:3.0f} %|{bar}| {n:.0f} of {total:.0f} s, {remaining} left"
            self._bar = tqdm.tqdm(
                total=length,
                bar_format=known if length else "{n:.0f} s of the film in {elapsed}",
                dynamic_ncols=True,
                leave=False,
            )

    def show(self, at: float) -> None:
        """The film has been seen up to this second."""
        if self._bar is not None:
            self._bar.update(at - self._bar.n)
        elif time.monotonic() - self._told_at >= self.LINE_EVERY_S:
            self._told_at = time.monotonic()
            of = f" of {minutes(self._length)}" if self._length else ""
            tell(f"described up to {minutes(at)}{of}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def minutes(seconds: float) -> str:
    """A length as 2:05."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02}"


def report(film: Film, vtt: str, took: float) -> None:
    """Tell what became of a film."""
    length = film.length or 0.0
    if film.ended and film.announced and length < 0.95 * film.announced - 1:
        tell(f"the film can't be read beyond {minutes(length)} of {minutes(film.announced)}")
    seen = length if film.ended else film.at
    tell(f"{vtt} is written: {minutes(seen)} of film took {minutes(took)}")


# ----------------------------------------------------------------------------------------- outputs


@dataclass(frozen=True)
class Caption:
    """What was said of a frame, and when. Times are in seconds.

    frame: the frame, or the newest of a clip. time: when it was taken. text: printable, one line.
    first_token_s, caption_s: from the start of the work to its first token and to its end.
    frame_age_s: how old the frame was when the first sentence was handed on; 0 for a Film, whose
    clock stands still meanwhile. spoken: to a voice.
    """

    frame: Frame
    time: datetime
    text: str
    first_token_s: float
    caption_s: float
    frame_age_s: float
    spoken: bool
    question: str | None = None  # what was typed, where this is an answer

    def as_json(self) -> str:
        """One line for another program; the names are a contract."""
        facts: dict[str, Any] = {
            "time": self.time.isoformat(timespec="milliseconds"),
            "at": round(self.frame.at, 3),
            "caption": self.text,
            "first_token_s": round(self.first_token_s, 3),
            "caption_s": round(self.caption_s, 3),
            "frame_age_s": round(self.frame_age_s, 3),
            "spoken": self.spoken,
        }
        if self.question is not None:
            facts["question"] = self.question
        return json.dumps(facts, ensure_ascii=False)


class Output(Protocol):
    """Where captions go."""

    def write(self, caption: Caption) -> None:
        """Take one caption. Raises Ended when there is nobody left to write for."""


class Captions:
    """Prints captions on stdout: a line each, or a JSON object each."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def write(self, caption: Caption) -> None:
        """Print one caption. Raises Ended when nobody reads our stdout any more."""
        try:
            with TYPED.away(), above_progress():
                print(caption.as_json() if self._as_json else caption.text, flush=True)
        except OSError as error:
            if error.errno in (EPIPE, EIO):  # the pipe or the terminal is closed
                raise Ended from error
            raise UsageError(f"captions can't be written: {error.strerror}") from error


class SavedFrames:
    """Keeps frames as JPEGs in one folder, each with its caption inside.

    A file is named by the local time at which its frame was taken, so that names sort by time. It
    appears whole or not at all. Trouble is told once, and so is its end; each frame tries again.
    """

    MOST_LETTERS = 8000  # of a caption: all of EXIF has to fit into 64 kB

    def __init__(self, folder: str) -> None:
        self._folder = Path(os.path.expanduser(folder))
        self._part: Path | None = None  # what is being written
        self._trouble = False
        self._closed = False

    def prepare(self) -> None:
        """Make the folder, and try whether it can be written in. Raises UsageError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.write(b"tried")
        except FileExistsError as error:
            raise UsageError(f"--save {self._folder} is a file; give a folder") from error
        except (OSError, ValueError) as error:  # ValueError: a zero byte
            raise UsageError(
                f"--save {self._folder} can't be written: {cause_of(error)}"
            ) from error

    def write(self, caption: Caption) -> None:
        """Save the frame of a caption."""
        self.save(caption.frame, caption.time, caption.text)

    def save(self, frame: Frame, taken: datetime, text: str) -> Path | None:
        """Save a frame with what was said of it; the file's path, or None where that failed."""
        try:
            path = self._write_file(as_jpeg(frame, taken, text[: self.MOST_LETTERS]), taken)
        except (OSError, ValueError) as error:
            if not self._trouble and not self._closed:
                self._tell(f"can't be saved: {cause_of(error)}; each new frame is tried again")
            self._trouble = True
            return None
        if self._trouble:
            self._tell("are saved again")
        self._trouble = False
        return path

    def close(self) -> None:
        """Leave no half file behind."""
        self._closed = True
        part = self._part
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()

    def _tell(self, what: str) -> None:
        tell(f"frames for {self._folder.absolute()} {what}")

    def _write_file(self, data: bytes, taken: datetime) -> Path:
        """Write beside, then rename. Who has the file beside has the name, so two programs that
        save into one folder never take each other's."""
        stem = f"{taken:%Y-%m-%dT%H-%M-%S}.{taken.microsecond // 1000:03d}"
        for number in range(1, 1000):
            name = f"{stem}.jpg" if number == 1 else f"{stem}-{number}.jpg"
            path, part = self._folder / name, self._folder / f".{name}.part"
            if path.exists():
                continue
            with contextlib.suppress(FileExistsError), part.open("xb") as file:
                self._part = part
                try:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                    if not path.exists():
                        return part.rename(path)
                finally:
                    self._part = None
                    with contextlib.suppress(OSError):
                        part.unlink()  # not there any more where it was renamed
        raise OSError("too many frames of this millisecond")


def cause_of(error: Exception) -> str:
    """What a failed call to the system says of itself."""
    return str(getattr(error, "strerror", None) or error)


def as_jpeg(frame: Frame, taken: datetime, text: str) -> bytes:
    """A frame as the bytes of a JPEG that tells when it was taken and what was said of it.

    EXIF's ImageDescription is UTF-8, as the Metadata Working Group's guidelines (2.0) read its
    ASCII; UserComment has the same text in the one Unicode form that EXIF itself knows, UTF-16 in
    the byte order of the whole, which is Pillow's: big-endian.
    """
    from PIL import ExifTags, Image

    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    if text:
        exif[ExifTags.Base.ImageDescription] = text.encode("utf-8", "replace")
        details[ExifTags.Base.UserComment] = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    exif[ExifTags.Base.Software] = "Pete Sounds"
    offset = taken.strftime("%z")
    details[ExifTags.Base.DateTimeOriginal] = f"{taken:%Y:%m:%d %H:%M:%S}"
    details[ExifTags.Base.SubsecTimeOriginal] = f"{taken.microsecond // 1000:03d}"
    details[ExifTags.Base.OffsetTimeOriginal] = f"{offset[:3]}:{offset[3:5]}"
    content = io.BytesIO()
    rgb_picture(frame.image).save(content, "JPEG", quality=JPEG_QUALITY, exif=exif)
    return content.getvalue()


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


# ----------------------------------------------------------------------------------------- preview

INK, OUTLINE, STRIP = (255, 255, 255), (0, 0, 0), (28, 28, 28)  # BGR
MARKS = {"looking": (80, 220, 255), "speaking": (120, 240, 120), "paused": (120, 160, 255)}
PREVIEW_WIDTHS = (320, 1920)  # a picture is enlarged or shrunk to be this wide,
PREVIEW_HEIGHT = 1080  # but never higher than this
TEXT_WEIGHT = 600  # of 100 to 1000; thin letters drown in their outline
UNDRAWN = ("Mn", "Me", "Mc", "Cf", "Sk")  # accents, joiners, skin tones: nothing by themselves


@dataclass(frozen=True)
class Status:
    """What the preview tells beside the caption. label: the engine's, or something said for a
    moment. seconds: that the caption took. The others are the marks that are shown."""

    label: str = ""
    seconds: float | None = None
    looking: bool = False
    speaking: bool = False
    paused: bool = False


def draw_preview(image: np.ndarray, caption: str, status: Status) -> np.ndarray:
    """A frame, and under it its caption in up to two lines and the status in one.

    A longer caption grows upwards over the picture, to a third of it; what does not fit there
    ends in an ellipsis. Takes and gives (height, width, 3), uint8, BGR; `image` is left as it is.
    The result is 320 to 1920 wide, and as high for all captions.
    """
    cv2 = import_cv2()
    image = fitted(image)
    height, width = image.shape[:2]
    size = round(8.5 + 0.0206 * width)  # of letters, in pixels: 15 when 320 wide, 48 when 1920
    small, line, margin = round(0.72 * size), round(1.35 * size), round(0.55 * size)
    canvas = cv2.copyMakeBorder(
        *(image, 0, 2 * line + 2 * margin + 2 * small, 0, 0, cv2.BORDER_CONSTANT),
        value=STRIP,
    )
    inner = width - 2 * margin
    lines = wrapped(drawable(caption), inner, size, max(2, 2 + height // 3 // line))
    over = max(0, len(lines) - 2) * line
    if over:
        canvas[height - over - margin : height] //= 3  # Text on a busy picture needs some rest.
    baseline = height - over + margin // 2
    for text in lines:
        baseline += line
        put_text(canvas, text, (margin, baseline - line // 5), size, INK)
    baseline = canvas.shape[0] - margin
    seconds = "" if status.seconds is None else f"{status.seconds:.1f} s"
    taken = text_width(seconds, small)
    put_text(canvas, seconds, (width - margin - taken, baseline), small, INK)
    label = wrapped(drawable(status.label), inner - taken - margin, small, 1)
    put_text(canvas, "".join(label), (margin, baseline), small, INK)
    left = margin
    for name, colour in MARKS.items():
        if getattr(status, name):
            left = put_mark(canvas, name, (left, margin), small, colour) + margin
    return canvas


def fitted(image: np.ndarray) -> np.ndarray:
    """The image at a size fit for a window; a very narrow one between black margins."""
    cv2 = import_cv2()
    height, width = image.shape[:2]
    narrow, wide = PREVIEW_WIDTHS
    scale = min(wide / width, PREVIEW_HEIGHT / height, max(1.0, narrow / width))
    if scale != 1.0:
        shrunk = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(
            image, shrunk, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
    missing = narrow - image.shape[1]
    if missing <= 0:
        return image
    return cv2.copyMakeBorder(
        image, 0, 0, missing // 2, missing - missing // 2, cv2.BORDER_CONSTANT, value=OUTLINE
    )


def put_mark(
    canvas: np.ndarray, name: str, corner: tuple[int, int], size: int, colour: tuple[int, ...]
) -> int:
    """Draw a mark, a shape and its name, with its upper left corner there; returns its right end.

    Who can't tell the colours can tell the shapes: a filled circle, a triangle, two bars.
    """
    import numpy as np

    cv2 = import_cv2()
    x, y = corner
    right = x + 2 * size + text_width(name, size) + size // 2
    canvas[y : y + 2 * size, x:right] //= 4
    top, bottom, left = y + size // 2, y + size + size // 2, x + size // 2
    if name == "looking":
        cv2.circle(canvas, (left + size // 2, y + size), size // 2, colour, -1, cv2.LINE_AA)
    elif name == "speaking":
        corners = np.array([(left, top), (left, bottom), (left + size, y + size)])
        cv2.fillPoly(canvas, [corners], colour, cv2.LINE_AA)
    else:
        for bar in (left, left + 2 * size // 3):
            canvas[top:bottom, bar : bar + max(2, size // 3)] = colour
    put_text(canvas, name, (left + size + size // 2, y + size + 2 * size // 5), size, colour)
    return right


# -- letters


@functools.lru_cache(maxsize=1)
def font() -> Any:
    """A font that OpenCV's wheels bring along, so that no machine lacks it: Latin, Greek, Cyrillic,
    Chinese, Japanese and Korean letters, and no emoji."""
    return import_cv2().FontFace("sans")


def text_width(text: str, size: int) -> int:
    """How wide a line of text is, in pixels."""
    cv2 = import_cv2()
    return int(cv2.getTextSize((0, 0), text, (0, 0), font(), size, TEXT_WEIGHT, 0)[2])


def put_text(
    canvas: np.ndarray, text: str, start: tuple[int, int], size: int, colour: tuple[int, ...]
) -> None:
    """Draw one line, outlined, on canvas (height, width, 3), uint8, BGR; start: its lower left."""
    if not text:
        return
    import numpy as np

    cv2 = import_cv2()
    x, y = start
    thick = max(1, size // 12)  # of the outline
    left, top = max(0, x - thick), max(0, y - size - thick)
    right, bottom = x + text_width(text, size) + 2 * thick, y + size // 2
    part = canvas[top:bottom, left:right]
    letters = np.zeros(part.shape[:2], np.uint8)
    cv2.putText(letters, text, (x - left, y - top), (255,), font(), size, TEXT_WEIGHT, 0)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thick + 1, 2 * thick + 1))
    rest = cv2.merge([255 - cv2.dilate(letters, disc)] * 3)
    ink = cv2.multiply(cv2.merge([letters] * 3), (*colour, 0), scale=1 / 255)
    part[:] = cv2.add(cv2.multiply(part, rest, scale=1 / 255), ink)


def wrapped(text: str, width: int, size: int, most: int) -> list[str]:
    """Text in lines that are at most `width` pixels wide, at most so many; what is left over is
    told by an ellipsis at the end."""
    lines: list[str] = []
    text = text.strip()
    while text and len(lines) < most:
        end = fitting(text, width, size)
        if end < len(text) and len(lines) == most - 1:
            cut = text[: fitting(text, width - text_width("…", size), size)]
            lines.append(cut.rstrip(" ,;:.") + "…")
            break
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return lines


def fitting(text: str, width: int, size: int) -> int:
    """How many of the first letters make a line: up to a space where there is one, between any two
    letters of a script without spaces; one at least."""
    low, high = 1, min(len(text), 8 * width // size + 1)  # no letter is narrower than an eighth
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if text_width(text[:middle], size) <= width else (low, middle - 1)
        )
    if low == len(text):
        return low
    for end in range(low, low // 2, -1):
        before, after = text[end - 1], text[end]
        if after == " " or before == " " or before == "-":
            return end
        broad = unicodedata.east_asian_width(before) + unicodedata.east_asian_width(after)
        if broad in ("WW", "WF", "FW") and not unicodedata.category(after).startswith("P"):
            return end
    return low


def drawable(text: str) -> str:
    """The same text in what the font can draw: an emoji becomes its name, an accent that stands by
    itself goes."""
    kept = []
    for character in unicodedata.normalize("NFC", printable(text)):
        if character.isascii() or has_glyph(character):
            kept.append(character)
        elif unicodedata.category(character) == "So":
            kept.append(f"({unicodedata.name(character, '?').lower()}) ")
        elif unicodedata.category(character) not in UNDRAWN:
            kept.append("?")
    return printable("".join(kept))


@functools.lru_cache(maxsize=4096)
def has_glyph(character: str) -> bool:
    """False when the font draws a question mark in the place of a character."""
    import numpy as np

    cv2 = import_cv2()
    drawn = np.zeros((2, 32, 48), np.uint8)
    for picture, text in zip(drawn, (character, "?")):
        cv2.putText(picture, text, (8, 24), (255,), font(), 20, TEXT_WEIGHT, 0)
    return bool((drawn[0] != drawn[1]).any())


# -- the window


def check_display() -> None:
    """Find out whether a window can be opened. Raises UsageError.

    Where none can, OpenCV's window ends the whole process: Qt aborts it (QMessageLogger::fatal).
    So on Linux a process of its own tries first, which takes 0.3 s. A Mac is asked whether this
    login has a screen (CGSessionCopyCurrentDictionary of Core Graphics is NULL over ssh).
    """
    if sys.platform == "darwin":
        if not has_mac_screen():
            raise UsageError("--preview needs a screen, and this login has none")
        return
    if not os.environ.get("DISPLAY"):
        raise UsageError("--preview needs a display, and there is none (DISPLAY is not set)")
    quiet_qt()
    code = "import os, cv2; cv2.namedWindow('Pete Sounds'); os._exit(0)"
    try:
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=DISPLAY_WITHIN_S,
            start_new_session=True,  # a Ctrl-C meanwhile is for us alone
        )
    except (OSError, subprocess.SubprocessError) as error:
        name = os.environ["DISPLAY"]
        raise UsageError(f"--preview can't open a window on the display {name}") from error


def has_mac_screen() -> bool:
    """True when the login that this process belongs to has a window server."""
    try:
        services = ctypes.CDLL(
            "/System/Library/Frameworks/ApplicationServices.framework/ApplicationServices"
        )
        services.CGSessionCopyCurrentDictionary.restype = ctypes.c_void_p
        return services.CGSessionCopyCurrentDictionary() is not None
    except (OSError, AttributeError):
        return True  # The question can't be asked any more: let the window be the answer.


def quiet_qt() -> None:
    """Tell Qt, which opens the window on Linux, the one platform that the wheel brings along, and
    to keep its remarks on fonts and on Wayland to itself."""
    os.environ["QT_QPA_PLATFORM"] = "xcb"
    os.environ.setdefault("QT_LOGGING_RULES", "*=false")


class Preview:
    """A window with the newest frame and the last caption. An Output, too. Main thread only.

    It is drawn anew when something changed, at most FRAMES_A_SECOND times for frames alone.
    speaking: asked whether the voice speaks.
    """

    TITLE = "Pete Sounds - q: end, space: pause, r: say again, s: save"
    FRAMES_A_SECOND = 20
    NOTE_S = 4.0  # that a note stands in the place of the label
    FIRST_SIZE = (1280, 900)  # a window begins no larger than this

    def __init__(self, label: str, speaking: Callable[[], bool]) -> None:
        self._cv2 = import_cv2()
        self._label = label
        self._note, self._note_until = "", 0.0
        self._caption = ""
        self._seconds: float | None = None
        self._drawn: Any = None  # what the window shows
        self._drawn_at = 0.0
        self._opened = False
        self.frame: Frame | None = None  # on show
        self.speaks = speaking
        self.looking = self.paused = False

    @property
    def caption(self) -> str:
        """The words under the frame."""
        return self._caption

    def write(self, caption: Caption) -> None:
        """Show a caption from now on."""
        self._caption, self._seconds = caption.text, caption.caption_s

    def say(self, sentence: str) -> None:
        """Show something that is no caption in its place."""
        self._caption, self._seconds = sentence, None

    def note(self, text: str, seconds: float = NOTE_S) -> None:
        """Show something for a moment, in the place of the engine's label."""
        self._note, self._note_until = text, time.monotonic() + seconds

    def show(self, frame: Frame | None = None) -> None:
        """Bring the window up to date, with this frame if it is not paused."""
        now = time.monotonic()
        if frame is not None and not self.paused:
            self.frame = frame
        if self.frame is None:
            return
        status = Status(
            self._note if now < self._note_until else self._label,
            self._seconds,
            self.looking,
            self.speaks(),
            self.paused,
        )
        words = (self._caption, status)
        if self._drawn is not None:
            soon = now - self._drawn_at < 1 / self.FRAMES_A_SECOND
            if self._drawn[1] == words and (soon or self._drawn[0] is self.frame):
                return
        self._drawn, self._drawn_at = (self.frame, words), now
        self._put(draw_preview(self.frame.image, self._caption, status))

    def pressed(self) -> list[str]:
        """Let the window work, and return the keys that were pressed, as small letters. A window
        that was closed by its button says q."""
        keys = []
        while self._opened and (key := self._cv2.waitKeyEx(1)) != -1:
            if 0 < key < 128:
                keys.append(chr(key).lower())
        if self._opened and not self._is_visible():
            keys.append("q")
        return keys

    def _is_visible(self) -> bool:
        try:
            return bool(self._cv2.getWindowProperty(self.TITLE, self._cv2.WND_PROP_VISIBLE) >= 1)
        except self._cv2.error:  # Qt's last window is closed, and all of its own with it.
            return False

    def _put(self, picture: np.ndarray) -> None:
        if not self._opened:
            quiet_qt()
            cv2 = self._cv2
            cv2.namedWindow(
                self.TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
            )
            height, width = picture.shape[:2]
            scale = min(1.0, self.FIRST_SIZE[0] / width, self.FIRST_SIZE[1] / height)
            cv2.resizeWindow(self.TITLE, round(width * scale), round(height * scale))
            self._opened = True
        self._cv2.imshow(self.TITLE, picture)


# ------------------------------------------------------------------------------------------ typing


class TypedLine:
    """The line that is being typed, kept whole below what is printed meanwhile.

    The terminal hands over each key and echoes none, so that the line can be taken away and drawn
    anew around a caption. Signals stay the terminal's: Ctrl-C and Ctrl-Z do what they always do.
    Terminals that can't move the cursor keep their own echo and hand over whole lines.

    prompt_toolkit was tried for this: it prints from a thread of its own, some time later, and
    joins stdout and stderr, so that the last caption is lost at the end, and a closed pipe unseen.
    """

    LONGEST = 500  # characters
    TEND_EVERY_S = 0.25
    # An escape sequence (ECMA-48: CSI, or ESC and a letter), or one character.
    KEY = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?|.", re.DOTALL)

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._text = ""
        self._terminal: int | None = None  # where to draw
        self._mode_lock = threading.Lock()  # never held for long, as the end waits for it
        self._before: list[Any] | None = None  # the terminal's own mode
        self._given_back = False

    def open(self, opened: contextlib.ExitStack, plain: bool = False) -> None:
        """Take over the terminal on stdin, where it can be and is to be, until `opened` is
        closed."""
        # Reading in the background would stop the whole program; ignored, it fails instead.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        if plain or os.environ.get("TERM", "dumb") == "dumb":
            return
        try:
            termios.tcgetattr(0)
            self._terminal = os.open(os.ttyname(0), os.O_WRONLY | os.O_NOCTTY)
        except (OSError, termios.error):
            return
        opened.callback(self.give_back)
        self._take_keys()

    def give_back(self) -> None:
        """Put the terminal back as it was, for good; waits for nothing, and twice is no harm."""
        with self._mode_lock, contextlib.suppress(termios.error):
            self._given_back = True
            if self._before is not None and self._is_ours():
                # NOW: a terminal that Ctrl-S holds would never be drained.
                termios.tcsetattr(0, termios.TCSANOW, self._before)

    def lines(self) -> Iterator[str]:
        """Each line as it is ended by Enter, until the terminal is gone."""
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        while True:
            if not self._is_ours():
                time.sleep(self.TEND_EVERY_S)
                continue
            self._take_keys()
            try:
                if not select.select([0], [], [], self.TEND_EVERY_S)[0]:
                    continue
                keys = os.read(0, 1024)
            except OSError:  # in the background now
                time.sleep(self.TEND_EVERY_S)
                continue
            if not keys:
                return
            for key in self.KEY.findall(decoder.decode(keys)):
                if key in "\r\n":
                    yield self._entered()
                else:
                    self._press(key)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Take the line off the terminal while something is printed."""
        with self._lock:
            self._draw("")
            try:
                yield
            finally:
                self._draw(self._text)

    def _entered(self) -> str:
        with self._lock:
            text, self._text = self._text, ""
            self._show("\n")
        return text

    def _press(self, key: str) -> None:
        with self._lock:
            text = self._text
            if key in "\x7f\b":
                text = text[:-1]
            elif key == "\x15":  # Ctrl-U
                text = ""
            elif key == "\x17":  # Ctrl-W
                text = re.sub(r"\S*\s*$", "", text)
            elif len(key) == 1 and printable(f".{key}.") != ".." and len(text) < self.LONGEST:
                text += " " if key == "\t" else key
            if self._text and text == self._text + key and self._end_of(text) == text:
                self._text = text
                self._show(key)  # Alone, as screen readers read aloud what is drawn.
            elif text != self._text:
                self._draw("")
                self._text = text
                self._draw(text)

    def _end_of(self, text: str) -> str:
        """As much of a line's end as one row has room for."""
        room = 76
        with contextlib.suppress(OSError):
            room = max(os.get_terminal_size(self._terminal or 0).columns - 4, 1)
        for start in range(len(text) - 1, -1, -1):
            room -= 1 + (unicodedata.east_asian_width(text[start]) in "WF")
            if room < 0:
                return text[start + 1 :]
        return text

    def _draw(self, text: str) -> None:
        """Draw the line's end, as much as fits; an empty text takes it away."""
        if self._text and self._is_ours():
            self._show(f"\r\x1b[K> {self._end_of(text)}" if text else "\r\x1b[K")

    def _show(self, text: str) -> None:
        if self._terminal is not None:
            with contextlib.suppress(OSError):
                os.write(self._terminal, text.encode(errors="replace"))

    def _take_keys(self) -> None:
        """Have each key at once: at the start, and when a shell had the terminal meanwhile."""
        with self._mode_lock, contextlib.suppress(termios.error):
            if self._terminal is None or self._given_back or not self._is_ours():
                return
            mode = termios.tcgetattr(0)
            if not mode[3] & (termios.ICANON | termios.ECHO):
                return
            self._before = list(mode)
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(0, termios.TCSANOW, mode)
        with self.away():
            pass  # It is drawn again.

    @staticmethod
    def _is_ours() -> bool:
        """False in the background, while the terminal is the shell's or another program's."""
        try:
            return os.tcgetpgrp(0) == os.getpgrp()
        except OSError:  # Nobody else can have it.
            return True


TYPED = TypedLine()


@dataclass(frozen=True)
class Request:
    """What was typed. question: for the model, or None for the usual prompt. detail: look closely
    and say more."""

    question: str | None = None
    detail: bool = False

    @property
    def prompt(self) -> str | None:
        """The question without the brackets that a model's own marks, such as <image>, stand in."""
        return self.question and re.sub(r"[<>]", " ", self.question)


HELP = (
    "Enter: describe now. Any other line: a question about the picture. again: the last caption "
    "once more. more: in detail. hush: silence now. quiet, speak: voice off, on. what did I miss: "
    "the last minutes. q: end."
)


def command_of(text: str) -> str:
    """A typed line as a command is written: "More." is more, and "??" is ?."""
    return text.casefold().rstrip("?.! ") or text[:1]


def request_of(text: str) -> Request:
    """What a typed line asks of the model."""
    if command_of(text) == "more":
        return Request(MORE_PROMPT, detail=True)
    return Request(text or None)


class Requests:
    """Reads what is typed on a terminal, on a thread.

    q works at once, whatever the main thread is doing, and each line silences the voice; the rest
    waits for its turn there, the same line once.
    """

    AT_MOST = 8  # that wait

    def __init__(self) -> None:
        # Both are the narrator's, once there is one. rest: of what is being said, too.
        self.hush: Callable[[bool], None] = lambda rest: None
        self.refuse: Callable[[str], None] = tell
        self._waiting: queue.Queue[str] = queue.Queue(self.AT_MOST)
        self._refused = False
        threading.Thread(target=self._listen, name="keys", daemon=True).start()

    def next(self) -> str | None:
        """The first line of those that wait, printable; None when there is none."""
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return None

    def _listen(self) -> None:
        for line in TYPED.lines():
            text = printable(line)
            command = command_of(text)
            if command == "q":
                os.kill(os.getpid(), signal.SIGINT)
                continue
            if command != "speak":
                self.hush(command in ("hush", "quiet"))
            self._put(text)

    def _put(self, text: str) -> None:
        with self._waiting.mutex:
            if text in self._waiting.queue:  # Enter held down, say
                return
        try:
            self._waiting.put_nowait(text)
            self._refused = False
        except queue.Full:
            if not self._refused:
                self._refused = True
                self.refuse("That is too much at once; some of it was left out.")


# ---------------------------------------------------------------------------------------- narrator


class Narrator:
    """Turns a frame into a caption: sentences to the voice as they come, then a line for eyes.

    What the last caption said already is printed, but not spoken again until REPEAT_AFTER_S.
    """

    REPEAT_AFTER_S = 60.0
    RECAP_S = 600.0
    RECAP_AT_MOST = 10  # captions; nobody listens to more

    def __init__(
        self,
        engine: Engine,
        voice: Speaker | None,
        outputs: Sequence[Output],
        prompt: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._voice = voice
        self._outputs = outputs
        self._prompt = prompt
        self._clock = clock  # that of Frame.taken
        self._lead_s = 0.0  # from a frame to its first sentence, the last time
        self._last: set[str] = set()  # what the last caption said
        self._spoken_at = 0.0
        self._latest = ""  # the last caption or answer as it was printed
        self._told: dict[str, tuple[float, str]] = {}  # words: when last, and how; newest last
        self._begun = self._silenced = False  # Some of the caption is spoken; no more of it is.
        self.count = 0
        self.quiet = False  # text alone
        self.meanwhile: Callable[[], None] = lambda: None  # called with each piece of text

    @property
    def busy(self) -> bool:
        """True while the voice speaks for longer than a caption takes: one made now would be old
        when its turn comes."""
        return self._voice is not None and self._voice.quiet_in() > self._lead_s

    def announce(self, sentence: str) -> None:
        """Say and print something that is no caption."""
        tell(sentence)
        self._last = set()  # After this, what is in view is worth a word again.
        self._say(sentence)

    def answer(self, clip: Sequence[Frame], request: Request) -> None:
        """Describe what was asked for, aloud even where it was said before; else as narrate()."""
        self._last = set()
        if not request.detail:
            self.narrate(clip, request)
            return
        self.announce("Looking closely.")
        engine = self._engine
        before = engine.detail, engine.max_tokens
        engine.detail, engine.max_tokens = True, max(engine.max_tokens, MORE_TOKENS)
        try:
            self.narrate(clip, request)
        except UsageError:  # a model that does not look at tiles
            engine.detail = False
            self.narrate(clip, request)
        finally:
            engine.detail, engine.max_tokens = before

    def narrate(self, clip: Sequence[Frame], request: Request | None = None) -> None:
        """Describe a frame, or several as one clip, the newest last. Raises what the engine
        raises; nothing is printed then."""
        started, began = time.monotonic(), self._clock()
        self._begun = self._silenced = False
        prompt = (request and request.prompt) or self._prompt
        frame = clip[-1]
        times: list[float] = []  # when each piece of text came
        spoken, age = False, 0.0
        said: dict[str, str] = {}  # sentences by their words alone
        pieces = attended(self._engine.describe(clip, prompt), self.meanwhile)
        for sentence in sentences(stamped(pieces, times)):
            text = printable(sentence)
            words = words_of(text)
            if not text:
                continue
            if words in said:  # The model goes round in circles.
                break
            if not said:
                age = self._clock() - frame.taken
                self._lead_s = self._clock() - began
            spoken = self._speak(text, words) or spoken
            said[words] = text
        if not said:
            raise RuntimeError("the model had nothing to say")
        self._last = set(said)
        ended = time.monotonic()
        usual = request is None or request.question is None
        self.count += usual
        caption = Caption(
            frame,
            self.time_of(frame),
            " ".join(said.values()),
            first_token_s=times[0] - started,
            caption_s=ended - started,
            frame_age_s=age,
            spoken=spoken,
            question=None if request is None else request.question,
        )
        self._latest = caption.text
        if usual:
            self._keep(ended, caption.text)
        for output in self._outputs:
            output.write(caption)

    def time_of(self, frame: Frame) -> datetime:
        """When a frame was taken, by the local clock; one of a film, when it was looked at."""
        return datetime.now().astimezone() - timedelta(seconds=self._clock() - frame.taken)

    def again(self) -> bool:
        """Say the last caption once more; False when there is none, or nothing to say it with."""
        return bool(self._latest) and self._say(self._latest)

    def hush(self, rest: bool = True) -> None:
        """Fall silent at once, from any thread, for the rest of the caption or answer in the making
        as well. Not rest: only if it was begun, as else nobody has heard any of it yet."""
        self._silenced = self._silenced or rest or self._begun
        if self._voice is not None:
            self._voice.hush()

    @property
    def has_voice(self) -> bool:
        """False where there is nothing to speak with."""
        return self._voice is not None and self._voice.audible

    @property
    def latest(self) -> str:
        """The last caption or answer; empty before the first."""
        return self._latest

    def recap(self) -> str:
        """The captions of the last minutes, each with how long ago it was said last."""
        now = time.monotonic()
        told = list(self._told.values())[-self.RECAP_AT_MOST :]
        parts = [f"{ago(now - when)}: {text}" for when, text in told if now - when <= self.RECAP_S]
        return " ".join(parts) or "Nothing was said in the last ten minutes."

    def _keep(self, now: float, text: str) -> None:
        """Remember a caption for recap(), in the place of an earlier one in the same words."""
        words = words_of(text)
        self._told.pop(words, None)
        self._told[words] = now, text
        if len(self._told) > self.RECAP_AT_MOST:
            del self._told[next(iter(self._told))]

    def _say(self, text: str) -> bool:
        if self._voice is None or self.quiet:
            return False
        return self._voice.say(text, self.count)

    def _speak(self, text: str, words: str) -> bool:
        """Hand a sentence to the voice, unless it was said just now; False when it was not."""
        if self._voice is None or self._silenced:
            return False
        now = self._clock()
        if words in self._last and now - self._spoken_at < self.REPEAT_AFTER_S:
            return False
        self._spoken_at = now
        self._begun = True
        return self._say(text)


def ago(seconds: float) -> str:
    """How long ago, for the ear."""
    count, unit = (round(seconds / 60), "minute") if seconds >= 90 else (round(seconds), "second")
    return f"{count} {unit}{'' if count == 1 else 's'} ago"


def words_of(text: str) -> str:
    """A sentence's words alone: the same for two that differ in case and punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold())) or text


def stamped(pieces: Iterable[str], times: list[float]) -> Iterator[str]:
    """The same pieces; when each one came is added to `times`, seconds on the monotonic clock."""
    for piece in pieces:
        times.append(time.monotonic())
        yield piece


def attended(pieces: Iterable[str], meanwhile: Callable[[], None]) -> Iterator[str]:
    """The same pieces; `meanwhile` is called as each comes, before it is used."""
    for piece in pieces:
        meanwhile()
        yield piece


class Watch:
    """The one loop: newest frame, worth a caption, caption; until the source or the limit ends.

    With a preview, its window is kept up to date and its keys are answered; `saved` takes what its
    s key saves.
    """

    def __init__(
        self,
        frames: Frames | Film,
        narrator: Narrator,
        always: bool,
        limit: int | None,
        debug: bool,
        preview: Preview | None = None,
        saved: SavedFrames | None = None,
        requests: Requests | None = None,
        history: ClipBuffer | None = None,
    ) -> None:
        shrinker = Shrinker()
        self._frames, self._narrator = frames, narrator
        self._history = history or ClipBuffer(1)
        self._gate, self._sight = SceneGate(always, shrinker), Sight(shrinker)
        self._limit, self._debug = limit, debug
        self._faults = 0
        self._preview, self._saved = preview, saved
        self._requests = requests
        self._asked: deque[Request] = deque()
        self._answering = self._told_to_wait = False
        self._seen: Frame | None = None  # the newest
        narrator.meanwhile = self._between_pieces
        self._away = 0  # frames in a row that the engine was away for
        self._next_try = 0.0  # seconds on time.monotonic's clock

    def run(self) -> None:
        """Watch until the end. Raises Ended when nobody reads our stdout any more or the preview is
        closed, and EngineError when the engine fails again and again."""
        while not self._ended():
            frame = self._newest()
            if self._take_in(frame) and frame is not None:
                self._describe(frame)
            self._heed()
        if self._away:
            raise EngineError("the server did not come back before the source ended")
        self._linger()

    def _take_in(self, frame: Frame | None) -> bool:
        """Tell the news of the source and look at its newest frame, if there is one; True when
        that is worth a caption now. Raises Ended."""
        for sentence in self._frames.news():
            self._announce(sentence)
            self._seen = None
        if not stdout_is_read():
            raise Ended
        self._tend_preview(frame)
        if frame is None:
            return False
        self._seen = frame
        self._history.see(frame)
        return self._wants(frame)

    @property
    def _paused(self) -> bool:
        return self._preview is not None and self._preview.paused

    @property
    def _enough(self) -> bool:
        return self._limit is not None and self._narrator.count >= self._limit

    def _ended(self) -> bool:
        return (self._frames.ended and not self._paused) or self._enough

    def _newest(self) -> Frame | None:
        if self._paused:
            time.sleep(0.03)
            return None
        return self._frames.newest(timeout=0.1 if self._preview is None else 0.03)

    def _announce(self, sentence: str) -> None:
        if self._preview is not None:
            self._preview.say(sentence)
        self._narrator.announce(sentence)

    def _linger(self) -> None:
        """Keep the preview alive while the last caption is said; behind the end of a film or a
        picture until it is closed, as nobody could have looked at it otherwise."""
        if self._preview is None:
            return
        if not self._enough:
            self._preview.note("the end; q closes this", math.inf)
        while not self._enough or self._preview.speaks():
            if not stdout_is_read():
                raise Ended
            self._tend_preview()
            time.sleep(0.03)

    def _tend_preview(self, frame: Frame | None = None) -> None:
        """Bring the preview up to date and do what its keys ask for. Raises Ended."""
        preview = self._preview
        if preview is None:
            return
        preview.show(frame or self._frames.glance())
        for key in preview.pressed():
            if key == "q":
                raise Ended
            if key == " ":
                preview.paused = not preview.paused
                self._narrator.announce("Paused." if preview.paused else "Going on.")
            elif key == "r" and not self._narrator.again():
                preview.note("nothing can be said again")
            elif key == "s":
                preview.note(self._save(preview))

    def _save(self, preview: Preview) -> str:
        """Save the frame on show, with the words under it unless it has changed since; says under
        which name."""
        frame, path = preview.frame, None
        if frame is not None and self._saved is not None:
            words = "" if preview.looking else preview.caption
            path = self._saved.save(frame, self._narrator.time_of(frame), words)
        if path is None:
            return "the frame was not saved"
        tell(f"saved {path}")
        return f"saved {path.name}"

    def _wants(self, frame: Frame) -> bool:
        """Look at a frame; True when it is worth a caption now."""
        trouble = self._sight.look(frame)
        # A picture, or the last frame of a film:
        if self._frames.ended and self._sight.trouble is not None:
            trouble = trouble or self._sight.trouble.value
        if trouble is not None:
            self._announce(trouble)
        if not self._sight.readable:
            # What was before the dark is not one scene with what follows.
            self._history.clear(frame.taken)
        wanted = self._gate.wants(frame)  # The gate looks at each frame, or it misses what moves.
        if self._away:  # That the engine is back is news, whatever is in view.
            wanted = time.monotonic() >= self._next_try
        return wanted and self._sight.readable and not self._narrator.busy

    # -- what is typed

    def _between_pieces(self) -> None:
        """While a caption is made: keep the preview alive; give way to what was asked."""
        self._tend_preview()
        self._hear()
        # A picture, or the last frame of a film, has no other turn to be described.
        if self._asked and not self._answering and not self._frames.ended:
            raise Interrupted

    def _hear(self) -> None:
        """Do at once what was typed and needs no model; the rest waits in self._asked."""
        while self._requests is not None and len(self._asked) < Requests.AT_MOST:
            text = self._requests.next()
            if text is None:
                return
            if not self._obey(command_of(text)) and request_of(text) not in self._asked:
                self._asked.append(request_of(text))

    def _obey(self, command: str) -> bool:
        """Do what needs no model; False for anything else."""
        narrator = self._narrator
        if command == "?":
            self._announce(HELP)
        elif command in ("what did i miss", "missed"):
            narrator.announce(narrator.recap())
        elif command in ("again", "quiet", "speak", "hush"):
            if not narrator.has_voice and command != "again":
                tell("there is no voice to switch: --mute was given, or speech failed")
            elif command == "again":
                tell(narrator.latest or "nothing was said yet")
                narrator.again()
            elif command in ("quiet", "speak"):
                if command == "quiet":
                    narrator.hush()
                narrator.quiet = command == "quiet"
                self._announce("The voice is off." if narrator.quiet else "The voice is on.")
        else:
            return False
        return True

    def _heed(self) -> None:
        """Answer what was asked, in turn, each from what is in view now."""
        self._hear()
        if self._asked and self._paused and not self._told_to_wait:
            self._told_to_wait = True
            self._announce("It is paused. What was asked is answered when it goes on.")
        while self._asked and not self._paused:
            self._told_to_wait = False
            request = self._asked.popleft()
            self._look()
            if self._seen is None:
                self._announce("There is no picture just now.")
            elif self._sight.trouble is not None and not self._sight.readable:
                self._announce(self._sight.trouble.value)
            else:
                self._answering = True
                self._describe(self._seen, request)
                self._answering = False

    def _look(self) -> None:
        """Have what is in view now in self._seen: where the frame there is old, the next one is
        waited for, or the news that the source is lost."""
        while not self._frames.ended:
            self._take_in(self._frames.newest(timeout=0.2))
            if self._seen is None or time.monotonic() - self._seen.taken < FRESH_S:
                return

    def _describe(self, frame: Frame, request: Request | None = None) -> None:
        """Describe a frame once; one of a film again, until the server is back."""
        self._try_to_describe(frame, request)
        while self._away and isinstance(self._frames, Film):
            time.sleep(max(0.0, self._next_try - time.monotonic()))
            self._try_to_describe(frame, request)

    def _try_to_describe(self, frame: Frame, request: Request | None) -> None:
        try:
            with self._looking():
                if request is None:
                    self._narrator.narrate(self._history.clip_to(frame))
                else:
                    clip = [frame] if request.detail else self._history.clip_to(frame)
                    self._narrator.answer(clip, request)
        except Interrupted:
            pass  # What was asked is answered next.
        except PeteError:
            raise
        except EngineAway as error:
            self._wait_for_engine(error)
            if request is not None:
                self._announce(f"That can't be answered: the server {error.trouble}.")
        except Exception as error:
            if self._debug:
                traceback.print_exc()
            if request is not None and request.question is not None:
                # The question may be at fault; that the engine is, captions will show.
                self._announce(f"That can't be answered: {reason_of(error)}")
                return
            self._faults += 1
            if self._faults >= FAULTS_IN_A_ROW or self._frames.ended:
                raise EngineError(
                    f"the engine failed on {self._faults} frames in a row; the last time: "
                    f"{reason_of(error)}"
                ) from error
            tell(f"a frame could not be described: {reason_of(error)}")
        else:
            self._faults = 0
            if request is None or request.question is None:
                self._gate.described(frame)
            if self._away:
                self._away = 0
                self._announce("The server is back.")

    def _wait_for_engine(self, error: EngineAway) -> None:
        """Tell once that the engine is away; it is tried again after pauses that grow."""
        if self._frames.ended:
            raise EngineError(str(error))
        pause = REOPEN_PAUSES_S[min(self._away, len(REOPEN_PAUSES_S) - 1)]
        self._next_try = time.monotonic() + pause
        self._away += 1
        if self._away == 1 or self._debug:
            tell(str(error))
        if self._away == 1:
            self._announce(f"The server {error.trouble}; trying again.")

    @contextlib.contextmanager
    def _looking(self) -> Iterator[None]:
        """The mark stands in the preview while the engine works; it is drawn before, as the window
        can't be until the first piece of text comes."""
        if self._preview is None:
            yield
            return
        self._preview.looking = True
        self._tend_preview()
        try:
            yield
        finally:
            self._preview.looking = False


# ----------------------------------------------------------------------------- models and devices


def list_models() -> None:
    """Print what each preset is to each library and what of it is on disk, then all else that is
    kept. Needs no network and no package."""
    kept = kept_models()
    print(f"{'--model':15}{'engine':8}{'download':10}{'licence':28}on disk")
    for preset, checkpoints in PRESETS.items():
        for library, checkpoint in checkpoints.items():
            folders = kept.pop(checkpoint.repository, [])
            facts = (
                f"{preset:15}{library:8}{checkpoint.gigabytes:.1f} GB    {checkpoint.licence:28}"
            )
            print(facts + ("" if folders else "-"))
            print_folders(folders, checkpoint)
    if kept:
        print("others that are kept:")
    for name, folders in kept.items():
        print(printable(name))
        print_folders(folders)
    print("To remove one, delete its folders.")


def kept_models() -> dict[str, list[Path]]:
    """The folders of models in .hf_cache, by the repository, or the folder, that they come from:
    those that were fetched, and the weights that were made here."""
    kept: dict[str, list[Path]] = {}
    for folder in sorted(CACHE.glob("hub/models--*")):
        name = folder.name[len("models--") :].replace("--", "/", 1)
        kept.setdefault(name, []).append(folder)
    for folder in sorted(KEPT.glob("[!.]*/")):
        made = re.fullmatch(r"(.+)-(?:newest|[0-9a-f]{12})-[a-z0-9]+", folder.name)
        name = (made[1] if made else folder.name).replace("--", "/", 1)
        kept.setdefault(name, []).append(folder)
    return kept


def print_folders(folders: list[Path], checkpoint: Checkpoint | None = None) -> None:
    """A line for each folder on disk: its size, what it holds, and where it is."""
    for folder in folders:
        files = (file for file in folder.rglob("*") if not file.is_symlink())
        size = sum(file.stat().st_size for file in files if file.is_file())
        what = "made here"
        if folder.parent != KEPT:
            name = folder.name[len("models--") :]
            key = checkpoint_key(checkpoint) if checkpoint else f"{name}-newest"
            what = "fetched" if (KEPT / f"{key}.fetched").is_file() else "fetched in part"
        amount = f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
        print(f"{'':15}{amount} {what}: {printable(str(folder))}")


def list_cameras() -> None:
    """Print number, picture size and, where the system tells it, name of each camera."""
    known = list(known_cameras())
    # Where the system tells of none, they may still be there: in some containers, for instance.
    cameras = known or [Camera(number, "") for number in range(10)]
    found = 0
    for camera in cameras:
        size = picture_size(camera.number)
        if size is None and camera in known:
            tell(camera_trouble(camera.number))
        if size is not None or camera in known:
            found += 1
            print(f"{camera.number}  {size or 'no picture'}  {camera.name}".rstrip())
    if not found:
        raise SourceError("no camera found; --source takes a video, a picture or a stream too")


def picture_size(number: int) -> str | None:
    """Width and height of a camera's pictures; None when it can't be opened."""
    cv2 = import_cv2()
    capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            return None
        names = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        return "x".join(str(int(capture.get(name))) for name in names)
    finally:
        capture.release()


def list_voices(ending: Ending) -> None:
    """Print ID, name and languages of each voice; a child asks for them, as drivers print."""
    with ending.opening() as opened:
        child = subprocess.Popen(
            speech_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        opened.callback(child.kill)
    try:
        answer, _ = child.communicate(b'{"list": true}\n', timeout=Voice.START_WITHIN_S)
    except subprocess.TimeoutExpired as error:
        raise EngineError("no voice found: the speech engine does not answer") from error
    event = json.loads(answer or '{"trouble": "no speech engine answers"}')
    if not event.get("voices"):
        raise EngineError(f"no voice found: {event.get('trouble', 'none is installed')}")
    for identifier, name, languages in event["voices"]:
        print(f"{printable(identifier)}  {printable(name)}  {printable(languages)}")


# ------------------------------------------------------------------------------------------- bench


# Hidden size, layers, attention heads, key-value heads and intermediate size of the language
# models, and the vision towers: the smaller two have the same one.
TRUE_SHAPES = {
    "smolvlm2-256m": (576, 30, 9, 3, 1536),
    "smolvlm2-500m": (960, 32, 15, 5, 2560),
    "smolvlm2-2.2b": (2048, 24, 32, 32, 8192),
}
TRUE_VISION = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "image_size": 512, "patch_size": 16,
}  # fmt: skip
LARGE_VISION = {
    "hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16,
    "intermediate_size": 4304, "image_size": 384, "patch_size": 14,
}  # fmt: skip
TRUE_VOCABULARY = 49280


def random_checkpoint(preset: str) -> Path:
    """A checkpoint of the preset's true shape with random weights, as quick as the true one and
    of no other use; made once, then kept. Its words are those of the small bundled one."""
    if preset not in TRUE_SHAPES:
        raise ModelError(f"{preset} is not on this machine, and --bench has no stand-in for it")
    key = f"random-{preset}"
    if (found := already_made(key)) is not None:
        return found
    from safetensors.numpy import save_file

    tell(f"making a random checkpoint of {preset}'s shape (once)")
    with staged(key) as making:
        making.mkdir()
        for file in DEMO.glob("*.json"):
            shutil.copyfile(file, making / file.name)
        config = true_shape(making, preset)
        save_file(random_tensors(config), making / "model.safetensors", {"format": "pt"})
    return KEPT / key


def true_shape(folder: Path, preset: str) -> dict[str, Any]:
    """Give the small checkpoint's settings in `folder` the preset's sizes; returns its config."""

    def change(name: str, changes: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        settings: dict[str, Any] = json.loads((folder / name).read_text("utf-8"))
        changes(settings)
        (folder / name).write_text(json.dumps(settings), "utf-8")
        return settings

    vision, shuffle = (LARGE_VISION, 3) if preset == "smolvlm2-2.2b" else (TRUE_VISION, 4)
    side = vision["image_size"]

    def enlarge(config: dict[str, Any]) -> None:
        config.update(scale_factor=shuffle, vocab_size=TRUE_VOCABULARY)
        config["text_config"].update(true_text_config(preset), pixel_shuffle_factor=shuffle)
        config["vision_config"].update(vision)

    def fill(tokenizer: dict[str, Any]) -> None:
        words = tokenizer["model"]["vocab"]
        words.update({f"<{number}>": number for number in range(len(words), TRUE_VOCABULARY)})

    change("tokenizer.json", fill)
    tokens = (side // vision["patch_size"] // shuffle) ** 2
    change("processor_config.json", lambda settings: settings.update(image_seq_len=tokens))
    sizes = {"max_image_size": {"longest_edge": side}, "size": {"longest_edge": 4 * side}}
    change("preprocessor_config.json", lambda settings: settings.update(sizes))
    return change("config.json", enlarge)


def true_text_config(preset: str) -> dict[str, int]:
    """The sizes of a preset's language model, by their names in config.json."""
    width, layers, heads, kv_heads, inner = TRUE_SHAPES[preset]
    return {
        "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": 64,
        "vocab_size": TRUE_VOCABULARY,
    }  # fmt: skip


def random_tensors(config: dict[str, Any]) -> dict[str, np.ndarray]:
    """Every tensor of a SmolVLM checkpoint, float16: normal with deviation 0.02, norms about 1."""
    import numpy as np

    random = np.random.default_rng(0)

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        is_norm = "norm" in name and name.endswith("weight")
        values = random.standard_normal(shape, dtype=np.float32) * 0.02 + is_norm
        return values.astype(np.float16)

    return {name: tensor(name, shape) for name, shape in tensor_shapes(config).items()}


def tensor_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a SmolVLM checkpoint."""
    vision, text = config["vision_config"], config["text_config"]
    v, t, patch = vision["hidden_size"], text["hidden_size"], vision["patch_size"]
    places = (vision["image_size"] // patch) ** 2
    kv = text["num_key_value_heads"] * text["head_dim"]
    tower, language = "model.vision_model.", "model.text_model."
    shapes: dict[str, tuple[int, ...]] = {
        f"{tower}embeddings.patch_embedding.weight": (v, 3, patch, patch),
        f"{tower}embeddings.patch_embedding.bias": (v,),
        f"{tower}embeddings.position_embedding.weight": (places, v),
        f"{tower}post_layernorm.weight": (v,),
        f"{tower}post_layernorm.bias": (v,),
        "model.connector.modality_projection.proj.weight": (t, v * config["scale_factor"] ** 2),
        f"{language}embed_tokens.weight": (text["vocab_size"], t),
        f"{language}norm.weight": (t,),
        "lm_head.weight": (text["vocab_size"], t),
    }
    for layer in range(vision["num_hidden_layers"]):
        start, inner = f"{tower}encoder.layers.{layer}.", vision["intermediate_size"]
        linears: dict[str, tuple[int, ...]]
        linears = {f"self_attn.{name}_proj": (v, v) for name in ("q", "k", "v", "out")}
        linears.update({"mlp.fc1": (inner, v), "mlp.fc2": (v, inner)})
        linears.update({"layer_norm1": (v,), "layer_norm2": (v,)})
        shapes.update({f"{start}{name}.weight": shape for name, shape in linears.items()})
        shapes.update({f"{start}{name}.bias": shape[:1] for name, shape in linears.items()})
    for layer in range(text["num_hidden_layers"]):
        start, inner = f"{language}layers.{layer}.", text["intermediate_size"]
        linears = {"q": (t, t), "k": (kv, t), "v": (kv, t), "o": (t, t)}
        shapes.update({f"{start}self_attn.{n}_proj.weight": s for n, s in linears.items()})
        linears = {"gate": (inner, t), "up": (inner, t), "down": (t, inner)}
        shapes.update({f"{start}mlp.{name}_proj.weight": s for name, s in linears.items()})
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{start}{norm}.weight"] = (t,)

    return shapes


def bench(options: argparse.Namespace) -> None:
    """Measure this machine and print the table, or with --json one object."""
    choice = choose_engine(options.engine, options.bits)
    started = time.monotonic()
    import_packages(choice.name)
    imported = time.monotonic() - started
    locate(options.model, choice.weights().library)
    model, made_up = options.model, not is_on_disk(options.model, choice.weights())
    folder = find_weights(str(random_checkpoint(model)) if made_up else model, choice.weights())
    started = time.monotonic()
    engine = open_engine(choice, folder, BENCH_TOKENS)
    facts: dict[str, Any] = {
        "model": options.model,
        "random_weights": made_up,
        "engine": engine.label,
        "load_s": round(imported + time.monotonic() - started, 2),
    }
    if made_up:
        if isinstance(engine, CpuEngine):
            engine.guesses = False  # Random weights repeat themselves as no language does.
        tell(
            f"{model} is not on this machine: random weights of its shape; speed alone is measured"
        )
    for name, detail, repeats in (("one_tile", False, 9), ("detail", True, 5)):
        engine.detail = detail
        with contextlib.suppress(UsageError):  # There is no --detail for models without tiles.
            facts[name] = measure(engine, options.prompt, repeats)
    print(json.dumps(facts) if options.json else bench_table(facts), flush=True)


def measure(engine: Engine, prompt: str, repeats: int) -> dict[str, Any]:
    """Median, least and most of each figure, over captions of as many different frames."""
    import statistics  # which is slow to import, and --help needs no more than it must

    import numpy as np

    cv2 = import_cv2()
    random = np.random.default_rng(0)
    figures: dict[str, list[float]] = {}
    for repeat in range(repeats + 1):
        small = random.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        image = cv2.resize(small, (640, 480), interpolation=cv2.INTER_CUBIC)
        clip = [Frame(image, 0.0, 0.0)]
        times = [time.perf_counter()]
        engine.prepare(clip, prompt)
        prepared = time.perf_counter() - times[0]
        times = [time.perf_counter()]
        times += [time.perf_counter() for _ in engine.describe(clip, prompt)]
        if repeat == 0:  # The first one warms up.
            continue
        first, whole, count = times[1] - times[0], times[-1] - times[0], len(times) - 2
        for name, value in (
            ("frame_preparation_ms", prepared * 1000),
            ("first_token_s", first),
            ("tokens_per_s", count / max(whole - first, 1e-9)),
            ("caption_s", whole),
            ("captions_per_minute", 60 / whole),
        ):
            figures.setdefault(name, []).append(value)
    results: dict[str, Any] = {
        name: [round(value, 3) for value in (statistics.median(values), min(values), max(values))]
        for name, values in figures.items()
    }
    return {**results, "repeats": repeats, "peak_memory_mb": round(engine.peak_memory() / 1e6)}


def bench_table(facts: dict[str, Any]) -> str:
    """The figures for a reader: median, and (least to most)."""
    rows = [
        ("frame preparation", "frame_preparation_ms", "ms", 1),
        ("first token", "first_token_s", "s", 2),
        ("tokens", "tokens_per_s", "/s", 1),
        ("whole caption", "caption_s", "s", 2),
        ("captions", "captions_per_minute", "/min", 1),
    ]
    weights = ", random weights" if facts["random_weights"] else ""
    columns = [name for name in ("one_tile", "detail") if name in facts]
    lines = [
        f"{facts['engine']}; {facts['model']}{weights}; loaded in {facts['load_s']:.1f} s",
        f"{'':19}{'one tile':30}{'--detail' if 'detail' in facts else ''}".rstrip(),
    ]
    for title, name, unit, digits in rows:
        cells = [
            f"{middle:.{digits}f} {unit} ({least:.{digits}f} to {most:.{digits}f})"
            for middle, least, most in (facts[column][name] for column in columns)
        ]
        lines.append(f"{title:19}" + "".join(f"{cell:30}" for cell in cells).rstrip())
    memory = [f"{facts[column]['peak_memory_mb']} MB" for column in columns]
    lines.append(f"{'peak memory':19}" + "".join(f"{cell:30}" for cell in memory).rstrip())
    counts = " and ".join(str(facts[column]["repeats"]) for column in columns)
    lines.append(
        f"640x480 frames, captions of at most {BENCH_TOKENS} tokens; median (least to most) of "
        f"{counts}"
    )
    return "\n".join(lines)


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
            while os.read(reading, 1)[0] not in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                pass  # Any other that Python handles writes its number here, too.
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
        """Close everything, once; who comes second waits for the first. Whatever hangs then, the
        terminal is one again."""
        TYPED.give_back()
        with self._lock:
            self._opened.close()

    def give_way(self) -> None:
        """Go no further once an end was asked for: what is open is being closed."""
        if self._asked.is_set():
            time.sleep(2 * END_WITHIN_S)


def run(options: argparse.Namespace, ending: Ending) -> None:
    """Open the source and the voice, load the model, then watch."""
    started = time.monotonic()
    source = find_source(options.source)
    is_film = options.vtt is not None and source_kind(source) is SourceKind.FILE
    requests = open_requests(ending, plain=is_film)
    choice = choose_engine(options.engine, options.bits)
    if choice.url is not None:
        tell(f"frames are sent to {without_password(choice.url)}")
    else:
        locate(options.model, choice.name)  # Nobody should wait seconds for a word mistyped.
    try:
        tempfile.gettempdir()  # which torch and the voice need
    except OSError as error:
        raise EngineError(
            "no temporary folder can be written; make room in /tmp, or set TMPDIR to another one"
        ) from error
    # Camera and voice are opened while the engine's packages are imported.
    packages = threading.Thread(target=import_packages, args=[choice.name], daemon=True)
    packages.start()
    if options.preview:
        check_display()
    saved = SavedFrames(options.save or ".")
    if options.save is not None:
        saved.prepare()
    history = ClipBuffer(options.frames)
    frames: Frames | Film = Film(source) if is_film else Frames(source, history)
    with ending.opening() as opened:
        opened.callback(frames.close)
        opened.callback(saved.close)
        voice = open_voice(options, frames, opened)
    packages.join()
    engine: Engine
    if choice.url is not None:
        engine = ServerEngine(choice.url, options.model, options.max_tokens)
    else:
        weights = find_weights(options.model, choice.weights())
        engine = open_engine(choice, weights, options.max_tokens)
    engine.detail = options.detail
    if voice is not None:
        voice.wait_until_ready()
    tell(f"engine: {engine.label} ({choice.why})")
    ready = time.monotonic()
    tell(f"ready in {ready - started:.1f} s; Ctrl-C ends it")
    if requests is not None and not is_film:
        tell("type a question and Enter, or ? to hear what else you can type")
    outputs: list[Output] = [Captions(options.json)]
    if options.save is not None:
        outputs.append(saved)
    preview = open_preview(options, engine.label, voice)
    if preview is not None:
        outputs.append(preview)
    clock = (lambda: frames.at) if is_film else time.monotonic
    narrator = Narrator(engine, voice, outputs, options.prompt, clock)
    if isinstance(frames, Film):
        progress = Progress(frames.length)
        frames.on_frame = progress.show
        with ending.opening() as opened:
            opened.callback(progress.close)
    if requests is not None:
        requests.hush, requests.refuse = narrator.hush, narrator.announce
    watch = Watch(
        frames, narrator, options.always, options.limit, options.debug,
        preview, saved, None if is_film else requests, history,
    )  # fmt: skip
    try:
        watch.run()
    except PeteError as error:
        narrator.announce(str(error))  # Who can't see the screen must hear why it falls silent.
        error.told = True
        if voice is not None:
            voice.wait_until_quiet()
        raise
    if voice is not None:
        voice.wait_until_quiet()
    if isinstance(frames, Film):
        progress.close()
        report(frames, options.vtt, time.monotonic() - ready)


def open_requests(ending: Ending, plain: bool) -> Requests | None:
    """What is typed, where stdin is a terminal. plain: with the terminal's own echo."""
    if not sys.stdin or not sys.stdin.isatty():
        return None
    with ending.opening() as opened:
        TYPED.open(opened, plain)
    return Requests()


def open_preview(options: argparse.Namespace, label: str, voice: Speaker | None) -> Preview | None:
    """The preview, where it was asked for."""
    if not options.preview:
        return None
    return Preview(label, lambda: voice is not None and voice.audible and voice.quiet_in() > 0)


def open_voice(
    options: argparse.Namespace, frames: Frames | Film, opened: contextlib.ExitStack
) -> Speaker | None:
    """The voice that was asked for, or None when nothing is to be spoken or kept."""
    vtt = wav = None
    if options.vtt is not None:
        vtt = VttFile(
            options.vtt, "en" if options.prompt in (DEFAULT_PROMPT, CLIP_PROMPT) else None
        )
        opened.callback(vtt.close)
    if options.wav is not None:
        wav = WavFile(options.wav)
        opened.callback(wav.close)
    settings = VoiceSettings(
        options.voice,
        options.rate,
        options.volume,
        aloud=not (options.mute or isinstance(frames, Film)),
        keep=wav is not None or vtt is not None,
    )
    speaks = wav is not None or not options.mute
    try:
        voice = speaker_for(frames, vtt, wav, settings, speaks, options.always)
    except OSError as error:  # no temporary folder, no process
        tell(f"no voice: {error.strerror or error}; the captions go on as text")
        voice = speaker_for(frames, vtt, None, settings, False, options.always)
    if isinstance(voice, (Voice, FilmVoice)):
        opened.callback(voice.close)
    return voice


def speaker_for(
    frames: Frames | Film,
    vtt: VttFile | None,
    wav: WavFile | None,
    settings: VoiceSettings,
    speaks: bool,
    whole: bool,
) -> Speaker | None:
    """What sentences are handed to: a voice, a track, or both; None where neither is wanted.
    whole: see FilmVoice. Raises OSError."""
    if vtt is not None and isinstance(frames, Film):
        return FilmVoice(frames, vtt, wav, settings, speaks, whole)
    if vtt is not None and isinstance(frames, Frames):
        track = LiveTrack(frames, vtt, wav, settings.rate)
        return Voice(settings, track) if speaks else track
    return Voice(settings, wav) if speaks else None


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
        if options.list_models:  # It needs no package.
            list_models()
            return int(code)
        continue_under_venv()
        ending.on_signals()
        if options.list_cameras:
            list_cameras()
        elif options.list_voices:
            list_voices(ending)
        elif options.bench:
            bench(options)
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
