"""What may be wrong with a camera or stream: it is lost, it froze, or it sends what it held up."""

from __future__ import annotations

import logging
import math
from collections import deque

import numpy as np

from narrator.errors import SourceError
from narrator.frames.frame import Frame

log = logging.getLogger(__name__)

CONTRAST = 32  # grey levels of 255; a covered lens has less


class Outage:
    """Begins with a loss and lasts until pictures have come steadily again, so that a source that
    flaps is reported once.

    lost: it lasts. waits: a source that was never there is lost, too, not given up. first_at: when
    the first picture came. messages: for the user, a sentence each.
    """

    def __init__(self, kind: str, waits: bool, steady_s: float) -> None:
        self._kind, self._waits, self._steady_s = kind, waits, steady_s
        self.lost = False
        self.messages: deque[str] = deque()
        self.first_at: float | None = None
        self._steady_since: float | None = None
        self._error: SourceError | None = None  # for which the source is given up

    def raise_error(self) -> None:
        """Raise SourceError where the source is given up."""
        if self._error is not None:
            raise self._error

    def lose(self, problem: str, spoken: str | None, final: bool) -> None:
        """Begin an outage, or go on with it. problem: for who reads. spoken: what is said behind
        "The camera". final: it can't end."""
        is_new = self.first_at is None
        if final or (is_new and not self._waits):
            self._error = SourceError(problem)
        elif not self.lost and is_new:
            log.info(f"{problem}; trying again")
            self._say(f"{spoken or 'is not connected yet'}; trying again.")
        elif not self.lost:
            self._say(f"{spoken or f'is lost: {problem}'}; trying to get it back.")
        self.lost = True
        self._steady_since = None

    def is_over(self, taken: float, moves: bool) -> bool:
        """A picture came: is there no outage any more? moves: it differs from the one before."""
        if self.lost:
            self._steady_since = (self._steady_since or taken) if moves else None
            if self._steady_since is None or taken - self._steady_since < self._steady_s:
                return False
            self.lost = False
            if self.messages:
                self.messages.clear()  # An outage that was never reported is over.
            else:
                self._say("is connected." if self.first_at is None else "is back.")
        self.first_at = self.first_at or taken
        return True

    def _say(self, what: str) -> None:
        self.messages.append(f"The {self._kind} {what}")


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
