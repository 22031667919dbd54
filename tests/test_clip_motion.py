"""The small checkpoint tells what moves where in a clip: a skill that it was trained in last."""

# ruff: noqa: F811

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pete_sounds import CpuEngine, Engine, ExitCode, MlxEngine, Weights, find_weights
from support.drawn_scenes import Scene, Shape, draw, random_clip
from support.program import TINY, Program
from support.video import write_video
from test_clips import TOKENS, UNSEEN_SEED, Clips, caption, clips, in_float32, moving  # noqa: F401

OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


def exact_share(engine: Engine, clips: Clips) -> float:
    """The share of clips whose caption is right to the letter."""
    return sum(caption(engine, images) == truth for images, truth in clips) / len(clips)


def test_nine_of_ten_unseen_clips_are_captioned_exactly_and_by_mlx_as_by_torch(
    tiny: Path, in_float32: CpuEngine, clips: Clips
) -> None:
    said = [caption(in_float32, images) for images, _ in clips]
    assert sum(one == truth for one, (_, truth) in zip(said, clips)) >= 0.9 * len(clips)
    mlx = MlxEngine(find_weights(str(tiny), Weights.MLX_16BIT), TOKENS)
    assert [caption(mlx, images) for images, _ in clips[:30]] == said[:30]


def test_at_four_bits_nine_of_ten_unseen_clips_are_captioned_exactly(
    tiny: Path, clips: Clips
) -> None:
    engine = MlxEngine(find_weights(str(tiny), Weights.MLX_4BIT), TOKENS)
    assert exact_share(engine, clips) >= 0.9


@pytest.mark.parametrize("count", [2, 3, 4])
def test_frames_in_the_wrong_order_give_the_opposite_answer(
    in_float32: CpuEngine, count: int
) -> None:
    rng = np.random.default_rng(UNSEEN_SEED + count)
    right = clips = 0
    while clips < 10:
        images, truth = random_clip(rng, count, moves=1.0)
        words = truth.rstrip(".").split()
        scene_moves = words[-2] == "moving"
        if not scene_moves:
            continue
        clips += 1
        opposite = " ".join([*words[:-1], OPPOSITE[words[-1]]]) + "."
        right += caption(in_float32, images[::-1]) == opposite
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
    in_float32: CpuEngine, start: tuple[float, float], end: tuple[float, float], way: str
) -> None:
    images = [draw(scene) for scene in moving("circle", "red", start, end)]
    assert caption(in_float32, images) == f"A red circle moving {way}."


def test_of_a_clip_in_which_nothing_moves_it_says_what_it_says_of_a_picture(
    in_float32: CpuEngine,
) -> None:
    scene = Scene(Shape("star", "yellow", 0.5, 0.5, 0.2))
    assert caption(in_float32, [draw(scene)] * 3) == "A yellow star in the center."
    assert caption(in_float32, [draw(scene)]) == "A yellow star in the center."


def test_the_program_says_what_moved(program: Program, tmp_path: Path) -> None:
    """Shapes that rest, move and rest: what moved is said, not only where it is then."""
    film = write_video(tmp_path / "moving.mp4", film_of_two_movements())
    result = program(
        "--source", film, "--model", TINY, "--engine", "torch", "--frames", "3",
        "--mute",
    )  # fmt: skip
    assert result.returncode == ExitCode.OK, result.stderr
    said = result.stdout.splitlines()
    assert said[0] == "A red circle on the left."
    assert "A red circle moving right." in said
    assert "A red circle moving down." in said
    assert said.index("A red circle moving right.") < said.index("A red circle moving down.")


def film_of_two_movements() -> list[np.ndarray]:
    """A red circle rests on the left, goes to the right, rests, goes down, rests: 15 a second."""
    stops = [(0.2, 0.5), (0.8, 0.5), (0.8, 0.82)]
    images = [draw(scene) for scene in moving("circle", "red", stops[0], stops[0], 30)]
    for start, end in zip(stops, stops[1:]):
        images += [draw(scene) for scene in moving("circle", "red", start, end, 20)]
        images += [draw(scene) for scene in moving("circle", "red", end, end, 45)]
    return images
