"""Pictures mixed from several drawn scenes (CutMix, mixup), for training: what one shows can't be
told for sure, and a model that has learned so is less sure of what it never saw.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from support.drawn_scenes import Scene, Shape, draw, random_layout, random_shape


def mixed(rng: np.random.Generator) -> tuple[np.ndarray, list[Scene], np.ndarray]:
    """A frame (uint8 BGR) in which some scenes are mixed (CutMix, mixup), those scenes, and how
    much of the frame's marks each has, in all 1: what it shows can't be told for sure, and a model
    that has learned so is less sure of what it never saw.

    Two shapes are joined at one spot, or several scenes in patches or smooth blends."""
    scene = replace(random_layout(rng), shape=None)
    shape = random_shape(rng, scene.width, scene.height)
    first = replace(scene, shape=shape)
    if rng.random() < 0.8:
        others = 1 if rng.random() < 0.7 else 2
        scenes = [first, *(replace(scene, shape=joined(rng, scene, shape)) for _ in range(others))]
        if rng.random() < 0.1:
            scenes = [first, scene]
    else:
        scenes = [first]
        for _ in range(int(rng.integers(1, 7))):
            scenes.append(replace(scene, shape=random_shape(rng, scene.width, scene.height)))
        if rng.random() < 0.4:
            scenes = [filled(rng, one) for one in scenes]
    frames = np.stack([draw(one) for one in scenes]).astype(np.float32)
    walls = np.stack([draw(replace(one, shape=None)) for one in scenes]).astype(np.float32)
    weights = mixing_weights(rng, len(scenes), scene, shape)
    frame = (frames * weights[..., None]).sum(axis=0)
    marks = np.abs(frames - walls).max(axis=3) > 20
    shares = (weights * marks).sum(axis=(1, 2)) / np.maximum(marks.sum(axis=(1, 2)), 1)
    if not marks[-1].any():  # an empty wall has no marks: it is what is not seen of the other
        shares[-1] = max(0.0, 1 - shares[0])
    if not shares.any():  # Nothing of any can be seen: that is as true of all of them.
        shares[:] = 1.0
    return frame.round().astype(np.uint8), scenes, shares / shares.sum()


def filled(rng: np.random.Generator, scene: Scene) -> Scene:
    """`scene` with another wall, and its shape so large and placed so that it may fill it."""
    assert scene.shape is not None
    x, y = rng.uniform(0.05, 0.95, 2)
    radius = float(rng.uniform(0.25, 0.7))
    wall = tuple(rng.uniform(60, 195) + rng.uniform(-4, 4, 3))
    shape = replace(scene.shape, x=float(x), y=float(y), radius=radius)
    return replace(scene, shape=shape, wall=wall)


def joined(rng: np.random.Generator, scene: Scene, first: Shape) -> Shape:
    """A shape to be mixed with the `first` one on the wall of `scene`: at its spot or near it, of
    another kind or colour."""
    while True:
        other = random_shape(rng, scene.width, scene.height)
        if rng.random() < 0.75:
            other = replace(other, colour=first.colour, paint=first.paint)
        if (other.kind, other.colour) != (first.kind, first.colour):
            break
    away = first.radius * rng.uniform(0, 0.9) * (rng.random() < 0.4)
    turn = rng.uniform(0, 2 * math.pi)
    return replace(
        other,
        x=float(np.clip(first.x + away * math.cos(turn) * scene.height / scene.width, 0.05, 0.95)),
        y=float(np.clip(first.y + away * math.sin(turn), 0.05, 0.95)),
        radius=first.radius * rng.uniform(0.5, 1.2),
    )


def mixing_weights(rng: np.random.Generator, count: int, scene: Scene, shape: Shape) -> np.ndarray:
    """How much of each of `count` scenes shows at each pixel, float32 (count, height, width), in
    all 1 at each: halves at a line through the shape, blots, patches, or the same everywhere."""
    size = (scene.height, scene.width)
    way = rng.random()
    if way < 0.2:
        even = rng.dirichlet(np.full(count, 4.0)).astype(np.float32)
        return np.broadcast_to(even.reshape(-1, 1, 1), (count, *size))
    if way < 0.5 and count == 2:
        angle = rng.uniform(0, 2 * math.pi)
        y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
        x, y = x - shape.x * size[1], y - shape.y * size[0]
        across = x * math.cos(angle) + y * math.sin(angle)
        side = across > rng.uniform(-0.5, 0.5) * shape.radius * size[0]
        return np.stack([side, ~side]).astype(np.float32)
    cells = int(rng.integers(3, 14))
    field = rng.standard_normal((count, cells, cells)).astype(np.float32)
    smooth = cv2.INTER_CUBIC if rng.random() < 0.6 else cv2.INTER_NEAREST
    large = np.stack([cv2.resize(one, size[::-1], interpolation=smooth) for one in field])
    if rng.random() < 0.3:
        large = np.exp(2 * large)
        return large / large.sum(axis=0)
    return (large == large.max(axis=0)).astype(np.float32)
