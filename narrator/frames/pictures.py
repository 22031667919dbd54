"""Pictures that OpenCV does not show as they are meant: those that move, and transparent ones.

Pillow reads them, and they are laid on white, as most pages are.
"""

from __future__ import annotations

import contextlib
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from narrator.libraries import MAX_PIXELS

FORMATS = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")  # the ones that may be transparent


def open_picture(path: str) -> Animation | np.ndarray | None:
    """A picture that moves, or a transparent one (uint8, BGR); None for all that OpenCV reads."""
    with contextlib.suppress(Exception):  # which a broken file may raise of any kind
        picture = Image.open(path, formats=FORMATS)
        if picture.width * picture.height > MAX_PIXELS:
            return None
        picture.load()
        if getattr(picture, "is_animated", False) and "duration" in picture.info:  # pages have none
            return Animation(picture)
        if picture.has_transparency_data:
            ImageOps.exif_transpose(picture, in_place=True)
            return on_white(picture)
    return None


def on_white(picture: Image.Image) -> np.ndarray:
    """The picture as uint8 BGR."""
    white = Image.new("RGB", picture.size, "white")
    top = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    white.paste(top, mask=top)
    image = np.array(white)
    cv2.cvtColor(image, cv2.COLOR_RGB2BGR, dst=image)
    return image


class Animation:
    """A picture that moves, with what is used of a cv2.VideoCapture."""

    def __init__(self, picture: Image.Image) -> None:
        self._picture = picture
        self._number = 0
        self._at = self._next_at = 0.0  # milliseconds

    def read(self) -> tuple[bool, Any]:
        image, self._at = None, self._next_at  # which after the last picture is the end
        with contextlib.suppress(Exception):  # EOFError, or what a broken file raises
            self._picture.seek(self._number)
            image = on_white(self._picture)
            self._number += 1
            duration = self._picture.info.get("duration", 0)
            self._next_at += duration if duration > 10 else 100  # as browsers do
        return image is not None, image

    def get(self, what: int) -> float:
        return self._at if what == cv2.CAP_PROP_POS_MSEC else 0.0
