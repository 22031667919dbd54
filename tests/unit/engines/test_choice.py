"""Which engine is chosen, what it loads, and what is imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.torch import torch_device, torch_dtype
from narrator.errors import ModelError, UsageError
from narrator.models.presets import Weights
from support.program import ROOT


def test_apple_silicon_takes_mlx_at_four_bits_and_other_machines_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    choice = choose_engine("auto", None)
    assert (choice.name, choice.bits, choice.why) == ("mlx", 4, "Apple Silicon")
    assert choice.weights() is Weights.MLX_4BIT
    assert choose_engine("torch", None).bits == 16
    for system, machine in (("darwin", "x86_64"), ("linux", "x86_64"), ("linux", "aarch64")):
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        choice = choose_engine("auto", None)
        assert (choice.name, choice.bits, choice.why) == ("torch", 16, "no Apple GPU here")


def test_an_engine_that_is_asked_for_is_taken_with_the_bits_asked_for() -> None:
    choice = choose_engine("mlx", 8)
    assert (choice.name, choice.weights()) == ("mlx", Weights.MLX_8BIT)
    assert choose_engine("torch", 8).bits == 8
    with pytest.raises(UsageError, match="--bits 4 is for --engine mlx"):
        choose_engine("torch", 4)


def test_a_server_has_its_own_weights() -> None:
    choice = choose_engine("http://127.0.0.1:8000/v1", 4)
    assert (choice.name, choice.url, choice.bits) == ("server", "http://127.0.0.1:8000/v1", 0)


def test_torch_takes_half_the_size_where_the_processor_calculates_in_it() -> None:
    half = torch_device() == "cpu" and torch_dtype() is torch.bfloat16
    expected = Weights.TORCH_BFLOAT16 if half else Weights.TORCH
    assert choose_engine("torch", None).weights() is expected


@pytest.mark.parametrize("name", ["torch", "mlx"])
def test_each_engine_imports_its_own_packages_alone(tiny: Path, tmp_path: Path, name: str) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from narrator.engines.choice import choose_engine, import_packages, open_engine\n"
        "heavy = ('torch._C', 'torchvision', 'transformers', 'mlx.core', 'mlx_vlm')\n"
        "heavy += ('huggingface_hub',)\n"
        "def imported(): print(*[name for name in heavy if sys.modules.get(name)])\n"
        "imported()\n"
        "import_packages(sys.argv[3])\n"
        "imported()\n"
        "open_engine(choose_engine(sys.argv[3], None), sys.argv[1], Path(sys.argv[2]))\n"
        "imported()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tiny), str(tmp_path), name],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    none, beside, opened = (set(line.split()) for line in result.stdout.split("\n")[:3])
    expected = {
        "torch": {"torch._C"},
        "mlx": {"transformers", "mlx.core", "mlx_vlm", "huggingface_hub"},
    }
    assert none == set()
    assert beside == opened == expected[name]


@pytest.mark.parametrize("name", ["torch", "mlx"])
def test_a_folder_that_is_no_model_cannot_be_loaded(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "smolvlm"}')
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"can't be (used|loaded)"):
        open_engine(choose_engine(name, None), str(tmp_path), tmp_path / "cache")


def test_eight_bits_of_another_model_are_refused(tiny: Path, tmp_path: Path) -> None:
    """They are SmolVLM2's alone, on a processor."""
    (tmp_path / "config.json").write_text('{"model_type": "idefics3"}')
    (tmp_path / "model.safetensors").symlink_to(tiny / "model.safetensors")
    with pytest.raises(UsageError, match="--bits 8 with torch is for SmolVLM2 on a CPU"):
        open_engine(choose_engine("torch", 8), str(tmp_path), tmp_path / "cache")
