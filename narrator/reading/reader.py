"""What every reader offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Found(Protocol):
    """The lines of text that were found in an image.

    quads: float32, shape (n, 4, 2): the corners of each as x and y in pixels, clockwise from where
    its text begins at the top, so that they tell which way up it is.
    """

    quads: np.ndarray

    def recognise(self, numbers: Sequence[int]) -> list[tuple[str, float]]:
        """The text of some of the lines, and how sure that is, 0 to 1."""


class Reader(Protocol):
    """Finds lines of text in an image. Nothing is ever downloaded for it.

    confident: a line that it is less sure of is not read.
    """

    confident: float

    @property
    def label(self) -> str:
        """The library, for the user."""

    def find(self, image: np.ndarray) -> Found:
        """image: shape (height, width, 3), dtype uint8, colour order BGR."""
