"""Models beside SmolVLM2: FastVLM, LLaVA, Qwen2-VL, Idefics3, through mlx-vlm and transformers.

Their real weights are not here. Small random checkpoints of the published layouts stand in for them
(support/made_models.py); what runs them is real.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: F401 - both before mlx-vlm, from which the program would hide them
import torchvision  # noqa: F401
from transformers import AutoProcessor

from narrator.engines.mlx import MlxEngine
from narrator.errors import UsageError
from narrator.frames.frame import Frame
from narrator.models.folder import tensors_in
from narrator.models.presets import Weights
from narrator.models.weights import find_weights
from support import made_models
from support.asking import chances, query, text_of
from support.made_models import PROMPT, TOKENS


def plain(colour: tuple[int, int, int]) -> list[Frame]:
    """A frame of one colour, which every way of resizing leaves as it is."""
    return [Frame(np.full((96, 128, 3), colour, np.uint8), 0.0, 0.0)]


RED, BLUE = plain((30, 20, 220)), plain((210, 60, 20))
NOISE = [Frame(made_models.pictures()["noise"], 0.0, 0.0)]


def said(engine: MlxEngine, clip: list[Frame], tokens: int = TOKENS) -> str:
    return text_of(engine.describe(query(clip, PROMPT, tokens)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the checkpoints of this file are made, each once."""
    return tmp_path_factory.mktemp("models")


# ---------------------------------------------------------------------------------------- FastVLM


@pytest.fixture(scope="module")
def fastvlm(folder: Path) -> Iterator[dict[str, Path]]:
    """The same FastVLM in both layouts, few and narrow as its layers are in mlx-vlm meanwhile:
    config.json has no say in them."""
    from mlx_vlm.models.fastvlm import VisionConfig

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VisionConfig, "layers", made_models.FASTVLM_LAYERS)
        patch.setattr(VisionConfig, "embed_dims", made_models.FASTVLM_WIDTHS)
        yield {
            layout: made_models.fastvlm(folder / f"fastvlm-{layout}", layout)
            for layout in ("mlx", "apple")
        }


def test_fastvlm_says_the_same_in_apples_layout_and_in_that_of_the_conversion(
    fastvlm: dict[str, Path],
) -> None:
    engines = {layout: MlxEngine(place) for layout, place in fastvlm.items()}
    for clip in (RED, BLUE, NOISE):
        assert said(engines["mlx"], clip) == said(engines["apple"], clip) != ""
    assert said(engines["mlx"], RED) != said(engines["mlx"], BLUE)


@pytest.mark.parametrize("layout", ["mlx", "apple"])
def test_fastvlm_is_quantised_from_either_layout_its_vision_tower_left_as_it_is(
    fastvlm: dict[str, Path], tmp_path: Path, layout: str
) -> None:
    made = find_weights(str(fastvlm[layout]), Weights.MLX_8BIT, tmp_path)
    quantised = {name for name, _ in tensors_in(made) if name.endswith(".scales")}
    assert any(name.startswith("language_model.") for name in quantised)
    assert not any(name.startswith("vision_tower.") for name in quantised)
    engine, whole = MlxEngine(made), MlxEngine(fastvlm[layout])
    assert said(engine, NOISE).startswith(said(whole, NOISE, 1))  # near enough for the first words
    with pytest.raises(UsageError, match="--detail is for models that look at tiles"):
        next(engine.describe(query(RED, PROMPT, TOKENS, detail=True)))


# ----------------------------------------------------------------------------------------- others


@pytest.fixture(scope="module")
def others(folder: Path, own_processors: Any) -> dict[str, Any]:
    """What transformers makes of the other families, with its own processors, in the place of which
    mlx-vlm puts others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AutoProcessor, "from_pretrained", own_processors)
        return {
            make.__name__: made_models.asked_through_torch(make(folder / make.__name__))
            for make in made_models.OTHERS
        }


@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "idefics3"])
def test_torch_has_the_probabilities_of_transformers_own_generate(
    others: dict[str, Any], name: str
) -> None:
    for picture in (*made_models.pictures(), "clip"):
        found = others[name][picture]
        assert found["chances"] == pytest.approx(found["expected"], abs=1e-4)
        assert found["expected"] != []
    assert others[name]["opened"] == "TorchEngine"
    assert others[name]["red"]["said"] != others[name]["blue"]["said"]


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("one_picture", "ModelError", "this model does not take 3 frames at once"),
        ("no_template", "ModelError", "has no chat template, so it can't take a prompt"),
        ("qwen2_vl", "UsageError", "--detail is for models that look at tiles"),
    ],
)
def test_what_a_model_can_not_do_is_refused(
    others: dict[str, Any], name: str, kind: str, told: str
) -> None:
    assert others[name]["refused"][0] == kind
    assert told in others[name]["refused"][1]
    assert others["idefics3"]["detail"]


@pytest.mark.parametrize("name", ["qwen2_vl", "idefics3"])
def test_mlx_says_the_same_as_torch(others: dict[str, Any], folder: Path, name: str) -> None:
    """By the probabilities: where random weights say bytes that are no characters, or tokens that
    are only for the prompt, the libraries write them differently."""
    engine = MlxEngine(folder / name)
    for picture, clip in {"red": RED, "blue": BLUE}.items():
        found = chances(engine, query(clip, PROMPT, TOKENS))
        assert found == pytest.approx(others[name][picture]["chances"], abs=1e-3)
        likely = engine.likelihoods(query(clip), ["Is it red?", "Is it?"])
        assert likely == pytest.approx(others[name][picture]["likely"], abs=1e-3)
    assert list(engine.describe(query([*RED, *BLUE, *NOISE], PROMPT, 4)))
