"""What the small checkpoint says in float32, to which every engine is compared, is true."""

from __future__ import annotations

import numpy as np
import pytest

from narrator.engines.torch import TorchEngine
from support.asking import UNSEEN_SEED, caption, exact_share
from support.drawn_scenes import Scene, Shape, draw, random_clip

Scenes = tuple[list[np.ndarray], list[str]]
Clips = tuple[list[list[np.ndarray]], list[str]]


def test_95_of_100_unseen_scenes_are_captioned_exactly(
    said_in_float32: list[str], scenes: Scenes
) -> None:
    assert exact_share(said_in_float32, scenes[1]) >= 0.95


def test_nine_of_ten_unseen_clips_are_captioned_exactly(
    said_of_clips: list[str], clips: Clips
) -> None:
    assert exact_share(said_of_clips, clips[1]) >= 0.9


OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_frames_in_the_wrong_order_give_the_opposite_answer(
    in_float32: TorchEngine, count: int
) -> None:
    rng = np.random.default_rng(UNSEEN_SEED + count)
    right = clips = 0
    while clips < 10:
        images, truth = random_clip(rng, count, moves=1.0)
        words = truth.rstrip(".").split()
        if words[-2] != "moving":
            continue
        clips += 1
        opposite = " ".join([*words[:-1], OPPOSITE[words[-1]]]) + "."
        right += caption(in_float32, *images[::-1]) == opposite
    assert right >= 9


@pytest.mark.parametrize(
    ("start", "end", "way"),
    [
        ((0.2, 0.5), (0.7, 0.5), "right"),
        ((0.8, 0.3), (0.4, 0.3), "left"),
        ((0.5, 0.8), (0.5, 0.3), "up"),
        ((0.3, 0.3), (0.3, 0.8), "down"),
    ],
)
def test_it_says_what_moves_where(
    in_float32: TorchEngine, start: tuple[float, float], end: tuple[float, float], way: str
) -> None:
    places = zip(np.linspace(start[0], end[0], 3), np.linspace(start[1], end[1], 3))
    images = [draw(Scene(Shape("circle", "red", x, y, 0.16))) for x, y in places]
    assert caption(in_float32, *images) == f"A red circle moving {way}."


def test_of_a_clip_in_which_nothing_moves_it_says_what_it_says_of_a_picture(
    in_float32: TorchEngine,
) -> None:
    image = draw(Scene(Shape("star", "yellow", 0.5, 0.5, 0.2)))
    assert caption(in_float32, image) == "A yellow star in the center."
    assert caption(in_float32, *[image] * 3) == "A yellow star in the center."
