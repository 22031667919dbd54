"""A preview without a window."""

from __future__ import annotations

import numpy as np

from narrator.outputs.preview import Preview


class Shown(Preview):
    """Keeps what its window would show, and presses keys when told to.

    keys_at: which keys are pressed before pressed() is called for the so-manieth time.
    """

    def __init__(self, speaking: bool = False, keys_at: dict[int, str] | None = None) -> None:
        super().__init__("an engine", lambda: speaking)
        self.pictures: list[np.ndarray] = []
        self.marks: list[str] = []
        self.asked = 0
        self._keys_at = keys_at or {}

    def _put(self, picture: np.ndarray) -> None:
        self.pictures.append(picture)
        self.marks.append("looking" if self._looking else "paused" if self.paused else "")

    def pressed(self) -> list[str]:
        self.asked += 1
        self._keys += self._keys_at.get(self.asked, "")
        return super().pressed()
