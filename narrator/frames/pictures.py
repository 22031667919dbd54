"""Pictures, read in one way whatever their format: by Pillow, upright, and on white where they are
transparent, as most pages are. A picture has shape (height, width, 3), dtype uint8, order BGR.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import cv2
import numpy as np
import pillow_heif
from PIL import Image, ImageOps

from narrator.errors import SourceError
from narrator.frames.jpeg import END, NOT_WITHIN, TOO_LARGE, header
from narrator.libraries import MAX_PIXELS

log = logging.getLogger(__name__)

# Those that their first bytes tell. AVIF first: it may have a name in common with HEIF.
FORMATS = (
    *("AVIF", "HEIF", "JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "PPM", "ICO"),
    *("ICNS", "PSD", "QOI", "DDS", "SGI", "PCX"),
)
TILED = ("image/heic", "image/heif", "image/avif")
MAX_WEBP = MAX_PIXELS // 2  # Its decoder takes twice the memory of others.
LONGEST_JPEG = 100 << 20  # bytes
BAND = 256  # rows
PADDING = END * 0x8000  # No segment of a JPEG is longer.

pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses what has more than twice as many.


def open_picture(file: BinaryIO, name: str) -> Animation | np.ndarray | None:
    """A picture, or one that moves; None for what is no picture. name: for messages. Raises
    SourceError for one that is damaged or too large."""
    damaged = SourceError(f"{name} is damaged or incomplete; copy or download it again")
    try:
        picture = identify(file, name)
        if picture is None:
            file.seek(0)
            # A film reader would take the first tile for all of it.
            if pillow_heif.get_file_mimetype(file) in TILED:
                raise damaged
            return None
        if picture.format == "WEBP" and picture.width * picture.height > MAX_WEBP:
            raise SourceError(f"{name} is a WebP of more than {MAX_WEBP // 1_000_000} megapixels")
        if picture.format == "HEIF" and ends_within_a_box(file):
            raise damaged  # Tiles that are missing would be green.
        picture.load()
        if getattr(picture, "is_animated", False) and "duration" in picture.info:  # pages have none
            return Animation(picture)
        return as_bgr(picture)
    except Image.DecompressionBombError as error:
        raise SourceError(TOO_LARGE) from error
    except (SourceError, MemoryError):
        raise
    except Exception as error:  # which a broken file may raise of any kind
        raise damaged from error


def identify(file: BinaryIO, name: str) -> Any:
    """The file as a PIL.Image.Image that is not loaded; None where it is none."""
    with contextlib.suppress(OSError, ValueError, EOFError, struct.error):
        picture = Image.open(file, formats=FORMATS)
        return whole_jpeg(file, picture, name) if picture.format == "JPEG" else picture
    return None


def whole_jpeg(file: BinaryIO, picture: Any, name: str) -> Any:
    """The same; one that breaks off with its end made up; None where JPEGs follow each other, which
    is a film (.mjpeg)."""
    file.seek(0)
    data = file.read(LONGEST_JPEG)
    pixels, end = 0, None
    with contextlib.suppress(IndexError, struct.error):
        pixels, scan = header(data)
        end = NOT_WITHIN.search(data, scan)
    if not pixels or (end is not None and end[0] != END):
        return picture  # It is what Pillow takes it for.
    if end is None:
        log.info(f"{name} ends early; its missing part is shown grey")
        return Image.open(io.BytesIO(data + PADDING), formats=("JPEG",))
    # Phones append further pictures, too, but they list them ("mp", CIPA DC-007).
    follows = data[end.end() : end.end() + 4096].lstrip(b"\0\r\n").startswith(b"\xff\xd8")
    return None if follows and "mp" not in picture.info else picture


def ends_within_a_box(file: BinaryIO) -> bool:
    """Whether a file of boxes (ISO 14496-12) is shorter than its last one."""
    at, size = 0, file.seek(0, os.SEEK_END)
    while at + 8 <= size:
        file.seek(at)
        length, _, long = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        length = long if length == 1 else length
        if length < 8:  # 0: up to the end
            break
        at += length
    return at > size


def as_bgr(picture: Any) -> np.ndarray:
    """The pixels of a PIL.Image.Image, which is turned upright."""
    with contextlib.suppress(Exception):  # An orientation that can't be read is none.
        ImageOps.exif_transpose(picture, in_place=True)
    clear = picture.info.get("transparency")
    if picture.mode == "RGB" and clear and max(clear) > 255:  # of 16 bits; Pillow keeps 8
        picture.info["transparency"] = tuple(level >> 8 for level in clear)
    is_deep = picture.mode in ("I", "F") or picture.mode.startswith("I;16")
    black, white = grey_range(picture) if is_deep else (0.0, 0.0)
    image = np.empty((picture.height, picture.width, 3), np.uint8)
    for rows, part in bands(picture):
        image[rows] = grey_levels(part, black, white) if is_deep else on_white(part)[..., ::-1]
    return image


def bands(picture: Any) -> Iterator[tuple[slice, Any]]:
    """A picture in parts, as what is made of each takes memory."""
    for top in range(0, picture.height, BAND):
        end = min(top + BAND, picture.height)
        yield slice(top, end), picture.crop((0, top, picture.width, end))


def on_white(picture: Any) -> np.ndarray:
    """The pixels as uint8 RGB."""
    if picture.has_transparency_data:
        top = picture.convert("RGBA")
        picture = Image.new("RGB", top.size, "white")
        picture.paste(top, mask=top)
    return np.asarray(picture.convert("RGB"))


def grey_range(picture: Any) -> tuple[float, float]:
    """Black and white of a grey picture of more than 8 bits. Where nothing says how bright white
    is, it is the first of 1, 255 and 65535 that is no less than any; else what there is."""
    if picture.mode.startswith("I;16"):
        return 0.0, 65535.0
    low, high = 0.0, 0.0
    for _, part in bands(picture):
        levels = np.asarray(part)
        low = min(low, levels.min(initial=0, where=np.isfinite(levels)))
        high = max(high, levels.max(initial=0, where=np.isfinite(levels)))
    return (low, high) if low < 0 else (0.0, next((w for w in (1, 255, 65535) if w >= high), high))


def grey_levels(picture: Any, black: float, white: float) -> np.ndarray:
    """A grey picture of more than 8 bits as uint8 of shape (height, width, 1)."""
    levels = np.asarray(picture, np.float32)
    clear = levels == picture.info.get("transparency", np.nan)
    levels = (levels - black) * (255 / (white - black))
    levels = np.where(clear, 255, np.nan_to_num(levels, posinf=255, neginf=0) + 0.5)
    return levels.clip(0, 255).astype(np.uint8)[..., None]


class Animation:
    """A picture that moves, with what is used of a cv2.VideoCapture."""

    def __init__(self, picture: Any) -> None:
        self._picture = picture
        self._number = 0
        self._at = self._next_at = 0.0  # milliseconds

    def read(self) -> tuple[bool, Any]:
        image, self._at = None, self._next_at  # which after the last picture is the end
        with contextlib.suppress(Exception):  # EOFError, or what a broken file raises
            self._picture.seek(self._number)
            image = as_bgr(self._picture.copy())
            self._number += 1
            duration = self._picture.info.get("duration", 0)
            self._next_at += duration if duration > 10 else 100  # as browsers do
        return image is not None, image

    def get(self, what: int) -> float:
        return self._at if what == cv2.CAP_PROP_POS_MSEC else 0.0
