"""What the tests share: the program run as a user runs it, things to watch, and a sound card.

Everything here is real and local: the script in a process of its own, video files, a camera that
serves MJPEG on the loopback interface, and ALSA's file plugin where a sound card would be.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that each take every core for one sum wait for each other more than they reckon: 40 s
    # instead of 5 for one test of the engine. Read when torch is imported, so set before.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "pete_sounds.py"
TINY = ROOT / "tests" / "tiny_smolvlm2"
NOBODY = "http://127.0.0.1:9"  # the discard port: a Hub that never answers


def wait_until(condition: Callable[[], Any], timeout: float) -> Any:
    """Ask until the answer is true, for what sends no event; the last answer."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


# ------------------------------------------------------------------------------------- the program


class Lines:
    """The lines of a pipe as they come, and all of them at the end."""

    def __init__(self, pipe: IO[str]) -> None:
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, part: str, count: int = 1, timeout: float = 60) -> str:
        """Wait for the `count`-th line that has `part` in it, and return it."""

        def found() -> list[str]:
            return [line for line in self._lines if part in line][count - 1 :]

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout)
            assert found(), f"no {part!r} among {self._lines}"
            return found()[0].rstrip("\n")

    def count(self) -> int:
        """How many lines there were so far."""
        with self._changed:
            return len(self._lines)

    def rest(self, timeout: float = 10) -> str:
        """All that was written, once the other end is closed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, timeout), "the pipe is still open"
            return "".join(self._lines)


class Running:
    """The program while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.stdout = Lines(process.stdout)
        self.stderr = Lines(process.stderr)

    def family(self) -> set[int]:
        """The process groups of the children that it has now (each child leads one)."""
        return children(self.process.pid)

    def end(
        self, number: int = signal.SIGTERM, timeout: float = 10
    ) -> subprocess.CompletedProcess[str]:
        """Send a signal, wait for the end, and return what it was."""
        self.process.send_signal(number)
        return self.finished(timeout)

    def finished(self, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Wait for the end, and return what it was."""
        code = self.process.wait(timeout)
        return subprocess.CompletedProcess(
            self.process.args, code, self.stdout.rest(), self.stderr.rest()
        )


def process_table() -> list[tuple[int, int, int, str]]:
    """Process, parent, group and command line of everything that runs; zombies left out."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,pgid=,stat=,args="],
        check=True,
        capture_output=True,
        text=True,
        errors="replace",
    ).stdout
    rows = (line.split(None, 4) for line in listing.splitlines())
    return [
        (int(row[0]), int(row[1]), int(row[2]), row[4])
        for row in rows
        if len(row) == 5 and not row[3].startswith("Z")
    ]


def children(process: int) -> set[int]:
    """The processes that this one has started and that still run."""
    return {pid for pid, parent, *_ in process_table() if parent == process}


def left_over(groups: set[int]) -> list[str]:
    """The command lines of what still runs in these process groups."""
    return [command for _, _, group, command in process_table() if group in groups]


def all_gone(groups: set[int], within: float = 1.0) -> bool:
    """True when nothing of these process groups runs `within` seconds from now."""
    return bool(wait_until(lambda: not left_over(groups), within))


@dataclass
class Program:
    """Runs pete_sounds.py in an empty folder, in an environment that knows no network, no sound
    card and no home but its own. Called, it waits for the end; started, it goes on."""

    folder: Path
    script: Path = SCRIPT
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    _running: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("home", "tmp", "here"):
            (self.folder / name).mkdir(parents=True)
        self.here = self.folder / "here"
        self.temporary = self.folder / "tmp"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "ALSA_CONFIG_PATH": os.devnull,
            "HF_ENDPOINT": NOBODY,
        }

    def command(self, *arguments: str | Path) -> list[str]:
        """The command line, for those who start it themselves."""
        return [self.python, str(self.script), *map(str, arguments)]

    def __call__(
        self, *arguments: str | Path, timeout: float = 90, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*arguments),
            check=False,
            cwd=self.here,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            **{"stdin": subprocess.DEVNULL, **options},
        )

    def start(self, *arguments: str | Path, shell: str = 'exec "$@"') -> Running:
        """Start it, perhaps in a shell line of your own in which "$@" stands for it. The fixture
        ends what is still running at the end of the test."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", shell, "sh", *self.command(*arguments)],
            cwd=self.here,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that the shell and all it started can be ended together
        )
        self._running.append(process)
        return Running(process)

    def left_files(self) -> list[Path]:
        """The temporary files of ours that are there; mlx and PulseAudio leave some as well."""
        return list(self.temporary.glob("pete_sounds*"))

    def close(self) -> None:
        """End whatever was started and still runs."""
        for process in self._running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program, to be called with its arguments, or started."""
    made = Program(tmp_path / "program")
    yield made
    made.close()


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The folder of the small checkpoint."""
    return TINY


# ---------------------------------------------------------------------------------- things to watch


@dataclass(frozen=True)
class DemoClip:
    """The clip of --demo. rests: (start, end, true caption), seconds into the clip."""

    path: Path
    rests: tuple[tuple[float, float, str], ...]

    def true_at(self, at: float) -> set[str]:
        """What may be said of second `at`: one caption, or while things move, the next ones too."""
        near = [rest for rest in self.rests if rest[0] - 0.1 <= at <= rest[1] + 0.1]
        if near:
            return {caption for *_, caption in near}
        before = [caption for _, end, caption in self.rests if end < at][-1:]
        after = [caption for start, _, caption in self.rests if start > at][:1]
        return {*before, *after, "Nothing but a grey wall."}


@pytest.fixture(scope="session")
def demo_clip() -> DemoClip:
    """The clip that --demo shows, and what is true when."""
    rests = json.loads((TINY / "demo.json").read_text("utf-8"))
    return DemoClip(
        TINY / "demo.mp4", tuple((rest["start"], rest["end"], rest["caption"]) for rest in rests)
    )


def write_video(
    path: Path, images: Iterable[np.ndarray], fps: float = 15, codec: str = "mp4v"
) -> Path:
    """Film BGR images of one size, each shown for one frame; returns the path."""
    writer: cv2.VideoWriter | None = None
    for image in images:
        if writer is None:
            height, width = image.shape[:2]
            writer = cv2.VideoWriter(
                str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, (width, height)
            )
            assert writer.isOpened(), f"this OpenCV can't write {codec} to {path.name}"
        writer.write(image)
    assert writer is not None, "a video needs an image"
    writer.release()
    return path


class MjpegCamera:
    """A network camera: serves pictures over http, and misbehaves when told to.

    It listens on 127.0.0.1 at a port that was free. Any path, query, user and password will do.
    """

    def __init__(self, fps: float = 15) -> None:
        self._fps = fps
        self._changed = threading.Condition()
        self._mode = "steady"
        self._connections: set[socket.socket] = set()
        self.sent = 0  # pictures, to all who watch
        self.watched = 0  # connections that were opened so far
        self.show(np.full((240, 320, 3), 128, np.uint8))
        self._server = self._listen(0)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Where to watch it."""
        return f"http://{self.address}/video"

    def show(self, image: np.ndarray) -> None:
        """From now on, this is what the camera sees (BGR)."""
        data = as_jpeg(image)
        self.film(lambda: data)

    def film(self, jpeg: Callable[[], bytes]) -> None:
        """From now on, this is asked for each picture that is sent."""
        self._jpeg = jpeg

    def stall(self) -> None:
        """Keep the connections, send nothing more."""
        self._set_mode("stall")

    def hold_up(self) -> None:
        """Send nothing, but all of it at once when it is told to come back."""
        self._set_mode("hold up")

    def drop(self) -> None:
        """Close the connections, and new ones at once."""
        self._set_mode("drop")

    def flap(self) -> None:
        """Close the connections, and new ones behind their second picture."""
        self._set_mode("drop")
        self._set_mode("flap")

    def send_garbage(self) -> None:
        """Bytes that are no picture, in the place of pictures."""
        self._set_mode("garbage")

    def come_back(self) -> None:
        """Behave again."""
        self._set_mode("steady")

    def kill(self) -> None:
        """End the server and every connection: nothing listens at its port any more."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def restart(self) -> None:
        """Listen again, at the same port."""
        self._server = self._listen(self._server.server_port)

    def close(self) -> None:
        """End the server and every connection."""
        self.drop()
        self.kill()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera._connections.add(self.connection)
                camera._serve(self)
                camera._connections.discard(self.connection)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def _set_mode(self, mode: str) -> None:
        with self._changed:
            self._mode = mode
            self._changed.notify_all()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        if self._mode == "drop":
            return
        self.watched += 1
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        request.end_headers()
        with contextlib.suppress(OSError):  # Nobody watches any more.
            self._send_pictures(request)

    def _send_pictures(self, request: BaseHTTPRequestHandler) -> None:
        noise = np.random.default_rng(1)
        due = time.monotonic()
        held_up: list[bytes] = []
        sent = 0
        while True:
            due = max(due + 1 / self._fps, time.monotonic() - 1)
            with self._changed:
                self._changed.wait_for(lambda: self._mode == "drop", due - time.monotonic())
                self._changed.wait_for(lambda: self._mode != "stall")
                if self._mode == "drop" or (self._mode == "flap" and sent >= 2):
                    return
            held_up.append(noise.bytes(20_000) if self._mode == "garbage" else self._jpeg())
            if self._mode == "hold up":
                continue
            for image in held_up:
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                request.wfile.write(b"--picture\r\n" + head.encode() + image + b"\r\n")
            sent += len(held_up)
            self.sent += len(held_up)
            held_up.clear()


def as_jpeg(image: np.ndarray) -> bytes:
    """A picture (BGR) as the bytes of a JPEG."""
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert good
    return bytes(data.tobytes())


STAMP_BITS = 40


def stamped_picture(width: int = 640, height: int = 480) -> np.ndarray:
    """A picture (BGR) that tells when it was made: milliseconds, in squares of 16 pixels that JPEG
    does not harm. No two are the same."""
    image = np.full((height, width, 3), 128, np.uint8)
    made = int(time.monotonic() * 1000)
    bits = [made >> bit & 1 for bit in range(STAMP_BITS)]
    squares = np.kron(np.array(bits, np.uint8).reshape(2, -1) * 255, np.ones((16, 16), np.uint8))
    image[:32, : squares.shape[1]] = squares[:, :, None]
    return image


def made_at(image: np.ndarray) -> float:
    """When a stamped picture was made, seconds on time.monotonic's clock."""
    bits = image[8:32:16, 8 : 8 * STAMP_BITS : 16].mean(axis=2).ravel() > 127
    return sum(1 << place for place, bit in enumerate(bits) if bit) / 1000


@pytest.fixture
def mjpeg() -> Iterator[MjpegCamera]:
    """A network camera that can be told what to show and how to fail."""
    camera = MjpegCamera()
    yield camera
    camera.close()


# ------------------------------------------------------------------------------------ a sound card


@dataclass(frozen=True)
class SoundCard:
    """ALSA's file plugin in the place of a sound card: what is played can be read afterwards."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program play on it."""
        return {"ALSA_CONFIG_PATH": str(self.folder / "alsa.conf")}

    def recordings(self) -> list[Path]:
        """What was played, a WAV file for each time that the device was opened, in order."""
        return sorted(self.folder.glob("played.wav*"))


def make_sound_card(folder: Path, target: str) -> SoundCard:
    """A sound card whose sound goes to `target`: a file, or "| command"."""
    if sys.platform != "linux" or shutil.which("aplay") is None:
        pytest.skip("a stand-in for a sound card needs ALSA's aplay")
    if " " in str(folder):
        pytest.skip("ALSA takes a space in ALSA_CONFIG_PATH for the end of a file's name")
    folder.mkdir()
    (folder / "alsa.conf").write_text(
        "pcm.!default {\n"
        " type plug\n"
        " slave.pcm {\n"
        "  type file\n"
        "  slave.pcm { type null }\n"
        f'  file "{target}"\n'
        '  format "wav"\n'
        "  truncate false\n"  # but played.wav, played.wav.0001 and so on
        " }\n"
        "}\n"
    )
    return SoundCard(folder)


@pytest.fixture
def sound_card(tmp_path: Path) -> SoundCard:
    """A sound card that plays at once and keeps what it played."""
    folder = tmp_path / "sound-card"
    return make_sound_card(folder, str(folder / "played.wav"))


@pytest.fixture
def stuck_sound_card(tmp_path: Path) -> SoundCard:
    """A sound card that is there, but half a sentence later blocks its player for a minute."""
    enough = 30_000  # bytes, 0.7 s
    block = f"| test $(head -c {enough} | wc -c) -lt {enough} || exec sleep 60"
    return make_sound_card(tmp_path / "stuck-sound-card", block)


@pytest.fixture
def speech() -> None:
    """Skips where there is nothing to speak with."""
    if sys.platform != "darwin" and shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed (./install.sh says how)")
