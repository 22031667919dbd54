"""The order in which lines of text are read, and whether a sentence goes on in the next line.

The order follows from their places alone, before any of them is recognised, as the first one is to
be read before the last one is looked at.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

SHORT = 6.0  # line heights: a column no wider holds prices, times, numbers, and no running text
WORD_GAP = 1.5  # line heights: what is closer together stands in one row
LINE_GAP = 1.2  # line heights from a row to the next one of its block
SIGN = 20  # letters: running text has more in a row
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
    blocks = blocks_of(rows)
    read = []
    for block in (blocks[number] for number in reading_order(rows.around(blocks))):
        room = (rows.right[block].max() - rows.right) / rows.width
        if len(block) == 2:  # which do not tell how long a row may be
            room = np.ones(len(rows.right))
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
    size = rects.width / rects.height
    short = np.array([np.median(size[one]) < SHORT for one in in_column(rects)])
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


def blocks_of(rows: Rects) -> list[list[int]]:
    """The numbers of rows that stand close below each other, with nothing beside them."""
    low, high = np.minimum.outer, np.maximum.outer
    less, more = low(rows.height, rows.height), high(rows.height, rows.height)
    gap = np.subtract.outer(rows.top, rows.bottom).T  # from the one to the other
    near = in_column(rows) & above(rows) & (-less < gap) & (gap < LINE_GAP * less)
    near &= more < LIKE_SIZE * less
    near &= ~(near @ near)  # What is behind the next row is not the next one.
    single = near & (near.sum(axis=0) == 1) & (near.sum(axis=1) == 1)[:, None]
    blocks = []
    for first in np.flatnonzero(~single.any(axis=0)).tolist():
        blocks.append([first])
        while single[blocks[-1][-1]].any():
            blocks[-1].append(int(single[blocks[-1][-1]].argmax()))
    return blocks


def reading_order(blocks: Rects) -> list[int]:
    """The numbers of blocks as they are read: what is above before what is below it, what is to the
    left before what is beside it (after Breuel, "High Performance Document Layout Analysis", 2003),
    and on below the last one before elsewhere."""
    below = in_column(blocks) & above(blocks)
    beside = np.minimum.outer(blocks.bottom, blocks.bottom) > np.maximum.outer(
        blocks.top, blocks.top
    )
    first = below | (beside & np.less_equal.outer(blocks.right, blocks.left))
    waits = first.sum(axis=0).astype(float)  # for how many others each has to wait
    elsewhere = np.zeros(len(waits))
    order: list[int] = []
    while len(order) < len(waits):  # Where that is contradictory, the one that waits least is next.
        number = int(np.lexsort((blocks.left, blocks.top, elsewhere, waits))[0])
        order.append(number)
        waits -= first[number]
        waits[number] = math.inf
        elsewhere = ~below[number]
    return order


def above(rects: Rects) -> np.ndarray:
    """For each two, whether the first one is above the other one: a square of bool."""
    middle = (rects.top + rects.bottom) / 2
    return np.asarray(np.less.outer(middle, middle))


def in_column(rects: Rects) -> np.ndarray:
    """For each two, whether one is above the other, whichever: a square of bool."""
    left, right = (
        np.maximum.outer(rects.left, rects.left),
        np.minimum.outer(rects.right, rects.right),
    )
    return np.asarray(right > left)


def joined(row: Row, text: str, following: str) -> str:
    """The text of a row with what parts it from the following row's: nothing, if a word goes on
    there; a space, if a sentence may, as the next word had no room; else the end of a line, and
    behind the few words of a sign."""
    if row.ends or row.room == math.inf or not text or not following:
        return text + "\n"
    if following[0].islower() and text[-1] == "-" and text[-2:-1].isalpha():
        return text[:-1]
    room = row.room * len(text)  # in characters
    full = room < len(following.split()[0]) + 1 and len(text) >= SIGN
    return text + (" " if full or following[0].islower() else "\n")
