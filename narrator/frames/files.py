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
from narrator.frames.opencv import open_file, read_picture, readable_file

STANDS_S = 0.25  # a picture that stands for longer is given again so often, as a camera would
# The clock of a broadcast jumps where recordings were joined or cut; no other format's does.
JUMP_S = 10.0  # as in ffplay (AV_NOSYNC_THRESHOLD)
HEAD = 197  # bytes of a file, which tell its format
MATROSKA = b"\x1aE\xdf\xa3"


class Film(LatestFrame):
    """Every frame of a video in turn, none dropped, as fast as they are decoded and looked at.

    The film's own clock takes the place of the wall clock: `taken` of a frame is the same as `at`.
    A film that is broken further on ends there, and a picture that stands for long is given again
    and again. capture, first: as open_file() returns them. head: the first HEAD bytes of the file.
    """

    is_film = True

    def __init__(
        self, capture: Any, first: np.ndarray, clip_length: int = 1, head: bytes = b""
    ) -> None:
        super().__init__(clip_length)
        self._capture, self._is_picture = capture, capture is None
        rate = 0.0 if capture is None else capture.get(cv2.CAP_PROP_FPS)
        count = 0.0 if capture is None else capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if head.startswith(MATROSKA) and capture.get(cv2.CAP_PROP_PTS) > 0:
            count -= capture.get(cv2.CAP_PROP_PTS)  # Its length counts from 0, wherever it starts.
        self._frame_s = 1 / rate if 0.01 < rate < 1000 else 1 / 25
        # The length in seconds, as the file has it; FFmpeg counts fewer than 0 where it has none.
        self.announced = count * self._frame_s if count > 0 else None
        # MPEG's format of broadcasts: packets of 188 bytes, or 192 with a time before each.
        self._clock_jumps = b"GG" in (head[:189:188], head[4::192])
        self._skipped_s = 0.0
        self._longest_s = 0.0  # for which a picture stood
        self._next: Frame | None = Frame(first, 0.0, 0.0)  # which is put, or will be
        self._until = 0.0  # when the picture that was put will have stood long enough
        self.put(self._next)

    @property
    def length(self) -> float | None:
        """Seconds: exact once the film has ended, else what the file says; None: not known."""
        exact = self.ended and not self._is_picture
        return self._until if exact else self.announced

    def now(self) -> float:
        return self.at

    def peek(self) -> Frame | None:
        return None  # The next frame was read already, but is in view only once it was taken.

    def newest(self, timeout: float) -> Frame | None:
        """The next frame at once, whatever the time-out."""
        frame = super().newest(0)
        if frame is not None:
            if frame is self._next:
                self._read(frame.at)
            at = frame.at + STANDS_S
            if at < self._until - STANDS_S / 2:
                self.put(Frame(frame.picture, at, at))
            elif self._next is not None:
                self.put(self._next)
            else:
                self.complete()
        return frame

    def close(self) -> None:
        """Let go of the file, which is closed once nobody reads it any more: to release a capture
        under a read would crash."""
        self._capture = None

    def _read(self, before: float) -> None:
        """Read the frame after that of second `before`."""
        self._next, capture, image = None, self._capture, None
        if capture is None:
            self._until = before
            return
        image = read_picture(capture)
        stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 - self._skipped_s
        if image is None:
            self._until = before + self._last_s(before, stamp)
            return
        if self._clock_jumps and stamp > before + JUMP_S:
            skipped_s = stamp - before - self._frame_s
            self._skipped_s += skipped_s
            self.announced = self.announced and self.announced - skipped_s
            stamp -= skipped_s
        # Some files carry no time stamps: count frames then.
        self._until = stamp if stamp > before else before + self._frame_s
        self._longest_s = max(self._longest_s, self._until - before)
        self._next = Frame(image, self._until, self._until)

    def _last_s(self, at: float, end: float) -> float:
        """Seconds for which the last frame stands. end: as an Animation tells it."""
        if end > at:
            return end - at
        rest = (self.announced or 0.0) - at
        return rest if 0 < rest <= self._longest_s else self._frame_s


def open_film(source: str, clip_length: int = 1) -> Film:
    """Open a video or picture. Raises SourceError, and cv2.error."""
    with open(readable_file(source), "rb") as file:
        return Film(*open_file(source), clip_length, file.read(HEAD))


class PlayedFile(LatestFrame):
    """A film at the pace of its own clock, which starts with the first newest(). A frame that is
    late is shown at once."""

    def __init__(self, film: Film, clip_length: int = 1) -> None:
        super().__init__(clip_length)
        self._film = film
        self._started = 0.0  # moved on by each pause
        self._paused_at: float | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._play, name="frames", daemon=True)

    def newest(self, timeout: float) -> Frame | None:
        if self._thread.ident is None and (first := self._film.newest(0)) is not None:
            self._started = time.monotonic()
            self.put(Frame(first.picture, self._started, 0.0))
            if self._film.ended:
                self.complete()
            else:
                self._thread.start()
        return super().newest(timeout)

    def pause(self, paused: bool) -> None:
        with self._changed:
            now = time.monotonic()
            if self._paused_at is not None:
                self._started += now - self._paused_at
            self._paused_at = now if paused else None
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(0.8)
        self._film.close()

    def _play(self) -> None:
        try:
            while (frame := self._film.newest(0)) is not None and self._wait_until(frame.at):
                self.put(Frame(frame.picture, time.monotonic(), frame.at))
            self._wait_until(self._film.length or 0.0)  # The last frame stays on show so long.
        finally:
            self.complete()

    def _wait_until(self, at: float) -> bool:
        """Wait for the film's second `at`. False when it is to be closed instead."""
        with self._changed:
            while not self._closing:
                paused = self._paused_at is not None
                wait_s = None if paused else self._started + at - time.monotonic()
                if wait_s is not None and wait_s <= 0:
                    return True
                self._changed.wait(wait_s)
            return False
