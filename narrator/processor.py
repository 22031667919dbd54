"""What OpenVINO calculates in on this processor."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

log = logging.getLogger(__name__)


def processor_features() -> str:
    """What oneDNN, which calculates, will use of this processor, to look for names in. OpenVINO
    asks the processor alone, and fails where oneDNN is held to less."""
    level = os.environ.get("ONEDNN_MAX_CPU_ISA", "").lower()
    if level in ("", "all", "default"):
        flags = Path("/proc/cpuinfo")
        return flags.read_text("utf-8") if flags.is_file() else ""
    # A level has what those below it have, and is named for what is new.
    above_bf16 = any(name in level for name in ("bf16", "fp16", "amx", "avx10_1_512"))
    return f"{level} bf16 vnni" if above_bf16 else level


def best_precision() -> str:
    """bf16 where the processor has it and OpenVINO multiplies rightly in it, else f32."""
    able = processor_features()
    return "bf16" if "bf16" in able and ("amx" in able or bfloat16_is_right()) else "f32"


@functools.cache
def bfloat16_is_right() -> bool:
    """Whether a product in bfloat16 is that in float32, but for rounding. Without AMX some are of
    another size altogether (OpenVINO's issue 38256). Logs, once, if not."""
    left, right = np.random.default_rng(0).standard_normal((2, 64, 768), np.float32)
    exact = left @ right.T
    if np.linalg.norm(product(left, right) - exact) < 0.05 * np.linalg.norm(exact):  # NaN is not
        return True
    log.info("OpenVINO multiplies wrongly in bfloat16 here: using float32, which is slower")
    return False


def product(left: np.ndarray, right: np.ndarray) -> Any:
    """left @ right.T, in bfloat16 where the processor has it; `right` is a weight, as in models."""
    rows = ops.parameter(left.shape)
    graph = ov.Model([ops.matmul(rows, ops.constant(right), False, True)], [rows])
    return ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})(left)[0]
