"""Drawn scenes as the small checkpoint is trained on them: tiles of the vision tower's size, as
they are, badly seen or mixed, and as clips and pictures in tiles; and batches of them, moved and
relit.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from PIL import Image

from support.drawn_scenes import (
    COLOURS,
    SHAPES,
    Scene,
    Shape,
    draw,
    place_of,
    random_journey,
    random_layout,
    random_pair,
    spoil,
)
from tiny_training.badly_seen import WORSE, at_the_edge
from tiny_training.mixing import mixed
from tiny_training.questions import pick

TILE = 128  # pixels, the side of the vision tower's square
PATCH = 16
SCALE = 2  # pixel shuffle: (128 / 16 / 2) ** 2 = 16 image tokens
IMAGE_TOKENS = (TILE // PATCH // SCALE) ** 2
DETAIL_GRID = (3, 4)  # rows and columns of tiles, for most cameras' frames
CLIP_FRAMES = 4  # of a clip at most
PAIRS = 0.4  # of the scenes drawn
READINGS = 4  # scenes that a mixed picture is said to show, one at a time


@dataclass
class Pool:
    """Drawn pictures, squashed to the tile. `pixels`: uint8 RGB (n, TILE, TILE, 3). Of two shapes
    each: `colour` and `kind`, class numbers (n, 2); `kind` is len(SHAPES) where there is none;
    `spot`: centre x and y, fractions (n, 2, 2); `reach`: the radius as fractions of width and
    height (n, 2, 2)."""

    pixels: np.ndarray
    colour: np.ndarray
    kind: np.ndarray
    spot: np.ndarray
    reach: np.ndarray


def squash(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A BGR frame as an RGB tile, resized in one of the ways that the processors or the narrator
    may choose."""
    rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    way = rng.random()
    if way < 0.4:
        return cv2.resize(rgb, (TILE, TILE), interpolation=cv2.INTER_AREA)
    if way < 0.6:
        return cv2.resize(rgb, (TILE, TILE), interpolation=cv2.INTER_LINEAR)
    resample = Image.Resampling.LANCZOS if way < 0.8 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(rgb).resize((TILE, TILE), resample))


def begin_part(task: tuple[int, int]) -> np.random.Generator:
    cv2.setNumThreads(1)
    return np.random.default_rng(task[0])


def any_scene(rng: np.random.Generator) -> Scene:
    return random_pair(rng) if rng.random() < PAIRS else random_layout(rng)


def pool_of(drawn: Sequence[tuple[np.ndarray, Scene]]) -> Pool:
    """Tiles and what is on them."""
    count = len(drawn)
    pool = Pool(
        np.stack([tile for tile, _ in drawn]),
        np.zeros((count, 2), np.int64),
        np.full((count, 2), len(SHAPES), np.int64),
        np.full((count, 2, 2), 0.5, np.float32),
        np.zeros((count, 2, 2), np.float32),
    )
    for i, (_, scene) in enumerate(drawn):
        for j, shape in enumerate(scene.shapes):
            pool.colour[i, j] = list(COLOURS).index(shape.colour)
            pool.kind[i, j] = SHAPES.index(shape.kind)
            pool.spot[i, j] = shape.x, shape.y
            pool.reach[i, j] = shape.radius * scene.height / scene.width, shape.radius
    return pool


def draw_part(task: tuple[int, int]) -> Pool:
    """Draw `count` scenes from `seed`, both from `task`."""
    rng = begin_part(task)
    return pool_of(
        [
            (squash(spoil(draw(scene), rng), rng), scene)
            for scene in (any_scene(rng) for _ in range(task[1]))
        ]
    )


def draw_badly_seen(task: tuple[int, int]) -> Pool:
    """The same, but blurred, dim, noisy, or half out of the picture."""
    rng = begin_part(task)
    drawn = []
    for _ in range(task[1]):
        scene = any_scene(rng)
        way = pick(rng, ("edge", *WORSE))
        if way == "edge":
            scene = at_the_edge(rng, scene)
        frame = spoil(draw(scene), rng)
        drawn.append((squash(frame if way == "edge" else WORSE[way](frame, rng), rng), scene))
    return pool_of(drawn)


def draw_mixed(task: tuple[int, int]) -> Pool:
    """Pictures mixed from some of several scenes each, `READINGS` times in a row, each time with a
    scene that is as likely as it is well to be seen."""
    rng = begin_part(task)
    drawn = []
    for _ in range(task[1]):
        frame, scenes, shares = mixed(rng)
        tile = squash(spoil(frame, rng), rng)
        chosen = rng.choice(len(scenes), READINGS, p=shares)
        drawn += [(tile, scenes[i]) for i in chosen]
    return pool_of(drawn)


def draw_pool(
    count: int, seed: int, draw_some: Callable[[tuple[int, int]], Pool] = draw_part
) -> Pool:
    """Draw `count` pictures in two processes."""
    part = min(250, count)
    tasks = [(seed * 1_000_000 + i, part) for i in range(max(1, count // part))]
    with multiprocessing.get_context("spawn").Pool(2) as workers:
        parts = workers.map(draw_some, tasks, chunksize=1)
    return Pool(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in Pool.__annotations__)
    )


def mirrored(scene: Scene) -> Scene:
    """The same scene in a mirror."""
    shape, other = (
        None if shape is None else replace(shape, x=1 - shape.x)
        for shape in (scene.shape, scene.other)
    )
    return replace(scene, shape=shape, other=other)


def draw_clips(task: tuple[int, int]) -> tuple[np.ndarray, list[list[Scene]]]:
    """Draw `count` clips from `seed`, both from `task`: uint8 RGB (n, frames, TILE, TILE, 3), and
    their scenes."""
    seed, count = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    pixels = np.empty((count, CLIP_FRAMES, TILE, TILE, 3), np.uint8)
    scenes = [random_journey(rng, CLIP_FRAMES) for _ in range(count)]
    for clip, drawn in zip(scenes, pixels):
        for number, scene in enumerate(clip):
            drawn[number] = squash(spoil(draw(scene), rng), rng)
    return pixels, scenes


def draw_details(task: tuple[int, int]) -> tuple[np.ndarray, list[list[Scene]]]:
    """Draw `count` scenes from `seed`, both from `task`, split into the tiles of `DETAIL_GRID` and
    the whole: uint8 RGB (n, tiles, TILE, TILE, 3), and the scenes."""
    seed, count = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    rows, columns = DETAIL_GRID
    pixels = np.empty((count, rows * columns + 1, TILE, TILE, 3), np.uint8)
    scenes: list[list[Scene]] = []
    for drawn in pixels:
        scene = random_pair(rng) if rng.random() < PAIRS else random_layout(rng)
        scenes.append([scene])
        picture = Image.fromarray(cv2.cvtColor(spoil(draw(scene), rng), cv2.COLOR_BGR2RGB))
        large = picture.resize((columns * TILE, rows * TILE), Image.Resampling.LANCZOS)
        split = np.asarray(large).reshape(rows, TILE, columns, TILE, 3).swapaxes(1, 2)
        drawn[:-1] = split.reshape(-1, TILE, TILE, 3)
        drawn[-1] = np.asarray(picture.resize((TILE, TILE), Image.Resampling.LANCZOS))
    return pixels, scenes


def moved(pool: Pool, i: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Picture `i` mirrored (half of the time) and shifted by whole pixels, and its new centres.

    The wall is continued at the edges. One in eight single shapes may be cut by the edge, its
    centre still inside."""
    pixels, spot = pool.pixels[i], pool.spot[i].copy()
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        spot[:, 0] = 1 - spot[:, 0]
    count = int((pool.kind[i] < len(SHAPES)).sum())
    if count == 0 or rng.random() < 0.15:
        return pixels, spot
    shown = spot[:count]
    keep = np.full(2, 0.05) if count == 1 and rng.random() < 0.125 else pool.reach[i, :count]
    low = np.ceil((keep - shown) * TILE).reshape(-1, 2).max(axis=0)
    high = np.floor((1 - keep - shown) * TILE).reshape(-1, 2).min(axis=0)
    limit = 20
    shift = [
        int(rng.integers(max(-limit, min(a, 0)), min(limit, max(b, 0)) + 1))
        for a, b in zip(low, high)
    ]
    there = shown + np.array(shift, np.float32) / TILE
    if count == 2 and place_of(*there[0]) == place_of(*there[1]):
        return pixels, spot
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    pixels = cv2.warpAffine(
        np.ascontiguousarray(pixels),
        matrix,
        (TILE, TILE),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REPLICATE,
    )
    spot[:count] = there
    return pixels, spot


@dataclass
class Batch:
    """Pictures, float32 (n, 3, TILE, TILE) from -1 to 1, and what is on them (see `Pool`)."""

    pixels: torch.Tensor
    colour: torch.Tensor
    kind: torch.Tensor
    spot: torch.Tensor
    reach: torch.Tensor

    def scenes(self) -> list[Scene]:
        return [
            scene_of(*row)
            for row in zip(
                self.colour.tolist(), self.kind.tolist(), self.spot.tolist(), self.reach.tolist()
            )
        ]


def scene_of(colour: list, kind: list, spot: list, reach: list) -> Scene:
    """One row of a `Batch` in words."""
    shapes = [
        Shape(SHAPES[k], list(COLOURS)[c], at[0], at[1], radius)
        for c, k, at, (_, radius) in zip(colour, kind, spot, reach)
        if k < len(SHAPES)
    ]
    return Scene(shapes[0] if shapes else None, other=shapes[1] if len(shapes) > 1 else None)


def random_batch(
    pool: Pool, chosen: np.ndarray, rng: np.random.Generator, grain: torch.Tensor
) -> Batch:
    """The `chosen` pictures of `pool`, each moved, relit and with noise from `grain`, a long row
    of normal values."""
    size = len(chosen)
    pairs = [moved(pool, i, rng) for i in chosen]
    pixels = (
        torch.from_numpy(np.stack([p for p, _ in pairs])).permute(0, 3, 1, 2).contiguous().float()
    )
    gain, offset, noise = (
        torch.from_numpy(rng.uniform(low, high, (size, 1, 1, 1)).astype(np.float32))
        for low, high in ((0.93, 1.07), (-6, 6), (0, 3))
    )
    start = int(rng.integers(grain.numel() - pixels.numel()))
    speckle = grain[start : start + pixels.numel()].view(pixels.shape)
    pixels.mul_(gain).add_(offset).addcmul_(speckle, noise).clamp_(0, 255).div_(127.5).sub_(1)
    spot = np.stack([s for _, s in pairs]).astype(np.float32)
    rest = (pool.colour[chosen], pool.kind[chosen], spot, pool.reach[chosen])
    return Batch(pixels, *map(torch.from_numpy, rest))


def still_batch(pool: Pool, chosen: slice = slice(None)) -> Batch:
    """Pictures of `pool` as they are."""
    pixels = torch.from_numpy(pool.pixels[chosen]).permute(0, 3, 1, 2).contiguous().float()
    rest = (pool.colour, pool.kind, pool.spot, pool.reach)
    return Batch(pixels / 127.5 - 1, *(torch.from_numpy(part[chosen]) for part in rest))
