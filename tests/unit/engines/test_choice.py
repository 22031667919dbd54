"""Which engine is chosen, what it loads, and what is imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from narrator.engines import choice as choice_module
from narrator.engines.choice import choose_engine, open_engine
from narrator.errors import UsageError
from narrator.models.presets import Weights
from narrator.models.weights import find_weights
from support.program import ROOT


def test_apple_silicon_takes_mlx_at_four_bits_and_linux_openvino(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice_module, "has_gpu", lambda: False)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    choice = choose_engine("auto", None)
    assert (choice.name, choice.bits, choice.why) == ("mlx", 4, "Apple Silicon")
    assert choice.weights() is Weights.MLX_4BIT
    assert choose_engine("torch", None).bits == 16
    monkeypatch.setattr(sys, "platform", "linux")
    choice = choose_engine("auto", None)
    assert (choice.name, choice.bits, choice.why) == ("openvino", 8, "no GPU here")


@pytest.mark.parametrize(
    ("features", "bits", "weights"),
    [
        ("asimd", 8, Weights.OPENVINO_32_8),
        ("avx2", 8, Weights.OPENVINO_7_8),
        ("avx2 avx512_vnni", 8, Weights.OPENVINO_7_8),
        ("avx2 avx512_vnni avx512_bf16 amx_bf16 amx_int8", 8, Weights.OPENVINO_16_8),
        ("avx2", 16, Weights.OPENVINO_32_16),
    ],
)
def test_openvino_has_the_vision_weights_that_the_processor_is_quickest_with(
    monkeypatch: pytest.MonkeyPatch, features: str, bits: int, weights: Weights
) -> None:
    for module in ("engines.openvino", "processor"):
        monkeypatch.setattr(f"narrator.{module}.processor_features", lambda: features)
    monkeypatch.setattr("narrator.processor.bfloat16_is_right", lambda: True)
    assert choose_engine("openvino", bits).weights() is weights


def test_linux_takes_torch_where_it_can_use_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(choice_module, "GPU_DRIVERS", ("/dev/null",))  # one that is loaded
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    choice = choose_engine("auto", None)
    assert (choice.name, choice.bits) == ("torch", 16)
    assert choice.weights() is Weights.TORCH
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_engine("auto", None).name == "openvino"


def test_an_engine_that_is_asked_for_is_taken_with_the_bits_asked_for() -> None:
    choice = choose_engine("mlx", 8)
    assert (choice.name, choice.weights()) == ("mlx", Weights.MLX_8BIT)
    assert choose_engine("openvino", 8).bits == 8
    with pytest.raises(UsageError, match="--bits 4 is not for openvino, which takes 8 or 16"):
        choose_engine("openvino", 4)
    with pytest.raises(UsageError, match="--bits 8 is not for torch, which takes 16"):
        choose_engine("torch", 8)
    choice = choose_engine("http://127.0.0.1:8000/v1", 4)
    assert (choice.name, choice.url, choice.bits) == ("server", "http://127.0.0.1:8000/v1", 0)


@pytest.mark.parametrize("name", ["openvino", "mlx"])
def test_each_engine_imports_its_own_packages_alone(tiny: Path, cache: Path, name: str) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from narrator.engines.choice import choose_engine, import_packages, open_engine\n"
        "heavy = ('torch._C', 'torchvision', 'transformers', 'mlx.core', 'mlx_vlm')\n"
        "heavy += ('huggingface_hub', 'openvino')\n"
        "def imported(): print(*[name for name in heavy if sys.modules.get(name)])\n"
        "imported()\n"
        "import_packages(sys.argv[3])\n"
        "imported()\n"
        "open_engine(choose_engine(sys.argv[3], None), sys.argv[1], Path(sys.argv[2]))\n"
        "imported()"
    )
    find_weights(str(tiny), choose_engine(name, None).weights(), cache)  # which imports more
    result = subprocess.run(
        [sys.executable, "-c", script, str(tiny), str(cache), name],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    none, beside, opened = (set(line.split()) for line in result.stdout.split("\n")[:3])
    expected = {
        "openvino": {"openvino"},
        "mlx": {"transformers", "mlx.core", "mlx_vlm", "huggingface_hub"},
    }
    assert none == set()
    assert beside == expected[name]
    assert opened == expected[name]


def test_openvino_is_refused_for_another_model(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "idefics3"}')
    (tmp_path / "model.safetensors").symlink_to(tiny / "model.safetensors")
    with pytest.raises(UsageError, match="is not a SmolVLM: it runs with --engine torch"):
        open_engine(choose_engine("openvino", None), str(tmp_path), tmp_path / "cache")
