"""A model folder in which a file is missing, empty, cut short or another's: one line that names the
file, with each engine, or the caption where nobody needs what the file says."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: F401 - before mlx-vlm, from which the program would hide it
from safetensors.numpy import save_file

from narrator.engines.choice import choose_engine, open_engine
from narrator.errors import ExitCode, ModelError
from support.asking import caption
from support.made_models import change_json
from support.program import Program, one_line

INDEX = "model.safetensors.index.json"
SETTINGS = [
    "config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json",
    "processor_config.json", "chat_template.json", "generation_config.json",
    "special_tokens_map.json", INDEX,
]  # fmt: skip
NEEDED = ["config.json", "tokenizer.json", "preprocessor_config.json", "chat_template.json"]
WHOLE = "Nothing but a grey wall."


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


def damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "list": b"[1]"}[how])


@pytest.mark.parametrize("how", ["empty", "cut", "list"])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_cannot_be_read_are_named(model: Path, name: str, how: str) -> None:
    damage(model / name, how)
    assert all(f"{model}/{name} " in line for line in refusals(model))


@pytest.mark.parametrize("name", NEEDED)
def test_a_file_that_is_needed_is_named_when_it_is_missing(model: Path, name: str) -> None:
    damage(model / name, "missing")
    assert all(name in line for line in refusals(model))


WRONG = [
    ("config.json", {"model_type": ["smolvlm"]}),
    ("config.json", {"text_config": [1]}),
    ("config.json", {"vision_config": {"image_size": "large"}}),
    ("config.json", {"scale_factor": 0}),
    ("config.json", {"image_token_id": None}),
    ("config.json", {"model_file": "code.py"}),
    ("tokenizer.json", {"model": {}}),
    ("tokenizer_config.json", {"eos_token": "<no such token>"}),
    ("special_tokens_map.json", {"eos_token": {"no": "content"}}),
    ("preprocessor_config.json", {"max_image_size": 128}),
    ("preprocessor_config.json", {"image_mean": None}),
    ("processor_config.json", {"image_seq_len": "many"}),
    ("processor_config.json", {"image_processor": {"size": 1}}),
    ("chat_template.json", {"chat_template": ["a", "b"]}),
    ("chat_template.json", {"chat_template": "{% if %}"}),
    ("chat_template.json", {"chat_template": "{{ messages[7].content }}"}),
    ("generation_config.json", {"eos_token_id": "two"}),
    ("generation_config.json", {"eos_token_id": 10**9}),
    (INDEX, {"weight_map": None}),
    (INDEX, {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}),
]


@pytest.mark.parametrize(("name", "changes"), WRONG)
def test_settings_of_another_shape_are_named(
    model: Path,
    name: str,
    changes: dict[str, object],
) -> None:
    (model / "code.py").write_text("raise SystemExit('ran')")
    change_json(model / name, **changes)
    named = "model-00002-of-00002.safetensors is missing" if "00002" in str(changes) else name
    assert all(named in line for line in refusals(model))


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "another's", "some"])
def test_weights_that_are_not_all_there_are_named(model: Path, how: str) -> None:
    file = model / "model.safetensors"
    (model / INDEX).unlink()
    if how == "another's":
        save_file({"lm_head.weight": np.zeros((3, 4), np.float32)}, file)
    elif how == "some":
        from safetensors.torch import load_file
        from safetensors.torch import save_file as save_tensors

        tensors = load_file(file)
        tensors.pop("model.text_model.layers.1.mlp.up_proj.weight")
        save_tensors(tensors, file)
    else:
        damage(file, how)
    assert all("safetensors" in line for line in refusals(model))


@pytest.mark.parametrize("engine", ["mlx", "torch"])
def test_what_nobody_needs_may_be_missing(model: Path, engine: str) -> None:
    for name in [*SETTINGS, "demo.json"]:
        if name not in (*NEEDED, "tokenizer_config.json"):
            (model / name).unlink(missing_ok=True)
    opened = open_engine(choose_engine(engine, 16), str(model), model.parent / "cache")
    assert caption(opened, np.full((48, 64, 3), 128, np.uint8)) == WHOLE


@pytest.mark.parametrize("engine", ["mlx", "openvino", "torch"])
def test_the_program_ends_with_one_line(
    program: Program, model: Path, tiny: Path, engine: str
) -> None:
    (model / "preprocessor_config.json").unlink()
    picture = ("--source", tiny / "demo.mp4", "--once", "--mute")
    result = program("--model", model, "--engine", engine, *picture)
    told = one_line(result, ExitCode.MODEL)
    assert f"{model}/preprocessor_config.json is missing; get the model again" in told
