"""How much memory OpenCV and FFmpeg may take, the program and its capture child together; and how
many threads wait."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from support.program import ROOT

WATCH = """
import resource, sys
from narrator import libraries
libraries.set_environment()
from narrator.errors import SourceError
from narrator.frames.opening import open_source
try:
    source = open_source(sys.argv[1])
    while not source.ended and not (told := source.messages()):
        source.newest(0.1)
    print(told)
    source.close()
except SourceError as error:
    print(error)
child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.platform == "linux":  # That counts what the process had that started this one.
    peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
print(peak + (child * 1024 if sys.platform == "linux" else child))
"""


def watched(source: str | Path) -> str:
    """What is told of this source until it is lost, which must not take much memory."""
    result = subprocess.run(
        [sys.executable, "-c", WATCH, str(source)],
        check=True, cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    *told, peak = result.stdout.splitlines()
    assert int(peak) < 1.2e9
    return " ".join(told)


def grey_jpeg(width: int, height: int) -> bytes:
    """A valid JPEG, of 6 bits for each square of 8x8 pixels."""
    content = io.BytesIO()
    Image.new("L", (8, 8), 128).save(content, "JPEG")
    data = content.getvalue()
    size, scan = data.index(b"\xff\xc0") + 5, data.index(b"\xff\xda") + 2
    scan += int.from_bytes(data[scan : scan + 2], "big")
    head = data[:size] + struct.pack(">HH", height, width) + data[size + 4 : scan]
    squares = -(-width // 8) * -(-height // 8)
    return head + b"\x28\xa2\x8a" * -(-squares // 4) + b"\xff\xd9"


@pytest.fixture
def stream() -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """The address of a stream, and its parts: the length that is announced, and what is sent again
    and again in its place."""
    parts: list[tuple[int, bytes]] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection = listener.accept()[0]
                with suppress(OSError), connection:
                    connection.recv(4096)
                    kind = b"multipart/x-mixed-replace; boundary=part"
                    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n")
                    for length, data in parts:
                        head = b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                        connection.sendall(head % length)
                        for _ in range(length // len(data)):
                            connection.sendall(data)
                        connection.sendall(b"\r\n")

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/video", parts
    listener.close()


@pytest.mark.parametrize(("name", "side"), [("a.jpg", 12_000), ("a.mp4", 30_000)])
def test_a_picture_that_is_too_large_is_refused(tmp_path: Path, name: str, side: int) -> None:
    (tmp_path / name).write_bytes(grey_jpeg(side, side))
    assert watched(tmp_path / name) == "a picture of more than 100 megapixels is not supported"


def test_a_large_picture_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(grey_jpeg(9990, 9990))
    assert watched(tmp_path / "a.jpg") == "[]"


@pytest.mark.parametrize(
    ("before", "side", "told"),
    [
        (0, 12_000, "a picture of more than 100 megapixels is not supported"),
        (30, 30_000, "a picture of more than 100 megapixels is not supported"),
        (30, 0, "trying to get it back"),  # a part of gigabytes that is no picture
    ],
)
def test_what_is_too_large_in_a_stream_is_not_kept(
    stream: tuple[str, list[tuple[int, bytes]]], before: int, side: int, told: str
) -> None:
    url, parts = stream
    small, large = grey_jpeg(320, 240), grey_jpeg(side, side)
    parts += [(len(small), small)] * before
    parts += [(len(large), large)] * 20 if side else [(2 << 30, bytes(1 << 20))]
    assert told in watched(url)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux")
def test_numpy_and_opencv_start_no_threads() -> None:
    """NumPy's wait busily, which was a third of the processor time of a start."""
    script = (
        "import os\n"
        "from narrator.libraries import set_environment\n"
        "set_environment()\n"
        "import cv2, numpy as np\n"
        "square = np.ones((2000, 2000), np.float32)\n"
        "cv2.resize(square @ square, (1000, 1000))\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    inherited = {name: text for name, text in os.environ.items() if "THREADS" not in name}
    result = subprocess.run(
        [sys.executable, "-c", script],
        check=True, cwd=ROOT, env=inherited, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.stdout == "1\n"
