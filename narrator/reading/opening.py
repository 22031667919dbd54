"""Which reader this system has."""

from __future__ import annotations

import functools
import sys

from narrator.reading.reader import Reader


@functools.cache
def open_reader() -> Reader:
    """The one of this system; its packages are imported the first time."""
    if sys.platform == "darwin":
        from narrator.reading.vision import VisionReader as SystemReader
    else:
        from narrator.reading.rapidocr import RapidOcrReader as SystemReader
    return SystemReader()
