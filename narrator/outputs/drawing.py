"""What the preview shows, as a picture: a frame, its caption, the status line and marks.

Pictures are uint8, shape (height, width, 3), BGR. No window is opened here.
"""

from __future__ import annotations

import functools
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence

import cv2
import numpy as np

from narrator.text import printable

INK, SIDES, STRIP = (255, 255, 255), (0, 0, 0), (28, 28, 28)  # BGR
# A shape beside each name, as not everybody can tell the colours.
MARKS = {
    "looking": ("● looking", (80, 220, 255)),
    "speaking": ("▶ speaking", (120, 240, 120)),
    "paused": ("‖ paused", (120, 160, 255)),
}
MIN_WIDTH, MAX_WIDTH, MAX_HEIGHT = 320, 1920, 1080  # that a picture is enlarged or shrunk to
# A font in OpenCV's wheels, so no machine lacks it: Latin, Greek, Cyrillic, Chinese, Japanese,
# Korean. It draws a question mark for an emoji or Thai, and Arabic and Hebrew from left to right.
FONT = cv2.FontFace("sans")
WEIGHT = 600  # of 100 to 1000
MAX_CHARACTERS = 1000  # of a caption; more never has room
ENDLESS = 1 << 15  # pixels, where a line is not to be wrapped


def draw_preview(
    image: np.ndarray, caption: str, seconds: float | None, label: str, marks: Sequence[str] = ()
) -> np.ndarray:
    """A frame, and under it its caption in up to two lines and the status in one: `label`, and the
    seconds that the caption took. marks: those of MARKS to be drawn into the corner.

    A longer caption grows upwards over the picture, to a third of it; what does not fit there ends
    in an ellipsis. The result is 320 to 1920 wide, and as high for all captions.
    """
    image = fitted(image)
    height, width = image.shape[:2]
    size = round(8.5 + 0.0206 * width)  # of letters, in pixels: 15 when 320 wide, 48 when 1920
    small, line, margin = round(0.72 * size), line_height(size), round(0.55 * size)
    inner, below = width - 2 * margin, 2 * line + 2 * margin + 2 * small
    canvas: np.ndarray = cv2.copyMakeBorder(image, 0, below, 0, 0, cv2.BORDER_CONSTANT, value=STRIP)
    text, lines = laid_out(caption, inner, size, 2 + height // 3 // line)
    top = height - max(0, lines - 2) * line
    if top < height:
        canvas[top - margin : height] //= 4  # White letters need a dark ground.
    put_text(canvas, text, (margin, top + line), size, INK, inner)
    base, time = canvas.shape[0] - margin, "" if seconds is None else f"{seconds:.1f} s"
    taken = text_size(time, small)[0]
    put_text(canvas, time, (width - margin - taken, base), small, INK)
    put_text(canvas[:, : width - taken - 2 * margin], label, (margin, base), small, INK)
    left = margin
    for name, colour in map(MARKS.__getitem__, marks):
        right = left + text_size(name, small)[0] + small
        canvas[margin : margin + 2 * small, left:right] //= 4
        put_text(canvas, name, (left + small // 2, margin + round(1.4 * small)), small, colour)
        left = right + margin
    return canvas


def fitted(image: np.ndarray) -> np.ndarray:
    """The image at a size fit for a window; a very narrow one between black margins."""
    height, width = image.shape[:2]
    scale = min(MAX_WIDTH / width, MAX_HEIGHT / height, max(1.0, MIN_WIDTH / width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    missing = max(0, MIN_WIDTH - size[0])
    sides = (0, 0, missing // 2, missing - missing // 2)
    image = cv2.resize(image, size, interpolation=way)
    return np.asarray(cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=SIDES))


def text_size(text: str, size: int, width: int = ENDLESS) -> tuple[int, int]:
    """Width and height in pixels of text whose lines are at most `width` wide."""
    wrap = cv2.PUT_TEXT_WRAP
    box = cv2.getTextSize((width, 1), text, (0, 0), FONT, size, WEIGHT, wrap, (0, width))
    return box[2], box[3]


def line_height(size: int) -> int:
    """Pixels from one line of text to the next."""
    return text_size("A\nA", size)[1] - text_size("A", size)[1]


def put_text(
    canvas: np.ndarray,
    text: str,
    start: tuple[int, int],
    size: int,
    colour: tuple[int, ...],
    width: int = ENDLESS,
) -> None:
    """Draw text whose lines are at most `width` wide. start: the lower left of its first line."""
    wrap = (start[0], start[0] + width)
    cv2.putText(canvas, text, start, colour, FONT, size, WEIGHT, cv2.PUT_TEXT_WRAP, wrap)


@functools.lru_cache(maxsize=8)
def laid_out(caption: str, width: int, size: int, max_lines: int) -> tuple[str, int]:
    """The caption with its line breaks, cut where it has no room, and how many lines it has."""
    text, line = unicodedata.normalize("NFC", printable(caption)), line_height(size)

    def first(length: int) -> str:
        cut = length < len(text)
        return broken(text[:length].rstrip(" ,;:.") + "…" if cut else text, width, size)

    def lines(length: int) -> int:
        return round(text_size(first(length), size, width)[1] / line)

    most = min(len(text), MAX_CHARACTERS)
    length = bisect_right(range(most + 1), max_lines, key=lines) - 1
    return first(length), lines(length)


def broken(text: str, width: int, size: int) -> str:
    """Text with line breaks between words, as OpenCV would break within them; one that is longer
    than a line is left to it, as are scripts without spaces."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and text_size(longer, size)[0] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)
