"""Drawn scenes whose true caption is known: what the small test model is trained and tested on.

A scene is a grey wall with at most one coloured shape on it. `random_layout` picks one, `draw`
paints it, `spoil` adds what a cheap camera adds (blur, noise, JPEG), and `caption_of` says in one
sentence of a fixed grammar what is there. `random_journey` picks some scenes a second apart, in
which the shape may move, come and go, and `caption_of_clip` says what is true of them together.

Frames are numpy uint8 arrays of shape (height, width, 3) in OpenCV's colour order, BGR. Positions
are fractions of the frame's width and height, from its top left corner. Nothing here knows of any
model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

COLOURS: dict[str, tuple[int, int, int]] = {  # BGR
    "red": (40, 35, 205),
    "green": (55, 160, 45),
    "blue": (205, 85, 30),
    "yellow": (35, 215, 240),
    "purple": (165, 45, 135),
    "orange": (15, 125, 245),
    "white": (245, 245, 245),
    "black": (14, 14, 14),
}
SHAPES = ("circle", "square", "triangle", "star")
PLACES = (
    ("at the top left", "at the top", "at the top right"),
    ("on the left", "in the center", "on the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)
EMPTY_CAPTION = "Nothing but a grey wall."

BORDERS = (0.0, 0.36, 0.64, 1.0)  # of the three columns and rows, fractions of width and height
FRAME_SIZES = (
    (427, 240),
    (320, 240),
    (240, 240),
    (640, 360),
    (480, 360),
    (854, 480),
    (640, 480),
    (480, 480),
)
RADII = (0.10, 0.25)  # fractions of the frame's height
EMPTY_SHARE = 0.06
DIRECTIONS = (("left", "right"), ("up", "down"))  # along x and y
MOVED = 0.06  # of the frame's width or height: less, from first to last, is no movement
JOURNEY = 0.15  # what moves goes at least so far


@dataclass(frozen=True)
class Shape:
    """One shape. `x`, `y`: its centre (that of the circle around it), fractions of width and
    height. `radius`: of that circle, a fraction of the frame's height. `angle`: degrees,
    clockwise. `paint`: BGR; `colour` is the word for it."""

    kind: str
    colour: str
    x: float
    y: float
    radius: float
    angle: float = 0.0
    paint: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Scene:
    """A wall and what is on it, two shapes at most. `width`, `height`: pixels. `wall`: BGR grey
    levels in the middle; `slope`: how much brighter the right and the bottom edge are than the
    middle, in levels."""

    shape: Shape | None
    width: int = 640
    height: int = 480
    wall: tuple[float, float, float] = (128.0, 128.0, 128.0)
    slope: tuple[float, float] = (0.0, 0.0)
    other: Shape | None = None

    @property
    def shapes(self) -> list[Shape]:
        """What is on the wall in the order of reading: by column, then by row."""
        shown = [shape for shape in (self.shape, self.other) if shape is not None]
        return sorted(shown, key=lambda shape: (*cell_of(shape.x, shape.y), shape.x))


# -------------------------------------------------------------------------------------------- words


def place_of(x: float, y: float) -> str:
    """The words for a centre at (`x`, `y`), fractions of the frame."""
    column, row = cell_of(x, y)
    return PLACES[row][column]


def cell_of(x: float, y: float) -> tuple[int, int]:
    """Column and row, from 0 to 2, of a centre at (`x`, `y`)."""
    column, row = np.searchsorted(BORDERS[1:3], (x, y), side="right")
    return int(column), int(row)


def named(shape: Shape) -> str:
    """A shape with its article: "an orange star"."""
    article = "an" if shape.colour[0] in "aeiou" else "a"
    return f"{article} {shape.colour} {shape.kind}"


def sentence(text: str) -> str:
    """`text` with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def caption_of(scene: Scene) -> str:
    """The one true caption of `scene`."""
    told = [f"{named(shape)} {place_of(shape.x, shape.y)}" for shape in scene.shapes]
    return sentence(" and ".join(told)) if told else EMPTY_CAPTION


def caption_of_clip(scenes: Sequence[Scene]) -> str:
    """The one true caption of `scenes`, the newest last: where the shape went, or if it rests, or
    is gone, or is there in the last scene alone, that scene's caption."""
    last = scenes[-1].shape
    if last is None:
        return EMPTY_CAPTION
    ways = way_of(scenes)
    axis = int(abs(ways[1]) > abs(ways[0]))
    if abs(ways[axis]) < MOVED:
        return caption_of(scenes[-1])
    return sentence(f"{named(last)} moving {DIRECTIONS[axis][int(ways[axis] > 0)]}")


def way_of(scenes: Sequence[Scene]) -> tuple[float, float]:
    """How far the shape went along x and y, fractions, from where it was seen first to last."""
    seen = [scene.shape for scene in scenes if scene.shape is not None]
    return (seen[-1].x - seen[0].x, seen[-1].y - seen[0].y) if seen else (0.0, 0.0)


# ------------------------------------------------------------------------------------------ drawing


def outline(kind: str) -> np.ndarray:
    """Corners of a shape in a circle of radius 1, float64 of shape (n, 2), x right and y down."""
    corners = {"triangle": 3, "square": 4, "star": 10, "circle": 90}[kind]
    turns = np.arange(corners) / corners + (0.125 if kind == "square" else 0.0)
    reach = np.where(np.arange(corners) % 2, 0.45, 1.0) if kind == "star" else np.ones(corners)
    return (
        np.stack([np.sin(2 * np.pi * turns), -np.cos(2 * np.pi * turns)], axis=1) * reach[:, None]
    )


def draw(scene: Scene) -> np.ndarray:
    """Paint `scene`: uint8 BGR of shape (height, width, 3), with smooth edges and no noise."""
    across = np.linspace(-1, 1, scene.width, dtype=np.float32)[None, :, None]
    down = np.linspace(-1, 1, scene.height, dtype=np.float32)[:, None, None]
    wall = np.array(scene.wall, np.float32) + across * scene.slope[0] + down * scene.slope[1]
    frame = np.clip(wall, 0, 255).astype(np.uint8)
    for shape in scene.shapes:
        angle = math.radians(shape.angle)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        corners = outline(shape.kind) @ turn * (shape.radius * scene.height)
        corners += (shape.x * scene.width - 0.5, shape.y * scene.height - 0.5)  # pixel centres
        fixed_point = np.round(corners * 16).astype(np.int32)
        paint = shape.paint or COLOURS[shape.colour]
        cv2.fillPoly(frame, [fixed_point], paint, lineType=cv2.LINE_AA, shift=4)
    return frame


def spoil(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a cheap camera makes of `frame`: some blur, noise and JPEG loss. Same shape, dtype and
    colour order."""
    if rng.random() < 0.5:
        frame = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.003, 0.008) * frame.shape[0])
    if rng.random() < 0.7:
        noise = rng.standard_normal(frame.shape, np.float32) * rng.uniform(1, 10)
        frame = np.clip(frame + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
        decoded = cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR)
        assert decoded is not None
        frame = decoded
    return frame


# ------------------------------------------------------------------------------------------- chance


def random_layout(rng: np.random.Generator) -> Scene:
    """A random scene: every place, colour and shape equally likely, the shape wholly inside the
    frame, its centre as near to the border of another place as chance has it."""
    width, height = FRAME_SIZES[rng.integers(len(FRAME_SIZES))]
    wall = rng.uniform(80, 175) + rng.uniform(-4, 4, 3)
    slope = tuple(rng.uniform(-15, 15, 2)) if rng.random() < 0.6 else (0.0, 0.0)
    scene = Scene(None, width, height, tuple(wall), slope)
    if rng.random() < EMPTY_SHARE:
        return scene
    return replace(scene, shape=random_shape(rng, width, height))


def random_shape(
    rng: np.random.Generator, width: int, height: int, radii: tuple[float, float] = RADII
) -> Shape:
    """A random shape, wholly inside a frame of `width` and `height`."""
    colour = list(COLOURS)[rng.integers(len(COLOURS))]
    radius = rng.uniform(*radii)
    centre = []
    for side in (radius * height / width, radius):
        cell = rng.integers(3)
        low = max(BORDERS[cell], side + 0.005)
        high = min(BORDERS[cell + 1], 1 - side - 0.005)
        centre.append(rng.uniform(low, high))
    paint = np.clip(COLOURS[colour] + rng.uniform(-14, 14, 3), 0, 255)
    if colour in ("white", "black"):  # keep them free of hue
        paint = np.clip(COLOURS[colour][0] + rng.uniform(-10, 10) + rng.uniform(-3, 3, 3), 0, 255)
    return Shape(
        kind=SHAPES[rng.integers(len(SHAPES))],
        colour=colour,
        x=centre[0],
        y=centre[1],
        radius=radius,
        angle=rng.uniform(-12, 12),
        paint=(int(paint[0]), int(paint[1]), int(paint[2])),
    )


def random_scene(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """A random frame (uint8 BGR, one of `FRAME_SIZES`) and its true caption."""
    scene = random_layout(rng)
    return spoil(draw(scene), rng), caption_of(scene)


def random_journey(rng: np.random.Generator, count: int, moves: float = 0.7) -> list[Scene]:
    """`count` scenes, two or more, about a second apart, the newest last. With the chance `moves`
    the shape goes left, right, up or down, steadily or not, and may not be there at first or at
    last; else it rests."""
    scene = random_layout(rng)
    if scene.shape is None or rng.random() >= moves:
        return [scene] * count
    axis = int(rng.integers(2))
    reach = scene.shape.radius * (scene.height / scene.width if axis == 0 else 1.0)
    edge = reach + 0.005 if rng.random() < 0.7 else 0.06  # the edge of the frame may cut it
    start = end = 0.0
    while abs(end - start) < JOURNEY:
        start, end = rng.uniform(edge, 1 - edge, 2)
    across = float(np.clip((scene.shape.y, scene.shape.x)[axis], 0.15, 0.85))
    drift = (end - start) * rng.uniform(-0.12, 0.12)
    empty, scenes = replace(scene, shape=None), []
    for share in journey_shares(rng, count):
        spot = (start + share * (end - start), across + share * drift)
        x, y = spot if axis == 0 else spot[::-1]
        scenes.append(replace(scene, shape=replace(scene.shape, x=float(x), y=float(y))))
    chance = rng.random()
    if chance < 0.1:  # not there yet
        late = int(rng.integers(1, count))
        scenes[:late] = [empty] * late
    elif chance < 0.18:  # gone
        scenes[-1] = empty
    unclear = 0.0 < abs(way_of(scenes)[axis]) < 1.6 * MOVED  # moved, or not?
    return random_journey(rng, count, moves) if unclear else scenes


def journey_shares(rng: np.random.Generator, count: int) -> np.ndarray:
    """How much of the way is done in each of `count` scenes, from 0 to 1: steadily, but for some
    chance in when the pictures are taken, or with a rest before or behind it."""
    times = np.arange(count) + rng.uniform(-0.3, 0.3, count) * (rng.random() < 0.7)
    shares = (times - times[0]) / (times[-1] - times[0])
    if rng.random() < 0.4:  # It moves within a second or two of all that time.
        takes = rng.uniform(0.25, 0.8)
        begins = rng.uniform(0, 1 - takes)
        shares = np.clip((shares - begins) / takes, 0, 1)
        shares = 0.5 - 0.5 * np.cos(np.pi * shares)
    return shares


def random_clip(
    rng: np.random.Generator, count: int, moves: float = 0.7
) -> tuple[list[np.ndarray], str]:
    """`count` random frames (uint8 BGR, all of one size) about a second apart, the newest last,
    and the true caption of the clip. moves: the chance that the shape does."""
    scenes = random_journey(rng, count, moves)
    return [spoil(draw(scene), rng) for scene in scenes], caption_of_clip(scenes)
