"""Pictures of every format: upright, in their colours, and on white where they are transparent."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from narrator.errors import SourceError
from narrator.frames.pictures import Animation, open_picture
from support.camera import as_jpeg
from support.frames import RED, plain

WIDTH, HEIGHT = 192, 128
# Red, green, blue and white, in RGB.
QUARTERS = np.array([[[220, 20, 20], [20, 180, 20]], [[20, 20, 220], [240, 240, 240]]], np.uint8)
UPRIGHT = QUARTERS.repeat(HEIGHT // 2, axis=0).repeat(WIDTH // 2, axis=1)
# What a camera stored, by its EXIF orientation, so that UPRIGHT is what is shown.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.swapaxes(0, 1),
    6: np.rot90,  # shown turned by 90 degrees clockwise
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image, -1),
}
ORIENTATION = 0x112
PNG = b"\x89PNG\r\n\x1a\n"

TURNED: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {"quality": 95}),
    ("PNG", {}),
    ("WEBP", {}),
    ("AVIF", {"quality": 90}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("HEIF", {"quality": 90}),
    ("HEIF", {"quality": 90, "tile_size": 64}),  # a grid, as of an iPhone
    ("MPO", {"quality": 95}),
]
OTHER: list[tuple[str, dict[str, Any]]] = [
    *(("GIF", {}), ("BMP", {}), ("JPEG2000", {}), ("PPM", {}), ("QOI", {})),
    *(("ICO", {"sizes": [(WIDTH, HEIGHT)]}), ("TGA", {})),
]


def coded(picture: Image.Image, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, name, **options)
    return file.getvalue()


def turned(orientation: int, name: str, **options: Any) -> bytes:
    """UPRIGHT as a camera that was held so stores it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](UPRIGHT)))
    return coded(stored, name, exif=exif.tobytes(), **options)


def opened(data: bytes) -> Animation | np.ndarray | None:
    return open_picture(io.BytesIO(data), "a.picture")


def image_in(data: bytes) -> np.ndarray:
    picture = opened(data)
    assert isinstance(picture, np.ndarray)
    assert picture.dtype == np.uint8
    assert picture.flags.writeable
    return picture


def complaint(data: bytes) -> str:
    with pytest.raises(SourceError) as caught:
        opened(data)
    return str(caught.value)


def is_upright(image: np.ndarray) -> bool:
    """Whether each quarter is where it should be, in its colour."""
    assert image.shape == (HEIGHT, WIDTH, 3)
    middles = image[HEIGHT // 4 :: HEIGHT // 2, WIDTH // 4 :: WIDTH // 2, ::-1]
    return bool(np.abs(middles.astype(int) - QUARTERS).max() < 12)


# ------------------------------------------------------------------------------------ every format


@pytest.mark.parametrize(("name", "options"), TURNED)
def test_a_picture_is_upright(name: str, options: dict[str, Any]) -> None:
    for orientation in STORED:
        assert is_upright(image_in(turned(orientation, name, **options))), orientation


@pytest.mark.parametrize(("name", "options"), OTHER[:-1])
def test_a_picture_of_a_format_without_orientation_is_shown(
    name: str, options: dict[str, Any]
) -> None:
    assert is_upright(image_in(coded(Image.fromarray(UPRIGHT), name, **options)))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(colour: int, samples: list[int], clear: list[int]) -> bytes:
    """A PNG of one row of 16-bit samples, some transparent, as the PNG specification has it."""
    width = len(samples) // len(clear)
    row = b"\0" + struct.pack(f">{len(samples)}H", *samples)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, 16, colour, 0, 0, 0))
    transparent = chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))
    return PNG + header + transparent + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")


def grey(levels: list[float], mode: str) -> Image.Image:
    kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    return Image.fromarray(np.array([levels], kind))


@pytest.mark.parametrize(
    ("data", "levels"),
    [
        (coded(Image.new("1", (1, 1), 1), "PNG"), [255]),
        (coded(Image.new("LA", (1, 1), (0, 128)), "PNG"), [127]),
        (coded(Image.new("RGBA", (1, 1), (0, 0, 0, 51)), "TIFF"), [204]),
        (coded(Image.new("CMYK", (8, 8), (0, 0, 0, 155)), "JPEG"), [100] * 8),
        (coded(grey([0, 0x4000, 0xFFFF], "I;16"), "PNG"), [0, 64, 255]),
        (png(0, [0, 0x8000, 0x4000], [0x8000]), [0, 255, 64]),
        (png(2, [0x4000] * 3 + [0x8000] * 3 + [0] * 3, [0x8000] * 3), [64, 255, 0]),
        (coded(grey([0, 64, 200], "F"), "TIFF"), [0, 64, 200]),
        (coded(grey([-50, 0, 50], "F"), "TIFF"), [0, 128, 255]),
        (coded(grey([0, 7e6, np.inf, np.nan], "F"), "TIFF"), [0, 255, 255, 0]),
        (coded(grey([0, 64, 65535], "I"), "TIFF"), [0, 0, 255]),
    ],
)
def test_greys_of_any_kind_keep_their_brightness(data: bytes, levels: list[int]) -> None:
    image = image_in(data)[0]
    assert np.abs(image.astype(int) - np.array(levels)[:, None]).max() <= 1


@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF", "AVIF", "HEIF"])
def test_what_is_black_on_nothing_is_black_on_white(name: str) -> None:
    picture = Image.new("RGBA", (64, 48))
    picture.paste((0, 0, 0, 255), (16, 12, 48, 36))
    image = image_in(coded(picture, name))
    top, left = np.array(image.shape[:2]) // 4
    assert image[: top - 4].min() > 250
    assert image[top + 4 : -top - 4, left + 4 : -left - 4].max() < 5


# ------------------------------------------------------------------------------ films and pictures


def test_jpegs_one_after_the_other_are_a_film() -> None:
    one = as_jpeg(plain(RED))
    assert opened(one * 3) is None
    assert isinstance(opened(one + b"\0\0"), np.ndarray)
    filled_up = one[:2] + b"\xff" * 3 + one[2:]  # T.81 B.1.1.2
    assert isinstance(opened(filled_up), np.ndarray)
    assert isinstance(opened(one + b"\0\0\0\x18ftypmp42"), np.ndarray)  # a phone's moving photo


@pytest.mark.parametrize("xmp", [b"", b'<rdf:Description hdrgm:Version="1.0"/>'])
def test_pictures_that_a_phone_appends_to_a_photo_do_not_make_it_a_film(xmp: bytes) -> None:
    """A second view, or how much brighter each part can be (Ultra HDR)."""
    more = {"xmp": b"http://ns.adobe.com/xap/1.0/\0" + xmp} if xmp else {}
    second = [Image.new("RGB", (16, 16))]
    data = coded(Image.fromarray(UPRIGHT), "MPO", save_all=True, append_images=second, **more)
    assert data.count(b"\xff\xd8\xff") == 2
    assert is_upright(image_in(data))


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "AVIF"])
def test_a_picture_that_moves_has_each_frame_at_its_time(name: str) -> None:
    colours = ["red", "lime", "blue"]
    first, *others = (Image.new("RGB", (32, 32), colour) for colour in colours)
    data = coded(first, name, save_all=True, append_images=others, duration=200)
    moving = opened(data)
    assert isinstance(moving, Animation)
    shown = []
    while (frame := moving.read())[0]:
        shown.append((moving.get(0), frame[1][16, 16].argmax()))
    assert shown == [(0.0, 2), (200.0, 1), (400.0, 0)]


# --------------------------------------------------------------------------------------- bad files


@pytest.mark.parametrize(("name", "options"), [*TURNED[1:], *OTHER])
def test_a_picture_cut_in_half_is_refused(name: str, options: dict[str, Any]) -> None:
    """Or left to the film reader, where not even its format can be told."""
    noise = np.random.default_rng(5).integers(0, 255, UPRIGHT.shape, np.uint8)
    data = coded(Image.fromarray(noise), name, **options)
    half = data[: len(data) // 2]
    if name == "MPO":  # of which the first half is a JPEG
        assert opened(half) is not None
    elif name in ("WEBP", "ICO", "TGA", "TIFF"):
        assert opened(half) is None
    else:
        assert complaint(half).endswith(" is damaged or incomplete; copy or download it again")


def test_of_a_jpeg_that_breaks_off_its_upper_part_is_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = coded(Image.fromarray(UPRIGHT), "JPEG")
    with caplog.at_level(logging.INFO):
        assert is_upright(image_in(data[:-2]))
    assert caplog.messages == ["a.picture ends early; its missing part is shown grey"]
    noise = np.random.default_rng(5).integers(0, 255, UPRIGHT.shape, np.uint8)
    data = coded(Image.fromarray(noise), "JPEG")
    image = image_in(data[: len(data) // 2])
    assert image[: HEIGHT // 4].std() > 30
    assert image[-HEIGHT // 4 :].std() == 0


@pytest.mark.parametrize("size", [(10_001, 10_000), (30_000, 30_000)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    size: tuple[int, int],
) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    data = PNG + header + chunk(b"IDAT", b"")
    assert "more than 100 megapixels" in complaint(data)


def test_a_webp_that_would_take_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("narrator.frames.pictures.MAX_WEBP", 99)
    assert "is a WebP of more than 0 megapixels" in complaint(
        coded(Image.fromarray(UPRIGHT), "WEBP")
    )


@pytest.mark.parametrize("name", ["HEIF", "AVIF", "JPEG", "PNG", "TIFF", "WEBP", "GIF"])
def test_a_picture_cut_anywhere_is_shown_or_refused(name: str) -> None:
    data = coded(Image.fromarray(UPRIGHT), name)
    for length in range(0, len(data), 1 + len(data) // 25):
        with contextlib.suppress(SourceError):
            opened(data[:length])


def test_what_is_no_picture_is_left_to_others() -> None:
    for data in (b"", b"II*\0", b"BM", b"hello\n" * 99, b"\0\0\0\x18ftypmp42", bytes(9999)):
        assert opened(data) is None
