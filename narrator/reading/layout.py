"""The order in which lines of text are read, and whether a sentence goes on in the next line.

The order is told from their places alone, before any of them is recognised, as the first one is to
be read before the last one is looked at.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

SHORT = 6.0  # line heights: a column no wider holds prices, times, numbers, and no running text
WORD_GAP = 1.5  # line heights: what is closer together stands in one row
LINE_GAP = 1.2  # line heights from a row to the next one of its block
LIKE_SIZE = 1.5  # how many times as tall as another a line of the same kind may be


class Row(NamedTuple):
    """What is read in one go. quads: their numbers, from left to right. room: behind it in its
    block, in its own widths; infinite for a row of a table. ends: it is the last of its block."""

    quads: list[int]
    room: float
    ends: bool


class Rects(NamedTuple):
    """Upright rectangles, one an entry: float arrays of shape (n,)."""

    left: np.ndarray
    top: np.ndarray
    right: np.ndarray
    bottom: np.ndarray

    @property
    def height(self) -> np.ndarray:
        return np.asarray(np.maximum(self.bottom - self.top, 1.0))

    @property
    def width(self) -> np.ndarray:
        return np.asarray(np.maximum(self.right - self.left, 1.0))

    def around(self, groups: list[list[int]]) -> Rects:
        """The rectangles around groups of these."""
        return Rects(
            np.array([self.left[group].min() for group in groups]),
            np.array([self.top[group].min() for group in groups]),
            np.array([self.right[group].max() for group in groups]),
            np.array([self.bottom[group].max() for group in groups]),
        )


def page_angle(quads: np.ndarray) -> float:
    """The direction of writing in radians, 0 to the right and pi / 2 downwards; a line counts as
    much as it is long. quads: as in Found, at least one."""
    along = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]).sum(axis=0)
    return math.atan2(float(along[1]), float(along[0]))


def upright(quads: np.ndarray) -> Rects:
    """Rectangles in the places of quads, on the page turned so that its writing goes right."""
    angle = page_angle(quads)
    sine, cosine = math.sin(angle), math.cos(angle)
    corners = quads @ np.array([[cosine, -sine], [sine, cosine]])
    # The middle of each side, as the corners of what still leans would reach into its neighbours.
    top, right, bottom, left = ((corners[:, k] + corners[:, (k + 1) % 4]) / 2 for k in range(4))
    return Rects(left[:, 0], top[:, 1], right[:, 0], bottom[:, 1])


def rows_of(quads: np.ndarray) -> list[Row]:
    """The rows of a page in reading order. quads: as in Found, at least one."""
    rects = upright(quads)
    groups = side_by_side(rects)
    rows = rects.around(groups)
    blocks: list[list[int]] = []
    for number in reading_order(rows):
        if blocks and follows(rows, blocks[-1][-1], number):
            blocks[-1].append(number)
        else:
            blocks.append([number])
    read = []
    for block in blocks:
        room = (rows.right[block].max() - rows.right) / rows.width
        for number in block:
            gaps = rects.left[groups[number][1:]] - rects.right[groups[number][:-1]]
            in_table = (gaps > WORD_GAP * rows.height[number]).any()
            space = math.inf if in_table else float(room[number])
            read.append(Row(groups[number], space, number == block[-1]))
    return read


def side_by_side(rects: Rects) -> list[list[int]]:
    """Rectangles that are read in one go, from left to right: words of a line, and the row of a
    table, which differs from columns of running text in how short the entries of one are."""
    low, high = np.minimum.outer, np.maximum.outer
    alike = high(rects.height, rects.height) < LIKE_SIZE * low(rects.height, rects.height)
    overlap = low(rects.bottom, rects.bottom) - high(rects.top, rects.top)
    beside = alike & (overlap > 0.5 * low(rects.height, rects.height))
    column = low(rects.right, rects.right) > high(rects.left, rects.left)
    size = rects.width / rects.height
    short = np.array([np.median(size[one]) < SHORT for one in column])
    groups: list[list[int]] = []
    for number in np.argsort(rects.left, kind="stable").tolist():
        for group in groups:
            last = group[-1]
            gap = (rects.left[number] - rects.right[last]) / rects.height[last]
            near = gap < WORD_GAP or short[number] or short[last]
            if beside[number, last] and near and gap > -1:
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def reading_order(rows: Rects) -> list[int]:
    """The numbers of the rows as they are read, by the two rules of Breuel ("High Performance
    Document Layout Analysis", 2003): what is above comes first where both have a column in common;
    what is to the left comes first, unless a row that spans both stands between them."""
    middle = (rows.top + rows.bottom) / 2
    above = np.less.outer(middle, middle)
    shared = np.minimum.outer(rows.right, rows.right) > np.maximum.outer(rows.left, rows.left)
    parted = np.zeros_like(above)
    for number in range(len(middle)):
        spanned = np.logical_and.outer(shared[number], shared[number])
        parted |= spanned & np.not_equal.outer(above[number], above[number])
    first = (shared & above) | (np.less_equal.outer(rows.right, rows.left) & ~parted)
    waits = first.sum(axis=0).astype(float)  # for how many rows each has to wait
    place = np.lexsort((rows.left, middle)).argsort()
    order: list[int] = []
    for _ in middle:  # Where the rules contradict each other, next is what waits for fewest.
        number = int(np.lexsort((place, waits))[0])
        order.append(number)
        waits -= first[number]
        waits[number] = math.inf
    return order


def follows(rows: Rects, before: int, number: int) -> bool:
    """True when a row is the next one of a block: under the one before, close to it, as tall."""
    less, more = sorted(rows.height[[before, number]])
    shared = min(rows.right[before], rows.right[number]) > max(rows.left[before], rows.left[number])
    gap = rows.top[number] - rows.bottom[before]
    return bool(shared and -less < gap < LINE_GAP * less and more < LIKE_SIZE * less)


def joined(row: Row, text: str, following: str) -> str:
    """The text of a row with what parts it from the following row's: nothing, if a word goes on
    there; a space, if a sentence may, as the next word had no room; else the end of a line."""
    if row.ends or row.room == math.inf or not text or not following:
        return text + "\n"
    if following[0].islower() and text[-1] == "-" and text[-2:-1].isalpha():
        return text[:-1]
    room = row.room * len(text)  # in characters
    goes_on = following[0].islower() or room < len(following.split()[0]) + 1
    return text + (" " if goes_on else "\n")
