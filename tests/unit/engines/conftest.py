"""What engines are asked about: drawn scenes and clips that no training has seen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # both before mlx-vlm, which has them hidden
import torchvision  # noqa: F401
from transformers import AutoProcessor

from narrator.engines.torch import TorchEngine
from support.asking import UNSEEN_SEED, caption
from support.drawn_scenes import random_clip, random_scene

Truths = list[str]
OWN_PROCESSORS = AutoProcessor.__dict__["from_pretrained"]  # until mlx-vlm puts others there
Clips = tuple[list[list[np.ndarray]], Truths]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what is made of the small checkpoint goes, once for all processes of a run: a folder
    with a space in its path."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "made here"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def scenes() -> tuple[list[np.ndarray], Truths]:
    """Pictures (BGR), and what is true of each."""
    rng = np.random.default_rng(UNSEEN_SEED)
    images, truths = zip(*(random_scene(rng) for _ in range(25)))
    return list(images), list(truths)


@pytest.fixture(scope="session")
def clips() -> Clips:
    """Clips of two, three and four pictures (BGR), and what is true of each."""
    rng = np.random.default_rng(UNSEEN_SEED + 1)
    clips, truths = zip(*(random_clip(rng, 2 + number % 3) for number in range(10)))
    return list(clips), list(truths)


@pytest.fixture(scope="session")
def own_processors() -> Any:
    """AutoProcessor.from_pretrained as transformers has it."""
    return OWN_PROCESSORS


@pytest.fixture(scope="session")
def in_float32(tiny: Path) -> TorchEngine:
    """transformers' own arithmetic in float32, to which the other engines are compared."""
    return TorchEngine(tiny, "cpu", torch.float32)


@pytest.fixture(scope="session")
def said_in_float32(in_float32: TorchEngine, scenes: tuple[list[np.ndarray], Truths]) -> list[str]:
    """What it says of each scene."""
    return [caption(in_float32, image) for image in scenes[0]]
