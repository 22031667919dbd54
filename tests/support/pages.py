"""Pages of text that are drawn here, in the font that Pillow brings along."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from support import HELD_TO_AVX2

ALICE = (
    "Alice was beginning to get very tired of",
    "sitting by her sister on the bank, and of",
    "having nothing to do: once or twice she had",
    "peeped into the book. It had no pictures.",
)
SAID_OF_ALICE = [
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having "
    "nothing to do: once or twice she had peeped into the book.",
    "It had no pictures.",
]

by_rapidocr = pytest.mark.skipif(
    sys.platform != "linux" or HELD_TO_AVX2,
    reason="rapidocr is for Linux, and OpenVINO crashes where oneDNN is held to AVX2",
)


def page(lines: Sequence[str], size: int = 28, margin: int = 40) -> np.ndarray:
    """A white page with these lines, uint8 BGR. size: of the font, in pixels."""
    font = ImageFont.load_default(size)
    width = round(max(font.getlength(line) for line in lines)) + 2 * margin
    step = round(1.4 * size)
    image = Image.new("RGB", (width, step * len(lines) + 2 * margin), "white")
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        pen.text((margin, margin + number * step), line, fill="black", font=font)
    return np.asarray(image)[:, :, ::-1].copy()


def beside(*parts: np.ndarray) -> np.ndarray:
    """Pages side by side, white below the shorter ones."""
    height = max(len(part) for part in parts)
    white = (255, 255, 255)
    return np.hstack(
        [
            cv2.copyMakeBorder(part, 0, height - len(part), 0, 0, cv2.BORDER_CONSTANT, value=white)
            for part in parts
        ]
    )


def below(*parts: np.ndarray) -> np.ndarray:
    """Pages one below the other, white to the right of the narrower ones."""
    return np.rot90(beside(*(np.rot90(part) for part in parts)), -1).copy()
