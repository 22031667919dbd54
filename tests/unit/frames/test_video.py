"""What people's cameras and servers really send: seen as it is meant, or refused in one line."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from narrator.errors import SourceError
from narrator.frames.files import Film, PlayedFile, open_film
from narrator.frames.frame import Frame
from narrator.frames.live import LiveSource
from narrator.frames.opening import open_source
from support.answers import files_of, served
from support.camera import as_jpeg
from support.frames import brightening, next_frame, number_of, until_ended
from support.video import write_video

# A red square on the left of blue.
DRAWN = "color=blue:s=320x240:r=25:d=1,drawbox=40:80:80:80:red:fill"
RED_ON_THE_LEFT = np.full((120, 160, 3), (255, 0, 0), np.uint8)
RED_ON_THE_LEFT[:, :80] = (0, 0, 255)
FAST = DRAWN.replace("r=25", "r=50")  # two fields a frame
ALPHA = (
    "color=black@0:s=320x240:r=25:d=1,format=yuva420p,drawbox=40:80:80:80:black@1:fill:replace=1"
)
MPEG2 = ["-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-q:v", "2"]
H264 = ["-c:v", "libx264"]
FILMS = {  # name: what is drawn, how it is coded, and the size at which it is shown
    "interlaced.mp4": (f"{FAST},interlace", [*H264, "-flags", "+ildct+ilme"], (320, 240)),
    "interlaced.mpg": (f"{FAST},interlace,setsar=64/45", MPEG2, (427, 240)),
    "av1.mp4": (DRAWN, ["-c:v", "libaom-av1", "-cpu-used", "8"], (320, 240)),
    "theora.ogv": (DRAWN, ["-c:v", "libtheora", "-q:v", "8"], (320, 240)),
    "narrow.mkv": (f"{DRAWN},setsar=1/2", H264, (320, 480)),
    "stream.ts": (DRAWN, H264, (320, 240)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


def made(folder: Path, name: str, drawn: str, coded: list[str]) -> Path:
    """A film made by FFmpeg."""
    path = folder / name
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg (apt-get install ffmpeg)")
    if not path.exists():
        command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", drawn, *coded, str(path)]
        if subprocess.run(command, check=False).returncode:
            pytest.skip("this ffmpeg lacks an encoder")
    return path


def colour_at(image: np.ndarray, x: float, y: float) -> str:
    """The colour at a place, as shares of width and height."""
    height, width = image.shape[:2]
    pixel = image[round(y * height), round(x * width)]
    names = ("blue", "green", "red")
    return "white" if pixel.min() > 220 else "black" if pixel.max() < 35 else names[pixel.argmax()]


def shown(path: Path) -> list[Frame]:
    with closing(open_film(str(path))) as film:
        return list(until_ended(film))


@pytest.mark.parametrize("name", FILMS)
def test_a_red_square_on_the_left_is_red_and_left(folder: Path, name: str) -> None:
    drawn, coded, (width, height) = FILMS[name]
    frames = shown(made(folder, name, drawn, coded))
    assert frames[0].at == 0.0
    assert 0.7 < frames[-1].at < 1.0
    assert [frame.at for frame in frames] == sorted({frame.at for frame in frames})
    for frame in (frames[0], frames[-1]):
        assert frame.image.shape == pytest.approx((height, width, 3), abs=1)
        assert colour_at(frame.image, 0.25, 0.5) == "red"
        assert colour_at(frame.image, 0.75, 0.5) == "blue"


def test_what_is_black_on_nothing_is_black_on_white(folder: Path) -> None:
    coded = ["-c:v", "libvpx-vp9", "-auto-alt-ref", "0"]
    for frame in shown(made(folder, "clear.webm", ALPHA, coded))[::12]:
        assert colour_at(frame.image, 0.25, 0.5) == "black"
        assert colour_at(frame.image, 0.75, 0.5) == "white"


@pytest.mark.parametrize(
    ("matrix", "red", "blue"),
    [
        ((0, 1, -1, 0), (0.5, 0.2), (0.5, 0.8)),  # a quarter clockwise: the left is on top
        ((-1, 0, 0, -1), (0.8, 0.5), (0.2, 0.5)),
        ((0, -1, 1, 0), (0.5, 0.8), (0.5, 0.2)),
        ((-1, 0, 0, 1), (0.8, 0.5), (0.2, 0.5)),  # mirrored, as some phones film their owners
    ],
)
def test_a_film_is_turned_as_its_phone_was_held(
    tmp_path: Path, matrix: tuple[int, ...], red: tuple[float, float], blue: tuple[float, float]
) -> None:
    data = bytearray(write_video(tmp_path / "a.mp4", [RED_ON_THE_LEFT] * 3).read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">5i", data, data.index(b"tkhd") + 44, a, b, 0, c, d)
    (tmp_path / "a.mp4").write_bytes(data)
    image = shown(tmp_path / "a.mp4")[0].image
    assert image.shape[:2] == ((160, 120) if matrix[0] == 0 else (120, 160))
    assert (colour_at(image, *red), colour_at(image, *blue)) == ("red", "blue")


@pytest.mark.parametrize("name", ["interlaced.mpg", "stream.ts", "av1.mp4"])
def test_half_a_film_is_shown_as_far_as_it_goes_or_refused(folder: Path, name: str) -> None:
    drawn, coded, _ = FILMS[name]
    data = made(folder, name, drawn, coded).read_bytes()
    (folder / f"half {name}").write_bytes(data[: len(data) // 2])
    if name == "av1.mp4":  # Its index is at its end.
        with pytest.raises(SourceError, match="that can be read here, or it is damaged"):
            shown(folder / f"half {name}")
    else:
        frames = shown(folder / f"half {name}")
        assert 0 < len(frames) < 25
        assert colour_at(frames[0].image, 0.25, 0.5) == "red"


def test_the_child_of_films_has_one_ffmpeg() -> None:
    """OpenCV brings another one, and two clash on a Mac."""
    code = "import sys, narrator.frames.film_child, narrator.frames.stream_reader\n"
    code += "import narrator.frames.capture\n"
    code += "assert 'av' in sys.modules\nassert 'cv2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    parent = "import sys, narrator.frames.opening\nassert 'av' not in sys.modules"
    subprocess.run([sys.executable, "-c", parent], check=True)


# ---------------------------------------------------------------------------------- over a network


def test_a_film_over_http_is_played_once_at_its_pace_or_given_frame_by_frame(
    tmp_path: Path,
) -> None:
    write_video(tmp_path / "a.mp4", brightening(10), 10)
    with served(files_of(tmp_path)) as address:
        with closing(open_source(f"http://{address}/a.mp4")) as source:
            assert isinstance(source, PlayedFile)
            started = time.monotonic()
            frames = list(until_ended(source))
            assert time.monotonic() - started > 0.9
        assert number_of(frames[-1]) == 9
        with closing(open_source(f"http://{address}/a.mp4", every_frame=True)) as source:
            assert isinstance(source, Film)
            assert source.announced == pytest.approx(1.0)
            assert [number_of(frame) for frame in until_ended(source)] == list(range(10))


def test_a_playlist_with_an_end_is_a_film(tmp_path: Path) -> None:
    made(tmp_path, "a.m3u8", DRAWN, ["-c:v", "libx264", "-f", "hls", "-hls_time", "1"])
    with (
        served(files_of(tmp_path)) as address,
        closing(open_source(f"http://{address}/a.m3u8", every_frame=True)) as source,
    ):
        assert isinstance(source, Film)
        frames = list(until_ended(source))
    assert len(frames) == 25
    assert colour_at(frames[-1].image, 0.25, 0.5) == "red"


# ------------------------------------------------------------------------------------ from a camera

PARTS = {
    "no first boundary": (b"", b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n"),
    "bare LF": (b"--frame\n", b"\n--frame\nContent-Type: image/jpeg\n\n"),
    "a wrong length": (b"--frame\r\n", b"\r\n--frame\r\nContent-Length: 7\r\n\r\n"),
    "nothing between": (b"", b""),
}


@pytest.mark.parametrize(("first", "between"), PARTS.values(), ids=PARTS)
def test_mjpeg_plays_however_its_parts_are_set_apart(first: bytes, between: bytes) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.end_headers()
        request.wfile.write(first)
        for picture in brightening(100):
            request.wfile.write(as_jpeg(picture) + between)
            time.sleep(0.05)

    with served(answer) as address, closing(open_source(f"http://{address}/")) as source:
        assert isinstance(source, LiveSource)
        numbers = [number_of(next_frame(source)) for _ in range(3)]
    assert numbers == sorted(set(numbers))


# --------------------------------------------------------------------------------------- from stdin

READ = """
from narrator.frames.opening import open_source, resolve_source
source = open_source(resolve_source("-"), every_frame=True)
while not source.ended:
    if (frame := source.newest(0.5)) is not None:
        print(round(frame.at, 2), *frame.image[60, 40])
source.close()
"""


def read_from_stdin(data: bytes) -> list[list[float]]:
    """Time, blue, green and red of each frame."""
    result = subprocess.run([sys.executable, "-c", READ], input=data, stdout=-1, check=True)
    return [[float(value) for value in line.split()] for line in result.stdout.splitlines()]


def test_a_film_is_read_from_stdin(tmp_path: Path) -> None:
    film = write_video(tmp_path / "a.mkv", [RED_ON_THE_LEFT] * 10, 10)
    lines = read_from_stdin(film.read_bytes())
    assert [line[0] for line in lines] == pytest.approx([n / 10 for n in range(10)], abs=0.01)
    assert all(red > 200 and blue < 50 for _, blue, _, red in lines)


def test_jpegs_are_read_from_stdin() -> None:
    parts = b"--x\n\n".join([b"", *[as_jpeg(RED_ON_THE_LEFT)] * 12])
    lines = read_from_stdin(parts)
    assert len(lines) > 3
    assert all(red > 200 for _, _, _, red in lines)


@pytest.mark.parametrize("data", [b"", b"some words\n" * 100], ids=["nothing", "words"])
def test_what_is_no_film_is_told_of_stdin(data: bytes) -> None:
    code = "from narrator.frames.files import open_film; open_film('-')"
    result = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True)
    assert b"what comes from stdin is not a picture or video" in result.stderr
