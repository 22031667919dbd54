"""Did anything change in the scene since it was last described?"""

from __future__ import annotations

import math

import cv2
import numpy as np

from narrator.scene.light import CLIPPED, light_between
from narrator.scene.looks import Look, RecentLooks
from narrator.scene.places import SIZE, Places, dilated, largest_area
from narrator.scene.thumbnail import Thumbnail

CHANGED_CELLS = 24  # of 3072; an object of 2 % of the frame covers 61
MOVING_CELLS = 5

# Levels that a cell must change by, however clean the picture is: blue, green, red. Codecs keep
# luma, which is green for the most part, far better than they keep hue.
SMALLEST_CHANGE = np.array((11.0, 6.5, 9.0), np.float32)
NOISE_FACTOR = 4.0
SHAKE = 0.2  # cells by which the picture may move although nothing happens: 2 pixels of 640
CLIPPED_FACTOR = 0.5
NEARLY = 0.7  # of the tolerance: not a change yet, but more than usual
NOWHERE = np.zeros(SIZE, np.float32)


class Background:
    """A described scene, compared with later looks and slowly adapted to them.

    A difference counts in proportion to what may differ although nothing happened: noise, a picture
    that moves by a pixel or two, a place that is restless; and where that does not explain it, the
    light.
    """

    ADAPT_S = 5.0  # time constant
    FIRST_LOOKS = 15  # which are averaged to make up for a first one that was noisy

    def __init__(self, look: Look) -> None:
        self._look = look
        self._learned = 0
        self._measure_edges()

    def difference(
        self, look: Look, noise: float, restless: np.ndarray = NOWHERE
    ) -> tuple[np.ndarray, Look]:
        """Where `look` differs, as float32 (48, 64), more than 1 where more than can be explained;
        and the background as it would be in that look's light."""
        tolerance = self._tolerance + np.float32(NOISE_FACTOR * noise) + restless[:, :, None]
        excess = exceeding(look, self._look, tolerance)
        if largest_area(excess > NEARLY) < MOVING_CELLS:
            return excess, self._look
        light = light_between(self._look, look)
        clipped = self._brightest * np.maximum(light, 1) > CLIPPED
        tolerance += clipped * (CLIPPED_FACTOR * np.abs(light - 1) * self._brightest)
        expected = np.minimum(self._look * light, 255)
        return exceeding(look, expected, tolerance), expected

    def adapt(self, look: Look, excess: np.ndarray, expected: Look, seconds: float) -> None:
        """Follow a look in which nothing happened, `seconds` after the one before. Where it nearly
        differs only the light is followed, or what comes slowly would be absorbed."""
        rate = 1.0 - float(np.exp(-min(seconds, 0.5) / self.ADAPT_S))
        self._learned += 1
        if self._learned < self.FIRST_LOOKS:
            rate = max(rate, 1.0 / (self._learned + 2))
        target = np.where(dilated(excess > NEARLY, 1)[:, :, None], expected, look)
        self._look = self._look + np.float32(rate) * (target - self._look)
        if self._learned % self.FIRST_LOOKS == 0:
            self._measure_edges()

    def _measure_edges(self) -> None:
        across = np.abs(np.diff(self._look, axis=1, append=self._look[:, -1:]))
        down = np.abs(np.diff(self._look, axis=0, append=self._look[-1:]))
        steepest = cv2.dilate(np.maximum(across, down), np.ones((3, 3), np.uint8))
        self._tolerance = SMALLEST_CHANGE + SHAKE * steepest
        self._brightest = cv2.dilate(self._look, np.ones((5, 5), np.uint8))


def exceeding(look: Look, expected: Look, tolerance: np.ndarray) -> np.ndarray:
    """By how many tolerances a look differs, in its strongest colour; float32 (48, 64)."""
    blue, green, red = np.moveaxis(np.abs(look - expected) / tolerance, 2, 0)
    return np.asarray(np.maximum(np.maximum(blue, green), red))


class Pace:
    """How often a scene is described: once in `every_s` on average, `at_once` times in a row where
    little was said before, and never twice in `gap_s` (a token bucket). All in seconds."""

    def __init__(
        self, every_s: float, at_once: float, gap_s: float = 0.0, left: float = 1.0
    ) -> None:
        self._every_s, self._at_once, self._gap_s = every_s, at_once, gap_s
        self._left, self._at = left, math.inf

    def described(self, taken: float) -> None:
        """Something was, whatever the reason."""
        self._left, self._at = max(0.0, self._left_at(taken) - 1), taken

    def allows(self, taken: float) -> bool:
        return taken - self._at >= self._gap_s and self._left_at(taken) >= 1

    def _left_at(self, taken: float) -> float:
        return min(self._at_once, self._left + max(0.0, taken - self._at) / self._every_s)


class SceneGate:
    """Lets a frame through when the scene differs from the last one that was described: at once
    where what changed is at rest, in time (see Pace) where something came or went that moves on,
    and after MOVES_S where all that was there only moves.

    Change detection on a coarse grid, in the steps of Aach et al. (2001,
    doi:10.1109/ICIP.2001.958200): take the light out, then test whether what remains is more than
    noise explains, in CHANGED_CELLS that touch each other. The background follows what changes
    slowly, but not where something may have come: the conservative update of background
    subtraction (Barnich and Van Droogenbroeck 2011, doi:10.1109/TIP.2010.2101613).

    at_rest: what changed in the frame just looked at has come to rest.
    """

    COMES_S = 0.5  # after the first that is seen of it, most things are wholly in view
    SETTLES_S = 1.5  # what comes into a scene at rest is given so long to come to rest itself
    MOVES_S = 15.0

    def __init__(self) -> None:
        self._looks, self._places = RecentLooks(), Places()
        self._moving_pace = Pace(every_s=5.0, at_once=2, gap_s=3.0)
        # What creeps looks as if it were at rest, and must not be described all the time.
        self._rest_pace = Pace(every_s=4.0, at_once=4, left=4)
        self._described_at = 0.0
        self._background: Background | None = None
        self._changed_at: float | None = None
        self._came_at: float | None = None  # something came or went since the last description
        self.at_rest = True

    def has_changed(self, seen: Thumbnail) -> bool:
        """True when this frame is worth a caption. Ask for every frame, or motion is missed."""
        looks, places = self._looks, self._places
        looks.take(seen)
        if self._background is None:
            return True
        mean, noise = looks.mean, looks.noise
        excess, expected = self._background.difference(mean, noise, places.restless)
        motion = NOWHERE if looks.stands else self._motion(mean)
        places.learn(excess, motion, looks.seconds)
        tolerance = 2 * SMALLEST_CHANGE + NOISE_FACTOR * noise + places.restless[:, :, None]
        if places.has_come_or_gone(mean, tolerance, seen.taken) and self._came_at is None:
            self._came_at = seen.taken
        changed = excess > 1
        if largest_area(changed) < CHANGED_CELLS:
            self._background.adapt(mean, excess, expected, looks.seconds)
            self._changed_at = self._came_at = None
            return False
        if self._changed_at is None:
            self._changed_at = seen.taken
        self.at_rest = largest_area((motion > 1) & dilated(changed, 2)) < MOVING_CELLS
        if self.at_rest:
            return self._rest_pace.allows(seen.taken)
        return self._is_time(seen.taken)

    def set_reference(self, seen: Thumbnail) -> None:
        """From now on, compare with this frame: it was described."""
        is_newest = self._looks.seen is seen
        self._background = Background(
            self._looks.mean if is_newest else cv2.blur(seen.cells, (3, 3))
        )
        self._changed_at = self._came_at = None
        self._described_at = seen.taken
        self._moving_pace.described(seen.taken)
        self._rest_pace.described(seen.taken)

    def _motion(self, mean: Look) -> np.ndarray:
        """Where the scene differs from what it was a moment ago, as Background.difference()."""
        earlier = self._looks.earlier
        if earlier is None:
            return NOWHERE + 2
        return Background(earlier).difference(mean, self._looks.noise)[0]

    def _is_time(self, taken: float) -> bool:
        """True when a scene that does not rest is to be described."""
        if self._changed_at is None or taken - self._changed_at < self.SETTLES_S:
            return False
        came = self._came_at is not None and taken - self._came_at >= self.COMES_S
        moves = taken - self._described_at >= self.MOVES_S
        return moves or (came and self._moving_pace.allows(taken))
