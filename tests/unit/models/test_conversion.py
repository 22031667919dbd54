"""Conversion: done once, kept beside others, whole or not at all, only where it is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch  # noqa: F401  before mlx-vlm, from which the program would hide it

from narrator.models.conversion import convert_if_needed, is_whole
from narrator.models.folder import tensors_in
from narrator.models.presets import Weights
from support.made_models import change_json
from support.program import ROOT, wait_until


def convert(model: Path, weights: Weights, cache: Path) -> Path:
    return convert_if_needed(model, weights, cache / f"it-{weights.value}", "mine")


@pytest.mark.parametrize(("weights", "bits"), [(Weights.MLX_4BIT, 4), (Weights.MLX_8BIT, 8)])
def test_the_language_model_is_quantised_and_the_vision_tower_is_not(
    model: Path, cache: Path, caplog: pytest.LogCaptureFixture, weights: Weights, bits: int
) -> None:
    (model / "code.py").write_text("raise SystemExit('ran')")
    (model / "folder").mkdir()
    made = convert(model, weights, cache)
    assert caplog.messages == [f"making the {bits}bit weights of mine (once)"]
    config = json.loads((made / "config.json").read_text())
    assert (config["quantization"]["bits"], config["quantization"]["group_size"]) == (bits, 64)
    quantised = {name for name, _ in tensors_in(made) if name.endswith(".scales")}
    assert any(name.startswith("language_model.") for name in quantised)
    assert not any(name.startswith("vision_model.") for name in quantised)
    assert [file.name for file in cache.iterdir()] == [made.name]
    assert not (made / "code.py").exists()
    assert not (made / "folder").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="openvino is for Linux here")
def test_openvino_gets_graphs_and_the_settings_and_needs_the_weights_no_more(
    model: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {file.name for file in model.iterdir() if file.suffix != ".safetensors"}
    graphs = {f"{name}.{suffix}" for name in ("vision", "language") for suffix in ("xml", "bin")}
    made = convert(model, Weights.OPENVINO_16_8, cache)
    assert {file.name for file in made.iterdir()} == settings | graphs
    assert "Loading weights" not in capfd.readouterr().err  # a progress bar of transformers
    assert is_whole(made)
    (made / "vision.bin").unlink()
    assert not is_whole(made)


def test_weights_that_will_do_as_they_are_are_not_copied(
    model: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for weights in (Weights.MLX_16BIT, Weights.TORCH):
        assert convert(model, weights, cache) == model
    change_json(model / "config.json", model_type="idefics3")
    assert convert(model, Weights.OPENVINO_16_16, cache) == model
    assert caplog.messages == []
    assert not cache.exists()


def test_a_folder_that_files_were_taken_from_is_made_again(model: Path, cache: Path) -> None:
    made = convert(model, Weights.MLX_4BIT, cache)
    for name in ("config.json", "model.safetensors"):
        (made / name).unlink()
        assert not is_whole(made)
        assert convert(model, Weights.MLX_4BIT, cache) == made
        assert is_whole(made)
    for weights in (Weights.MLX_4BIT, Weights.MLX_8BIT, Weights.MLX_16BIT):
        assert convert(made, weights, cache) == made


def test_a_quicker_start_wins(model: Path, cache: Path) -> None:
    (cache / "it-4bit").mkdir(parents=True)
    (cache / "it-4bit" / "config.json").write_text("theirs")
    (cache / "it-4bit" / "model.safetensors").write_text("theirs")
    assert (convert(model, Weights.MLX_4BIT, cache) / "config.json").read_text() == "theirs"


def test_a_conversion_that_was_killed_is_done_again_and_swept_up_later(
    model: Path, cache: Path
) -> None:
    script = (
        "import sys; from pathlib import Path; from narrator.models.conversion import *\n"
        "convert_if_needed(Path(sys.argv[1]), Weights.MLX_4BIT, Path(sys.argv[2]), 'mine')"
    )
    start = subprocess.Popen(
        [sys.executable, "-c", script, str(model), str(cache / "it-4bit")], cwd=ROOT
    )
    left = wait_until(lambda: list(cache.glob(".making-*")), 60)
    start.send_signal(signal.SIGKILL)
    start.wait()
    assert [file.name for file in cache.iterdir()] == [left[0].name]
    assert (convert(model, Weights.MLX_4BIT, cache) / "config.json").is_file()
    assert left[0].exists()  # It might be another start's work.
    os.utime(left[0], (time.time() - 7200,) * 2)
    convert(model, Weights.MLX_8BIT, cache)
    assert sorted(file.name for file in cache.iterdir()) == ["it-4bit", "it-8bit"]
