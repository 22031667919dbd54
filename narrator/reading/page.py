"""A page: what a reader finds in a picture becomes sentences, as fast as they are read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from narrator.reading.layout import Row, joined, page_angle, rows_of
from narrator.reading.reader import Found, Reader
from narrator.text import TextLine, printable
from narrator.wording import sentences_in

NO_TEXT = "I see no text."
UNREADABLE = "There is text, but I can't make it out."
NOT_THE_REST = "I can't make out the rest."
OTHER_SCRIPT = "There is text in a script that I can't read."
MORE_TEXT = "There is more text."
UPSIDE_DOWN, SIDEWAYS = "The page is upside down.", "The page is turned on its side."
EDGES = ("to the left", "above", "to the right", "below")

MAX_LINES = 300  # a quarter of an hour of speech: nobody listens for longer
BATCH = 3  # rows that are recognised together: the first sentence must not wait for the page
LONG = 400  # letters: a sentence without an end is spoken in parts
STRIP = 2  # times as tall as wide: what is taller is read a part at a time
MIN_STRIP = 640  # pixels
UNCLEAR_LETTERS = 4  # fewer that can't be made out are most often no text at all
LONE = 1.3  # times as wide as high
LINE = 3  # times as wide as high: what is found there is writing, even if no letter is known
RULE = re.compile(r"[-\u2013\u2014_=~.\u00b7\u2022\s]*")
# Letters of Vietnamese that rapidocr knows, on a line without those of Czech and its neighbours.
ACCENTED = re.compile(r"\A(?!.*[ěščřžůťňľĺŕćłß]).*[àáâãèéêìíòóôõùúýăđ]", re.IGNORECASE)
NO_VOWEL = re.compile(
    r"(?<!\w)(?<!\d )(?!(?:[ckm]m|[km]g|ml|st|nd|rd|th|vs|pp|www)\b)[b-df-hj-np-tv-xzđ]{2,}(?!\w)"
)
MARGIN = 2  # pixels: what is closer to the edge of the picture may go on beyond it


class Page:
    """The text of one image, read while sentences() is asked for it. lines: what was read so far.

    image: as in Reader. max_lines: behind the row with this many of them it is read no further.
    """

    def __init__(self, reader: Reader, image: np.ndarray, max_lines: int = MAX_LINES) -> None:
        self._reader, self._image, self._max_lines = reader, image, max_lines
        self.lines: list[TextLine] = []
        self._unclear = self._more = self._other_script = False
        self._angle = 0.0
        self._edges = np.zeros(len(EDGES), bool)

    def sentences(self) -> Iterator[str]:
        """The sentences, then what is to be said about the whole; at least one."""
        rest = ""
        for piece in self._pieces():
            *done, rest = sentences_in(rest + piece)
            if len(rest) > LONG:
                done, rest = [*done, rest], ""
            yield from filter(None, map(str.strip, done))
        yield from filter(None, [rest.strip()])
        yield from self._remarks()

    def _remarks(self) -> Iterator[str]:
        if self._other_script:
            yield OTHER_SCRIPT
        if not self.lines:
            if not self._other_script:
                yield UNREADABLE if self._unclear else NO_TEXT
            return
        if self._more:
            yield MORE_TEXT
        elif self._unclear:
            yield NOT_THE_REST
        if self._edges.any():
            yield f"It goes on {' and '.join(np.array(EDGES)[self._edges])}."
        if abs(self._angle) > math.pi / 4:
            yield UPSIDE_DOWN if abs(self._angle) > 3 * math.pi / 4 else SIDEWAYS

    def _pieces(self) -> Iterator[str]:
        """The text of each row, with what parts it from the following one."""
        before: tuple[Row, str] | None = None
        for row, text in self._rows():
            if before is not None:
                yield joined(*before, text)
            before = row, text
        if before is not None:
            yield before[1]

    def _rows(self) -> Iterator[tuple[Row, str]]:
        """Each row in reading order with its text, "" where that can't be made out."""
        for top, found, numbers in self._parts():
            quads = found.quads[numbers]
            if not self.lines:
                self._angle = page_angle(quads)
            rows = rows_of(quads)
            for start in range(0, len(rows), BATCH):
                if len(self.lines) >= self._max_lines:
                    self._more = True
                    return
                batch = rows[start : start + BATCH]
                texts = self._read(found, [numbers[one] for row in batch for one in row.quads], top)
                for row in batch:
                    yield row, " ".join(filter(None, [next(texts) for _ in row.quads]))

    def _parts(self) -> Iterator[tuple[int, Found, list[int]]]:
        """The parts of the picture from the top: where each begins, what was found there, and which
        lines of that belong to it and not to the next one."""
        height, width = self._image.shape[:2]
        size = height if height <= STRIP * width else max(width, MIN_STRIP)
        top = 0
        while top < height:
            found = self._reader.find(self._image[top : top + size])
            following = top + size
            low, high = (side(found.quads[:, :, 1], axis=1) + top for side in (np.max, np.min))
            cut = high[low > following - MARGIN - 1]  # Lines on the border are for the next part.
            if following < height and len(cut) and cut.min() > top + size / 2:
                following = int(cut.min())
            numbers = np.flatnonzero((low + high) / 2 < following).tolist()
            if numbers:
                yield top, found, numbers
            top = following

    def _read(self, found: Found, numbers: Sequence[int], top: int) -> Iterator[str]:
        """The text of each of these lines, "" for what can't be made out."""
        size = self._image.shape[1::-1]
        for number, (written, sure) in zip(numbers, found.recognise(numbers)):
            text = printable(written)
            letters = sum(map(str.isalnum, text))
            unclear = sure < self._reader.confident
            if lacks_letters(written, width_of(found.quads[number])):
                self._other_script = True
            if letters < (UNCLEAR_LETTERS if unclear else 1):  # a coin, a star
                yield ""
                continue
            corners = np.clip(found.quads[number] + (0, top), 0, size).round().astype(int)
            low, high = corners.min(axis=0), corners.max(axis=0)
            if width_of(found.quads[number]) >= LONE:
                self._edges |= [*(low <= MARGIN), *(high >= np.subtract(size, MARGIN + 1))]
            if unclear:
                self._unclear = True
                yield ""
            else:
                box = int(low[0]), int(low[1]), int(high[0]), int(high[1])
                self.lines.append(TextLine(text, box, round(sure, 3)))
                yield text


def lacks_letters(text: str, width: float) -> bool:
    """True for what rapidocr makes of letters that it does not know: blanks or nothing in the place
    of most, and Vietnamese without its vowels. width: times as wide as high."""
    if any(map(str.isalnum, text)):
        return ACCENTED.search(text) is not None and NO_VOWEL.search(text) is not None
    blank = text[:1].isspace() or "  " in text
    return width > LINE and (blank or (2 * len(text) < width and RULE.fullmatch(text) is None))


def width_of(quad: np.ndarray) -> float:
    """How many times as wide as high it is. What is found around a letter or two is far larger
    than they are."""
    along, down = (float(np.linalg.norm(quad[0] - quad[k])) for k in (1, 3))
    return along / max(down, 1.0)
