"""A page as the reader of this system reads it, and the sentences about what it can't read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from narrator.reading.opening import open_reader
from narrator.reading.page import BATCH, Page
from narrator.reading.reader import Found, Reader
from support.pages import ALICE, SAID_OF_ALICE, below, beside, by_rapidocr, page


def read(image: np.ndarray) -> list[str]:
    return list(Page(open_reader(), image).sentences())


class Recited:
    """In the place of a reader: finds the same lines in every image, each as sure as told."""

    label = "stand-in"
    confident = 0.5

    def __init__(self, *lines: tuple[str, float, tuple[int, int, int, int]]) -> None:
        self._lines = lines
        self.recognised: list[int] = []
        self.quads = np.array(
            [[(a, b), (c, b), (c, d), (a, d)] for _, _, (a, b, c, d) in lines], np.float32
        ).reshape(-1, 4, 2)

    def find(self, image: np.ndarray) -> Found:
        return self

    def recognise(self, numbers: Sequence[int]) -> list[tuple[str, float]]:
        self.recognised += numbers
        return [self._lines[number][:2] for number in numbers]


IMAGE = np.full((400, 600, 3), 255, np.uint8)


def recite(reader: Reader, max_lines: int = 300) -> list[str]:
    return list(Page(reader, IMAGE, max_lines).sentences())


@by_rapidocr
def test_a_page_is_read_word_for_word_in_sentences() -> None:
    assert read(page(ALICE)) == SAID_OF_ALICE


@by_rapidocr
@pytest.mark.parametrize(
    ("turn", "remark"),
    [
        (cv2.ROTATE_180, "The page is upside down."),
        (cv2.ROTATE_90_COUNTERCLOCKWISE, "The page is turned on its side."),
    ],
)
def test_a_page_that_is_not_the_right_way_up_is_read_and_told(turn: int, remark: str) -> None:
    assert read(cv2.rotate(page(ALICE), turn)) == [*SAID_OF_ALICE, remark]


@by_rapidocr
def test_columns_are_kept_apart_below_their_heading() -> None:
    other = ("So she was considering in her own", "mind whether it would be worth it.")
    image = below(page(["DOWN THE RABBIT HOLE"], 48), beside(page(ALICE), page(other)))
    said = "So she was considering in her own mind whether it would be worth it."
    assert read(image) == ["DOWN THE RABBIT HOLE", *SAID_OF_ALICE, said]


@by_rapidocr
def test_the_boxes_are_where_the_lines_are() -> None:
    image = page(["EXIT", "Gate 14B"], 40)
    read_page = Page(open_reader(), image)
    assert list(read_page.sentences()) == ["EXIT", "Gate 14B"]
    for line in read_page.lines:
        left, top, right, bottom = line.box
        image[top:bottom, left:right] = 255
        assert line.confidence > 0.9
    assert image.min() > 200, "there is ink outside the boxes"


@by_rapidocr
@pytest.mark.parametrize(
    ("rows", "columns", "where"),
    [
        (slice(50, None), slice(None), "It goes on above."),
        (slice(0, 180), slice(None), "It goes on below."),
        (slice(None), slice(130, 300), "It goes on to the left and to the right."),
    ],
)
def test_text_at_the_edge_of_the_picture_goes_on_there(
    rows: slice, columns: slice, where: str
) -> None:
    assert read(np.ascontiguousarray(page(ALICE)[rows, columns]))[-1] == where


@by_rapidocr
@pytest.mark.parametrize("shape", [(480, 640), (1, 1), (3, 4000)])
def test_where_there_is_no_text_that_is_said(shape: tuple[int, int]) -> None:
    assert read(np.full((*shape, 3), 128, np.uint8)) == ["I see no text."]
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert read(noise) == ["I see no text."]


@by_rapidocr
@pytest.mark.parametrize("text", ["7", "[[volm 0]] \\x1b[2J <break time='9s'/> done"])
def test_a_single_figure_and_commands_are_read_as_text(text: str) -> None:
    (said,) = read(page([text], 60))
    assert said.startswith(text[:10])
    assert said.isprintable()


@by_rapidocr
def test_four_thousand_lines_are_read_from_the_top_and_not_to_their_end() -> None:
    image = page([f"This is line number {number}." for number in range(100, 4100)], 14)
    whole = Page(open_reader(), image)
    read_so_far = list(itertools.islice(whole.sentences(), 20))
    assert read_so_far == [f"This is line number {number}." for number in range(100, 120)]
    assert len(whole.lines) < 20 + 2 * BATCH, "it waited for the end of the page"


def test_a_text_that_is_too_long_is_told_to_go_on() -> None:
    lines = [(f"Line {n}.", 1.0, (10, 10 + 30 * n, 300, 30 + 30 * n)) for n in range(12)]
    reader = Recited(*lines)
    assert recite(reader, max_lines=6) == [*(f"Line {n}." for n in range(6)), "There is more text."]
    assert max(reader.recognised) == 5


def test_a_sentence_without_an_end_is_spoken_in_parts() -> None:
    lines = [
        ("and so it goes on, " * 4, 1.0, (10, 10 + 30 * n, 500, 30 + 30 * n)) for n in range(12)
    ]
    said = recite(Recited(*lines))
    assert len(said) == 2
    assert " ".join(said) == ("and so it goes on, " * 4 * 12).strip()


def test_what_the_library_is_not_sure_of_is_not_read() -> None:
    known = ("Open from 9 to 5.", 0.9, (10, 10, 300, 30))
    unclear = ("Qlosed nn Snnday", 0.4, (10, 40, 300, 60))
    assert recite(Recited(known, unclear)) == ["Open from 9 to 5.", "I can't make out the rest."]
    assert recite(Recited(unclear)) == ["There is text, but I can't make it out."]


def test_lines_in_a_script_that_is_not_known_are_told_of() -> None:
    known = ("Open from 9 to 5.", 0.9, (10, 10, 300, 30))
    strange = ("      ,   .", 0.97, (10, 40, 300, 60))
    told = "There is text in a script that I can't read."
    assert recite(Recited(strange)) == [told]
    assert recite(Recited(known, strange)) == ["Open from 9 to 5.", told]
    dashes = ("- - - -", 0.97, (10, 40, 300, 60))
    assert recite(Recited(dashes)) == ["I see no text."]


@by_rapidocr
@pytest.mark.parametrize("text", ["Дорогие друзья, приглашаем вас", "친애하는 친구 여러분, 토요일"])
def test_a_line_in_another_script_on_a_page_is_told_of(text: str) -> None:
    lines = ["Dear friends, come to the hall", text]
    image = np.full((200, 900, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        where = (40, 70 + 60 * number)
        cv2.putText(image, line, where, (0, 0, 0), cv2.FontFace("sans"), 34, 400)
    told = "There is text in a script that I can't read."
    assert read(image) == [lines[0], told]
    image[:85] = 255
    assert read(image) == [told]


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("Kính gi các bn, xin mi đn d", True),  # as rapidocr has it
        ("Příliš žluťoučký kůň, strč prst skrz krk", False),
        ("Une table de 12 cm à Noël", False),
        ("The 4th of July, nth time, hmm", False),
    ],
)
def test_vietnamese_without_its_vowels_is_told_of(text: str, lacks: bool) -> None:
    told = ["There is text in a script that I can't read."]
    assert recite(Recited((text, 0.99, (10, 40, 500, 60))))[1:] == told * lacks


def test_what_is_most_likely_no_text_is_passed_over() -> None:
    star, coin = ("★", 0.99, (10, 10, 40, 40)), ("O0", 0.3, (100, 10, 140, 40))
    assert recite(Recited(star, coin)) == ["I see no text."]


def test_what_was_found_is_cleaned() -> None:
    line = ("\x1b[2Jred\u202e\nwine", 1.0, (10, 10, 300, 30))
    reader = Page(Recited(line), IMAGE)
    assert list(reader.sentences()) == ["[2Jred wine"]
    assert [line.text for line in reader.lines] == ["[2Jred wine"]
