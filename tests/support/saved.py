"""What is inside a frame that was saved, and how near its picture is to another."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def inside(path: Path) -> dict[str, str]:
    """What Pillow reads out of a saved frame: description, comment, and when it was taken."""
    with Image.open(path) as picture:
        picture.load()
        exif = picture.getexif()
        details = exif.get_ifd(0x8769)
    comment = details.get(0x9286, b"UNICODE\0")
    assert comment[:8] == b"UNICODE\0"
    assert exif.endian == ">"
    return {
        # Pillow takes the bytes of an ASCII field for Latin-1.
        "description": exif.get(0x010E, "").encode("latin-1").decode(),
        "comment": comment[8:].decode("utf-16-be"),
        "taken": f"{details[0x9003]}.{details[0x9291]}{details[0x9011]}",
    }


def distance(path: Path, image: np.ndarray) -> float:
    """How far a picture's file is from an image (BGR), in levels."""
    saved = cv2.imread(str(path))
    assert saved is not None
    return float(np.abs(saved.astype(int) - image).mean())
