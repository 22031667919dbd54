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
def quantised(tiny: Path, cache: Path) -> MlxEngine:
    """As on Apple Silicon: 4 bits."""
    return MlxEngine(find_weights(str(tiny), Weights.MLX_4BIT, cache))


def test_it_has_the_probabilities_of_transformers(
    tiny: Path, in_float32: TorchEngine, clips: tuple[list[Images], Truths]
) -> None:
    engine = MlxEngine(tiny)
    for images in ([noise(31, 57)], [noise(1080, 1920)], clips[0][0]):
        asked = query(clip_of(*images))
        assert chances(engine, asked) == pytest.approx(chances(in_float32, asked), abs=1e-3)


def test_at_four_bits_unseen_scenes_and_clips_are_captioned_exactly(
    quantised: MlxEngine, scenes: tuple[Images, Truths], clips: tuple[list[Images], Truths]
) -> None:
    said = [caption(quantised, image) for image in scenes[0][:10]]
    said += [caption(quantised, *images) for images in clips[0][:5]]
    assert exact_share(said, [*scenes[1][:10], *clips[1][:5]]) >= 0.9
    where = "on the Apple GPU, bfloat16" if mx.metal.is_available() else "on the CPU, float32"
    assert quantised.label == f"mlx {where}"


def test_at_384_pixels_it_has_the_probabilities_of_transformers(tmp_path: Path) -> None:
    """The geometry of SmolVLM2 2.2B: patches of 14 leave 6 of 384 pixels over, and 27 of them a
    side are an odd number: what is cut off, and which place each patch has, must be as there."""
    folder = made_models.smolvlm_384(tmp_path / "384")
    engine = MlxEngine(folder)
    asked = query(clip_of(noise()), max_tokens=12)
    expected = chances(TorchEngine(folder, "cpu", torch.float32), asked)
    assert chances(engine, asked) == pytest.approx(expected, abs=1e-3)
    assert len(expected) > 1
