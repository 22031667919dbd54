"""Scenes of the grammar that are hard to see: blurred, dim, noisy, or half out of the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from support.drawn_scenes import Scene, random_shape


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
