"""A model folder in which a file is missing, empty, cut short or another's: one line that names the
file, with each engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch  # before mlx-vlm, from which the program would hide it
from safetensors.torch import load_file, save_file

from narrator.engines.choice import choose_engine, open_engine
from narrator.errors import ExitCode, ModelError
from support.made_models import change_json
from support.program import Program, one_line

INDEX = "model.safetensors.index.json"
SETTINGS = [
    "config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json",
    "processor_config.json", "chat_template.json", "generation_config.json",
    "special_tokens_map.json", INDEX,
]  # fmt: skip
NEEDED = ["config.json", "tokenizer.json", "preprocessor_config.json", "chat_template.json"]


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """The bundled checkpoint, with an index."""
    ignore = shutil.ignore_patterns("demo.*")
    folder = Path(shutil.copytree(tiny, tmp_path / "model", ignore=ignore))
    (folder / INDEX).write_text('{"weight_map": {"lm_head.weight": "model.safetensors"}}')
    return folder


def refusals(folder: Path) -> list[str]:
    """The lines with which each engine refuses a folder, of which nothing may be made before."""
    lines, cache = [], folder.parent / "cache"
    for engine, bits in [("mlx", 4), ("mlx", 16), ("openvino", 8), ("torch", 16)]:
        with pytest.raises(ModelError) as caught:
            open_engine(choose_engine(engine, bits), str(folder), cache)
        lines.append(str(caught.value))
    assert all(line.isprintable() for line in lines)
    assert not list(cache.glob("*/*-*"))
    return lines


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_cannot_be_read_are_named(model: Path, name: str) -> None:
    content = (model / name).read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"[1]"):
        (model / name).write_bytes(damaged)
        assert all(f"{model}/{name} " in line for line in refusals(model))
    (model / name).unlink()
    if name in NEEDED:
        assert all(name in line for line in refusals(model))


WRONG = [
    ("config.json", {"model_type": ["smolvlm"]}),
    ("config.json", {"text_config": [1]}),
    ("config.json", {"vision_config": {"image_size": "large"}}),
    ("config.json", {"image_token_id": None}),
    ("config.json", {"model_file": "code.py"}),
    ("tokenizer.json", {"model": {}}),
    ("tokenizer_config.json", {"eos_token": "<no such token>"}),
    ("special_tokens_map.json", {"eos_token": {"no": "content"}}),
    ("preprocessor_config.json", {"max_image_size": 128}),
    ("preprocessor_config.json", {"image_mean": None}),
    ("processor_config.json", {"image_processor": {"size": 1}}),
    ("chat_template.json", {"chat_template": "{% if %}"}),
    ("chat_template.json", {"chat_template": "{{ messages[7].content }}"}),
    ("generation_config.json", {"eos_token_id": "two"}),
    ("generation_config.json", {"eos_token_id": 10**9}),
    (INDEX, {"weight_map": None}),
    (INDEX, {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}),
]


@pytest.mark.parametrize(("name", "changes"), WRONG)
def test_settings_of_another_shape_are_named(
    model: Path, name: str, changes: dict[str, object]
) -> None:
    (model / "code.py").write_text("raise SystemExit('ran')")
    change_json(model / name, **changes)
    named = "model-00002-of-00002.safetensors is missing" if "00002" in str(changes) else name
    assert all(named in line for line in refusals(model))


@pytest.mark.parametrize("how", ["missing", "cut", "another's", "some"])
def test_weights_that_are_not_all_there_are_named(model: Path, how: str) -> None:
    file = model / "model.safetensors"
    (model / INDEX).unlink()
    content, tensors = file.read_bytes(), load_file(file)
    if how == "missing":
        file.unlink()
    elif how == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif how == "another's":
        save_file({"lm_head.weight": torch.zeros(3, 4)}, file)
    else:
        tensors.pop("model.text_model.layers.1.mlp.up_proj.weight")
        save_file(tensors, file)
    assert all("safetensors" in line for line in refusals(model))


def test_the_program_ends_with_one_line(program: Program, model: Path, tiny: Path) -> None:
    (model / "preprocessor_config.json").unlink()
    picture = ("--source", tiny / "demo.mp4", "--once", "--mute")
    result = program("--model", model, *picture)
    told = one_line(result, ExitCode.MODEL)
    assert f"{model}/preprocessor_config.json is missing; get the model again" in told
