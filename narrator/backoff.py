"""The pauses between tries to get something back that was lost."""

from __future__ import annotations

import time
from collections.abc import Sequence

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)


class Backoff:
    """Counts the tries since something was lost, and says when the next one is due.

    pauses: seconds before each try, the last one for ever.
    """

    def __init__(self, pauses: Sequence[float] = PAUSES_S) -> None:
        self._pauses = pauses
        self._due_at = 0.0
        self.tries = 0

    def failed(self, least_s: float = 0.0) -> float:
        """Count a failure. Returns the seconds until the next try is due, least_s or more."""
        pause = max(least_s, self._pauses[min(self.tries, len(self._pauses) - 1)])
        self.tries += 1
        self._due_at = time.monotonic() + pause
        return pause

    def wait_s(self) -> float:
        """Seconds until the next try is due; 0 when it is."""
        return max(0.0, self._due_at - time.monotonic())

    def reset(self) -> None:
        """It is back."""
        self.tries, self._due_at = 0, 0.0
