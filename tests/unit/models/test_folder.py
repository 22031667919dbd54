"""Folders that are no model, or not one that an engine can load. What a damaged file leads to is in
tests/unit/engines/test_damaged_files.py."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from narrator.errors import ModelError, PeteError, UsageError
from narrator.models.folder import folder_key, read_config, refuse_unloadable
from support.made_models import change_json

TEXT = ["hidden_size", "num_hidden_layers", "num_attention_heads"]
VISION = ["num_hidden_layers", "num_attention_heads"]


def refusal(folder: Path, library: str = "mlx", kind: type[PeteError] = ModelError) -> str:
    """The message with which a folder that the user calls "mine" is refused."""
    with pytest.raises(kind) as caught:
        refuse_unloadable(folder, library, "mine")
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "what"),
    [("config.json", "/dev/zero"), ("tokenizer.json", "nowhere"), ("more.safetensors", "itself"),
     ("added.txt", "a pipe")],
)  # fmt: skip
def test_what_is_no_file_is_refused_unread(model: Path, name: str, what: str) -> None:
    (model / name).unlink(missing_ok=True)
    if what == "a pipe":
        os.mkfifo(model / name)
    else:
        (model / name).symlink_to(name if what == "itself" else what)
    assert f"/{name} is not a file but a pipe, a device or a broken link" in refusal(model)


@pytest.mark.parametrize(
    ("name", "number"),
    [("num_hidden_layers", 10**9), ("depth", 10**9), ("num_attention_heads", 0)],
)
def test_layers_without_end_and_no_heads_are_refused(model: Path, name: str, number: int) -> None:
    change_json(model / "config.json", vision_config={name: number})
    assert f"{name} is {number}" in refusal(model)


# As published: transformers leaves out what is its default.
OF_500M = {
    "model_type": "smolvlm",
    "scale_factor": 4,
    "text_config": {
        "model_type": "llama", "head_dim": 64, "hidden_size": 960, "num_attention_heads": 15,
        "num_hidden_layers": 32, "num_key_value_heads": 5,
    },
    "vision_config": {
        "model_type": "smolvlm_vision", "hidden_size": 768, "image_size": 512,
        "num_attention_heads": 12, "patch_size": 16,
    },
}  # fmt: skip


@pytest.mark.parametrize("published", [OF_500M, {"model_type": "smolvlm"}])
def test_what_a_published_config_leaves_out_is_what_transformers_takes(
    model: Path, published: dict[str, Any]
) -> None:
    from transformers import SmolVLMConfig  # Not before other tests have torch hidden from it.

    (model / "config.json").write_text(json.dumps(published))
    found, theirs = read_config(model), SmolVLMConfig(**json.loads(json.dumps(published)))
    assert found["scale_factor"] == theirs.scale_factor
    for part, names in {
        "text_config": [*TEXT, "num_key_value_heads"],
        "vision_config": VISION,
    }.items():
        for name in names:
            assert found[part][name] == getattr(getattr(theirs, part), name), (part, name)


def test_the_newer_layout_of_the_rotary_base_is_refused_with_the_cure(model: Path) -> None:
    config = read_config(model)
    theta = config["text_config"].pop("rope_theta")
    config["text_config"]["rope_parameters"] = {"rope_theta": theta, "rope_type": "default"}
    (model / "config.json").write_text(json.dumps(config))
    assert f'add "rope_theta": {theta}' in refusal(model)
    refuse_unloadable(model, "torch", "mine")


def test_torch_refuses_weights_that_are_for_mlx_alone(model: Path) -> None:
    change_json(model / "config.json", quantization={"bits": 4, "group_size": 64})
    assert "--engine mlx can use them" in refusal(model, "torch")


def fastvlm(folder: Path, *tensors: str) -> Path:
    """A folder in Apple's layout with these tensors."""
    arrays: dict[str, Any] = {name: np.zeros(1, np.float32) for name in tensors}
    save_file(arrays, folder / "model.safetensors")
    change_json(folder / "config.json", model_type="llava_qwen2")
    return folder


def test_a_fastvlm_is_for_mlx_and_must_have_its_vision_tower(model: Path) -> None:
    use = "use --model fastvlm-0.5b with --engine mlx"
    fastvlm(model, "lm_head.weight", "model.norm.weight")
    assert f"FastVLM's language model without its vision tower; {use}" in refusal(model)
    fastvlm(model, "lm_head.weight", "model.vision_tower.vision_tower.model.weight")
    refuse_unloadable(model, "mlx", "mine")
    assert "needs --engine mlx" in refusal(model, "torch", UsageError)
    change_json(model / "config.json", model_type="fast_vlm")  # as transformers has it
    assert use in refusal(model)


def test_the_key_of_a_folder_changes_with_its_files_and_no_others(model: Path) -> None:
    key = folder_key(model)
    (model / "notes.md").write_text("mine")
    assert folder_key(model) == key
    os.utime(model / "model.safetensors", (1, 1))
    assert folder_key(model) != key
