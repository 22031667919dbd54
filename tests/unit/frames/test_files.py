"""Files: videos at their own pace, and films of which every frame comes in turn."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrator.frames.files import Film, PlayedFile, open_film
from narrator.frames.films import FilmReader, Shown
from narrator.frames.frame import Frame
from support.camera import as_jpeg
from support.frames import (
    BLUE,
    brightening,
    next_frame,
    number_of,
    plain,
    reading_threads,
    until_ended,
)
from support.program import wait_until
from support.video import write_timed, write_video

FPS = 30


@pytest.fixture(scope="module")
def one_second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 30 brightening pictures."""
    return write_video(tmp_path_factory.mktemp("video") / "one second.mp4", brightening(30), FPS)


def film_of(path: Path, clip_length: int = 1) -> Film:
    return open_film(str(path), clip_length)


def played(path: Path) -> PlayedFile:
    return PlayedFile(film_of(path))


def shown_in_turn(path: Path) -> list[Frame]:
    """All frames of a film, of which each has to come once, at its time."""
    with closing(film_of(path)) as film:
        frames = list(until_ended(film))
    assert [number_of(frame) for frame in frames] == list(range(len(frames)))
    assert [frame.at for frame in frames] == sorted({frame.at for frame in frames})
    return frames


# -------------------------------------------------------------------------------------------- films


def test_every_frame_comes_in_turn(tmp_path: Path) -> None:
    shades = range(0, 240, 4)
    images = [np.full((48, 64, 3), shade, np.uint8) for shade in shades]
    path = write_video(tmp_path / "shades.avi", images, 30, "MJPG")
    with closing(film_of(path)) as film:
        assert film.length == film.announced == pytest.approx(2.0)
        frames = []
        while not film.ended:
            frames.append(film.newest(0.1))
            assert frames[-1] is not None
            assert film.now() == film.at == frames[-1].at == frames[-1].taken
        assert film.newest(0.1) is None
        assert film.length == pytest.approx(2.0)
    assert [frame.at for frame in frames if frame] == pytest.approx([n / 30 for n in range(60)])
    assert [frame.image.mean() for frame in frames if frame] == pytest.approx(list(shades), abs=3)


def test_of_a_film_nothing_is_in_view_before_it_was_taken(one_second: Path) -> None:
    """Or its preview would be a frame ahead, and s save another one than is described."""
    with closing(film_of(one_second)) as film:
        for _ in range(3):
            assert film.peek() is None
            assert film.newest(0) is not None


def test_clips_of_a_film_are_of_its_own_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "slow.avi", brightening(25), 5, "MJPG")
    with closing(film_of(path, clip_length=3)) as film:
        seconds = []
        for frame in until_ended(film):
            if frame.at == pytest.approx(3.0):
                film.forget_clip()  # up to this frame, not the next
            seconds.append([round(one.at, 1) for one in film.clip_to(frame)])
    assert seconds[14] == [1.0, 2.0, 2.8]
    assert seconds[15] == [3.0]
    assert seconds[24] == [3.2, 4.2, 4.8]


# ----------------------------------------------------------------------------------- films' clocks


@pytest.mark.parametrize("name", ["slides.mp4", "slides.gif"])
def test_a_picture_that_stands_is_given_again_and_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".gif"):
        first, *rest = [Image.fromarray(picture) for picture in brightening(3)]
        first.save(path, save_all=True, append_images=rest, duration=5000)
    else:
        write_video(path, brightening(3), 0.2)
    with closing(film_of(path)) as film:
        frames = list(until_ended(film))
        assert film.length == pytest.approx(15.0)
    assert [frame.at for frame in frames] == pytest.approx([n / 4 for n in range(60)])
    assert [number_of(frame) for frame in frames] == [int(frame.at / 5) for frame in frames]


@pytest.mark.parametrize(
    ("times", "length"),
    [
        ([100 + n / 10 for n in range(30)], 2.91),  # It starts late.
        # The last one stands as the file says, not for the average of what came before.
        ([*range(10), *(10 + n / 10 for n in range(20))], 11.91),
    ],
)
def test_a_film_is_as_long_as_its_pictures(
    tmp_path: Path, times: list[float], length: float
) -> None:
    with closing(film_of(write_timed(tmp_path / "a.mkv", brightening(30), times))) as film:
        assert film.announced == pytest.approx(length, abs=0.03)
        assert len(list(until_ended(film))) >= 30
        assert film.length == pytest.approx(length, abs=0.03)


def test_a_clock_that_jumps_is_not_waited_for(tmp_path: Path) -> None:
    data = write_video(path := tmp_path / "cut.ts", brightening(36), 1).read_bytes()
    part = len(data) // 188 // 3 * 188
    path.write_bytes(data[:part] + data[2 * part :])
    with closing(film_of(path)) as film:
        frames = list(until_ended(film))
        assert 18 < (film.length or 0) < 28
    assert all(0 < b.at - a.at <= 1.01 for a, b in zip(frames, frames[1:]))


def test_pictures_one_after_the_other_are_a_video_that_is_timed_by_counting(
    tmp_path: Path,
) -> None:
    name = "clip"
    (tmp_path / name).write_bytes(b"".join(map(as_jpeg, brightening(15))))
    at = [frame.at for frame in shown_in_turn(tmp_path / name)]
    assert len(at) >= 14
    assert at == pytest.approx([n / 25 for n in range(len(at))])


def test_videos_keep_their_colours_and_odd_sizes(tmp_path: Path) -> None:
    with closing(film_of(write_video(tmp_path / "a.mp4", [plain(BLUE, 322, 182)] * 3))) as film:
        image = next_frame(film).image
    assert image.shape == (182, 322, 3)
    assert np.abs(image.mean(axis=(0, 1)) - BLUE).max() < 25


# ------------------------------------------------------------------------------------------- played


def test_a_video_is_paced_by_its_own_clock(one_second: Path) -> None:
    with closing(played(one_second)) as source:
        time.sleep(0.2)  # The clock starts with the first look, not before.
        started = time.monotonic()
        frames = list(until_ended(source))
        assert time.monotonic() - started > 0.9
    assert frames[0].at == 0
    assert len(frames) > 3
    for earlier, later in zip(frames, frames[1:]):
        assert earlier.at < later.at
        assert earlier.taken < later.taken
    for frame in frames:
        assert abs(number_of(frame) - frame.at * FPS) <= 1
        assert frame.taken - started - frame.at > -0.1


def test_a_slow_reader_sees_the_newest_frame_and_does_not_lose_the_last(one_second: Path) -> None:
    with closing(played(one_second)) as source:
        next_frame(source)
        assert wait_until(lambda: (frame := source.peek()) and number_of(frame) > 6, 20)
        assert number_of(next_frame(source)) > 6
        assert wait_until(lambda: not reading_threads(), 20)
        assert not source.ended
        assert number_of(next_frame(source)) >= 28
        assert source.ended


def test_a_video_that_decodes_too_slowly_leaves_frames_out_and_keeps_its_clock(
    one_second: Path,
) -> None:
    class Slow(FilmReader):
        def read(self, start: float = 0.0) -> Shown | None:
            time.sleep(0.1)  # At 30 frames a second there is a third of that.
            return super().read(start)

    with closing(PlayedFile(Film(Slow(str(one_second))))) as source:
        frames = list(until_ended(source))
    assert 3 < len(frames) < 20
    assert number_of(frames[-1]) == 29


def test_a_film_that_was_paused_goes_on_where_it_stood(tmp_path: Path) -> None:
    path = write_video(tmp_path / "slow.avi", brightening(10), 5, "MJPG")
    with closing(played(path)) as source:
        next_frame(source)
        source.pause(True)
        time.sleep(0.5)
        shown = source.newest(0)  # which was on its way already
        assert shown is None or shown.at < 0.3
        assert source.newest(0.5) is None
        source.pause(False)
        frames = list(until_ended(source))
    assert number_of(frames[0]) <= 3
    assert number_of(frames[-1]) == 9
    for frame in frames:
        assert abs(number_of(frame) - frame.at * 5) <= 1
        assert frame.taken > frame.at
