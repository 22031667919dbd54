"""The order of reading, and what is one sentence, from the places of lines alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from narrator.reading.layout import Row, joined, rows_of

Box = tuple[float, float, float, float]  # left, top, right, bottom


def quads_of(boxes: list[Box], angle: float = 0.0) -> np.ndarray:
    """The corners of boxes on a page that is turned clockwise by `angle` degrees."""
    corners = np.array([[(a, b), (c, b), (c, d), (a, d)] for a, b, c, d in boxes], np.float32)
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    return (corners @ np.array([[cosine, sine], [-sine, cosine]])).astype(np.float32)


def order(boxes: list[Box], angle: float = 0.0) -> list[list[int]]:
    """The numbers of the boxes, row by row."""
    return [row.quads for row in rows_of(quads_of(boxes, angle))]


def column(left: float, top: float, count: int, width: float = 300) -> list[Box]:
    return [(left, top + 30 * k, left + width, top + 30 * k + 20) for k in range(count)]


TURNS = pytest.mark.parametrize("angle", [0, -10, 90, 180])


@TURNS
def test_columns_are_read_one_after_the_other(angle: float) -> None:
    boxes = column(0, 0, 6) + column(340, 0, 6) + column(680, 0, 5)
    assert order(boxes, angle) == [[number] for number in range(17)]


@TURNS
def test_a_heading_across_the_columns_is_read_between_what_is_above_and_below(angle: float) -> None:
    above = column(0, 0, 3) + column(340, 0, 3)
    heading = [(0.0, 110.0, 640.0, 150.0)]
    boxes = above + heading + column(0, 180, 3) + column(340, 180, 3)
    assert order(boxes, angle) == [[number] for number in range(13)]


def test_what_is_above_all_is_read_first_wherever_it_stands() -> None:
    date = [(500.0, 0.0, 640.0, 20.0)]
    assert order(column(0, 60, 3) + date + column(0, 180, 4, 640)) == [
        [number] for number in (3, 0, 1, 2, 4, 5, 6, 7)
    ]


@TURNS
def test_a_table_is_read_row_by_row_each_a_sentence(angle: float) -> None:
    prices = [(500.0, 30.0 * k, 560.0, 30.0 * k + 20) for k in range(4)]
    rows = rows_of(quads_of(column(0, 0, 4) + prices, angle))
    assert [row.quads for row in rows] == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert joined(rows[0], "soup 4.50", "bread 2.00") == "soup 4.50\n"


def test_two_lines_do_not_tell_how_long_a_row_may_be() -> None:
    title, _ = rows_of(quads_of([(0, 0, 400, 20), (0, 30, 300, 50)]))
    assert joined(title, "Chapter Two. The garden", "Nobody was there.").endswith("\n")


def test_blocks_end_where_there_is_space_or_another_size() -> None:
    boxes: list[Box] = [(0, 0, 400, 60), (0, 70, 300, 90), (0, 100, 300, 120), (0, 180, 300, 200)]
    assert [row.ends for row in rows_of(quads_of(boxes))] == [True, False, True, True]


@pytest.mark.parametrize(
    ("text", "following", "room", "becomes"),
    [
        ("Alice was very", "tired", 0.5, "Alice was very "),  # a sentence goes on, it is told so
        ("Then she met the White", "Rabbit", 0.1, "Then she met the White "),  # it had no room
        ("Open from nine to five", "Closed", 0.5, "Open from nine to five\n"),  # it had
        ("EXIT", "Gate 14", 0.1, "EXIT\n"),  # a sign
        ("It was a won-", "derful day", 0.0, "It was a won"),
        ("from 1990-", "to 1995", 0.0, "from 1990- "),
        ("Open", "", 0.0, "Open\n"),  # the next one can't be made out
        ("", "Open", 0.0, "\n"),
    ],
)
def test_a_sentence_goes_on_where_the_next_word_had_no_room(
    text: str, following: str, room: float, becomes: str
) -> None:
    assert joined(Row([0], room, ends=False), text, following) == becomes
    assert joined(Row([0], room, ends=True), text, following) == text.rstrip() + "\n"  # a block
