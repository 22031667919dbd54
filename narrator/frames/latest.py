"""What is kept of a source's frames: the newest one, and for clips one a second before it."""

from __future__ import annotations

import math
import threading
import time
from collections import deque

from narrator.frames.frame import Frame

APART_S = 1.0  # the frames of a clip
NEWEST_APART_S = 0.6  # the newest comes when it comes, but at least so long after the others


class LatestFrame:
    """Room for one frame, which one thread puts and another takes: all of a Source but close().

    Frames that are put for a clip are kept even where nobody takes them: none is missed while the
    engine works. apart_s: newest() gives no more than one frame in so many seconds, each at once
    when it comes.
    """

    is_film = False

    def __init__(self, clip_length: int, apart_s: float = 0.0) -> None:
        self.at = 0.0
        self._apart_s, self._due = apart_s, -math.inf
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._settled_at = 0.0
        self._complete = False
        self._clip: deque[Frame] = deque(maxlen=clip_length)
        self._clip_due = self._forgotten = -math.inf  # on the clocks of Frame.at and Frame.taken

    @property
    def ended(self) -> bool:
        return self._complete and self._frame is None

    @property
    def lost(self) -> bool:
        return False

    def now(self) -> float:
        return time.monotonic()

    def newest(self, timeout: float) -> Frame | None:
        deadline = time.monotonic() + timeout
        with self._changed:
            while (wait_s := min(self._wait_s(self._due), deadline - time.monotonic())) > 0:
                self._changed.wait(wait_s)
            frame = None if self._wait_s(self._due) > 0 else self._frame
            if frame is not None:
                self._frame, self.at = None, frame.at
                if self._apart_s:
                    self._due = frame.taken + self._apart_s
                self._keep(frame)
        return frame if frame is not None and frame.decodes() else None

    def peek(self) -> Frame | None:
        with self._changed:
            return None if self._wait_s() > 0 else self._frame

    def messages(self) -> list[str]:
        return []

    def clip_to(self, frame: Frame) -> list[Frame]:
        with self._changed:
            earlier = [one for one in self._clip if one.at <= frame.at - NEWEST_APART_S]
            return [*earlier, frame][-(self._clip.maxlen or 1) :]

    def forget_clip(self) -> None:
        with self._changed:
            self._clip.clear()
            self._clip_due, self._forgotten = -math.inf, self.now()

    def pause(self, paused: bool) -> None:
        """What is live goes on meanwhile."""

    def put(self, frame: Frame, settle_s: float = 0.0) -> None:
        """Replace the frame. It can be taken once none has followed it for `settle_s` seconds."""
        with self._changed:
            self._frame, self._settled_at = frame, time.monotonic() + settle_s
            if settle_s == 0.0:
                self._keep(frame)
            self._changed.notify_all()

    def clear(self) -> None:
        """Drop the frame, which has become old, and its clip."""
        with self._changed:
            self._frame = None
            self.forget_clip()

    def complete(self) -> None:
        """No frame will follow."""
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def _wait_s(self, due: float = -math.inf) -> float:
        """Seconds until there may be something to take that was taken at `due` or later."""
        if self._complete:
            return 0.0
        if self._frame is None or self._frame.taken < due:
            return math.inf
        return self._settled_at - time.monotonic()

    def _keep(self, frame: Frame) -> None:
        """Keep one frame a second for clips."""
        if self._clip.maxlen == 1:
            return
        if frame.at >= self._clip_due and frame.taken > self._forgotten:
            late = frame.at - self._clip_due >= APART_S
            self._clip_due = (frame.at if late else self._clip_due) + APART_S
            if frame.decodes():
                self._clip.append(frame)
