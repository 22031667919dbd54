"""How well and how fast text in view is read, beside Debian's tesseract-ocr on the same pages.

    .venv/bin/python tools/measure_reading.py --pages 4      of each kind

Pages are drawn in free fonts (Debian: fonts-dejavu, fonts-liberation, fonts-freefont-ttf,
fonts-open-sans; those that are here are used), clean from 12 to 60 pixels high, and at 24 to 40
turned, blurred, noisy, dim, seen from the side, and as a camera might see them. The character error
rate is the edit distance to what was drawn, over its length; a line that is not read for want of
confidence counts as missing. Then a page of 300 words is timed. The last table tells what the limit
of confidence is worth: how many characters are wrong on pages that are all but illegible.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from measuring import read_options
from narrator.reading.opening import open_reader
from narrator.reading.page import NO_TEXT, NOT_THE_REST, UNREADABLE, Page

FONTS = sorted(
    path
    for name in (
        "DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "LiberationSans-Regular.ttf",
        "LiberationSerif-Italic.ttf", "LiberationSansNarrow-Bold.ttf", "FreeSerif.ttf",
        "FreeSansBold.ttf", "OpenSans-Regular.ttf", "OpenSans-Light.ttf",
    )
    for path in Path("/usr/share/fonts").rglob(name)
)  # fmt: skip
# Lewis Carroll, 1865, and what stands on letters, packets and doors.
TEXTS = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having "
    "nothing to do: once or twice she had peeped into the book her sister was reading, but it had "
    'no pictures or conversations in it, "and what is the use of a book," thought Alice "without '
    'pictures or conversations?"',
    "So she was considering in her own mind (as well as she could, for the hot day made her feel "
    "very sleepy and stupid), whether the pleasure of making a daisy chain would be worth the "
    "trouble of getting up and picking the daisies, when suddenly a White Rabbit with pink eyes "
    "ran close by her.",
    "Dear Mrs Okafor, your appointment is on Tuesday, 14 January 2027 at 9:45 in Room 3B. Please "
    "bring your card (number 4471 0926) and a list of what you take. If you can't come, call us "
    "on 020 7946 0018 before noon; a missed appointment costs £35.00.",
    "Take one tablet of 250 mg every 8 hours with water. Do not take more than 4 tablets in 24 "
    "hours. Keep out of the reach of children, below 25 °C. Best before 03/2028. Lot B7719X.",
)
LONG = " ".join(TEXTS * 2)[:1650]  # some 300 words
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
SMOOTHLY = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
REMARKS = (NO_TEXT, NOT_THE_REST, UNREADABLE)


def draw(text: str, font: Path, size: int, columns: int) -> np.ndarray:
    """A page of black text on paper. size: of the font, in pixels. columns: letters a line."""
    face = ImageFont.truetype(str(font), size)
    lines = textwrap.wrap(text, columns, break_on_hyphens=False)
    margin, step = 2 * size, round(1.4 * size)
    width = round(max(face.getlength(line) for line in lines)) + 2 * margin
    page = Image.new("RGB", (width, step * len(lines) + 2 * margin), (250, 248, 240))
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        pen.text((margin, margin + number * step), line, fill=(20, 20, 25), font=face)
    return np.asarray(page)[:, :, ::-1].copy()


def turned(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    angle = float(random.uniform(3, 10) * random.choice([-1, 1]))
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    cosine, sine = np.abs(matrix[0, :2])
    size = int(width * cosine + height * sine), int(height * cosine + width * sine)
    matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
    return np.asarray(cv2.warpAffine(image, matrix, size, **SMOOTHLY))


def blurred(image: np.ndarray, random: np.random.Generator, most: float = 2.5) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(random.uniform(1.0, most))))


def noisy(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    noise = random.normal(0, random.uniform(15, 40), image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def dim(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A tenth to a third of the light, with the noise that a camera has then."""
    dark = image * random.uniform(0.1, 0.33) + random.normal(0, 3, image.shape)
    return np.clip(dark, 0, 255).astype(np.uint8)


def from_the_side(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inwards = np.sign([width / 2, height / 2] - corners)
    seen = corners + inwards * random.uniform(0, 0.12, (4, 2)) * [width, height]
    matrix = cv2.getPerspectiveTransform(corners, seen.astype(np.float32))
    return np.asarray(cv2.warpPerspective(image, matrix, (width, height), **SMOOTHLY))


def by_camera(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A little of everything, and compressed as a webcam does."""
    seen = from_the_side(turned(image, random), random)
    seen = cv2.GaussianBlur(seen, (0, 0), 1.0) * random.uniform(0.4, 0.9)
    seen = np.clip(seen + random.normal(0, 8, seen.shape), 0, 255).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))


HARD: dict[str, Change] = {
    "turned by 3 to 10 degrees": turned,
    "blurred, 1 to 2.5 pixels": blurred,
    "noisy, 15 to 40 levels": noisy,
    "dim, a tenth to a third": dim,
    "from the side": from_the_side,
    "by a camera: all of it": by_camera,
}


def distance(one: str, other: str, within: bool = False) -> int:
    """The edit distance of Levenshtein. within: to the part of `other` that is the most alike."""
    letters, index = np.array(list(other)), np.arange(len(other) + 1)
    row = index * (not within)
    for number, letter in enumerate(one, 1):
        step = np.minimum(row[1:] + 1, row[:-1] + (letters != letter))
        row = np.minimum.accumulate(np.concatenate([[number], step]) - index) + index
    return int(row.min() if within else row[-1])


def plain(text: str) -> str:
    """Without what is a matter of taste: kinds of space, of quotes and of dashes."""
    kinds = str.maketrans("\u201c\u201d\u2018\u2019\u2013\u2014", "\"\"''--")
    return " ".join(text.translate(kinds).split())


def read(image: np.ndarray) -> tuple[str, float, float]:
    """The text, and the seconds to its first sentence and to the end."""
    began = time.perf_counter()
    page, first = Page(open_reader(), image), 0.0
    sentences = []
    for sentence in page.sentences():
        first = first or time.perf_counter() - began
        sentences.append(sentence)
    text = " ".join(sentence for sentence in sentences if sentence not in REMARKS)
    return plain(text), first, time.perf_counter() - began


def read_by_tesseract(image: np.ndarray) -> tuple[str, float]:
    """The text, and the seconds with the start of the program."""
    png, began = cv2.imencode(".png", image)[1].tobytes(), time.perf_counter()
    done = subprocess.run(["tesseract", "-", "-"], input=png, capture_output=True, check=True)
    return plain(done.stdout.decode()), time.perf_counter() - began


def compare(kind: str, pages: list[tuple[str, np.ndarray]]) -> None:
    """Print a row of the table: errors and seconds of both."""
    figures = []
    for text, image in pages:
        ours, first, whole = read(image)
        theirs, their_s = read_by_tesseract(image)
        text = plain(text)
        figures.append(
            (len(text), distance(ours, text), distance(theirs, text), first, whole, their_s)
        )
    length, errors, their_errors, *_ = np.sum(figures, axis=0)
    first, whole, their_s = np.median(figures, axis=0)[3:]
    print(
        f"{kind:28}{errors / length:9.2%}{their_errors / length:11.2%}"
        f"{first:9.2f}{whole:8.2f}{their_s:11.2f}{whole / their_s:7.2f}",
        flush=True,
    )


def weigh_confidence(pages: int, random: np.random.Generator) -> None:
    """Print how many characters of a line are wrong, by how sure the reader is of it."""
    reader = open_reader()
    reader.confident, confident = 0.0, reader.confident
    lines = []
    for number in range(pages):
        text = TEXTS[number % len(TEXTS)]
        image = draw(text, FONTS[int(random.integers(len(FONTS)))], 12 + number % 14, 46)
        if number % 2:
            image = blurred(image, random, 5.0)
        else:
            image = blurred(by_camera(image, random), random)
        page = Page(reader, image)
        list(page.sentences())
        for line in page.lines:
            found = plain(line.text)
            wrong = distance(found, plain(text), within=True) / len(found)
            lines.append((line.confidence, wrong))
    reader.confident = confident
    sure, wrong = np.array(lines).T
    print(f"\nlines by confidence (read from {confident:g} on): how many, characters wrong")
    for low, high in itertools.pairwise((0.0, 0.6, 0.7, 0.8, 0.9, 0.95, 1.001)):
        inside = (sure >= low) & (sure < high)
        share = f"{wrong[inside].mean():6.1%}" if inside.any() else ""
        print(f"  {low:.2f} to {min(high, 1):.2f}{inside.sum():6}{share:>9}")


def main() -> None:
    pages: int = read_options(__doc__, pages=4).pages
    random = np.random.default_rng(0)
    print(
        f"{'':28}{'wrong':>9}{'tesseract':>11}{'first':>9}{'whole':>8}{'tesseract':>11}{'ratio':>7}"
    )

    def drawn(size: int, change: Change | None = None) -> list[tuple[str, np.ndarray]]:
        made = []
        for number in range(pages):
            text = TEXTS[number % len(TEXTS)]
            font = FONTS[int(random.integers(len(FONTS)))]
            image = draw(text, font, size or int(random.integers(24, 41)), 46)
            made.append((text, image if change is None else change(image, random)))
        return made

    for size in (12, 16, 20, 24, 32, 40, 60):
        compare(f"clean, {size} pixels", drawn(size))
    for kind, change in HARD.items():
        compare(kind, drawn(0, change))
    compare(f"{len(LONG.split())} words, 24 pixels", [(LONG, draw(LONG, FONTS[0], 24, 70))] * 5)
    weigh_confidence(10 * pages, random)
    print(f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
