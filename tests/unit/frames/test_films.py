"""Opening files, cameras and streams: a picture comes of it, or one clear complaint."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import wave
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narrator.errors import SourceError
from narrator.frames.files import open_film
from support.broken_files import answer_to, broken_files
from support.frames import RED, brightening, next_frame, number_of, plain, until_ended
from support.program import ROOT
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
        "with some spaces.mp4",
        "Küche früh \u732b.mp4",
        "-leading dash.mp4",
        "12:30.mp4",
        "http:video.mp4",
        "100%d%03d.mp4",
        "what? [a] 'video' #1.mp4",
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
    """In a process of its own: OpenCV has been seen to crash on such a name."""
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).symlink_to(video)
    code = (
        "import os\n"
        "from narrator.errors import SourceError\n"
        "from narrator.frames.files import open_film\n"
        "try:\n open_film(os.fsdecode(b'caf\\xe9.mp4'))\n"
        "except SourceError as error:\n assert 'be opened' in str(error)\n"
        "else:\n raise AssertionError\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)


# ------------------------------------------------------------------------ files that are no source


TEXT = "\n".join(f"line {i}" for i in range(200))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", TEXT.encode()),
        ("notes.nfo", TEXT.encode()),
        ("notes.md", TEXT.encode()),
        ("notes.mp4", TEXT.encode()),
        ("notes", TEXT.encode()),
        ("page.html", b"<!doctype html><title>404</title>"),
        ("empty.mp4", b""),
        ("empty.png", b""),
        ("zeros.avi", bytes(100_000)),
        ("half.png", b"\x89PNG\r\n\x1a\n"),
        ("half.jpg", b"\xff\xd8\xff\xe0"),
        ("words.srt", b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n"),
    ],
)
def test_a_file_that_shows_nothing_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"{name} is not a picture or video" in complaint(tmp_path / name)


def test_a_sound_file_is_refused(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 22050, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(2000))
    assert "is not a picture or video" in complaint(tmp_path / "sound.wav")


def test_a_video_that_was_cut_off_is_refused_or_shown_as_far_as_it_goes(
    tmp_path: Path, video: Path
) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video.read_bytes()[:-500])  # The index of an MP4 is at its end.
    assert "is not a picture or video" in complaint(cut)
    whole = write_video(tmp_path / "whole.avi", brightening(30), FPS, "MJPG").read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    with closing(open_film(str(cut))) as film:
        assert 5 < number_of(list(until_ended(film))[-1]) < 25


@pytest.mark.parametrize(
    "name",
    ["nosuch.mp4", "no/such/folder.png", "~nosuchuser/video.mp4", "n" * 300, "n/" * 3000, "a\0b"],
    ids=["missing", "no folder", "no user", "long name", "long path", "zero byte"],
)
def test_a_file_that_can_not_be_opened_is_named(name: str) -> None:
    assert "can't be opened" in complaint(name)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder; give a video or a picture" in complaint(tmp_path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "is no ordinary file" in complaint(tmp_path / "pipe.mp4")
    assert "is no ordinary file" in complaint("/dev/zero")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, video: Path) -> None:
    locked = tmp_path / "locked.mp4"
    locked.write_bytes(video.read_bytes())
    locked.chmod(0)
    assert "Permission denied" in complaint(locked)


MAGIC = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"BM",
    b"II*\0",
    b"RIFF\x40\0\0\0AVI LIST",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"\0\0\0\x18ftypmp42",
    b"\x1a\x45\xdf\xa3",
    b"GIF89a",
    b"\0\0\x01\xb3",
    b"#EXTM3U\n",
    b"P6\n",
    b"--picture\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8",
]
few = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def only_frames_or_a_complaint(content: bytes, suffix: str) -> None:
    """Read these bytes to their end, or 20 frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        try:
            film = open_film(str(path))
        except SourceError:
            return
        with closing(film):
            for _ in range(20):
                frame = film.newest(0)
                if frame is not None:
                    assert frame.image.ndim == 3
                    assert frame.image.dtype == np.uint8


@few
@given(
    magic=st.sampled_from(MAGIC),
    content=st.binary(max_size=3000),
    suffix=st.sampled_from(["", ".mp4", ".jpg", ".txt", ".mjpeg"]),
)
def test_random_bytes_are_frames_or_a_complaint(magic: bytes, content: bytes, suffix: str) -> None:
    only_frames_or_a_complaint(magic + content, suffix)


@pytest.fixture(scope="module")
def short_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Valid files of less than a second, by suffix."""
    folder = tmp_path_factory.mktemp("short")
    for suffix, codec in ((".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "mp4v")):
        write_video(folder / f"file{suffix}", brightening(3), FPS, codec)
    for suffix in (".png", ".jpg"):
        cv2.imwrite(str(folder / f"file{suffix}"), plain(RED, 64, 48))
    return {path.suffix: path.read_bytes() for path in sorted(folder.iterdir())}


@few
@given(data=st.data())
def test_damaged_files_are_frames_or_a_complaint(
    short_files: dict[str, bytes], data: st.DataObject
) -> None:
    suffix = data.draw(st.sampled_from(sorted(short_files)))
    content = bytearray(short_files[suffix])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    only_frames_or_a_complaint(bytes(content), suffix)


def test_broken_files_of_each_kind_are_shown_or_refused(tmp_path: Path) -> None:
    """Random, cut off, damaged and mislabelled."""
    answers = {path.name: answer_to(path) for path in broken_files(tmp_path, 60)}
    assert set(answers.values()) == {"refused", "shown to its end"}, answers
