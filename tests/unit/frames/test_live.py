"""Live sources: the newest frame of a real stream on loopback, which fails in every way it can."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from narrator.errors import SourceError
from narrator.frames.faults import FreezeDetector
from narrator.frames.frame import Frame
from narrator.frames.live import LiveLimits, LiveSource
from support.camera import MjpegCamera, as_jpeg, made_at, stamped_picture
from support.frames import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    is_colour,
    next_frame,
    plain,
    reading_threads,
)
from support.program import process_table, wait_until

GONE = "The stream is gone; trying to get it back."
NO_PICTURE = "The stream sends no picture; trying to get it back."
BACK = "The stream is back."

# Everything that is waited for takes a tenth of its time, or less.
QUICK = LiveLimits(
    open_s=0.5,
    stall_s=0.5,
    late_s=0.5,
    pauses_s=(0.05, 0.1, 0.2),
    steady_s=0.1,
    noisy_pictures=10,
)


def watched(url: str, limits: LiveLimits = QUICK, clip_length: int = 1) -> LiveSource:
    return LiveSource("stream", url, clip_length, limits)


def patient(url: str) -> LiveSource:
    """A stream with the limits that users have."""
    return watched(url, LiveLimits())


def told(source: LiveSource, part: str, timeout: float = 20) -> list[str]:
    """Look on until a message has `part` in it; all messages up to that one."""
    heard: list[str] = []

    def look() -> bool:
        source.newest(0.05)
        heard.extend(source.messages())
        return any(part in message for message in heard)

    assert wait_until(look, timeout), f"no {part!r} among {heard}"
    return heard


def is_shown(source: LiveSource, colour: tuple[int, int, int]) -> bool:
    return bool(wait_until(lambda: is_colour(source.newest(0.1), colour), 10))


# -------------------------------------------------------------------------------- while all is well


def test_a_stream_is_watched_live(mjpeg: MjpegCamera) -> None:
    mjpeg.show(plain(RED))
    with closing(patient(mjpeg.url)) as source:
        first = next_frame(source)
        assert is_colour(first, RED)
        assert first.at >= 0
        mjpeg.show(plain(ORANGE))
        assert is_shown(source, ORANGE)
        assert not source.ended
        assert first.at < next_frame(source).at


def test_a_slow_reader_of_a_stream_sees_what_is_there_now(mjpeg: MjpegCamera) -> None:
    mjpeg.show(plain(RED))
    with closing(patient(mjpeg.url)) as source:
        next_frame(source)
        sent = mjpeg.sent
        assert wait_until(lambda: mjpeg.sent >= sent + 5, 10)  # The reader is busy.
        mjpeg.show(plain(GREEN))
        sent = mjpeg.sent
        assert wait_until(lambda: mjpeg.sent >= sent + 5, 10)
        assert is_colour(next_frame(source), GREEN)


def test_a_stream_of_any_shape_keeps_it_when_it_changes(mjpeg: MjpegCamera) -> None:
    with closing(patient(mjpeg.url)) as source:
        for width, height in ((480, 640), (640, 480), (317, 179)):
            upright = plain(RED, width, height)
            upright[height // 2 :] = BLUE
            mjpeg.show(upright)

            def has_changed(shape: tuple[int, ...] = upright.shape) -> bool:
                frame = source.newest(0.1)
                return frame is not None and frame.image.shape == shape

            assert wait_until(has_changed, 10)
            image = next_frame(source).image
            assert np.abs(image[height // 4].mean(axis=0) - RED).max() < 25
            assert np.abs(image[-height // 4].mean(axis=0) - BLUE).max() < 25
        assert source.messages() == []


def test_a_broken_picture_now_and_then_is_skipped() -> None:
    good, count = as_jpeg(plain(RED)), iter(range(10**6))
    camera = MjpegCamera(fps=50)
    camera.film(lambda: good[: len(good) // 3] if next(count) % 3 == 0 else good)
    with closing(camera), closing(patient(camera.url)) as source:
        assert all(is_colour(next_frame(source), RED) for _ in range(12))
        assert source.messages() == []
    assert next(count) > 16


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
    with closing(patient(stamped.url)) as source:
        ages = [age(next_frame(source))]
        for _ in range(6):
            time.sleep(0.15)
            ages.append(age(next_frame(source)))
    assert sorted(ages)[-3] < 0.2, ages  # The machine may be busy once or twice.


def test_a_backlog_that_comes_at_once_is_not_shown(stamped: MjpegCamera) -> None:
    limits = LiveLimits(settle_s=0.2, max_burst_s=1.0)  # on a busy machine a burst is no quick one
    with closing(watched(stamped.url, limits)) as source:
        next_frame(source)
        stamped.hold_up()
        while source.newest(0.3) is not None:
            pass
        held_up_until = time.monotonic() + 0.5
        time.sleep(0.5)
        stamped.come_back()
        assert made_at(next_frame(source).image) > held_up_until - 0.1
        assert source.messages() == []


def test_a_stream_that_is_fast_by_itself_is_shown_from_the_start(mjpeg: MjpegCamera) -> None:
    limits = LiveLimits(settle_s=1.0, max_burst_s=60.0)
    with closing(watched(mjpeg.url, limits)) as source:
        for _ in range(3):
            next_frame(source)


def test_a_stream_that_is_slow_by_itself_is_shown_at_once() -> None:
    camera = MjpegCamera(fps=1.8)
    camera.film(lambda: as_jpeg(stamped_picture()))
    with closing(camera), closing(patient(camera.url)) as source:
        next_frame(source)
        assert min(age(next_frame(source)) for _ in range(2)) < 0.2


# ---------------------------------------------------------------------------- sources that are lost

FAULTS = {
    "kill": ("kill", "restart", GONE),
    "drop": ("drop", "come_back", GONE),
    "stall": ("stall", "come_back", NO_PICTURE),
    "garbage": ("send_garbage", "come_back", NO_PICTURE),
}


@pytest.mark.parametrize(("fault", "mend", "message"), FAULTS.values(), ids=FAULTS)
def test_a_stream_that_is_lost_is_told_once_and_watched_again_once_it_is_back(
    mjpeg: MjpegCamera, fault: str, mend: str, message: str
) -> None:
    with closing(watched(mjpeg.url)) as source:
        first = next_frame(source)
        for colour in (RED, GREEN) if fault == "drop" else (RED,):
            getattr(mjpeg, fault)()
            assert told(source, "trying") == [message]
            deadline = time.monotonic() + 0.2
            while time.monotonic() < deadline:
                assert source.newest(0.05) is None
                assert not source.ended
            assert source.messages() == []
            mjpeg.show(plain(colour))
            getattr(mjpeg, mend)()
            frame = wait_until(lambda: source.newest(0.1), 10)
            assert is_colour(frame, colour)
            assert source.messages() == [BACK]
            assert frame.at > first.at
        assert len(reading_threads()) == 1
        assert source.messages() == []


def test_of_a_stream_that_is_lost_while_nobody_looks_nothing_old_is_shown(
    mjpeg: MjpegCamera,
) -> None:
    """As while a long caption is made, or a question answered: the loss is noticed after it."""
    with closing(watched(mjpeg.url, clip_length=4)) as source:
        first = next_frame(source)
        mjpeg.kill()
        assert wait_until(lambda: source.lost, 10)
        assert source.clip_to(first)[-1] is first  # The caption in the making has what it needs.
        assert source.newest(0.05) is None
        assert source.messages() == [GONE]
        assert source.peek() is None


def test_a_stream_that_flaps_is_told_once(mjpeg: MjpegCamera) -> None:
    with closing(watched(mjpeg.url)) as source:
        next_frame(source)
        mjpeg.flap()
        assert told(source, "trying") == [GONE]
        watched_before = mjpeg.watched

        def is_tried_again() -> bool:
            assert source.newest(0.02) is None
            return mjpeg.watched >= watched_before + 3

        assert wait_until(is_tried_again, 20)
        assert source.messages() == []
        mjpeg.come_back()
        assert told(source, "is back") == [BACK]


def test_a_stream_that_stays_away_is_tried_less_and_less_often() -> None:
    tries: list[float] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                tries.append(time.monotonic())
                connection.close()

    limits = replace(QUICK, pauses_s=(0.1, 0.1, 1.0))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/video"
        with closing(LiveSource("stream", url, 1, limits, waits=True)):
            assert wait_until(lambda: tries[-1:] > [tries[0] + 2.5] if tries else False, 30)
        gaps = [after - before for before, after in itertools.pairwise(tries)]
        assert min(gaps[-3:]) < 0.9 < max(gaps[-3:])
        assert max(gaps[:2]) < 0.9
        listening.shutdown(socket.SHUT_RDWR)


def test_a_stream_that_was_back_is_soon_tried_again(mjpeg: MjpegCamera) -> None:
    limits = replace(QUICK, pauses_s=(0.05, 0.05, 20.0))
    with closing(watched(mjpeg.url, limits)) as source:
        for _ in range(3):
            next_frame(source)
            mjpeg.drop()
            told(source, "trying")
            mjpeg.come_back()
            assert told(source, "is back", 10) == [BACK]


def test_a_pause_shorter_than_a_stall_is_forgiven(mjpeg: MjpegCamera) -> None:
    with closing(patient(mjpeg.url)) as source:
        next_frame(source)
        mjpeg.stall()
        while source.newest(0.4) is not None:
            pass
        mjpeg.show(plain(BLUE))
        mjpeg.come_back()
        assert is_shown(source, BLUE)
        assert source.messages() == []


def test_a_clip_does_not_span_an_outage() -> None:
    camera = MjpegCamera(fps=10)
    with closing(camera), closing(watched(camera.url, clip_length=4)) as source:
        clip = clip_that(source, lambda clip: len(clip) >= 2)
        assert all(later.at - earlier.at > 0.5 for earlier, later in zip(clip, clip[1:]))
        camera.drop()
        told(source, "trying")
        lost_at = time.monotonic()
        camera.come_back()
        clip = clip_that(source, lambda clip: clip[-1].taken > lost_at)
        assert len(clip) == 1
        clip = clip_that(source, lambda clip: len(clip) >= 2)
        assert all(frame.taken > lost_at for frame in clip)


def clip_that(source: LiveSource, fits: Callable[[list[Frame]], bool]) -> list[Frame]:
    """The first clip that fits."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        frame = source.newest(0.2)
        if frame is not None and fits(clip := source.clip_to(frame)):
            return clip
    raise AssertionError("no such clip came")


@pytest.mark.parametrize("fault", ["drop", "stall"])
def test_nothing_of_an_address_is_told_when_a_stream_is_lost(
    mjpeg: MjpegCamera, fault: str
) -> None:
    with closing(watched(f"http://me:s3cret@{mjpeg.address}/video?token=s3cret")) as source:
        next_frame(source)
        getattr(mjpeg, fault)()
        assert told(source, "trying") == [GONE if fault == "drop" else NO_PICTURE]


# ---------------------------------------------------------------------------------- frozen pictures

NOISE = np.random.default_rng(1).integers(0, 255, (50, 64, 64, 3), np.uint8)


def test_a_noisy_camera_that_sends_the_same_bytes_over_and_over_is_reopened() -> None:
    camera, noise = MjpegCamera(fps=30), itertools.cycle(NOISE)
    camera.film(lambda: as_jpeg(next(noise)))
    with closing(camera), closing(watched(camera.url)) as source:
        for _ in range(12):
            next_frame(source)
        camera.show(NOISE[0])
        watched_before = camera.watched
        same = "The stream sends the same picture over and over; trying to get it back."
        assert told(source, "trying") == [same]

        def is_tried_again() -> bool:
            assert source.newest(0.02) is None
            return camera.watched >= watched_before + 2

        assert wait_until(is_tried_again, 10)
        assert source.messages() == []
        camera.film(lambda: as_jpeg(next(noise)))
        assert told(source, "is back") == [BACK]


def still_for(pictures: list[np.ndarray], noisy_pictures: int = 10) -> float:
    """How long the last of these pictures, ten a second, is held to be the same."""
    detector = FreezeDetector(noisy_pictures)
    frames = (Frame(one, number / 10, 0.0) for number, one in enumerate(pictures))
    return [detector.still_for(frame) for frame in frames][-1]


def test_a_noisy_camera_that_shows_one_picture_is_frozen() -> None:
    moving = [*NOISE[:12]]
    assert still_for(moving) == 0
    assert still_for([*moving, *[moving[-1]] * 5]) == pytest.approx(0.4)
    assert still_for([*moving, *[moving[-1]] * 5, NOISE[20]]) == 0


def test_what_was_never_noisy_is_not_frozen() -> None:
    """A drawn picture that changes now and then."""
    assert still_for([NOISE[0]] * 50) == 0
    assert still_for([*NOISE[:8], *[NOISE[7]] * 50]) == 0


def test_a_lens_that_is_covered_is_not_frozen() -> None:
    assert still_for([*NOISE[:12], *[plain(BLUE, 64, 64)] * 50]) == 0


def test_a_source_that_was_reopened_has_its_time_anew() -> None:
    detector = FreezeDetector(10)
    for number, picture in enumerate([*NOISE[:12], NOISE[11], NOISE[11]]):
        detector.still_for(Frame(picture, number, 0.0))
    detector.restart(20.0)
    assert detector.still_for(Frame(NOISE[11], 21.0, 0.0)) == 1.0


# ------------------------------------------------------------------ children that hang or die


def readers() -> set[int]:
    """The capture children of this process."""
    rows = [row for row in process_table() if row[1] == os.getpid()]
    return {pid for pid, *_, command in rows if "narrator.frames.capture" in command}


def is_gone(reader: int) -> bool:
    return reader not in readers()


def test_of_a_child_that_dies_or_is_stopped_nothing_is_said_and_another_goes_on(
    mjpeg: MjpegCamera,
) -> None:
    with closing(patient(mjpeg.url)) as source:
        for colour, number in ((RED, signal.SIGKILL), (GREEN, signal.SIGSTOP)):
            next_frame(source)
            os.kill(ended := min(readers()), number)
            mjpeg.show(plain(colour))
            assert is_shown(source, colour)
            assert wait_until(lambda: source.newest(0.1), 10)
            time.sleep(0.6)  # It is steady.
            assert wait_until(partial(is_gone, ended), 20)
        assert source.messages() == []
        assert not source.lost


def test_where_no_memory_is_named_it_is_shared_all_the_same(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Mac, which has no memfd_create()."""
    monkeypatch.delattr(os, "memfd_create")
    mjpeg.show(plain(RED))
    with closing(patient(mjpeg.url)) as source:
        assert is_colour(next_frame(source), RED)


def test_without_memory_to_share_that_is_told(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises(SourceError, match="no memory for pictures: No space left on device"):
        patient(mjpeg.url)


def test_a_child_that_dies_again_and_again_is_an_outage(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "av.py").write_text("raise SystemExit")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SourceError, match="the stream sends no picture"):
        patient(mjpeg.url)
    with closing(LiveSource("stream", mjpeg.url, waits=True)) as source:
        assert source.messages() == ["The stream sends no picture; trying again."]
        (tmp_path / "av.py").unlink()
        assert told(source, "is connected") == ["The stream is connected."]


# ----------------------------------------------------------------------- what close() leaves behind


def close_soon(source: LiveSource) -> None:
    """Close, which has to come back soon whatever the source does."""
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 2


def test_closing_ends_the_thread_of_a_stream(mjpeg: MjpegCamera) -> None:
    source = patient(mjpeg.url)
    next_frame(source)
    close_soon(source)
    assert not reading_threads()


def test_closing_does_not_wait_for_the_next_try(mjpeg: MjpegCamera) -> None:
    source = watched(mjpeg.url, replace(QUICK, pauses_s=(8.0,)))
    next_frame(source)
    mjpeg.kill()
    told(source, "trying")
    close_soon(source)
    assert not reading_threads()


def test_closing_does_not_wait_for_a_stream_that_stalls(mjpeg: MjpegCamera) -> None:
    source = patient(mjpeg.url)
    next_frame(source)
    mjpeg.stall()
    while source.newest(0.3) is not None:
        pass
    close_soon(source)
    mjpeg.drop()  # The read that hung comes back now, and its thread ends.
    assert wait_until(lambda: not reading_threads(), 10)
