"""What is wrong with a source that sends pictures: it froze, or sends what it had held up."""

from __future__ import annotations

import math

import numpy as np

from narrator.frames.frame import Frame

CONTRAST = 32  # grey levels of 255; a covered lens has less


class BurstDetector:
    """Notices that a stream sends all at once what it could not send before: only what is not
    followed at once by the next picture shows what is now."""

    def __init__(self, after_s: float, longest_s: float, settle_s: float) -> None:
        self._after_s, self._longest_s, self._settle_s = after_s, longest_s, settle_s
        self._last_at, self._until = math.inf, -math.inf  # The first picture ends no gap.

    def settle_s(self, now: float) -> float:
        """How long a picture that was taken now has to stand."""
        gap, self._last_at = now - self._last_at, now
        if gap >= self._after_s:
            self._until = now + self._longest_s
        elif gap >= self._settle_s:
            self._until = now
        return self._settle_s if now < self._until else 0.0


class FreezeDetector:
    """Notices a source that froze: noise made each of its pictures differ, and now none does.

    A drawn picture may stand still for ever, and so may one without contrast (a covered lens).
    """

    def __init__(self, noisy_pictures: int) -> None:
        self._noisy_pictures = noisy_pictures
        self._last: np.ndarray | None = None
        self._differed = 0
        self._still_since: float | None = None

    def still_for(self, frame: Frame) -> float:
        """Seconds for which a noisy source has sent nothing but this frame; 0 if it is new."""
        sample = frame.picture if frame.picture.ndim == 1 else frame.picture[::8, ::8].copy()
        is_new = self._last is None or not np.array_equal(sample, self._last)
        self._last = sample
        if is_new:
            self._differed += 1
            if self._differed > 1:  # One alone may be what a source froze at that was reopened.
                self._still_since = None
            return 0.0
        was_noisy = self._differed >= self._noisy_pictures or self._still_since is not None
        self._differed = 0
        if not was_noisy or not has_contrast(frame):
            self._still_since = None
        elif self._still_since is None:
            self._still_since = frame.taken
        return 0.0 if self._still_since is None else frame.taken - self._still_since

    def restart(self, now: float) -> None:
        """Give a source that was reopened as much time as before."""
        if self._still_since is not None:
            self._still_since = now


def has_contrast(frame: Frame) -> bool:
    return frame.decodes() and bool(np.ptp(frame.small[::8, ::8], (0, 1)).max() >= CONTRAST)
