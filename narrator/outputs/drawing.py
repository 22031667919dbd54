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

INK, OUTLINE, STRIP = (255, 255, 255), (0, 0, 0), (28, 28, 28)  # BGR
MARKS = {"looking": (80, 220, 255), "speaking": (120, 240, 120), "paused": (120, 160, 255)}
MIN_WIDTH, MAX_WIDTH, MAX_HEIGHT = 320, 1920, 1080  # that a picture is enlarged or shrunk to
# A font that OpenCV's wheels bring along, so that no machine lacks it: Latin, Greek, Cyrillic,
# Chinese, Japanese and Korean letters, and no emoji.
FONT = cv2.FontFace("sans")
WEIGHT = 600  # of 100 to 1000; thin letters drown in their outline
UNDRAWN = ("Mn", "Me", "Mc", "Cf", "Sk")  # accents, joiners, skin tones: nothing by themselves


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
    small, line, margin = round(0.72 * size), round(1.35 * size), round(0.55 * size)
    below = 2 * line + 2 * margin + 2 * small
    canvas: np.ndarray = cv2.copyMakeBorder(image, 0, below, 0, 0, cv2.BORDER_CONSTANT, value=STRIP)
    inner = width - 2 * margin
    lines = wrapped(drawable(caption), inner, size, max(2, 2 + height // 3 // line))
    over = max(0, len(lines) - 2) * line
    if over:
        canvas[height - over - margin : height] //= 3  # Text on a busy picture needs some rest.
    baseline = height - over + margin // 2
    for text in lines:
        baseline += line
        put_text(canvas, text, (margin, baseline - line // 5), size, INK)
    baseline = canvas.shape[0] - margin
    time = "" if seconds is None else f"{seconds:.1f} s"
    taken = text_width(time, small)
    put_text(canvas, time, (width - margin - taken, baseline), small, INK)
    status = "".join(wrapped(drawable(label), inner - taken - margin, small, 1))
    put_text(canvas, status, (margin, baseline), small, INK)
    left = margin
    for name in marks:
        left = put_mark(canvas, name, (left, margin), small) + margin
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
    return np.asarray(cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=OUTLINE))


def put_mark(canvas: np.ndarray, name: str, corner: tuple[int, int], size: int) -> int:
    """Draw a mark with its upper left corner there, its name and a shape, as not everybody can tell
    the colours. Returns its right end."""
    x, y = corner
    colour = MARKS[name]
    right = x + 2 * size + text_width(name, size) + size // 2
    canvas[y : y + 2 * size, x:right] //= 4
    top, bottom, left = y + size // 2, y + size + size // 2, x + size // 2
    if name == "looking":
        cv2.circle(canvas, (left + size // 2, y + size), size // 2, colour, -1, cv2.LINE_AA)
    elif name == "speaking":
        corners = np.array([(left, top), (left, bottom), (left + size, y + size)])
        cv2.fillPoly(canvas, [corners], colour, cv2.LINE_AA)
    else:
        for bar in (left, left + 2 * size // 3):
            canvas[top:bottom, bar : bar + max(2, size // 3)] = colour
    put_text(canvas, name, (left + size + size // 2, y + size + 2 * size // 5), size, colour)
    return right


def text_width(text: str, size: int) -> int:
    """How wide a line of text is, in pixels."""
    return int(cv2.getTextSize((0, 0), text, (0, 0), FONT, size, WEIGHT, 0)[2])


def put_text(
    canvas: np.ndarray, text: str, start: tuple[int, int], size: int, colour: tuple[int, ...]
) -> None:
    """Draw one line of text, outlined; start: its lower left."""
    x, y = start
    thick = max(1, size // 12)  # of the outline
    left, top = max(0, x - thick), max(0, y - size - thick)
    right, bottom = x + text_width(text, size) + 2 * thick, y + size // 2
    part = canvas[top:bottom, left:right]
    letters = np.zeros(part.shape[:2], np.uint8)
    cv2.putText(letters, text, (x - left, y - top), (255,), FONT, size, WEIGHT, 0)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thick + 1, 2 * thick + 1))
    rest = cv2.merge([255 - cv2.dilate(letters, disc)] * 3)
    ink = cv2.multiply(cv2.merge([letters] * 3), (*colour, 0), scale=1 / 255)
    part[:] = cv2.add(cv2.multiply(part, rest, scale=1 / 255), ink)


def wrapped(text: str, width: int, size: int, max_lines: int) -> list[str]:
    """Text in lines that are at most `width` pixels wide; what is left over is told by an ellipsis
    at the end."""
    lines: list[str] = []
    text = text.strip()
    while text and len(lines) < max_lines:
        end = fitting(text, width, size)
        if end < len(text) and len(lines) == max_lines - 1:
            cut = text[: fitting(text, width - text_width("…", size), size)]
            return [*lines, cut.rstrip(" ,;:.") + "…"]
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return lines


def fitting(text: str, width: int, size: int) -> int:
    """How many of the first letters make a line: up to a space where there is one, between any two
    letters of a script without spaces; one at least."""
    ends = range(1, min(len(text), 8 * width // size + 1) + 1)  # no letter is narrower than an 8th
    most = max(1, bisect_right(ends, width, key=lambda end: text_width(text[:end], size)))
    for end in range(most, most // 2, -1):
        before, after = text[end - 1], text[end : end + 1]
        if after in ("", " ") or before in " -":
            return end
        broad = unicodedata.east_asian_width(before) + unicodedata.east_asian_width(after)
        if broad in ("WW", "WF", "FW") and not unicodedata.category(after).startswith("P"):
            return end
    return most


def drawable(text: str) -> str:
    """The same text in what the font can draw: an emoji becomes its name, an accent that stands by
    itself goes."""
    kept = []
    for character in unicodedata.normalize("NFC", printable(text)):
        if character.isascii() or has_glyph(character):
            kept.append(character)
        elif unicodedata.category(character) == "So":
            kept.append(f"({unicodedata.name(character, '?').lower()}) ")
        elif unicodedata.category(character) not in UNDRAWN:
            kept.append("?")
    return printable("".join(kept))


@functools.lru_cache(maxsize=4096)
def has_glyph(character: str) -> bool:
    """False when the font draws a question mark in the place of a character."""
    drawn = np.zeros((2, 32, 48), np.uint8)
    for picture, text in zip(drawn, (character, "?")):
        cv2.putText(picture, text, (8, 24), (255,), FONT, 20, WEIGHT, 0)
    return bool((drawn[0] != drawn[1]).any())
