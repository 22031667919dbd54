"""One picture and its times: what every source gives, and all that the other parts know of one."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

SMALL = 320  # pixels: the width that a picture is not made smaller than


@dataclass(frozen=True)
class Frame:
    """One picture and its times.

    picture: its pixels, shape (height, width, 3), dtype uint8, colour order BGR, as OpenCV gives
    them; or the bytes of a JPEG, shape (count,), dtype uint8, which are decoded when they are used.
    taken: when it was read, in seconds on its source's clock, see Source.now().
    at: seconds into the source: a file's own clock, or the time since a live source's first frame.
    """

    picture: np.ndarray
    taken: float
    at: float

    @functools.cached_property
    def image(self) -> np.ndarray:
        """The pixels."""
        return self.picture if self.picture.ndim == 3 else decode_jpeg(self.picture)

    @functools.cached_property
    def small(self) -> np.ndarray:
        """The same picture: where it is a JPEG, at half its size, a quarter or an eighth, as long
        as it is at least SMALL wide. That takes a third of the time."""
        return self.picture if self.picture.ndim == 3 else decode_jpeg(self.picture, SMALL)

    def decodes(self) -> bool:
        """False for a JPEG that is broken beyond what a decoder can make of it."""
        try:
            return self.small is not None
        except (OSError, SyntaxError, ValueError):  # which Pillow raises
            return False

    def closer(self) -> Frame:
        """The same without its margin, a sixteenth on each side."""
        height, width = (length // 16 for length in self.image.shape[:2])
        return replace(self, picture=self.image[height : -height or None, width : -width or None])

    def rgb(self, side: int = 0) -> Any:
        """The picture in RGB as a PIL.Image.Image. side: where it is a JPEG, so many pixels in
        width and height are enough; 0: all of them."""
        import numpy as np
        from PIL import Image

        if not side or self.picture.ndim == 3:
            image = self.image
        elif min((image := self.small).shape[:2]) < side:
            image = decode_jpeg(self.picture, side, side)
        height, width = image.shape[:2]
        pixels = np.ascontiguousarray(image)
        return Image.frombuffer("RGB", (width, height), pixels, "raw", "BGR", 0, 1)


def decode_jpeg(coded: np.ndarray, width: int = 0, height: int = 1) -> np.ndarray:
    """The pixels of a JPEG as uint8 BGR, upright. width, height: as it is stored, of at least so
    many pixels; 0 is all of them. By Pillow: OpenCV writes to the terminal what it thinks of a
    damaged one."""
    import cv2
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(coded), formats=("JPEG",)) as picture:
        if width:
            picture.draft("RGB", (width, height))
        ImageOps.exif_transpose(picture, in_place=True)
        upright = picture if picture.mode == "RGB" else picture.convert("RGB")
        image: np.ndarray = cv2.cvtColor(np.asarray(upright), cv2.COLOR_RGB2BGR)
    return image
