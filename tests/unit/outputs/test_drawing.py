"""What the preview shows, at all sizes and in many scripts."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from narrator.outputs.drawing import MARKS, draw_preview, laid_out

SIZES = {320: 240, 640: 480, 1920: 1080}
SHORT = "A red circle on the left."
LONG = "A man in a blue jacket holds a cup of coffee and looks out of the window, again. " * 20
TEXTS = {
    "short": SHORT,
    "long": LONG,
    "word": "https://example.org/" + "averylongword" * 100,
    "scripts": "Café Ångström. Ένας κύκλος. Красный круг. 左边有圆圈。赤い丸です。빨간 원. 😀 ok. "
    * 2,
    "chinese": "左边有一个红色的圆圈、右边有一个蓝色的正方形。" * 40,
}


def picture(kind: str, width: int) -> np.ndarray:
    """A white, black or busy picture (BGR)."""
    shape = (SIZES[width], width, 3)
    if kind == "busy":
        small = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
        return cv2.resize(small, shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.full(shape, {"white": 255, "black": 0}[kind], np.uint8)


def drawn(image: np.ndarray, caption: str, marks: Sequence[str] = ()) -> np.ndarray:
    """The preview of an engine that took 1.24 s."""
    return draw_preview(image, caption, 1.24, "torch on the CPU, bfloat16", marks)


@pytest.mark.parametrize(
    ("width", "text"),
    [(320, "long"), (320, "scripts"), (640, "short"), (640, "word"), (640, "chinese")],
)
def test_text_is_readable_on_any_picture_and_inside_its_margins(width: int, text: str) -> None:
    on_black = drawn(picture("black", width), TEXTS[text])
    assert on_black.dtype == np.uint8
    assert on_black.shape == drawn(picture("black", width), "").shape
    # On black, all that is bright is letters.
    letters = (on_black > 250).all(axis=2)
    rows, columns = np.nonzero(letters)
    margin = width // 40
    assert rows.min() > SIZES[width] / 2  # at least half of the picture is free of text
    assert rows.max() < on_black.shape[0] - margin / 3
    assert margin / 2 < columns.min()
    assert columns.max() < width - margin / 2
    for kind in ("white", "busy"):
        image = picture(kind, width)
        canvas = drawn(image, TEXTS[text])
        assert canvas[letters].min() > 240
        # Beside each bright pixel there is a dark one, as near as letters are thick.
        near = np.ones((width // 100 + 4,) * 2)
        assert cv2.erode(canvas.max(axis=2), near)[letters].max() < 110
        assert (image == picture(kind, width)).all()  # left as it was


@pytest.mark.parametrize("text", ["long", "word", "chinese"])
def test_a_caption_that_is_too_long_ends_in_an_ellipsis(text: str) -> None:
    for width in SIZES:
        shown, lines = laid_out(TEXTS[text], width, 20, 3)
        assert lines == 3
        assert shown.endswith("…")
        assert TEXTS[text].startswith(shown[:-1].replace("\n", " "))
        more = TEXTS[text][: len(shown) + 1] + "…"
        assert laid_out(more, width, 20, 9)[1] > 3  # there was no room for another letter


def test_letters_beyond_ascii_are_drawn_as_themselves() -> None:
    question_mark = drawn_alone("?")
    for text in ("Åéïößčđőñ", "ΑβγΔέ", "ЖщъяЁ", "左边红圆", "赤い丸カ", "빨간원", "“”—…½€°"):
        pictures = [drawn_alone(letter) for letter in text]
        assert question_mark not in pictures
        assert len(set(pictures)) == len(text)
    assert drawn_alone("e\u0301") == drawn_alone("é")
    assert drawn_alone("e\x1b\u202e\ud800") == drawn_alone("e")


def drawn_alone(letter: str) -> bytes:
    """The pixels of a caption of one letter."""
    return draw_preview(picture("black", 320), letter, None, "").tobytes()


@pytest.mark.parametrize("shape", [(1, 1), (2000, 100), (100, 2000), (2160, 3840)])
def test_any_size_of_picture_becomes_one_that_fits_a_window(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 128, np.uint8)
    height, width = drawn(image, LONG, ["looking"]).shape[:2]
    assert 320 <= width <= 1920
    assert height <= 1400
    assert image.shape[:2] == shape


def test_each_mark_can_be_seen_and_told_from_the_others() -> None:
    for width, kind in ((320, "white"), (640, "black"), (640, "busy")):
        image = picture(kind, width)
        plain = drawn(image, SHORT)
        marked = [drawn(image, SHORT, [mark]) for mark in MARKS]
        corner = (slice(0, width // 8), slice(0, width // 2))
        for canvas in marked:
            assert np.abs(canvas[corner].astype(int) - plain[corner]).max() > 100
            assert (canvas[width // 8 :] == plain[width // 8 :]).all()
        assert len({canvas.tobytes() for canvas in marked}) == len(MARKS)
    right = drawn(picture("white", 320), SHORT, list(MARKS))[:20, 300:]
    assert (right == 255).all()  # all three have room in the narrowest window
