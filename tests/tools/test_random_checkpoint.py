"""Random checkpoints have the sizes of the true models, load, and say something."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from narrator.engines.torch import TorchEngine
from narrator.models.smolvlm import SmolVlmInputs
from random_checkpoint import (
    LARGE_VISION,
    TEXT,
    VISION,
    TextShape,
    VisionShape,
    make,
    tensor_shapes,
)
from support.asking import clip_of, noise, query

IMAGE_TOKEN = 21  # of the bundled tokenizer
LARGE_FILES = 4_493_651_795  # bytes of the published weights of the 2.2B, in bfloat16


def sizes_of(preset: str, vision: VisionShape, scale_factor: int) -> list[int]:
    """The number of values of each tensor of a preset."""
    config: dict[str, Any] = {"scale_factor": scale_factor}
    config.update(vision_config=vision._asdict(), text_config=TEXT[preset]._asdict())
    return [math.prod(shape) for shape in tensor_shapes(config).values()]


def test_they_have_as_many_values_as_the_true_models() -> None:
    assert sum(sizes_of("smolvlm2-256m", VISION, 4)) == 256_484_928
    sizes = sizes_of("smolvlm2-2.2b", LARGE_VISION, 3)
    assert 0 < LARGE_FILES - 2 * sum(sizes) < 130 * len(sizes)  # that of the header


@pytest.mark.parametrize(
    ("vision", "scale_factor", "image_tokens"),
    [(VISION, 4, 64), (LARGE_VISION, 3, 81)],
    ids=["as 256M", "as 2.2B"],
)
def test_one_of_few_layers_loads_and_speaks(
    tmp_path: Path, vision: VisionShape, scale_factor: int, image_tokens: int
) -> None:
    text = TextShape(128, 1, 2, 1, 256, vocab_size=700)
    one_layer = vision._replace(num_hidden_layers=1)
    folder = make(tmp_path / "made", text, one_layer, scale_factor)
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == 700
    clip = clip_of(noise())
    inputs = SmolVlmInputs(folder)
    ids, pixels = inputs.numbers(clip, "What is that?"), inputs.pixels(clip)
    assert ids.count(IMAGE_TOKEN) == image_tokens
    assert np.array(pixels).shape == (1, 3, vision.image_size, vision.image_size)
    said = TorchEngine(folder, "cpu", torch.float32).describe(query(clip, "What is that?", 24))
    assert 0 < len(list(said)) <= 24  # of no sense
