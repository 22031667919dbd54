"""What --model means, and the way from there to a folder that an engine can load."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch  # noqa: F401 - before mlx-vlm, from which the program would hide it

from narrator.errors import ExitCode, ModelError
from narrator.models.presets import PRESETS, Checkpoint, Weights
from narrator.models.weights import find_weights, resolve_model
from support.fake_hub import FakeHub
from support.program import NOBODY, Program

REPOSITORY = "somebody/small-model"
UseHub = Callable[[str], None]


def test_a_repository_is_downloaded_and_quantised_once_and_found_again_without_the_network(
    hub: FakeHub, cache: Path, use_hub: UseHub, caplog: pytest.LogCaptureFixture
) -> None:
    folder = find_weights(REPOSITORY, Weights.MLX_4BIT, cache)
    assert folder == cache / "pete_sounds" / "somebody--small-model-newest-4bit"
    use_hub(NOBODY)
    caplog.clear()
    assert find_weights(REPOSITORY, Weights.MLX_4BIT, cache) == folder
    assert caplog.messages == []


def test_from_then_on_no_library_asks_the_network(
    hub: FakeHub, cache: Path, model: Path, use_hub: UseHub
) -> None:
    for name in (REPOSITORY, REPOSITORY, str(model)):
        use_hub(hub.url)
        find_weights(name, Weights.MLX_16BIT, cache)
        assert huggingface_hub.constants.HF_HUB_OFFLINE
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        with pytest.raises(Exception, match="offline mode is enabled"):
            huggingface_hub.HfApi().model_info(REPOSITORY)


def test_a_folder_is_quantised_once_and_again_when_its_weights_change(
    model: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = find_weights(str(model), Weights.MLX_4BIT, cache)
    caplog.clear()
    assert find_weights(str(model), Weights.MLX_4BIT, cache) == first
    assert caplog.messages == []
    os.utime(model / "model.safetensors", (1, 1))
    assert find_weights(str(model), Weights.MLX_4BIT, cache) != first
    assert first.is_dir()


def test_a_cache_that_cannot_be_written_is_told_in_one_line(model: Path, cache: Path) -> None:
    cache.write_text("a file, not a folder")
    with pytest.raises(ModelError, match="can't be read, or kept in"):
        find_weights(str(model), Weights.MLX_4BIT, cache)


def test_fastvlms_licence_is_told_when_it_is_chosen(
    model: Path, cache: Path, no_hub: None, caplog: pytest.LogCaptureFixture
) -> None:
    find_weights(str(shutil.copytree(model, model.parent / "FastVLM")), Weights.TORCH, cache)
    with pytest.raises(ModelError, match="can't be reached"):
        find_weights("fastvlm-0.5b", Weights.MLX_4BIT, cache)
    assert ["Apple's, for research only" in message for message in caplog.messages] == [True] * 2


def test_a_preset_is_another_checkpoint_to_each_library() -> None:
    for library in ("mlx", "torch"):
        for name in ("smolvlm2-256m", "SmolVLM2-256M"):
            assert resolve_model(name, library) is PRESETS["smolvlm2-256m"][library]


def test_a_mistyped_preset_is_answered_with_the_likeliest() -> None:
    with pytest.raises(ModelError, match=r"\(owner/name\); did you mean smolvlm2-256m\?$"):
        resolve_model("SmolVLM2-265M", "mlx")


@pytest.mark.parametrize("name", ["./x", "/nosuch/x", "~nobody/x", "a/b/c", "models/"])
def test_a_mistyped_folder_is_called_missing(name: str) -> None:
    with pytest.raises(ModelError, match=f"^there is no folder {name}$"):
        resolve_model(name, "mlx")


@pytest.mark.parametrize("name", ["what is this?", "a" * 5000, "https://somebody:s3cret@hub/m"])
def test_a_name_that_can_be_nothing_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="not in --list-models, not a folder") as caught:
        resolve_model(name, "mlx")
    assert "s3cret" not in str(caught.value)


def test_a_folder_goes_before_a_repository_of_that_name(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_model("models/tiny", "mlx") == Checkpoint("models/tiny")
    (tmp_path / "models").mkdir()
    with pytest.raises(ModelError, match=r"models/tiny; to ask the Hub for it, start where"):
        resolve_model("models/tiny", "mlx")
    (tmp_path / "models" / "tiny").symlink_to(tiny)
    assert resolve_model("models/tiny", "mlx") == Path("models/tiny")


def test_a_wrong_model_ends_the_program_in_one_line(program: Program, tiny: Path) -> None:
    arguments = ("--source", tiny / "demo.mp4", "--mute")
    result = program("--model", "apple/FastVLM-0.5B-fp16", "--engine", "mlx", *arguments)
    assert (result.returncode, result.stderr.count("\n")) == (ExitCode.MODEL, 1)
    result = program("--model", "fastvlm-0.5b", "--engine", "torch", *arguments)
    assert result.returncode == ExitCode.USAGE
    assert result.stderr == "pete_sounds: --model fastvlm-0.5b needs --engine mlx\n"
