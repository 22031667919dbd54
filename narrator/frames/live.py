"""A camera or stream that is kept going: read all the time, and reopened when it is lost.

A thread reads pictures until something is wrong; newest() then starts another one, when it is time
to. OpenCV may hang in a camera's driver: a thread that does not come back is left behind.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from narrator.backoff import PAUSES_S, Backoff
from narrator.errors import SourceError
from narrator.frames.frame import Frame
from narrator.frames.latest import LatestFrame
from narrator.frames.opencv import read_picture

log = logging.getLogger(__name__)

CONTRAST = 32  # grey levels of 255; a covered lens has less


@dataclass(frozen=True)
class LiveLimits:
    """How long a camera or stream is waited for, in seconds, and how often."""

    open_s: float = 10.0  # one that shows nothing for so long is not there
    stall_s: float = 5.0  # one that stops showing anything is reopened after so long
    late_s: float = 1.0  # by which OpenCV may exceed the time limits that it was given
    pauses_s: tuple[float, ...] = PAUSES_S  # from a try to reopen it to the next one
    steady_s: float = 0.5  # of pictures make a source that was lost one that is back
    failed_reads: int = 10  # in a row: some drivers fail a read now and then
    failed_read_pause_s: float = 0.05
    burst_after_s: float = 0.5  # without a picture; what comes next may have been held up
    max_burst_s: float = 2.0
    settle_s: float = 0.015  # a picture of a burst is followed sooner, one of 60 a second later
    noisy_pictures: int = 100  # that differed in a row: such a source can freeze
    hung_readers: int = 3  # threads that may hang at a time; each may hold the camera


class LiveSource(LatestFrame):
    """A camera or stream.

    An outage begins with a loss and lasts until pictures have come steadily again, so that a source
    that flaps is told once. kind: what messages call it. open_capture: takes open_s and stall_s,
    and returns a capture and its first picture, or raises SourceError; it is called here, on the
    caller's thread, and whenever the source was lost. waits: one that is not there is lost, too,
    from the start; else SourceError is raised.
    """

    def __init__(
        self,
        kind: str,
        open_capture: Callable[[float, float], tuple[Any, np.ndarray]],
        clip_length: int = 1,
        limits: LiveLimits = LiveLimits(),
        waits: bool = False,
    ) -> None:
        super().__init__(clip_length)
        self._kind, self.limits = kind, limits
        self.open_capture = functools.partial(open_capture, limits.open_s, limits.stall_s)
        self._backoff = Backoff(limits.pauses_s)
        self._freeze = FreezeDetector(limits.noisy_pictures)
        self._messages: deque[str] = deque()
        self.lost = self._told_hung = False
        self._steady_since: float | None = None
        self._hung: list[LiveReader] = []
        self._first_at: float | None = None
        self._last_at, self._burst_until = math.inf, -math.inf  # The first picture ends no gap.
        capture = None
        try:
            capture, image = self.open_capture()
            self.show(image)
        except SourceError as error:
            if not waits:
                raise
            log.info(f"{error}; trying again")
            self.lost = True
            self._backoff.failed()
            self._tell("is not there yet; trying again.")
        self._reader = LiveReader(self, capture)

    def newest(self, timeout: float) -> Frame | None:
        if not self._reader.is_fine():
            self._reader.join(0.05)  # Perhaps it only had no turn while this thread was busy.
        if not self._reader.is_fine():
            self._lose(self._reader.problem)
            if self._backoff.wait_s() == 0:
                self._reopen()
        return super().newest(timeout)

    def messages(self) -> list[str]:
        return [self._messages.popleft() for _ in range(len(self._messages))]

    def close(self) -> None:
        self._reader.stop.set()
        self._reader.join(0.8)

    def _tell(self, what: str) -> None:
        self._messages.append(f"The {self._kind} {what}")

    def _lose(self, problem: str) -> None:
        if not self.lost:
            self.lost = True
            self._backoff.failed()
            self._tell(f"{problem}; trying to get it back.")
        self._steady_since = None
        self._freeze.restart(time.monotonic())
        self.clear()

    def _reopen(self) -> None:
        """Try once. macOS asks for permission on the main thread alone, but gave it when the source
        was first opened: from then on any thread will do."""
        self._hung = [reader for reader in (*self._hung, self._reader) if reader.is_alive()]
        if len(self._hung) < self.limits.hung_readers:
            self._backoff.failed()  # from now on, until pictures come steadily
            self._reader.stop.set()
            self._reader = LiveReader(self)
        elif not self._told_hung:
            self._told_hung = True
            self._tell("does not answer at all; it may help to start again.")

    def show(self, image: np.ndarray) -> bool:
        """Take a new picture; False when the source is frozen."""
        now = time.monotonic()
        still_s = self._freeze.still_for(image, now)
        if still_s >= self.limits.stall_s:
            return False
        settle_s = self._settle_s(now)
        if self.lost and still_s == 0.0:
            self._steady_since = self._steady_since or now
            if now - self._steady_since >= self.limits.steady_s:
                self.lost = self._told_hung = False
                self._backoff.reset()
                if self._messages:
                    self._messages.clear()  # An outage that nobody was told of is over.
                else:
                    self._tell("is there." if self._first_at is None else "is back.")
        if not self.lost:
            self._first_at = self._first_at or now
            self.put(Frame(image, now, now - self._first_at), settle_s)
        return True

    def _settle_s(self, now: float) -> float:
        """How long a picture has to stand. After a gap a stream may send all at once what it could
        not send before; only what is not followed at once by the next one shows what is now."""
        gap, self._last_at = now - self._last_at, now
        if gap >= self.limits.burst_after_s:
            self._burst_until = now + self.limits.max_burst_s
        elif gap >= self.limits.settle_s:
            self._burst_until = now
        return self.limits.settle_s if now < self._burst_until else 0.0


class LiveReader(threading.Thread):
    """Opens a capture and shows its pictures until something is wrong or it is told to stop.

    It alone touches the capture, and releases it when it ends, however late that is: releasing a
    capture under a read that hangs would crash.
    """

    def __init__(self, live: LiveSource, capture: Any = None) -> None:
        super().__init__(name="frames", daemon=True)
        self._live, self._limits, self._capture = live, live.limits, capture
        self._due = time.monotonic() + 2 * self._limits.open_s + self._limits.late_s  # or it hangs
        self.problem = "sends no picture"
        self.stop = threading.Event()
        self.start()

    def is_fine(self) -> bool:
        """False when it hangs, or has ended without being told to stop."""
        return self.stop.is_set() or (self.is_alive() and time.monotonic() < self._due)

    def run(self) -> None:
        try:
            capture = self._capture or self._live.open_capture()[0]
            self._read(capture)
            capture.release()
        except SourceError as error:
            self.problem = f"is lost, as {error}"
        except cv2.error:
            pass

    def _read(self, capture: Any) -> None:
        stall_s = self._limits.stall_s
        good_at, failed = time.monotonic(), 0
        while failed < self._limits.failed_reads:
            self._due = time.monotonic() + stall_s + self._limits.late_s
            good, image = read_picture(capture)
            # Even where a picture came: FFmpeg gives up waiting with one that it had kept back.
            if self.stop.is_set() or time.monotonic() - good_at >= stall_s:
                return
            if image is not None:
                good_at, failed = time.monotonic(), 0
                if not self._live.show(image):
                    self.problem = "sends the same picture over and over"
                    return
            elif not good:
                failed += 1
                self.stop.wait(self._limits.failed_read_pause_s)
        self.problem = "is gone"


class FreezeDetector:
    """Notices a source that froze: noise made each of its pictures differ, and now none does.

    A drawn picture may stand still for ever, and so may one without contrast (a covered lens).
    """

    def __init__(self, noisy_pictures: int) -> None:
        self._noisy_pictures = noisy_pictures
        self._last: np.ndarray | None = None
        self._differed = 0
        self._still_since: float | None = None

    def still_for(self, image: np.ndarray, now: float) -> float:
        """Seconds for which a noisy source has sent nothing but this picture; 0 if it is new."""
        sample = image[::8, ::8].copy()
        is_new = self._last is None or not np.array_equal(sample, self._last)
        self._last = sample
        if is_new:
            self._differed = self._differed + 1 if self._still_since is None else 1
            self._still_since = None
        elif self._differed < self._noisy_pictures or np.ptp(sample, (0, 1)).max() < CONTRAST:
            self._differed = 0
        elif self._still_since is None:
            self._still_since = now
        return 0.0 if self._still_since is None else now - self._still_since

    def restart(self, now: float) -> None:
        """Give a source that was reopened as much time as before."""
        if self._still_since is not None:
            self._still_since = now
