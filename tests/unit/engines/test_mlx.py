"""mlx: the same as transformers and torch, from the small checkpoint, which really sees, and from
one of other geometry. On Linux it runs on the CPU, slowly, in float32."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch

from narrator.engines.mlx import MlxEngine
from narrator.engines.torch import TorchEngine
from narrator.models.presets import Weights
from narrator.models.weights import find_weights
from support import made_models
from support.asking import caption, chances, clip_of, exact_share, noise, query

Images = list[np.ndarray]
Truths = list[str]


@pytest.fixture(scope="module")
def engine(tiny: Path) -> MlxEngine:
    return MlxEngine(tiny)


@pytest.fixture(scope="module")
def quantised(tiny: Path, cache: Path) -> MlxEngine:
    """As on Apple Silicon: 4 bits."""
    return MlxEngine(find_weights(str(tiny), Weights.MLX_4BIT, cache))


def test_it_says_the_same_of_scenes_as_torch(
    engine: MlxEngine, in_float32: TorchEngine, scenes: tuple[Images, Truths]
) -> None:
    for image in scenes[0][:10]:
        assert caption(engine, image) == caption(in_float32, image)


def test_it_says_the_same_of_clips_as_torch(
    engine: MlxEngine, in_float32: TorchEngine, clips: tuple[list[Images], Truths]
) -> None:
    for images in clips[0][:3]:
        assert caption(engine, *images) == caption(in_float32, *images)


def test_at_four_bits_95_of_100_unseen_scenes_are_captioned_exactly(
    quantised: MlxEngine, scenes: tuple[Images, Truths]
) -> None:
    some, truths = scenes[0][:20], scenes[1][:20]
    assert exact_share([caption(quantised, image) for image in some], truths) >= 0.95


def test_at_four_bits_nine_of_ten_unseen_clips_are_captioned_exactly(
    quantised: MlxEngine, clips: tuple[list[Images], Truths]
) -> None:
    some, truths = clips[0][:10], clips[1][:10]
    assert exact_share([caption(quantised, *images) for images in some], truths) >= 0.9


def test_it_has_the_probabilities_of_transformers(
    engine: MlxEngine, in_float32: TorchEngine
) -> None:
    for image in (noise(), noise(31, 57), noise(1080, 1920)):
        asked = query(clip_of(image))
        assert chances(engine, asked) == pytest.approx(chances(in_float32, asked), abs=1e-3)


def test_at_384_pixels_it_has_the_probabilities_of_transformers(tmp_path: Path) -> None:
    """The geometry of SmolVLM2 2.2B: patches of 14 leave 6 of 384 pixels over, and 27 of them a
    side are an odd number: what is cut off, and which place each patch has, must be as there."""
    folder = made_models.smolvlm_384(tmp_path / "384")
    engine = MlxEngine(folder)
    asked = query(clip_of(noise()), max_tokens=12)
    expected = chances(TorchEngine(folder, "cpu", torch.float32), asked)
    assert chances(engine, asked) == pytest.approx(expected, abs=1e-3)
    assert len(expected) > 1
    assert caption(engine, np.full((96, 128, 3), (210, 60, 20), np.uint8)) != caption(
        engine, noise()
    )


def test_it_tells_where_it_runs(engine: MlxEngine, quantised: MlxEngine) -> None:
    where = "on the Apple GPU, bfloat16" if mx.metal.is_available() else "on the CPU, float32"
    assert engine.label == quantised.label == f"mlx {where}"
