"""What OpenVINO calculates in follows the processor, and what it multiplies there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino")

from narrator import processor
from narrator.engines.choice import choose_engine
from narrator.models.presets import Weights
from narrator.processor import best_precision, processor_features, product
from support import HELD_TO_AVX2
from support.asking import caption, noise, opened_openvino


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """What was found out of this processor before is forgotten, and what a stand-in says, too."""
    processor.bfloat16_is_right.cache_clear()
    yield
    processor.bfloat16_is_right.cache_clear()


@pytest.mark.parametrize(
    ("level", "has"),
    [
        ("AVX512_CORE_BF16", {"vnni": True, "bf16": True, "amx": False}),
        ("AVX10_1_512_AMX", {"vnni": True, "bf16": True, "amx": True}),
        ("AVX2_VNNI", {"vnni": True, "bf16": False, "amx": False}),
    ],
)
def test_a_level_of_onednn_has_what_those_below_it_have(
    monkeypatch: pytest.MonkeyPatch, level: str, has: dict[str, bool]
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", level)
    able = processor_features()
    assert {name: name in able for name in has} == has


@pytest.mark.skipif(HELD_TO_AVX2, reason="OpenVINO fails where oneDNN is held to AVX2")
def test_the_product_is_that_of_numpy_within_what_bfloat16_rounds() -> None:
    """A processor without bfloat16 multiplies in float32."""
    left, right = np.random.default_rng(1).standard_normal((2, 5, 768), np.float32)
    assert product(left, right) == pytest.approx(left @ right.T, abs=1.0)


def test_where_bfloat16_is_right_it_is_what_is_calculated_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stand-in multiplies: few processors have bfloat16."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
    monkeypatch.setattr(processor, "product", lambda left, right: left @ right.T)
    assert best_precision() == "bf16"
    assert choose_engine("openvino", 16).weights() is Weights.OPENVINO_16_16


Product = Callable[[np.ndarray, np.ndarray], np.ndarray]
WRONG: dict[str, Product] = {  # as the reports of OpenVINO's issue 38256 have it, and worse
    "nothing": lambda left, right: 0 * (left @ right.T),
    "no number": lambda left, right: np.nan * (left @ right.T),
}


@pytest.mark.parametrize("name", WRONG)
def test_where_bfloat16_is_wrong_it_is_float32_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tiny: Path,
    tmp_path: Path,
    name: str,
) -> None:
    """A stand-in multiplies as such a processor is reported to: none was at hand."""
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
    monkeypatch.setattr(processor, "product", WRONG[name])
    assert choose_engine("openvino", 16).weights() is Weights.OPENVINO_32_16
    if name == "nothing":  # One model will do.
        engine = opened_openvino(tiny, 16, tmp_path)
        assert engine.label == "OpenVINO on the CPU, f32"
        assert caption(engine, noise())
    assert best_precision() == "f32"
    assert caplog.text.count("multiplies wrongly in bfloat16") == 1
