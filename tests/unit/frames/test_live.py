"""Live sources: the newest frame of a real stream on loopback, which fails in every way it can."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
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
    RED,
    heard,
    is_colour,
    next_frame,
    plain,
    reading_threads,
)
from support.program import process_table, wait_until

GONE = "The stream is gone; trying to get it back."
NO_PICTURE = "The stream sends no picture; trying to get it back."
SAME = "The stream sends the same picture over and over; trying to get it back."
BACK = "The stream is back."

# Shorter waits, but long enough for busy cores.
QUICK = LiveLimits(
    open_s=2.0,
    stall_s=1.0,
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


def is_shown(source: LiveSource, colour: tuple[int, int, int]) -> bool:
    return bool(wait_until(lambda: is_colour(source.newest(0.1), colour), 10))


# -------------------------------------------------------------------------------- while all is well


def test_a_slow_reader_of_a_stream_sees_what_is_there_now(mjpeg: MjpegCamera) -> None:
    mjpeg.show(plain(RED))
    with closing(patient(mjpeg.url)) as source:
        assert is_colour(first := next_frame(source), RED)
        for colour in (RED, GREEN):  # The reader is busy.
            mjpeg.show(plain(colour))
            sent = mjpeg.sent
            assert wait_until(lambda sent=sent: mjpeg.sent >= sent + 5, 10)  # type: ignore[misc]
        assert is_colour(second := next_frame(source), GREEN)
        assert 0 <= first.at < second.at


def test_a_broken_picture_now_and_then_is_skipped() -> None:
    good, count = as_jpeg(plain(RED)), iter(range(10**6))
    camera = MjpegCamera(fps=50)
    camera.film(lambda: good[: len(good) // 3] if next(count) % 3 == 0 else good)
    with closing(camera), closing(patient(camera.url)) as source:
        assert all(is_colour(next_frame(source), RED) for _ in range(12))
        assert source.messages() == []
    assert next(count) > 16


def test_a_backlog_that_comes_at_once_is_not_shown() -> None:
    camera = MjpegCamera(fps=30)
    camera.film(lambda: as_jpeg(stamped_picture()))
    limits = LiveLimits(settle_s=0.2, max_burst_s=1.0)  # on a busy machine a burst is slower
    with closing(camera), closing(watched(camera.url, limits)) as source:
        next_frame(source)
        camera.hold_up()
        while source.newest(0.3) is not None:
            pass
        held_up_until = time.monotonic() + 0.5
        time.sleep(0.5)
        camera.come_back()
        assert made_at(next_frame(source).image) > held_up_until - 0.1
        assert source.messages() == []


# ---------------------------------------------------------------------------- sources that are lost

FAULTS = {
    "kill": ("restart", GONE),
    "drop": ("come_back", GONE),
    "stall": ("come_back", NO_PICTURE),
    "send_garbage": ("come_back", NO_PICTURE),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_that_is_lost_is_told_once_without_its_address_and_watched_again_once_it_is_back(
    mjpeg: MjpegCamera, fault: str
) -> None:
    mend, message = FAULTS[fault]
    with closing(watched(f"http://me:s3cret@{mjpeg.address}/video?token=s3cret")) as source:
        first = next_frame(source)
        for colour in (RED, GREEN) if fault == "drop" else (RED,):
            getattr(mjpeg, fault)()
            assert heard(source, "trying") == [message]
            for _ in range(4):
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


def tries_again(source: LiveSource, camera: MjpegCamera, times: int) -> bool:
    """Wait for so many new connections, while nothing is shown and nothing said."""
    before = camera.watched

    def is_tried() -> bool:
        assert source.newest(0.02) is None
        return camera.watched >= before + times

    return bool(wait_until(is_tried, 20)) and source.messages() == []


def test_a_stream_that_flaps_is_told_once(mjpeg: MjpegCamera) -> None:
    with closing(watched(mjpeg.url)) as source:
        next_frame(source)
        mjpeg.flap()
        assert heard(source, "trying") == [GONE]
        assert tries_again(source, mjpeg, 3)
        mjpeg.come_back()
        assert heard(source, "is back") == [BACK]


def test_a_stream_that_was_back_is_soon_tried_again(mjpeg: MjpegCamera) -> None:
    limits = replace(QUICK, pauses_s=(0.05, 0.05, 60.0))
    with closing(watched(mjpeg.url, limits)) as source:
        for _ in range(3):
            next_frame(source)
            mjpeg.drop()
            heard(source, "trying")
            mjpeg.come_back()
            assert heard(source, "is back") == [BACK]


def test_a_clip_does_not_span_an_outage() -> None:
    camera = MjpegCamera(fps=10)
    with closing(camera), closing(watched(camera.url, clip_length=4)) as source:
        clip = clip_that(source, lambda clip: len(clip) >= 2)
        assert all(later.at - earlier.at > 0.5 for earlier, later in zip(clip, clip[1:]))
        camera.drop()
        heard(source, "trying")
        lost_at = time.monotonic()
        camera.come_back()
        assert len(clip_that(source, lambda clip: clip[-1].taken > lost_at)) == 1
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


# ---------------------------------------------------------------------------------- frozen pictures

NOISE = np.random.default_rng(1).integers(0, 255, (21, 64, 64, 3), np.uint8)


def test_a_noisy_camera_that_sends_the_same_bytes_over_and_over_is_reopened() -> None:
    camera, noise = MjpegCamera(fps=30), itertools.cycle(NOISE)
    camera.film(lambda: as_jpeg(next(noise)))
    with closing(camera), closing(watched(camera.url)) as source:
        for _ in range(12):
            next_frame(source)
        camera.show(NOISE[0])
        assert heard(source, "trying") == [SAME]
        assert tries_again(source, camera, 2)
        camera.film(lambda: as_jpeg(next(noise)))
        assert heard(source, "is back") == [BACK]


@pytest.mark.parametrize(
    ("pictures", "still_s"),
    [
        ([*NOISE[:12], *[NOISE[11]] * 5], 0.4),
        ([*NOISE[:12], *[NOISE[11]] * 5, NOISE[20]], 0),
        ([*NOISE[:8], *[NOISE[7]] * 50], 0),
        ([*NOISE[:12], *[plain(BLUE, 64, 64)] * 50], 0),
    ],
    ids=["frozen", "thawed", "drawn, and changed now and then", "covered"],
)
def test_what_was_noisy_and_shows_one_picture_is_frozen(
    pictures: list[np.ndarray], still_s: float
) -> None:
    detector, seconds = FreezeDetector(10), 0.0
    for number, picture in enumerate(pictures):
        seconds = detector.still_for(Frame(picture, number / 10, 0.0))
    assert seconds == pytest.approx(still_s)
    if still_s:
        detector.restart(20.0)  # A source that was reopened has its time anew.
        assert detector.still_for(Frame(pictures[-1], 21.0, 0.0)) == 1.0


# ---------------------------------------------------------------------- children that hang or die


def readers() -> set[int]:
    """The capture children of this process."""
    rows = [row for row in process_table() if row[1] == os.getpid()]
    return {pid for pid, *_, command in rows if "narrator.frames.capture" in command}


def is_gone(reader: int) -> bool:
    return reader not in readers()


def test_of_a_child_that_dies_or_is_stopped_nothing_is_said_and_another_goes_on(
    mjpeg: MjpegCamera,
) -> None:
    with closing(watched(mjpeg.url, LiveLimits(stall_s=2.0, late_s=1.0))) as source:
        for colour, number in ((RED, signal.SIGKILL), (GREEN, signal.SIGSTOP)):
            next_frame(source)
            os.kill(ended := min(readers()), number)
            mjpeg.show(plain(colour))
            assert is_shown(source, colour)
            assert wait_until(lambda: source.newest(0.1), 10)
            assert wait_until(partial(is_gone, ended), 20)
            for _ in range(12):  # Until it is steady: a child that dies twice is an outage.
                next_frame(source)
        assert source.messages() == []
        assert not source.lost


def test_memory_without_a_name_will_do_and_none_at_all_is_told(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises(SourceError, match="memory for pictures: No space left on device"):
        patient(mjpeg.url)
    monkeypatch.delattr(os, "memfd_create")  # as on a Mac
    mjpeg.show(plain(RED))
    with closing(patient(mjpeg.url)) as source:
        assert is_colour(next_frame(source), RED)


def test_a_child_that_dies_again_and_again_is_an_outage(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "av.py").write_text("raise SystemExit")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SourceError, match="the stream sends no picture"):
        watched(mjpeg.url)
    with closing(LiveSource("stream", mjpeg.url, 1, QUICK, waits=True)) as source:
        assert source.messages() == ["The stream sends no picture; trying again."]
        (tmp_path / "av.py").unlink()
        assert heard(source, "is connected") == ["The stream is connected."]


@pytest.mark.parametrize("fault", ["kill", "stall"])
def test_closing_waits_neither_for_the_next_try_nor_for_a_read_that_hangs(
    mjpeg: MjpegCamera, fault: str
) -> None:
    stall_s = 60.0 if fault == "stall" else 0.5
    source = watched(mjpeg.url, replace(QUICK, pauses_s=(60.0,), stall_s=stall_s))
    next_frame(source)
    getattr(mjpeg, fault)()
    if fault == "kill":
        heard(source, "trying")
    else:
        while source.newest(0.3) is not None:
            pass
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 20
    assert not reading_threads()
