"""One picture and its times: what every source gives, and all that the other parts know of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Frame:
    """One picture and its times.

    image: shape (height, width, 3), dtype uint8, colour order BGR, as OpenCV gives it.
    taken: when it was read, in seconds on its source's clock, see Source.now().
    at: seconds into the source: a file's own clock, or the time since a live source's first frame.
    """

    image: np.ndarray
    taken: float
    at: float

    def closer(self) -> Frame:
        """The same without its margin, a sixteenth on each side."""
        height, width = (length // 16 for length in self.image.shape[:2])
        return replace(self, image=self.image[height : -height or None, width : -width or None])

    def rgb(self) -> Any:
        """The picture in RGB as a PIL.Image.Image."""
        import numpy as np
        from PIL import Image

        height, width = self.image.shape[:2]
        pixels = np.ascontiguousarray(self.image)
        return Image.frombuffer("RGB", (width, height), pixels, "raw", "BGR", 0, 1)
