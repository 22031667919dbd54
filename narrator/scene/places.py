"""What is usual at each place of the picture: which places never rest, and whether something has
come into view or gone from it."""

from __future__ import annotations

import cv2
import numpy as np

from narrator.scene.looks import Look

SIZE = (48, 64)


class Places:
    """What each cell usually looks like, learned at a constant rate, whatever the difference: so
    what passes by leaves hardly a trace, and what goes on and on is learned (the way of
    sigma-delta: Manzanera and Richefeu 2007, doi:10.1016/j.patrec.2006.04.007).

    restless: float32 (48, 64), levels by which a cell may differ because it changes all the time,
    such as leaves, water or a screen. It grows only while the place moves, and shrinks only while
    it rests.
    """

    FOLLOW = 4.0  # levels a second: a bag that was put down is usual after half a minute
    RESTLESS_GROWS, RESTLESS_SHRINKS = 4.0, 1.0  # levels a second
    SPEED = 7.0  # cells a second: faster than people walk across a street
    LAG_S = 0.6
    NEW_CELLS = 14  # of 3072; smaller things come and go unnoticed while others move

    def __init__(self) -> None:
        self.restless = np.zeros(SIZE, np.float32)
        self._usual: Look | None = None
        self._occupied: list[tuple[float, np.ndarray]] = []  # with their seconds, oldest first

    def learn(self, excess: np.ndarray, motion: np.ndarray, seconds: float) -> None:
        """Learn which places change all the time. excess, motion: by how much the look differs from
        what was described, and from a moment ago, of what can be explained; float32 (48, 64)."""
        moving = dilated(motion > 0.5, 1)
        changing = moving & (excess > 0.7)
        levels = np.where(moving, 0.0, -self.RESTLESS_SHRINKS)
        levels = np.where(changing, self.RESTLESS_GROWS, levels) * min(seconds, 0.5)
        self.restless = np.maximum(self.restless + levels, 0).astype(np.float32)

    def has_come_or_gone(self, look: Look, tolerance: np.ndarray, taken: float) -> bool:
        """True when something is in view that was not LAG_S ago, or is no longer: not even where it
        could have moved to meanwhile. tolerance: of each cell and colour, in levels."""
        if self._usual is None:
            self._usual = look.copy()
        before = self._occupied[-1][0] if self._occupied else taken
        step = self.FOLLOW * min(max(taken - before, 0.0), 0.5)
        self._usual += np.clip(look - self._usual, -step, step)
        here = (np.abs(look - self._usual) / tolerance).max(axis=2) > 1
        self._occupied.append((taken, here))
        while len(self._occupied) > 1 and not taken - self.LAG_S < self._occupied[1][0] <= taken:
            del self._occupied[0]
        since, there = self._occupied[0]
        reach = round(self.SPEED * max(taken - since, self.LAG_S))
        come, gone = here & ~dilated(there, reach), there & ~dilated(here, reach)
        return max(largest_area(come), largest_area(gone)) >= self.NEW_CELLS


def dilated(mask: np.ndarray, cells: int) -> np.ndarray:
    """A mask, bool (48, 64), grown by so many cells on all sides."""
    kernel = np.ones((2 * cells + 1, 2 * cells + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def largest_area(mask: np.ndarray) -> int:
    """The size of the largest connected area of a mask, in cells."""
    _, _, areas, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return int(areas[1:, cv2.CC_STAT_AREA].max(initial=0))  # areas[0] is what lies around
