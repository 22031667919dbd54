"""Does the picture show anything, or is it dark, covered, too bright or out of focus?"""

from __future__ import annotations

import enum

import cv2
import numpy as np

from narrator.scene.thumbnail import Thumbnail


class PictureProblem(enum.Enum):
    """Why the picture shows nothing, in words for the user."""

    DARK = "It is too dark to see."
    COVERED = "The lens seems to be covered."
    BRIGHT = "The picture is too bright to see."
    BLURRED = "The picture is badly out of focus."


# What to do about it, for the user.
ADVICE = {
    PictureProblem.DARK: "Switch on a light, or take the cover off the lens.",
    PictureProblem.COVERED: "Take away what is in front of the lens.",
    PictureProblem.BRIGHT: "Turn the camera away from the light.",
    PictureProblem.BLURRED: "Wipe the lens, or move things further away from it.",
}
NO_LIGHT = {PictureProblem.DARK, PictureProblem.COVERED}
CLEAR_AGAIN = "The picture is clear again."


class PictureCheck:
    """Decides whether a frame can be described, and says when that ends and begins again.

    problem: of the frame just looked at. It must last to be announced, as a black frame between two
    scenes is nothing. Each limit is wider for a problem that was announced, so that it is not
    announced again and again. In doubt the picture is fine: a plain wall is, and so is a dim room.
    light_only: only for want of light it can't be described.
    """

    LASTS_S = 0.5  # before it is announced, and so is its end
    BLUR_LASTS_S = 1.0  # a lens needs some time to find its focus
    DARK, DARK_CONTRAST = 30.0, 8.0  # levels; a video's black can be 16
    ANNOUNCED_FACTOR = 1.3
    BLOWN, BLOWN_SHARE = 246.0, 0.9  # levels, and how much of the picture is as bright
    # What is so much darker in one colour, at least, can be described: a drawing, a page.
    BLOWN_CONTRAST, FEWEST_CELLS = 40.0, 6  # levels; of 3072, a disc of 2 % of the width
    COVERED = 70.0  # levels; a hand lets more light through than a dark room has
    BLUR = (7.5, 6.5)  # edge widths in pixels of 160: from which on, and until which, blurred
    FOCUS_EVERY_S = 0.25  # nothing that lasts a second needs more

    def __init__(self, light_only: bool = False) -> None:
        self._light_only = light_only
        self.problem: PictureProblem | None = None
        self._announced: PictureProblem | None = None
        self._since = 0.0
        self._occlusion = OcclusionCheck()
        self._focus_at: float | None = None
        self._blurred = False

    @property
    def readable(self) -> bool:
        """True when the frame just looked at can be described."""
        return self.problem is None and self._announced is None

    def look(self, seen: Thumbnail, last: bool = False) -> str | None:
        """Look at a frame, at every one; a sentence once when it is time to say it, else None.
        last: no frame follows, so its problem can't be seen to last and is reported at once."""
        before, self.problem = self.problem, self._problem_of(seen)
        problem = self.problem
        if problem is not before and not {problem, before} <= NO_LIGHT:
            self._since = seen.taken
        patience = self.BLUR_LASTS_S if problem is PictureProblem.BLURRED else self.LASTS_S
        if problem and last:
            patience = 0.0
        if problem is self._announced or seen.taken - self._since < patience:
            return None
        announced, self._announced = self._announced, problem
        if problem is None:
            return CLEAR_AGAIN
        # Who knows that it is dark need not hear that it is a hand now.
        return None if {announced, problem} <= NO_LIGHT else problem.value

    def _problem_of(self, seen: Thumbnail) -> PictureProblem | None:
        luma = seen.cells @ np.array([0.114, 0.587, 0.299], np.float32)  # ITU-R BT.601
        ranked = np.sort(luma[::2, ::2], axis=None)
        low, high = float(ranked[len(ranked) // 50]), float(ranked[-len(ranked) // 50])
        factor = self.ANNOUNCED_FACTOR if self._announced in NO_LIGHT else 1.0
        dark = high < self.DARK * factor and high - low < self.DARK_CONTRAST * factor
        if high < self.COVERED * factor and self._occlusion.is_covered(luma):
            return PictureProblem.COVERED
        if dark:
            return PictureProblem.DARK
        if not self._light_only and (problem := self._glare_or_blur(seen, ranked)):
            return problem
        self._occlusion.keep(luma, seen.taken)
        return None

    def _glare_or_blur(self, seen: Thumbnail, ranked: np.ndarray) -> PictureProblem | None:
        """ranked: the brightness of the picture's cells, the darkest first."""
        announced = self._announced is PictureProblem.BRIGHT
        share = self.BLOWN_SHARE - (0.05 if announced else 0.0)
        if float(ranked[int(len(ranked) * (1 - share))]) > self.BLOWN:
            contrast = self.BLOWN_CONTRAST * (self.ANNOUNCED_FACTOR if announced else 1.0)
            darkest = np.partition(seen.cells.min(axis=2), self.FEWEST_CELLS - 1, axis=None)
            if float(darkest[self.FEWEST_CELLS - 1]) > self.BLOWN - contrast:
                return PictureProblem.BRIGHT
        if self._focus_at is None or seen.taken - self._focus_at >= self.FOCUS_EVERY_S:
            self._focus_at, width = seen.taken, edge_width(seen.picture)
            self._blurred = width is not None and width > self.BLUR[self._blurred]
        return PictureProblem.BLURRED if self._blurred else None


class OcclusionCheck:
    """Distinguishes a covered lens from a dark room by what was seen a second or two ago: a hand
    takes the picture away at once and altogether (the way of Saglam and Temizel, "Real-Time
    Adaptive Camera Tamper Detection", AVSS 2009); when the lamp goes out, faint traces of the
    things are left."""

    KEEP_EVERY_S = 1.0
    DETAIL = 3.0  # levels, a standard deviation: less is a plain wall, which shows nothing
    LEFT = 0.5  # of the brightness, at most, and of the detail
    TRACES = 0.3  # correlation

    def __init__(self) -> None:
        self._kept: list[tuple[float, np.ndarray]] = []  # at most two, the older first

    def keep(self, luma: np.ndarray, taken: float) -> None:
        """Remember a view in which things can be seen. luma: float32 (48, 64), levels."""
        if not self._kept or taken - self._kept[-1][0] >= self.KEEP_EVERY_S:
            self._kept = [*self._kept[-1:], (taken, luma)]

    def is_covered(self, luma: np.ndarray) -> bool:
        """True when nothing of the earlier view is left in `luma`, and little of its light."""
        if not self._kept:
            return False
        earlier = self._kept[0][1]
        if float(luma.mean()) > self.LEFT * float(earlier.mean()):
            return False
        before, now = (view - cv2.blur(view, (9, 9)) for view in (earlier, luma))  # the detail
        much, little = float(before.std()), float(now.std())
        if much < self.DETAIL or little > self.LEFT * much:
            return False
        covariance = float(((before - before.mean()) * (now - now.mean())).mean())
        return covariance / max(much * little, 1e-6) < self.TRACES


def edge_width(picture: np.ndarray) -> float | None:
    """How wide the sharper ones of the strong edges are, in pixels of a picture 160 wide; None
    where there are none. picture: uint8 BGR.

    The width of an edge measures blur (Marziliano et al. 2002, doi:10.1109/ICIP.2002.1038902),
    whatever there is to see. It is taken where a slope is the steepest around, as the range of
    levels there over that slope. A step blurred by a Gaussian of s pixels comes out 2.5 s wide.
    """
    height, width = picture.shape[:2]
    scale = min(160 / width, 640 / height)  # a strip of 1x4000 would become one of 160x640000
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    grey = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    soft = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    across, down = (cv2.Sobel(soft, -1, x, 1 - x, scale=1 / 8) for x in (1, 0))
    slope = cv2.magnitude(across, down)
    around = np.ones((13, 13), np.uint8)
    contrast = cv2.dilate(soft, around) - cv2.erode(soft, around)
    strong = (contrast > 40.0) & (slope > 0.8 * cv2.dilate(slope, around))  # levels; the steepest
    if strong.mean() < 0.001:
        return None
    return float(np.percentile(contrast[strong] / slope[strong], 10))
