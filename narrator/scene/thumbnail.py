"""A frame made small, once, for all who look at the scene as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from narrator.frames.frame import Frame

CELLS = (64, 48)  # columns and rows of the grid that every picture is shrunk to


@dataclass(frozen=True)
class Thumbnail:
    """picture: uint8 BGR, 320 to 639 pixels wide where the frame is at least as wide.
    cells: float32, shape (48, 64, 3), BGR: the mean colour of each cell of the grid CELLS.
    """

    picture: np.ndarray
    cells: np.ndarray
    taken: float

    @classmethod
    def of(cls, frame: Frame) -> Thumbnail:
        """Shrink a frame. Halving first is what makes it cheap: OpenCV has fast code for it, and
        none for INTER_AREA by an odd factor."""
        picture = frame.small
        while picture.shape[1] >= 640 and picture.shape[0] >= 2:
            half = (picture.shape[1] // 2, picture.shape[0] // 2)
            picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
        cells = cv2.resize(picture, CELLS, interpolation=cv2.INTER_AREA)
        return cls(picture, cells.astype(np.float32), frame.taken)
