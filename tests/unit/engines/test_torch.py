"""Which device and precision torch is used with. What TorchEngine says is tested with the others,
in test_engine.py and test_cpu.py. A GPU is pretended: few machines that run this have one.
"""

from __future__ import annotations

import pytest
import torch

from narrator.engines.torch import torch_device, torch_dtype


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return monkeypatch


@pytest.mark.parametrize(
    ("able", "dtype"),
    [({"avx512_bf16": True}, torch.bfloat16), ({"bf16": True}, torch.bfloat16),
     ({"avx2": True, "avx512_bf16": False}, torch.float32)],
)  # fmt: skip
def test_a_cpu_calculates_in_bfloat16_where_it_can_itself(
    machine: pytest.MonkeyPatch, able: dict[str, bool], dtype: torch.dtype
) -> None:
    machine.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert (torch_device(), torch_dtype()) == ("cpu", dtype)


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_cuda_comes_before_all_else(
    machine: pytest.MonkeyPatch, native: bool, dtype: torch.dtype
) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    machine.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert (torch_device(), torch_dtype()) == ("cuda", dtype)


def test_an_apple_gpu_calculates_in_bfloat16(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert (torch_device(), torch_dtype()) == ("mps", torch.bfloat16)
