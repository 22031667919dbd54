"""Frames: pictures, video files and streams become the newest frame, or one clear complaint."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import pete_sounds
from pete_sounds import ExitCode, Frame, Frames, PeteError, SourceKind
from support.camera import MjpegCamera, as_jpeg, made_at, stamped_picture
from support.program import ROOT, wait_until
from support.video import DemoClip, write_video

RED, GREEN, BLUE, ORANGE = (0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 128, 255)  # BGR
FPS = 15


def plain(colour: tuple[int, int, int], width: int = 320, height: int = 240) -> np.ndarray:
    """A picture of one colour (BGR)."""
    return np.full((height, width, 3), colour, np.uint8)


def brightening(count: int) -> Iterator[np.ndarray]:
    """Pictures that tell their number: grey, each 8 levels brighter than the last."""
    return (plain((8 * i, 8 * i, 8 * i)) for i in range(count))


def number_of(frame: Frame) -> int:
    """Which of the brightening pictures this is."""
    return round(float(frame.image.mean()) / 8)


def next_frame(frames: Frames) -> Frame:
    """The next frame, which has to come."""
    frame = wait_until(lambda: frames.newest(0.1), 10)
    assert frame is not None
    return frame


def until_ended(frames: Frames) -> Iterator[Frame]:
    """Each frame that a quick reader sees."""
    while not frames.ended:
        frame = frames.newest(0.1)
        if frame is not None:
            yield frame


def complaint(source: str | Path) -> PeteError:
    """What opening this source raises, which has to be about the source."""
    with pytest.raises(PeteError) as caught:
        Frames(str(source)).close()
    assert caught.value.exit_code is ExitCode.SOURCE
    return caught.value


def told(frames: Frames, part: str, timeout: float = 10) -> list[str]:
    """Look on until a sentence of the news has `part` in it; all sentences up to that one."""
    heard: list[str] = []

    def look() -> bool:
        frames.newest(0.05)
        heard.extend(frames.news())
        return any(part in sentence for sentence in heard)

    assert wait_until(look, timeout), f"no {part!r} among {heard}"
    return heard


GONE = "The stream is gone; trying to get it back."
NO_PICTURE = "The stream sends no picture; trying to get it back."
BACK = "The stream is back."


def reader_of(frames: Frames) -> Any:
    """The part behind Frames that knows files, or live sources."""
    return frames._reader


class Altered:
    """A real capture with some of its methods replaced, for files that can't be made here."""

    def __init__(self, capture: Any, **methods: Any) -> None:
        self._capture = capture
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._capture, name)


@pytest.fixture(scope="module")
def two_seconds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 30 brightening pictures, 15 a second."""
    return write_video(tmp_path_factory.mktemp("video") / "two seconds.mp4", brightening(30), FPS)


# --------------------------------------------------------------------------------- kinds of source


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", SourceKind.CAMERA),
        ("12", SourceKind.CAMERA),
        ("20250115", SourceKind.FILE),
        ("12.mp4", SourceKind.FILE),
        ("12:30.mp4", SourceKind.FILE),
        ("http:/nearly", SourceKind.FILE),
        ("http://127.0.0.1/video", SourceKind.STREAM),
        ("RTSP://camera.local", SourceKind.STREAM),
    ],
)
def test_a_source_is_told_by_its_form(source: str, kind: SourceKind) -> None:
    assert pete_sounds.source_kind(source) is kind


def test_a_camera_that_is_not_there_is_named() -> None:
    assert "camera 99 is not there" in str(complaint("99"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errno.EACCES, "camera 0 is not allowed: you may not use /dev/video0"),
        (errno.EBUSY, "camera 0 is in use; end the other program"),
        (errno.ENOENT, "camera 0 is not there; --list-cameras shows"),
        (None, "camera 0 shows no picture; another program may be using it"),
    ],
)
def test_why_a_camera_shows_nothing_is_told_as_far_as_linux_knows(
    monkeypatch: pytest.MonkeyPatch, error: int | None, told: str
) -> None:
    """The device is a stand-in: there is none here."""

    def device(path: str, flags: int) -> int:
        assert path == "/dev/video0"
        if error is not None:
            raise OSError(error, os.strerror(error))
        return os.dup(0)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "open", device)
    assert told in pete_sounds.camera_trouble(0)


def test_on_a_mac_it_is_told_where_to_allow_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "System Settings > Privacy & Security > Camera" in pete_sounds.camera_trouble(0)


# ----------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_a_picture_is_one_frame_in_bgr(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"red{suffix}"), plain(RED))
    with closing(Frames(str(tmp_path / f"red{suffix}"))) as frames:
        assert not frames.ended
        frame = frames.newest(0)
        assert frame is not None
        assert (frame.at, frame.image.dtype) == (0.0, np.uint8)
        assert np.abs(frame.image.mean(axis=(0, 1)) - RED).max() < 5
        assert frames.ended
        assert frames.newest(0) is None


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 5), (641, 359), (1280, 720), (17, 900)])
def test_pictures_of_any_size_keep_it(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), plain(GREEN, width, height))
    with closing(Frames(str(path))) as frames:
        assert next_frame(frames).image.shape == (height, width, 3)


@pytest.mark.parametrize(
    "picture",
    [
        np.full((24, 32), 99, np.uint8),
        np.full((24, 32, 4), 99, np.uint8),
        np.full((24, 32, 3), 99 * 257, np.uint16),
    ],
    ids=["grey", "transparent", "16 bit"],
)
def test_pictures_with_other_channels_become_bgr(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), picture)
    with closing(Frames(str(path))) as frames:
        image = next_frame(frames).image
    assert (image.shape, image.dtype) == ((24, 32, 3), np.uint8)
    assert set(image.flat) == {99}


def test_what_a_file_holds_counts_not_how_it_is_called(tmp_path: Path, two_seconds: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), plain(RED))
    picture = (tmp_path / "red.png").rename(tmp_path / "red.mp4")
    video = tmp_path / "video.jpg"
    video.write_bytes(two_seconds.read_bytes())
    with closing(Frames(str(picture))) as frames:
        assert len(list(until_ended(frames))) == 1
    with closing(Frames(str(video))) as frames:
        assert not frames.ended
        assert number_of(next_frame(frames)) == 0


def shown_in_order(path: Path) -> list[Frame]:
    """What is shown of a numbered film, to its end: each picture once, none before its turn."""
    with closing(Frames(str(path))) as frames:
        seen = list(until_ended(frames))
    assert [number_of(frame) for frame in seen] == sorted({number_of(frame) for frame in seen})
    return seen


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_a_picture_that_moves_is_played_as_a_video(tmp_path: Path, suffix: str) -> None:
    first, *rest = [Image.fromarray(picture) for picture in brightening(8)]
    path = tmp_path / f"moving{suffix}"
    first.save(path, save_all=True, append_images=rest, duration=100, loop=0)
    seen = shown_in_order(path)
    assert len(seen) > 4
    assert number_of(seen[-1]) >= 6
    assert 0.5 < seen[-1].at < 0.9


@pytest.mark.parametrize("name", ["clip.mjpeg", "clip"])
def test_pictures_one_behind_the_other_are_played_as_a_video(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"".join(as_jpeg(picture) for picture in brightening(15)))
    seen = shown_in_order(tmp_path / name)
    assert len(seen) > 4
    assert number_of(seen[-1]) >= 13
    assert 0.4 < seen[-1].at < 0.8


# ------------------------------------------------------------------------------------- video files


def test_a_video_is_paced_by_its_own_clock(two_seconds: Path) -> None:
    with closing(Frames(str(two_seconds))) as frames:
        time.sleep(0.5)  # The clock starts with the first look, not before.
        started = time.monotonic()
        seen = list(until_ended(frames))
        took = time.monotonic() - started
    assert 1.7 < took < 6
    assert seen[0].at == 0
    assert len(seen) > 5
    for earlier, later in zip(seen, seen[1:]):
        assert earlier.at < later.at
        assert earlier.taken < later.taken
    for frame in seen:
        assert abs(number_of(frame) - frame.at * FPS) <= 1
        assert -0.1 < frame.taken - started - frame.at < 1


def test_a_slow_reader_sees_the_newest_frame_only(two_seconds: Path) -> None:
    with closing(Frames(str(two_seconds))) as frames:
        next_frame(frames)
        time.sleep(1)  # The reader is busy.
        frame = next_frame(frames)
        assert frame.at > 0.5
        assert number_of(frame) > 7
        assert next_frame(frames).at > frame.at


def test_the_last_frame_of_a_video_is_not_lost(two_seconds: Path) -> None:
    with closing(Frames(str(two_seconds))) as frames:
        next_frame(frames)
        assert wait_until(lambda: not reading_threads(), 10)
        assert not frames.ended
        assert number_of(next_frame(frames)) >= 28
        assert frames.ended


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("motion.avi", "MJPG"),
        ("matroska.mkv", "mp4v"),
        ("quicktime.mov", "mp4v"),
        ("bare MPEG-4.m4v", "mp4v"),
        ("bare MPEG-2.m2v", "MPG2"),
    ],
)
def test_videos_of_other_formats_are_shown_in_order(tmp_path: Path, name: str, codec: str) -> None:
    video = write_video(tmp_path / name, brightening(15), FPS, codec)
    seen = shown_in_order(video)
    assert len(seen) > 3
    assert number_of(seen[-1]) >= 12
    assert 0.4 < seen[-1].at < 1.5


def test_a_video_without_time_stamps_is_paced_by_counting(two_seconds: Path) -> None:
    with closing(Frames(str(two_seconds))) as frames:
        real = reader_of(frames)._capture
        reader_of(frames)._capture = Altered(
            real, get=lambda what: real.get(what) if what == cv2.CAP_PROP_FPS else 0.0
        )
        seen = list(until_ended(frames))
    assert [frame.at for frame in seen] == sorted({frame.at for frame in seen})
    assert 1.7 < seen[-1].at < 2.3
    assert seen[-1].taken - seen[0].taken > 1.5


def test_a_video_that_decodes_too_slowly_still_shows_something(two_seconds: Path) -> None:
    with closing(Frames(str(two_seconds))) as frames:
        real = reader_of(frames)._capture

        def slow_grab() -> bool:
            time.sleep(0.1)  # At 15 frames a second there is two thirds of that.
            return bool(real.grab())

        reader_of(frames)._capture = Altered(real, grab=slow_grab)
        seen = list(until_ended(frames))
    assert len(seen) > 2


def test_videos_keep_their_colours_and_odd_sizes(tmp_path: Path) -> None:
    for width, height in ((640, 360), (322, 182)):
        video = write_video(tmp_path / f"{width}.mp4", [plain(BLUE, width, height)] * 3)
        with closing(Frames(str(video))) as frames:
            image = next_frame(frames).image
        assert image.shape == (height, width, 3)
        assert np.abs(image.mean(axis=(0, 1)) - BLUE).max() < 25


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
    tmp_path: Path, two_seconds: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).symlink_to(two_seconds)
    monkeypatch.chdir(tmp_path)
    with closing(Frames(name)) as frames:
        assert next_frame(frames).image.shape == (240, 320, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="names elsewhere are always Unicode")
def test_a_name_that_is_not_unicode_is_read_or_refused(tmp_path: Path, two_seconds: Path) -> None:
    """In a process of its own: OpenCV has been seen to crash on such a name."""
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).symlink_to(two_seconds)
    code = (
        "import os, pete_sounds as p\n"
        "try:\n p.Frames(os.fsdecode(b'caf\\xe9.mp4')).close()\n"
        "except p.PeteError as error:\n assert error.exit_code is p.ExitCode.SOURCE\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


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
    assert f"{name} is not a picture or video" in str(complaint(tmp_path / name))


def test_a_sound_file_is_refused(tmp_path: Path) -> None:
    with closing(pete_sounds.WavFile(str(tmp_path / "sound.wav"))):
        pass
    assert "is not a picture or video" in str(complaint(tmp_path / "sound.wav"))


def test_a_video_that_was_cut_off_is_refused_or_shown_as_far_as_it_goes(
    tmp_path: Path, two_seconds: Path
) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(two_seconds.read_bytes()[:-500])  # The index of an MP4 is at its end.
    assert "is not a picture or video" in str(complaint(cut))
    whole = write_video(tmp_path / "whole.avi", brightening(30), FPS, "MJPG").read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    with closing(Frames(str(cut))) as frames:
        assert 5 < number_of(list(until_ended(frames))[-1]) < 25


@pytest.mark.parametrize(
    "name",
    ["nosuch.mp4", "no/such/folder.png", "~nosuchuser/video.mp4", "n" * 300, "n/" * 3000, "a\0b"],
    ids=["missing", "no folder", "no user", "long name", "long path", "zero byte"],
)
def test_a_file_that_can_not_be_opened_is_named(name: str) -> None:
    assert "can't be opened" in str(complaint(name))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder; give a video or a picture" in str(complaint(tmp_path))


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "is no ordinary file" in str(complaint(tmp_path / "pipe.mp4"))
    assert "is no ordinary file" in str(complaint("/dev/zero"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, two_seconds: Path) -> None:
    locked = tmp_path / "locked.mp4"
    locked.write_bytes(two_seconds.read_bytes())
    locked.chmod(0)
    assert "Permission denied" in str(complaint(locked))


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
    """Read these bytes to their end, or for half a second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        try:
            frames = Frames(str(path))
        except PeteError:
            return
        with closing(frames):
            deadline = time.monotonic() + 0.5
            while not frames.ended and time.monotonic() < deadline:
                frame = frames.newest(0.1)
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


# ----------------------------------------------------------------------------------------- streams


def is_colour(frame: Frame | None, colour: tuple[int, int, int]) -> bool:
    """True when a frame is of this colour, but for JPEG's losses."""
    return frame is not None and np.abs(frame.image.mean(axis=(0, 1)) - colour).max() < 25


def test_a_stream_is_watched_live(mjpeg: MjpegCamera) -> None:
    mjpeg.show(plain(RED))
    with closing(Frames(mjpeg.url)) as frames:
        first = next_frame(frames)
        assert is_colour(first, RED)
        assert 0 <= first.at < 10
        mjpeg.show(plain(ORANGE))
        assert wait_until(lambda: is_colour(frames.newest(0.1), ORANGE), 10)
        assert not frames.ended
        assert first.at < next_frame(frames).at


def test_a_stream_may_have_an_odd_size(mjpeg: MjpegCamera) -> None:
    mjpeg.show(plain(GREEN, 317, 179))
    with closing(Frames(mjpeg.url)) as frames:
        frame = next_frame(frames)
    assert frame.image.shape == (179, 317, 3)
    assert is_colour(frame, GREEN)


def test_a_slow_reader_of_a_stream_sees_what_is_there_now(mjpeg: MjpegCamera) -> None:
    mjpeg.show(plain(RED))
    with closing(Frames(mjpeg.url)) as frames:
        next_frame(frames)
        time.sleep(1)  # The reader is busy, and pictures queue up.
        mjpeg.show(plain(GREEN))
        sent = mjpeg.sent
        assert wait_until(lambda: mjpeg.sent >= sent + 10, 10)
        assert is_colour(next_frame(frames), GREEN)


def test_a_stream_of_any_shape_keeps_it_when_it_changes(mjpeg: MjpegCamera) -> None:
    with closing(Frames(mjpeg.url)) as frames:
        for width, height in ((480, 640), (640, 480), (160, 120)):
            upright = plain(RED, width, height)
            upright[height // 2 :] = BLUE
            mjpeg.show(upright)

            def has_changed(shape: tuple[int, ...] = upright.shape) -> bool:
                frame = frames.newest(0.1)
                return frame is not None and frame.image.shape == shape

            assert wait_until(has_changed, 10)
            image = next_frame(frames).image
            assert np.abs(image[height // 4].mean(axis=0) - RED).max() < 25
            assert np.abs(image[-height // 4].mean(axis=0) - BLUE).max() < 25
        assert frames.news() == []


# ---------------------------------------------------------------------- how old the newest frame is


def age(frame: Frame) -> float:
    """Seconds since a stamped picture was made, wherever it was kept since."""
    return time.monotonic() - made_at(frame.image)


@pytest.fixture
def stamped() -> Iterator[MjpegCamera]:
    """A camera of 30 pictures a second that tell when they were made."""
    camera = MjpegCamera(fps=30)
    camera.film(lambda: as_jpeg(stamped_picture()))
    yield camera
    camera.close()


def test_a_slow_reader_of_a_stream_gets_fresh_frames(stamped: MjpegCamera) -> None:
    with closing(Frames(stamped.url)) as frames:
        ages = [age(next_frame(frames))]
        for _ in range(6):
            time.sleep(0.3)
            ages.append(age(next_frame(frames)))
    assert sorted(ages)[-2] < 0.2, ages  # The machine may be busy once.


def test_a_backlog_that_comes_at_once_is_not_shown(stamped: MjpegCamera) -> None:
    with closing(Frames(stamped.url)) as frames:
        for _ in range(2):
            next_frame(frames)
            stamped.hold_up()
            while frames.newest(0.5) is not None:
                pass
            time.sleep(0.5)
            stamped.come_back()
            assert age(next_frame(frames)) < 0.2
        assert frames.news() == []


def test_a_stream_that_is_slow_by_itself_is_shown_at_once() -> None:
    camera = MjpegCamera(fps=1.5)
    camera.film(lambda: as_jpeg(stamped_picture()))
    with closing(camera), closing(Frames(camera.url)) as frames:
        next_frame(frames)
        assert max(age(next_frame(frames)) for _ in range(2)) < 0.2


# ---------------------------------------------------------------------------- sources that are lost


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is waited for takes a tenth of its time, or less."""
    monkeypatch.setattr(pete_sounds, "STALL_TIMEOUT_S", 0.4)
    monkeypatch.setattr(pete_sounds, "OPEN_TIMEOUT_S", 0.5)
    monkeypatch.setattr(pete_sounds, "REOPEN_PAUSES_S", (0.05, 0.1, 0.2))
    monkeypatch.setattr(pete_sounds, "STEADY_S", 0.1)
    monkeypatch.setattr(pete_sounds.LiveReader, "AFTER_A_FAILED_READ_S", 0.01)
    monkeypatch.setattr(pete_sounds.LiveReader, "LATE_S", 0.2)


FAULTS = {
    "kill": ("kill", "restart", GONE),
    "drop": ("drop", "come_back", GONE),
    "stall": ("stall", "come_back", NO_PICTURE),
    "garbage": ("send_garbage", "come_back", NO_PICTURE),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("fault", "mend", "sentence"), FAULTS.values(), ids=FAULTS)
def test_a_stream_that_is_lost_is_told_once_and_watched_again_once_it_is_back(
    mjpeg: MjpegCamera, fault: str, mend: str, sentence: str
) -> None:
    with closing(Frames(mjpeg.url)) as frames:
        first = next_frame(frames)
        for colour in (RED, GREEN):
            getattr(mjpeg, fault)()
            assert told(frames, "trying") == [sentence]
            deadline = time.monotonic() + 0.3
            while time.monotonic() < deadline:
                assert frames.newest(0.1) is None
                assert not frames.ended
            assert frames.news() == []
            mjpeg.show(plain(colour))
            getattr(mjpeg, mend)()
            frame = wait_until(lambda: frames.newest(0.1), 10)
            assert is_colour(frame, colour)
            assert frames.news() == [BACK]
            assert frame.at > first.at
            next_frame(frames)
        assert len(reading_threads()) == 1
        assert frames.news() == []


@pytest.mark.usefixtures("quick")
def test_a_stream_that_flaps_is_told_once(mjpeg: MjpegCamera) -> None:
    with closing(Frames(mjpeg.url)) as frames:
        next_frame(frames)
        mjpeg.flap()
        assert told(frames, "trying") == [GONE]
        watched = mjpeg.watched
        assert wait_until(lambda: mjpeg.watched >= watched + 3, 20)
        assert frames.newest(0) is None
        assert frames.news() == []
        mjpeg.come_back()
        assert told(frames, "is back") == [BACK]


@pytest.mark.usefixtures("quick")
def test_a_stream_that_stays_away_is_tried_less_and_less_often(mjpeg: MjpegCamera) -> None:
    with closing(Frames(mjpeg.url)) as frames:
        next_frame(frames)
        mjpeg.kill()
        told(frames, "trying")
        time.sleep(1)
        assert 3 <= reader_of(frames)._tries <= 8  # 20 if the pauses did not grow.
        mjpeg.restart()
        assert told(frames, "is back") == [BACK]
        assert reader_of(frames)._tries == 0


def test_a_pause_shorter_than_a_stall_is_forgiven(mjpeg: MjpegCamera) -> None:
    with closing(Frames(mjpeg.url)) as frames:
        next_frame(frames)
        mjpeg.stall()
        while frames.newest(0.5) is not None:
            pass
        mjpeg.show(plain(BLUE))
        mjpeg.come_back()
        assert wait_until(lambda: is_colour(frames.newest(0.1), BLUE), 10)
        assert frames.news() == []


def test_a_broken_picture_now_and_then_is_skipped(mjpeg: MjpegCamera) -> None:
    good, count = as_jpeg(plain(RED)), iter(range(10**6))
    mjpeg.film(lambda: good[: len(good) // 3] if next(count) % 3 == 0 else good)
    with closing(Frames(mjpeg.url)) as frames:
        assert all(is_colour(next_frame(frames), RED) for _ in range(12))
        assert frames.news() == []
    assert next(count) > 16


@pytest.mark.usefixtures("quick")
def test_a_noisy_camera_that_sends_the_same_bytes_over_and_over_is_reopened(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pete_sounds.NoiseWatch, "NOISY", 10)
    mjpeg.film(lambda: as_jpeg(stamped_picture()))
    with closing(Frames(mjpeg.url)) as frames:
        for _ in range(12):
            next_frame(frames)
        mjpeg.show(stamped_picture())
        watched = mjpeg.watched
        same = "The stream sends the same picture over and over; trying to get it back."
        assert told(frames, "trying") == [same]
        assert wait_until(lambda: mjpeg.watched >= watched + 2, 10)
        assert frames.newest(0) is None
        assert frames.news() == []
        mjpeg.film(lambda: as_jpeg(stamped_picture()))
        assert told(frames, "is back") == [BACK]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("still", [stamped_picture(), plain(BLUE)], ids=["drawn", "covered"])
def test_a_still_picture_is_no_stall(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch, still: np.ndarray
) -> None:
    """Neither one that never moved, nor a lens that is covered once it has seen something."""
    monkeypatch.setattr(pete_sounds.NoiseWatch, "NOISY", 10)
    covered = bool((still == still[0, 0]).all())
    mjpeg.show(still)
    if covered:
        mjpeg.film(lambda: as_jpeg(stamped_picture()))
    with closing(Frames(mjpeg.url)) as frames:
        for _ in range(12):
            next_frame(frames)
        mjpeg.show(still)
        deadline = time.monotonic() + 0.8
        while time.monotonic() < deadline:
            next_frame(frames)
        assert frames.news() == []
    assert mjpeg.watched == 1


class Driver:
    """A camera's driver whose reads hang from a moment on: no loopback stream does that, as
    FFmpeg's reads come back by themselves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        self.works = threading.Event()
        self.works.set()
        self.released = 0
        real_open = pete_sounds.open_live

        def open_live(source: str) -> tuple[Any, np.ndarray]:
            capture, image = real_open(url)
            return Altered(capture, read=self.read(capture), release=self.release(capture)), image

        monkeypatch.setattr(pete_sounds, "open_live", open_live)

    def read(self, capture: Any) -> Any:
        def read() -> Any:
            self.works.wait()
            return capture.read()

        return read

    def release(self, capture: Any) -> Any:
        def release() -> None:
            self.released += 1
            capture.release()

        return release


@pytest.mark.usefixtures("quick")
def test_reads_that_hang_in_the_driver_are_given_up_but_not_without_end(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(monkeypatch, mjpeg.url)
    with closing(Frames("0")) as frames:
        next_frame(frames)
        driver.works.clear()
        heard = told(frames, "does not answer", 20)
        assert heard == [
            "The camera sends no picture; trying to get it back.",
            "The camera does not answer at all; it may help to start again.",
        ]
        time.sleep(0.5)
        frames.newest(0.1)
        assert len(reading_threads()) == pete_sounds.HUNG_READERS
        driver.works.set()
        assert told(frames, "is back") == ["The camera is back."]
        assert wait_until(lambda: len(reading_threads()) == 1, 5)
        assert driver.released >= pete_sounds.HUNG_READERS - 1
    assert wait_until(lambda: not reading_threads(), 5)


@pytest.mark.usefixtures("quick")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reader_that_dies_is_replaced(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Frames(mjpeg.url)) as frames:
        next_frame(frames)
        reader_of(frames)._reader._capture = None
        monkeypatch.setattr(pete_sounds, "open_live", lambda source: 1 / 0)
        assert wait_until(lambda: not reading_threads(), 5)
        monkeypatch.undo()
        assert told(frames, "is back") == [NO_PICTURE, BACK]
    assert frames.newest(0.1) is None  # A reader that was closed is not replaced.
    assert not reading_threads()


@pytest.mark.usefixtures("quick")
def test_closing_does_not_wait_for_the_next_try(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pete_sounds, "REOPEN_PAUSES_S", [8.0])
    frames = Frames(mjpeg.url)
    next_frame(frames)
    mjpeg.kill()
    told(frames, "trying")
    time.sleep(0.2)
    started = time.monotonic()
    frames.close()
    assert time.monotonic() - started < 0.5
    assert not reading_threads()


@pytest.mark.parametrize("fault", ["stall", "send_garbage"])
def test_a_stream_without_a_picture_is_not_waited_for_long(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(pete_sounds, "OPEN_TIMEOUT_S", 1.0)
    monkeypatch.setattr(pete_sounds, "STALL_TIMEOUT_S", 1.0)
    getattr(mjpeg, fault)()
    started = time.monotonic()
    assert "shows no picture" in str(complaint(mjpeg.url))
    assert time.monotonic() - started < 8


def test_streams_of_other_kinds_are_refused() -> None:
    for url in ("ftp://host/video", "file:///etc/hostname", "concat://a|b", "pipe://0"):
        assert "only http, https and rtsp streams" in str(complaint(url))


# ----------------------------------------------------------------------- what close() leaves behind


def reading_threads() -> list[threading.Thread]:
    """The threads of Frames that run."""
    return [thread for thread in threading.enumerate() if thread.name == "frames"]


def close_soon(frames: Frames) -> None:
    """Close, which has to come back soon whatever the source does."""
    started = time.monotonic()
    frames.close()
    assert time.monotonic() - started < 1.5


def test_closing_ends_the_thread_of_a_video(demo_clip: DemoClip) -> None:
    frames = Frames(str(demo_clip.path))
    next_frame(frames)
    assert reading_threads()
    close_soon(frames)
    assert not reading_threads()


def test_closing_ends_the_thread_of_a_stream(mjpeg: MjpegCamera) -> None:
    frames = Frames(mjpeg.url)
    next_frame(frames)
    close_soon(frames)
    assert not reading_threads()


def test_closing_does_not_wait_for_a_stream_that_stalls(mjpeg: MjpegCamera) -> None:
    frames = Frames(mjpeg.url)
    next_frame(frames)
    mjpeg.stall()
    while frames.newest(0.3) is not None:
        pass
    close_soon(frames)
    mjpeg.drop()  # The read that hung comes back now, and its thread ends.
    assert wait_until(lambda: not reading_threads(), 10)


def test_closing_twice_or_unread_is_no_trouble(two_seconds: Path) -> None:
    frames = Frames(str(two_seconds))
    frames.close()
    frames.close()
    assert not reading_threads()


# ----------------------------------------------------------------------------- secrets in addresses

SECRETS = [
    "http://{user}:{password}@{address}/video",
    "http://{address}/video?user={user}&pwd={password}",
    "http://{user}:{password}@{address}/video?token={password}#{password}",
]


def no_secret_in(text: str) -> None:
    """Neither of the two below; the host is still told."""
    assert "s3cret" not in text
    assert "somebody" not in text
    assert "127.0.0.1" in text


@pytest.mark.parametrize("form", SECRETS)
def test_passwords_are_masked_when_a_stream_is_not_there(form: str) -> None:
    no_secret_in(
        str(complaint(form.format(user="somebody", password="s3cret", address="127.0.0.1:9")))
    )


def test_passwords_are_masked_when_a_stream_can_not_be_watched() -> None:
    no_secret_in(str(complaint("ftp://somebody:s3cret@127.0.0.1/video?s3cret")))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", ["drop", "stall"])
def test_nothing_of_an_address_is_told_when_a_stream_is_lost(
    mjpeg: MjpegCamera, fault: str
) -> None:
    url = SECRETS[2].format(user="somebody", password="s3cret", address=mjpeg.address)
    with closing(Frames(url)) as frames:
        next_frame(frames)
        getattr(mjpeg, fault)()
        assert "//" not in (sentence := " ".join(told(frames, "trying")))
        assert "s3cret" not in sentence


@pytest.mark.parametrize("sign", list("/?#@:%&=[]\n"))
def test_a_password_is_masked_whatever_signs_it_has(sign: str) -> None:
    no_secret_in_any_address(f"s3cret{sign}s3cret")


@given(between=st.text())
def test_no_secret_of_an_address_is_printed(between: str) -> None:
    no_secret_in_any_address(f"s3cret{between}s3cret")


def no_secret_in_any_address(secret: str) -> None:
    """Not when it is the password, the user, the query, or all of them."""
    for url in (
        f"rtsp://me:{secret}@host/video",
        f"rtsp://{secret}@host:554/video",
        f"rtsp://host/video?{secret}",
        f"rtsp://{secret}:{secret}@host/video?token={secret}",
        f"me:{secret}@host/video",  # the scheme was forgotten
    ):
        assert "s3cret" not in pete_sounds.without_password(url)
