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


@pytest.mark.parametrize(
    ("cuda", "mps", "cpu", "expected"),
    [
        (None, False, {"avx512_bf16": True}, ("cpu", torch.bfloat16)),
        (None, False, {"avx2": True, "avx512_bf16": False}, ("cpu", torch.float32)),
        (True, True, {}, ("cuda", torch.bfloat16)),
        (False, True, {}, ("cuda", torch.float32)),
        (None, True, {}, ("mps", torch.bfloat16)),
    ],
)
def test_it_calculates_in_bfloat16_where_the_device_can_itself(
    monkeypatch: pytest.MonkeyPatch,
    cuda: bool | None,
    mps: bool,
    cpu: dict[str, bool],
    expected: tuple[str, torch.dtype],
) -> None:
    """cuda: whether a GPU of NVIDIA's can; None where there is none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    assert (torch_device(), torch_dtype()) == expected
