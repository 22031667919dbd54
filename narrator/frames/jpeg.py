"""What the bytes of a JPEG show: is it whole, and is it small enough to decode?

A camera on a bad cable sends halves of them, and noise; decoders make pictures of those, too.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from narrator.errors import SourceError
from narrator.libraries import MAX_PIXELS

TOO_LARGE = f"a picture of more than {MAX_PIXELS // 1_000_000} megapixels is not supported"
MAX_SCANS = 10  # times MAX_PIXELS: each scan of a progressive JPEG goes over all of its pixels

# Names of ITU-T T.81, table B.1: the frame headers, and the first marker that can't be within the
# coded data, nor between two scans.
FRAME_HEADERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
START_OF_SCAN, END = b"\xff\xda", b"\xff\xd9"
NOT_WITHIN = re.compile(rb"\xff[^\x00\xc4\xd0-\xd7\xda-\xdd\xfe\xff]", re.DOTALL)


def is_whole(data: bytes) -> bool:
    """Whether these bytes are a JPEG from its start to its end, with nothing between that no
    encoder writes. Raises SourceError for one of too many pixels."""
    try:
        pixels, scan = header(data)
    except (IndexError, struct.error):
        return False
    if pixels > MAX_PIXELS or pixels * data.count(START_OF_SCAN, scan) > MAX_SCANS * MAX_PIXELS:
        raise SourceError(TOO_LARGE)
    end = NOT_WITHIN.search(data, scan) if pixels else None
    if end is None or end[0] != END:
        return False
    # Buffers are filled up with zeros, and phones append further pictures.
    rest = data[end.end() : end.end() + 4096].lstrip(b"\0\r\n")
    return not rest or rest.startswith(b"\xff\xd8")


def holds_jpegs(file: Any) -> bool:
    """Whether JPEGs begin, or the lines before one. file: has peek()."""
    head: bytes = file.peek(3)
    return head.startswith(b"\xff\xd8\xff") or head.lstrip().startswith(b"--")


def take_jpeg(data: bytearray) -> bytes | None:
    """Take the first JPEG out of what a stream sent, with all that comes before it; None while none
    is complete. What is noise goes. Raises SourceError for one of too many pixels."""
    while (start := data.find(b"\xff\xd8\xff")) >= 0:
        del data[:start]
        try:
            pixels, scan = header(data)
        except (IndexError, struct.error):
            return None
        if pixels > MAX_PIXELS:
            raise SourceError(TOO_LARGE)
        end = NOT_WITHIN.search(data, scan)
        if pixels and end is None:
            return None
        if pixels and end is not None and end[0] == END:
            picture = bytes(data[: end.end()])
            del data[: end.end()]
            return picture
        del data[:2]
    del data[:-2]
    return None


def header(data: bytes | bytearray) -> tuple[int, int]:
    """How many pixels a JPEG has (0 where it does not say), and where its first scan starts.
    Raises IndexError and struct.error where it breaks off before."""
    at, pixels = 2, 0
    while data[:2] == b"\xff\xd8" and data[at] == 0xFF and data[at + 1] != START_OF_SCAN[1]:
        if data[at + 1] in FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            pixels = height * width
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return pixels if data[at : at + 2] == START_OF_SCAN else 0, at
