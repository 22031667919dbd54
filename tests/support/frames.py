"""Pictures that tell their number, and what a test looks for when it watches a source."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from narrator.frames.frame import Frame
from narrator.frames.source import Source
from support.program import wait_until

RED, GREEN, BLUE, ORANGE = (0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 128, 255)  # BGR


def plain(colour: tuple[int, int, int], width: int = 320, height: int = 240) -> np.ndarray:
    """A picture of one colour (BGR)."""
    return np.full((height, width, 3), colour, np.uint8)


def brightening(count: int, width: int = 320, height: int = 240) -> Iterator[np.ndarray]:
    """Pictures that tell their number: grey, each 8 levels brighter than the last."""
    return (plain((8 * i, 8 * i, 8 * i), width, height) for i in range(count))


def number_of(frame: Frame) -> int:
    """Which of the brightening pictures this is."""
    return round(float(frame.image.mean()) / 8)


def is_colour(frame: Frame | None, colour: tuple[int, int, int]) -> bool:
    """True when a frame is of this colour, but for what compression makes of it."""
    return frame is not None and np.abs(frame.image.mean(axis=(0, 1)) - colour).max() < 25


def next_frame(source: Source) -> Frame:
    """The next frame, which has to come."""
    frame = wait_until(lambda: source.newest(0.1), 10)
    assert isinstance(frame, Frame)
    return frame


def until_ended(source: Source) -> Iterator[Frame]:
    """Each frame that a quick reader sees."""
    while not source.ended:
        frame = source.newest(0.1)
        if frame is not None:
            yield frame


def reading_threads() -> list[threading.Thread]:
    """The threads of sources that run."""
    names = ("frames", "narrator.frames.capture")
    return [thread for thread in threading.enumerate() if thread.name in names]
