"""TorchEngine says what transformers' own generate says; and which device and precision torch is
used with. A GPU is pretended: few machines that run this have one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from narrator.engines.torch import TorchEngine, torch_device, torch_dtype
from narrator.models.smolvlm import SmolVlmInputs
from narrator.settings import CLIP_PROMPT, DEFAULT_PROMPT
from support.asking import ASKED, TOKENS, chances, clip_of, query


def test_its_tokens_are_those_of_transformers_own_generate(
    tiny: Path, in_float32: TorchEngine
) -> None:
    from transformers import AutoModelForImageTextToText

    reference: Any = AutoModelForImageTextToText.from_pretrained(tiny, dtype=torch.float32).eval()
    inputs = SmolVlmInputs(tiny)
    for images, detail in ASKED.values():
        clip = clip_of(*images)
        prompt = DEFAULT_PROMPT if len(clip) == 1 else CLIP_PROMPT
        asked = query(clip, prompt, detail=detail)
        ids = inputs.numbers(clip, prompt, asked.tiled)
        pixels = torch.from_numpy(inputs.pixels(clip, asked.tiled))[None]
        made = reference.generate(
            input_ids=torch.tensor([ids]),
            pixel_values=pixels,
            max_new_tokens=TOKENS,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        expected = made.sequences[0, len(ids) :].tolist()
        likely = [
            float(logits[0].softmax(-1)[token])
            for logits, token in zip(made.logits, expected)
            if token not in inputs.ends
        ]
        assert chances(in_float32, asked) == pytest.approx(likely, abs=1e-4)


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
