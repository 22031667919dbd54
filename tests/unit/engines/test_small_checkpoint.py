"""What the small checkpoint says in float32, to which every engine is compared, is true."""

from __future__ import annotations

import numpy as np
import pytest

from narrator.engines.torch import TorchEngine
from support.asking import UNSEEN_SEED, caption, exact_share
from support.drawn_scenes import Scene, Shape, draw, random_clip

Scenes = tuple[list[np.ndarray], list[str]]
Clips = tuple[list[list[np.ndarray]], list[str]]


def test_unseen_scenes_and_clips_are_captioned_exactly(
    in_float32: TorchEngine, said_in_float32: list[str], scenes: Scenes, clips: Clips
) -> None:
    assert exact_share(said_in_float32, scenes[1]) >= 0.95
    said = [caption(in_float32, *images) for images in clips[0]]
    assert exact_share(said, clips[1]) >= 0.9


OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_frames_in_the_wrong_order_give_the_opposite_answer(
    in_float32: TorchEngine, count: int
) -> None:
    rng = np.random.default_rng(UNSEEN_SEED + count)
    right = clips = 0
    while clips < 5:
        images, truth = random_clip(rng, count, moves=1.0)
        words = truth.rstrip(".").split()
        if words[-2] != "moving":
            continue
        clips += 1
        opposite = " ".join([*words[:-1], OPPOSITE[words[-1]]]) + "."
        right += caption(in_float32, *images[::-1]) == opposite
    assert right >= 4


def test_of_a_clip_in_which_nothing_moves_it_says_what_it_says_of_a_picture(
    in_float32: TorchEngine,
) -> None:
    image = draw(Scene(Shape("star", "yellow", 0.5, 0.5, 0.2)))
    assert caption(in_float32, image) == "A yellow star in the center."
    assert caption(in_float32, *[image] * 3) == "A yellow star in the center."
