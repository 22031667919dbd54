"""Scenes to test with whether the small test model doubts itself.

`hard_scene`: of the grammar of drawn_scenes.py, but badly seen: blurred, dim, noisy, or half out of
the picture, as a part of what it was trained on. `strange_scene`: none of the grammar's captions
says what is there, and it was trained on none of them: other shapes, textures, text, or two shapes
of which one hides part of the other (pictures mixed for training come near these). Both give frames
(uint8 BGR) of the same scene as a camera would take them one after the other, and what may be
said of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from support.drawn_scenes import (
    COLOURS,
    SHAPES,
    Scene,
    Shape,
    caption_of,
    draw,
    random_layout,
    random_pair,
    random_shape,
    spoil,
)

NAMED = re.compile(rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})")


@dataclass(frozen=True)
class Doubtful:
    """`frames`: two pictures of a scene that rests. `what`: why it is doubtful, for tables.
    `is_true`: whether a caption is true of it."""

    what: str
    frames: tuple[np.ndarray, np.ndarray]
    is_true: Callable[[str], bool]


def usual_scene(rng: np.random.Generator) -> Doubtful:
    """A scene as trained: one shape or none, now and then two."""
    scene = random_pair(rng) if rng.random() < 0.25 else random_layout(rng)
    frames = (spoil(draw(scene), rng), spoil(draw(scene), rng))
    return Doubtful("as trained", frames, caption_of(scene).__eq__)


def hard_scene(rng: np.random.Generator) -> Doubtful:
    """Badly seen. Its true caption is that of the scene well seen."""
    what = ("blurred", "dim", "noisy", "half out of the picture")[rng.integers(4)]
    scene = random_pair(rng) if rng.random() < 0.25 else random_layout(rng)
    if what == "half out of the picture":
        scene = at_the_edge(rng, scene)
    worsen = WORSE.get(what, spoil)
    level = rng.random()

    def frame() -> np.ndarray:
        state = np.random.default_rng(int(level * 2**32))  # as bad the second time
        return worsen(spoil(draw(scene), rng), state)

    return Doubtful(what, (frame(), frame()), caption_of(scene).__eq__)


def at_the_edge(rng: np.random.Generator, scene: Scene) -> Scene:
    """A single shape, its centre within a fifth of its radius of the edge of the picture."""
    shape = random_shape(rng, scene.width, scene.height)
    radii = (shape.radius * scene.height / scene.width, shape.radius)
    axis = int(rng.integers(2))
    away = float(rng.uniform(-0.2, 0.2)) * radii[axis]
    centre = away if rng.random() < 0.5 else 1 - away
    moved = replace(shape, x=centre) if axis == 0 else replace(shape, y=centre)
    return replace(scene, shape=moved, other=None)


def blur(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.02, 0.08) * frame.shape[0])


def dim(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return add_noise(frame * rng.uniform(0.08, 0.35), rng.uniform(3, 9))


def speckle(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return add_noise(frame.astype(np.float32), rng.uniform(40, 110))


def add_noise(frame: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng().standard_normal(frame.shape, np.float32) * deviation
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


WORSE: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "blurred": blur,
    "dim": dim,
    "noisy": speckle,
}


# ------------------------------------------------------------------------- outside the grammar


def strange_scene(rng: np.random.Generator) -> Doubtful:
    """Nothing that the grammar has a caption for."""
    what = ("other shapes", "texture", "text", "overlapping")[rng.integers(4)]
    scene = random_layout(rng)
    if what == "overlapping":
        scene = overlapping(rng, scene)
        names = {(shape.colour, shape.kind) for shape in scene.shapes}

        def is_true(caption: str) -> bool:  # What it names is there, though it may be half of it.
            found = NAMED.findall(caption)
            return bool(found) and set(found) <= names

        return Doubtful(what, (spoil(draw(scene), rng), spoil(draw(scene), rng)), is_true)
    wall = draw(replace(scene, shape=None))
    frame = {"other shapes": strange_shape, "texture": texture, "text": text}[what](wall, rng)
    return Doubtful(what, (spoil(frame, rng), spoil(frame, rng)), lambda caption: False)


def overlapping(rng: np.random.Generator, scene: Scene) -> Scene:
    """Two shapes of different colours, the second with its centre on the edge of the first."""
    first = random_shape(rng, scene.width, scene.height)
    others = [colour for colour in COLOURS if colour != first.colour]
    second = random_shape(rng, scene.width, scene.height)
    angle = rng.uniform(0, 2 * math.pi)
    step = 0.8 * first.radius
    x = first.x + step * math.cos(angle) * scene.height / scene.width
    y = first.y + step * math.sin(angle)
    colour = others[rng.integers(len(others))]
    second = replace(second, x=x, y=y, colour=colour, paint=None, radius=first.radius)
    return replace(scene, shape=first, other=second)


def strange_shape(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A ring, crescent, cross, heart, arrow, bar, hexagon or ellipse, of any colour."""
    height, width = frame.shape[:2]
    shape: Shape = random_shape(rng, width, height, (0.12, 0.25))
    paint = shape.paint or COLOURS[shape.colour]
    if rng.random() < 0.25:  # pink, brown, turquoise
        paint = [(180, 150, 240), (40, 70, 110), (190, 190, 60)][rng.integers(3)]
    centre = np.array([shape.x * width, shape.y * height])
    radius = shape.radius * height
    middle = (int(centre[0]), int(centre[1]))
    kind = rng.integers(8)
    if kind == 0:
        cv2.circle(frame, middle, int(0.8 * radius), paint, int(0.3 * radius), cv2.LINE_AA)
    elif kind == 1:
        wall = frame.copy()
        cv2.circle(frame, middle, int(radius), paint, -1, cv2.LINE_AA)
        mask = np.zeros(frame.shape[:2], np.uint8)
        bite = (int(centre[0] + 0.5 * radius), int(centre[1] - 0.2 * radius))
        cv2.circle(mask, bite, int(0.85 * radius), 255, -1)
        frame[mask > 0] = wall[mask > 0]
    elif kind == 2:
        cv2.ellipse(
            frame, middle, (int(radius), int(0.35 * radius)), rng.uniform(0, 180), 0, 360, paint,
            -1, cv2.LINE_AA,
        )  # fmt: skip
    else:
        corners = np.array(OUTLINES[int(kind)], float)
        angle = rng.uniform(-0.3, 0.3)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        points = np.round((corners @ turn * radius + centre) * 16).astype(np.int32)
        cv2.fillPoly(frame, [points], paint, cv2.LINE_AA, 4)
    return frame


OUTLINES: dict[int, list[tuple[float, float]]] = {
    3: [(-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3),  # a cross
        (0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3)],
    4: [(0, -0.5), (0.5, -0.95), (0.95, -0.5), (0.9, 0), (0, 0.95),  # a heart
        (-0.9, 0), (-0.95, -0.5), (-0.5, -0.95)],
    5: [(-1, -0.25), (0.1, -0.25), (0.1, -0.7), (1, 0), (0.1, 0.7), (0.1, 0.25),  # an arrow
        (-1, 0.25)],
    6: [(-1, -0.18), (1, -0.18), (1, 0.18), (-1, 0.18)],  # a bar
    7: [(math.cos(k * math.pi / 3), math.sin(k * math.pi / 3)) for k in range(6)],  # a hexagon
}  # fmt: skip


def texture(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Something like a photograph out of focus: coloured noise of several grains, or stripes."""
    height, width = frame.shape[:2]
    total = np.full((height, width, 3), rng.uniform(60, 180), np.float32)
    for cells in (2, 4, 8, 16, 32):
        noise = rng.standard_normal((cells, cells, 3)).astype(np.float32)
        noise += 1.5 * rng.standard_normal((cells, cells, 1)).astype(np.float32)
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * 40 / cells**0.5
    if rng.random() < 0.3:
        across = np.sin(np.arange(width) * 2 * math.pi * rng.uniform(4, 20) / width)
        total += 50 * across[None, :, None].astype(np.float32)
    return np.clip(total, 0, 255).astype(np.uint8)


def text(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One to three lines of letters."""
    height, width = frame.shape[:2]
    ink = COLOURS[list(COLOURS)[rng.integers(len(COLOURS))]]
    for line in range(int(rng.integers(1, 4))):
        letters = "".join(rng.choice(list("ABCDEFGHKLMNOPRSTUVWXYZ 0123456789"), 7))
        at = (int(rng.uniform(0.03, 0.3) * width), int((0.3 + 0.25 * line) * height))
        size = height / 30 * rng.uniform(0.1, 0.22)
        cv2.putText(
            frame, letters, at, cv2.FONT_HERSHEY_SIMPLEX, size, ink, max(1, height // 60),
            cv2.LINE_AA,
        )  # fmt: skip
    return frame
