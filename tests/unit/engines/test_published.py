"""Checkpoints laid out as the pinned repositories are: each engine says of a scene what it says
with the bundled checkpoint, and stops where that does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch  # noqa: F401 - before mlx-vlm, from which the program would hide it
from mlx.utils import tree_flatten

from narrator.engines import mlx as mlx_engine
from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.mlx import MlxEngine
from narrator.engines.torch import TorchEngine
from support.asking import caption
from support.made_models import change_json
from support.published import REPOSITORIES, needs_published, small_model

pytestmark = needs_published

ORIGINALS, MLX = REPOSITORIES[:3], REPOSITORIES[3:]
# Each conversion takes seconds: some of them, unless all are asked for.
HOW = [("mlx", 4), ("torch", 16)]
if "FULL_SIZE_MODELS" in os.environ:
    HOW += [("mlx", 8), ("mlx", 16), ("openvino", 8), ("openvino", 16)]
LOADED = [(name, *how) for name in REPOSITORIES for how in HOW]
if "FULL_SIZE_MODELS" not in os.environ:
    LOADED += [(ORIGINALS[2], "mlx", 16), (MLX[0], "mlx", 16), (ORIGINALS[2], "openvino", 8)]


@pytest.fixture(scope="module")
def images(scenes: tuple[list[np.ndarray], list[str]]) -> list[np.ndarray]:
    """Pictures of which each precision says the same as any other."""
    return scenes[0][:2]


@pytest.fixture(scope="module")
def expected(in_float32: TorchEngine, images: list[np.ndarray]) -> list[str]:
    """What the bundled checkpoint says of them."""
    return [caption(in_float32, image) for image in images]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The small model of a repository, made once."""
    parent = tmp_path_factory.mktemp("published")

    def of(repository: str) -> Path:
        folder = parent / repository.replace("/", "--")
        return folder if folder.exists() else small_model(repository, folder)

    return of


@pytest.mark.parametrize(("repository", "engine", "bits"), LOADED)
def test_each_repository_is_captioned_with_as_the_bundled_checkpoint_is(
    folders: Callable[[str], Path],
    tmp_path: Path,
    images: list[np.ndarray],
    expected: list[str],
    repository: str,
    engine: str,
    bits: int,
) -> None:
    opened = open_engine(choose_engine(engine, bits), str(folders(repository)), tmp_path)
    assert [caption(opened, image) for image in images] == expected


# ----------------------------------------------------------------------------- where a file may be


def with_a_jinja_template(folder: Path) -> None:
    template = json.loads((folder / "chat_template.json").read_text())["chat_template"]
    (folder / "chat_template.json").unlink()
    change_json(folder / "tokenizer_config.json", chat_template=None)
    (folder / "chat_template.jinja").write_text(template)


def with_one_processor_file(folder: Path) -> None:
    pictures = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    change_json(folder / "processor_config.json", image_processor=pictures)


def with_nothing_that_can_be_had_elsewhere(folder: Path) -> None:
    needed = ("config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")
    for file in folder.iterdir():
        if file.name not in needed and file.suffix != ".safetensors":
            file.unlink()


@pytest.mark.parametrize(
    "layout",
    [with_a_jinja_template, with_one_processor_file, with_nothing_that_can_be_had_elsewhere],
)
def test_what_a_file_says_may_be_in_another(
    folders: Callable[[str], Path],
    tmp_path: Path,
    images: list[np.ndarray],
    expected: list[str],
    layout: Callable[[Path], None],
) -> None:
    folder = shutil.copytree(folders(ORIGINALS[2]), tmp_path / "model")  # two shards
    layout(folder)
    for engine, bits in (("mlx", 4), ("torch", 16)):
        opened = open_engine(choose_engine(engine, bits), str(folder), tmp_path / "cache")
        assert caption(opened, images[0]) == expected[0]


# --------------------------------------------------------------------------- what mlx calculates in


@pytest.fixture
def apple_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in: mlx still runs on the CPU, but is loaded as it is for an Apple GPU."""
    monkeypatch.setattr(mlx_engine, "has_apple_gpu", lambda: True)


# float32, and called float32
@pytest.mark.parametrize(("repository", "bits"), [(ORIGINALS[0], 4), (MLX[0], 16)])
def test_an_apple_gpu_calculates_in_bfloat16_whatever_config_json_says(
    apple_gpu: None,
    folders: Callable[[str], Path],
    tmp_path: Path,
    images: list[np.ndarray],
    expected: list[str],
    repository: str,
    bits: int,
) -> None:
    engine = open_engine(choose_engine("mlx", bits), str(folders(repository)), tmp_path)
    assert isinstance(engine, MlxEngine)
    weights = (array.dtype for _, array in tree_flatten(engine._model.parameters()))
    assert {dtype for dtype in weights if mx.issubdtype(dtype, mx.floating)} == {mx.bfloat16}

    assert engine.label == "mlx on the Apple GPU, bfloat16"
    assert caption(engine, images[0]) == expected[0]
