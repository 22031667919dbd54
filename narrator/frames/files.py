"""Files as sources: every frame in turn (Film), or played at their own pace, as a camera would be.

A picture is a file of one frame.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import cv2
import numpy as np

from narrator.frames.frame import Frame
from narrator.frames.latest import LatestFrame
from narrator.frames.opencv import read_picture


class Film(LatestFrame):
    """Every frame of a video in turn, none dropped, as fast as they are decoded and looked at.

    The film's own clock takes the place of the wall clock: `taken` of a frame is the same as `at`.
    A film that is broken further on ends there. capture, first: as open_file() returns them.
    """

    is_film = True

    def __init__(self, capture: Any, first: np.ndarray, clip_length: int = 1) -> None:
        super().__init__(clip_length)
        self._capture, self._is_picture = capture, capture is None
        rate = 0.0 if capture is None else capture.get(cv2.CAP_PROP_FPS)
        count = 0.0 if capture is None else capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frame_s = 1 / rate if 0.01 < rate < 1000 else 1 / 25
        # The length in seconds, as the file has it; FFmpeg counts fewer than 0 where it has none.
        self.announced = count * self.frame_s if count > 0 else None
        self.put(Frame(first, 0.0, 0.0))

    @property
    def length(self) -> float | None:
        """Seconds: exact once the film has ended, else what the file says; None: not known."""
        exact = self.ended and not self._is_picture
        return self.at + self.frame_s if exact else self.announced

    def now(self) -> float:
        return self.at

    def peek(self) -> Frame | None:
        return None  # The next frame was read already, but is in view only once it was taken.

    def newest(self, timeout: float) -> Frame | None:
        """The next frame at once, whatever the time-out."""
        frame = super().newest(0)
        if frame is not None:
            self._read()
        return frame

    def close(self) -> None:
        """Let go of the file, which is closed once nobody reads it any more: to release a capture
        under a read would crash."""
        self._capture = None

    def _read(self) -> None:
        image, capture = None, self._capture
        if capture is not None:
            _, image = read_picture(capture)
            stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if image is None:
            self.complete()
        else:
            # Some files carry no time stamps: count frames then.
            at = stamp if stamp > self.at else self.at + self.frame_s
            self.put(Frame(image, at, at))


class PlayedFile(LatestFrame):
    """A film at the pace of its own clock, which starts with the first newest(). A frame that is
    late is shown at once."""

    def __init__(self, film: Film, clip_length: int = 1) -> None:
        super().__init__(clip_length)
        self._film = film
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._play, name="frames", daemon=True)

    def newest(self, timeout: float) -> Frame | None:
        if self._thread.ident is None and (first := self._film.newest(0)) is not None:
            self.put(Frame(first.image, time.monotonic(), 0.0))
            if self._film.ended:
                self.complete()
            else:
                self._thread.start()
        return super().newest(timeout)

    def close(self) -> None:
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(0.8)
        self._film.close()

    def _play(self) -> None:
        started = time.monotonic()
        try:
            while not self._closing.is_set() and (frame := self._film.newest(0)) is not None:
                self._closing.wait(max(0.0, started + frame.at - time.monotonic()))
                self.put(Frame(frame.image, time.monotonic(), frame.at))
            # The last frame stays on show for its own length.
            self._closing.wait(min(self._film.frame_s, 0.2))
        finally:
            self.complete()
