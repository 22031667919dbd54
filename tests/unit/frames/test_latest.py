"""LatestFrame: room for one frame between two threads, and the clip that comes before it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from narrator.frames.frame import Frame
from narrator.frames.latest import LatestFrame

IMAGE = np.zeros((2, 2, 3), np.uint8)


def frame_at(at: float) -> Frame:
    return Frame(IMAGE, time.monotonic(), at)


def test_a_frame_that_has_to_settle_is_taken_once_none_has_followed_it() -> None:
    latest = LatestFrame(1)
    latest.put(frame_at(1), settle_s=5)
    assert latest.peek() is None
    assert latest.newest(0.01) is None
    latest.put(last := frame_at(2), settle_s=0.05)
    assert latest.newest(10) is last


def test_a_frame_is_taken_when_it_comes_but_none_too_soon_after_the_one_before() -> None:
    latest = LatestFrame(1, apart_s=0.06)
    first, soon, later = (Frame(IMAGE, 1000 + number / 30, 0.0) for number in range(3))
    for frame, is_taken in ((first, True), (soon, False), (later, True)):
        latest.put(frame)
        assert (latest.newest(0) is frame) is is_taken


def test_the_end_is_told_once_the_last_frame_was_taken_which_need_not_settle() -> None:
    latest = LatestFrame(1)
    latest.put(last := frame_at(1), settle_s=100)
    threading.Timer(0.1, latest.complete).start()
    assert latest.newest(100) is last
    assert latest.ended
    assert latest.newest(100) is None


# ------------------------------------------------------------------------------------------- clips


def filled(length: int, until: float, fps: float = 15) -> LatestFrame:
    """What a source of so many frames a second leaves, of which none was taken."""
    latest = LatestFrame(length)
    for number in range(round(until * fps) + 1):
        latest.put(frame_at(number / fps))
    return latest


@pytest.mark.parametrize("at", [9.0, 9.59, 9.61, 10.0])
def test_a_clip_is_its_newest_frame_and_those_before_it_a_second_apart(at: float) -> None:
    newest = frame_at(at)
    clip = filled(4, until=9.0).clip_to(newest)
    assert clip[-1] is newest
    gaps = np.diff([frame.at for frame in clip])
    assert len(clip) == 4
    assert gaps[:-1] == pytest.approx([1.0, 1.0], abs=0.08)
    assert 0.6 <= gaps[-1] <= 1.67


def test_at_the_start_or_of_a_slow_source_there_are_fewer_frames() -> None:
    lengths = {at: len(filled(4, at).clip_to(frame_at(at))) for at in (0.0, 0.5, 0.7, 1.7, 2.7, 9)}
    assert lengths == {0.0: 1, 0.5: 1, 0.7: 2, 1.7: 3, 2.7: 4, 9: 4}
    slow = filled(3, until=20, fps=0.5).clip_to(frame_at(22))
    assert [frame.at for frame in slow] == [18, 20, 22]


def test_what_was_forgotten_or_cleared_is_in_no_clip() -> None:
    latest = filled(4, until=9.0)
    before = frame_at(9.5)
    while time.monotonic() <= before.taken:
        time.sleep(0.001)
    latest.forget_clip()
    assert latest.clip_to(before) == [before]
    latest.put(before)  # late: it was taken before
    assert [frame.at for frame in latest.clip_to(frame_at(12))] == [12]
    latest.clear()
    assert latest.newest(0) is None
