"""Opening files, cameras and streams: a picture comes of it, or one clear complaint."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narrator.errors import SourceError
from narrator.frames.files import open_film
from support.frames import RED, brightening, next_frame, plain
from support.video import write_video

FPS = 15


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 30 brightening pictures."""
    return write_video(tmp_path_factory.mktemp("video") / "video.mp4", brightening(30), FPS)


def picture_in(path: Path) -> np.ndarray:
    """What is in a file that holds one picture."""
    with closing(open_film(str(path))) as film:
        frame = film.newest(0)
        assert frame is not None
        assert film.ended
        return frame.image


def complaint(source: str | Path) -> str:
    """What is wrong with this file."""
    with pytest.raises(SourceError) as caught:
        open_film(str(source))
    return str(caught.value)


def test_what_a_file_holds_counts_not_how_it_is_called(tmp_path: Path, video: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), plain(RED))
    assert picture_in((tmp_path / "red.png").rename(tmp_path / "red.mp4")).shape == (240, 320, 3)
    (tmp_path / "video.jpg").write_bytes(video.read_bytes())
    with closing(open_film(str(tmp_path / "video.jpg"))) as film:
        assert next_frame(film).image.mean() < 8  # its first picture is black
        assert not film.ended


# -------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    [
        "Küche früh \u732b.mp4",
        "-leading dash.mp4",
        "12:30.mp4",
        "http:video.mp4",
        "100%d%03d.mp4",
        "two\nlines.mp4",
    ],
)
def test_a_file_may_have_any_name(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).symlink_to(video)
    monkeypatch.chdir(tmp_path)
    with closing(open_film(name)) as film:
        assert next_frame(film).image.shape == (240, 320, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="names elsewhere are always Unicode")
def test_a_name_that_is_not_unicode_is_refused(tmp_path: Path, video: Path) -> None:
    """OpenCV has been seen to crash on one."""
    (link := tmp_path / os.fsdecode(b"caf\xe9.mp4")).symlink_to(video)
    assert "can't be opened" in complaint(link)


# ------------------------------------------------------------------------ files that are no source


TEXT = b"a line of words\n" * 200
SOUND = b"RIFF\xf4\x07\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x22\x56\0\0\x44\xac\0\0\2\0\x10\0data"
SOUND += b"\xd0\7\0\0" + bytes(2000)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", TEXT),
        ("notes.mp4", TEXT),
        ("page.html", b"<!doctype html><title>404</title>"),
        ("empty.mp4", b""),
        ("zeros.avi", bytes(100_000)),
        ("half.png", b"\x89PNG\r\n\x1a\n"),
        ("words.srt", b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n"),
        ("sound.wav", SOUND),
    ],
)
def test_a_file_that_shows_nothing_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"{name} is not a picture or video" in complaint(tmp_path / name)


def test_a_video_without_its_index_is_refused(tmp_path: Path, video: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:-500])  # It is at the end of an MP4.
    assert "is not a picture or video" in complaint(tmp_path / "cut.mp4")


@pytest.mark.parametrize(
    "name",
    ["nosuch.mp4", "no/such/folder.png", "~nosuchuser/video.mp4", "n" * 300, "n/" * 3000, "a\0b"],
    ids=["missing", "no folder", "no user", "long name", "long path", "zero byte"],
)
def test_a_file_that_can_not_be_opened_is_named(name: str) -> None:
    assert "can't be opened" in complaint(name)


def test_a_folder_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    assert "is a folder; give a video or a picture" in complaint(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", "/dev/zero"):
        assert "is no ordinary file" in complaint(path)


MAGIC = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"RIFF\x40\0\0\0AVI LIST",
    b"\0\0\0\x18ftypmp42",
    b"#EXTM3U\n",
    b"--picture\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8",
]


@pytest.fixture(scope="module")
def short_files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Valid files of less than a second."""
    folder = tmp_path_factory.mktemp("short")
    for name, codec in (("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v")):
        write_video(folder / name, brightening(3), FPS, codec)
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(folder / name), plain(RED, 64, 48))
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_and_damaged_bytes_are_frames_or_a_complaint(
    short_files: list[bytes], data: st.DataObject
) -> None:
    if data.draw(st.booleans()):
        content = bytearray(data.draw(st.sampled_from(short_files)))
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    else:
        content = bytearray(data.draw(st.sampled_from(MAGIC)) + data.draw(st.binary(max_size=3000)))
    suffix = data.draw(st.sampled_from(["", ".mp4", ".jpg", ".txt", ".mjpeg"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        try:
            film = open_film(str(path))
        except SourceError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017
            return
        with closing(film):
            for frame in filter(None, (film.newest(0) for _ in range(20))):
                assert frame.image.ndim == 3
                assert frame.image.dtype == np.uint8
