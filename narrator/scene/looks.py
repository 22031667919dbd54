"""The newest looks at the scene: their mean, their noise, and what the scene was a moment ago."""

from __future__ import annotations

import cv2
import numpy as np

from narrator.scene.thumbnail import Thumbnail

Look = np.ndarray  # a Thumbnail's cells, float32, (48, 64, 3), BGR, each averaged over 3x3


class RecentLooks:
    """The looks of the last moments. Of the frame taken in last:

    mean: of the looks of AVERAGE_S up to it. earlier: that mean REST_S before, None where there is
    none yet. noise: of a single look, a standard deviation in levels. stands: it has been exactly
    the same picture for STANDS_S. seconds: since the frame before, 0 where the clock ran backwards.
    """

    AVERAGE_S = 0.15
    REST_S = 0.2
    STANDS_S = 0.5
    EVERY_S = 0.015  # a source that gives more than 60 frames a second gains nothing
    NOISE_RATE = 0.1  # weight of the newest frame in the noise

    def __init__(self) -> None:
        self._looks: list[tuple[float, Look]] = []  # with their seconds, oldest first
        self._measured = False
        self.seen: Thumbnail | None = None
        self.noise = self.seconds = 0.0

    def take(self, seen: Thumbnail) -> None:
        """Take a frame in. The same picture given again is no new look: a camera or film may give
        each of its pictures twice, which must not pass for rest."""
        self.seconds = max(0.0, seen.taken - self.seen.taken) if self.seen is not None else 0.0
        self.seen = seen
        if self._looks and 0 <= seen.taken - self._looks[-1][0] < self.EVERY_S:
            return
        look = cv2.blur(seen.cells, (3, 3))
        if self._looks and np.array_equal(look, self._looks[-1][1]):
            return
        if self._looks:
            self._measure_noise(look, self._looks[-1][1])
        self._looks.append((seen.taken, look))
        oldest = seen.taken - (self.AVERAGE_S + self.REST_S)
        while len(self._looks) > 2 and self._looks[1][0] <= oldest:
            del self._looks[0]

    @property
    def mean(self) -> Look:
        return self._mean_until(self._looks[-1][0])

    @property
    def earlier(self) -> Look | None:
        until = self._looks[-1][0] - self.REST_S
        times = [at for at, _ in self._looks if at <= until]
        return self._mean_until(times[-1]) if times else None

    @property
    def stands(self) -> bool:
        return self.seen is not None and self.seen.taken - self._looks[-1][0] >= self.STANDS_S

    def _mean_until(self, taken: float) -> Look:
        since = taken - self.AVERAGE_S
        return np.mean([look for at, look in self._looks if since < at <= taken], axis=0)

    def _measure_noise(self, look: Look, before: Look) -> None:
        """Follow the noise: without each row's own brightness, or a flickering lamp would pass for
        noise; and by the median, which passes over what moves (Rousseeuw and Croux 1993,
        doi:10.1080/01621459.1993.10476408). What is black or white has no noise to show, and does
        not count."""
        green, was = look[::2, ::2, 1], before[::2, ::2, 1]
        brighter = (green.mean(axis=1) + 1) / (was.mean(axis=1) + 1)
        difference = np.abs(green - was * brighter[:, None])[(was > 0) & (was < 255)]
        noise = 1.4826 / 2**0.5 * float(upper_median(difference)) if difference.size else 0.0
        rate = self.NOISE_RATE if self._measured else 1.0
        self._measured = True
        self.noise += rate * (noise - self.noise)


def upper_median(values: np.ndarray) -> np.ndarray:
    """The median along the last axis, of two the upper; np.median takes three times as long."""
    half = values.shape[-1] // 2
    return np.partition(values, half, axis=-1)[..., half]
