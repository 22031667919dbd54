"""Thumbnail: a frame of any size becomes a small picture and a grid of mean colours."""

from __future__ import annotations

import numpy as np
import pytest

from narrator.frames.frame import Frame
from narrator.scene.thumbnail import Thumbnail


@pytest.mark.parametrize(
    ("shape", "small"),
    [
        ((1080, 1920), (270, 480)),
        ((480, 640), (240, 320)),
        ((90, 160), (90, 160)),
        ((1, 1), (1, 1)),
    ],
)
def test_it_is_small_and_as_bright_as_the_frame(
    shape: tuple[int, int], small: tuple[int, int]
) -> None:
    thumbnail = Thumbnail.of(Frame(np.full((*shape, 3), (10, 77, 200), np.uint8), 5.0, 0.0))
    assert thumbnail.taken == 5.0
    assert thumbnail.picture.shape == (*small, 3)
    assert thumbnail.cells.shape == (48, 64, 3)
    assert thumbnail.cells.dtype == np.float32
    assert (thumbnail.cells == (10, 77, 200)).all()
