"""Did anything change in the scene since it was last described?"""

from __future__ import annotations

import cv2
import numpy as np

from narrator.scene.thumbnail import Thumbnail

Look = np.ndarray  # a Thumbnail's cells, float32, (48, 64, 3), BGR, each averaged over 3x3

CLIPPED = 245.0  # levels; brighter ones may have been cut off by the sensor
# What is taken for light, not for a change of the scene, as factors:
GAINS = (0.6, 1.67)  # automatic exposure
TINTS = (0.8, 1.25)  # automatic white balance, one colour against the middle one
ROW_FACTORS = (0.8, 1.25)  # a lamp's flicker under a rolling shutter
RIDGE = 100.0  # levels squared: the contrast that it takes to tell a gain from an offset


class Background:
    """A described scene, compared with later looks and slowly adapted to them.

    Light is what changes every cell's colour by the same gain and offset, and each row by a factor
    of its own. What remains is set in proportion to what may remain although nothing happened:
    noise, a picture that moves by a pixel or two, highlights that clip.
    """

    # Levels that a cell must change by, however clean the picture is: blue, green, red. Codecs keep
    # luma, which is green for the most part, far better than they keep hue.
    SMALLEST_CHANGE = np.array((11.0, 6.5, 9.0), np.float32)
    NOISE_FACTOR = 4.0
    EDGE_FACTOR = 0.07  # of the contrast around a cell: 2 of the 30 pixels that a look averages
    CLIPPED_FACTOR = 0.5
    ADAPT_S = 5.0  # time constant
    FIRST_LOOKS = 15  # which are averaged to make up for a first one that was noisy

    def __init__(self, look: Look) -> None:
        self._look = look
        self._learned = 0
        self._measure_contrast()

    def difference(self, look: Look, noise: float) -> tuple[np.ndarray, Look]:
        """Where `look` differs, as float32 (48, 64), more than 1 where more than can be explained;
        and the background as it would be in that look's light. noise: a cell's, in levels."""
        expected = self._look * rows_between(self._look, look)[:, None, None]
        gain, offset = light_between(expected, look)
        expected = np.clip(expected * gain + offset, 0, 255)
        tolerance = self._tolerance + np.float32(self.NOISE_FACTOR * noise)
        clipped = self._brightest * np.maximum(gain, 1) > CLIPPED
        tolerance += clipped * (self.CLIPPED_FACTOR * np.abs(gain - 1) * self._brightest)
        blue, green, red = np.moveaxis(np.abs(look - expected) / tolerance, 2, 0)
        return np.maximum(np.maximum(blue, green), red), expected

    def adapt(self, look: Look, excess: np.ndarray, expected: Look, seconds: float) -> None:
        """Follow a look in which nothing happened, `seconds` after the one before. Where it nearly
        differs only the light is followed, or what comes slowly would be absorbed."""
        rate = 1.0 - float(np.exp(-min(seconds, 0.5) / self.ADAPT_S))
        self._learned += 1
        if self._learned < self.FIRST_LOOKS:
            rate = max(rate, 1.0 / (self._learned + 2))
        near = cv2.dilate((excess > 0.7).astype(np.uint8), np.ones((3, 3), np.uint8))
        target = np.where(near[:, :, None] > 0, expected, look)
        self._look = self._look + np.float32(rate) * (target - self._look)
        if self._learned % self.FIRST_LOOKS == 0:
            self._measure_contrast()

    def _measure_contrast(self) -> None:
        kernel = np.ones((5, 5), np.uint8)
        self._brightest = cv2.dilate(self._look, kernel)
        contrast = self._brightest - cv2.erode(self._look, kernel)
        self._tolerance = self.SMALLEST_CHANGE + self.EDGE_FACTOR * contrast


def upper_median(values: np.ndarray) -> np.ndarray:
    """The median along the last axis, of two the upper; np.median takes three times as long."""
    half = values.shape[-1] // 2
    return np.partition(values, half, axis=-1)[..., half]


def rows_between(before: Look, now: Look) -> np.ndarray:
    """The factor, float32 (48,), by which each row of `now` is brighter than its neighbours are:
    a lamp's flicker is one of stripes where the sensor is read row by row. Green alone tells it."""
    ratio = upper_median(now[:, 1::3, 1] / np.maximum(before[:, 1::3, 1], 8.0))
    return np.clip(ratio / max(float(upper_median(ratio)), 0.01), *ROW_FACTORS)


def light_between(before: Look, now: Look) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset of each colour, float32 (3,), that make `before` look like `now`.

    Weighted least squares, iterated with Cauchy weights so that an object has no say in it
    (Holland and Welsch 1977, doi:10.1080/03610927708827533), from the median ratio on. One cell in
    nine is enough, as a look averages as many. A plain wall tells no gain from an offset, and an
    object on it must not: a ridge keeps the gain near the ratio where there is little contrast.
    """
    x = np.ascontiguousarray(before[1::3, 1::3].reshape(-1, 3).T)
    y = np.ascontiguousarray(now[1::3, 1::3].reshape(-1, 3).T)
    usable = ((x < CLIPPED) & (y < CLIPPED)) + np.float32(1e-3)
    ratio = upper_median(y / np.maximum(x, 8.0))
    gain, offset = ratio, np.zeros(3, np.float32)
    for _ in range(2):
        rest = np.abs(y - gain[:, None] * x - offset[:, None])
        scale = np.maximum(1.4826 * upper_median(rest), 2.0)[:, None]
        weights = usable / (1 + np.square(rest / (2 * scale)))
        total = weights.sum(axis=1)
        mean_x, mean_y = (weights * x).sum(axis=1) / total, (weights * y).sum(axis=1) / total
        off_x = x - mean_x[:, None]
        weighted = weights * off_x
        ridge = RIDGE * total
        gain = (weighted * y).sum(axis=1) + ridge * ratio
        gain /= (weighted * off_x).sum(axis=1) + ridge
        offset = mean_y - gain * mean_x
    brighter = mean_y / np.maximum(mean_x, 1.0)
    common = np.clip(upper_median(brighter), *GAINS)
    brighter = np.clip(brighter, common * TINTS[0], common * TINTS[1])
    gain = np.clip(gain, 0.7 * brighter, 1.4 * brighter)
    return gain.astype(np.float32), (brighter * mean_x - gain * mean_x).astype(np.float32)


class SceneGate:
    """Lets a frame through when the scene differs from the last one that was described.

    Change detection on a coarse grid, in the steps of Aach et al. (2001,
    doi:10.1109/ICIP.2001.958200): take the light out (see Background), then test whether what
    remains is more than noise explains, in CHANGED_CELLS that touch each other. The background
    follows what changes slowly, but not where something may have come: the conservative update of
    background subtraction (Barnich and Van Droogenbroeck 2011, doi:10.1109/TIP.2010.2101613).

    Looks are averaged over AVERAGE_S. A change is let through once two looks REST_S apart agree,
    or after SETTLE_TIMEOUT_S of going on.
    """

    CHANGED_CELLS = 24  # of 3072; an object of 2 % of the frame covers 61
    MOVING_CELLS = 5
    AVERAGE_S = 0.15
    REST_S = 0.2
    LOOK_EVERY_S = 0.015  # at most; a source that gives more than 60 frames a second gains nothing
    SETTLE_TIMEOUT_S = 1.5
    NOISE_RATE = 0.1  # weight of the newest frame in the noise

    def __init__(self) -> None:
        self._background: Background | None = None
        self._looks: list[tuple[float, Look]] = []  # with their seconds, oldest first
        self._noise: float | None = None
        self._seen: Thumbnail | None = None
        self._mean: Look | None = None  # of the looks until then
        self._changed_at: float | None = None

    def has_changed(self, seen: Thumbnail) -> bool:
        """True when this frame is worth a caption. Ask for every frame, or motion is missed."""
        since = seen.taken - self._seen.taken if self._seen is not None else 0.0
        mean = self._look_at(seen)
        if self._background is None:
            return True
        excess, expected = self._background.difference(mean, self._noise or 0.0)
        if largest_area(excess) < self.CHANGED_CELLS:
            self._background.adapt(mean, excess, expected, since)
            self._changed_at = None
            return False
        if self._changed_at is None:
            self._changed_at = seen.taken
        return seen.taken - self._changed_at >= self.SETTLE_TIMEOUT_S or self._is_settled(mean)

    def set_reference(self, seen: Thumbnail) -> None:
        """From now on, compare with this frame."""
        mean = self._mean if self._seen is seen else None
        self._background = Background(cv2.blur(seen.cells, (3, 3)) if mean is None else mean)
        self._changed_at = None

    def _look_at(self, seen: Thumbnail) -> Look:
        """Take the frame in: the noise, and the mean of the latest looks, which is returned."""
        taken = seen.taken
        if not self._looks or not 0 <= taken - self._looks[-1][0] < self.LOOK_EVERY_S:
            look = cv2.blur(seen.cells, (3, 3))
            if self._looks:
                self._measure_noise(look, self._looks[-1][1])
            self._looks.append((taken, look))
        while len(self._looks) > 2 and self._looks[1][0] <= taken - (self.AVERAGE_S + self.REST_S):
            del self._looks[0]
        self._seen, self._mean = seen, self._mean_until(taken)
        return self._mean

    def _measure_noise(self, look: Look, before: Look) -> None:
        """Follow the noise of a look, a standard deviation in levels: without each row's own
        brightness, or a flickering lamp would pass for noise, and by the median, which passes over
        what moves (Rousseeuw and Croux 1993, doi:10.1080/01621459.1993.10476408)."""
        green, was = look[::2, ::2, 1], before[::2, ::2, 1]
        brighter = (green.mean(axis=1) + 1) / (was.mean(axis=1) + 1)
        difference = np.abs(green - was * brighter[:, None])
        noise = 1.4826 / 2**0.5 * float(upper_median(difference.ravel()))
        if self._noise is None:
            self._noise = noise
        self._noise += self.NOISE_RATE * (noise - self._noise)

    def _mean_until(self, taken: float) -> Look:
        """The mean of the looks of AVERAGE_S up to `taken`."""
        since = taken - self.AVERAGE_S
        return np.mean([look for at, look in self._looks if since < at <= taken], axis=0)

    def _is_settled(self, mean: Look) -> bool:
        """True when the looks REST_S ago were the same as `mean`, the newest."""
        earlier = [at for at, _ in self._looks if at <= self._looks[-1][0] - self.REST_S]
        if not earlier:
            return False
        before = Background(self._mean_until(earlier[-1]))
        excess, _ = before.difference(mean, self._noise or 0.0)
        return largest_area(excess) < self.MOVING_CELLS


def largest_area(excess: np.ndarray) -> int:
    """The size of the largest connected area where `excess` is more than 1, in cells."""
    mask = (excess > 1).astype(np.uint8)
    _, _, areas, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return int(areas[1:, cv2.CC_STAT_AREA].max(initial=0))  # areas[0] is what lies around
