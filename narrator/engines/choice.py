"""Which engine runs the model, and opening it; only then its packages are imported."""

from __future__ import annotations

import functools
import importlib
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from narrator.engines.engine import Engine
from narrator.errors import ModelError, PeteError, UsageError, reason_of
from narrator.libraries import hide_torch
from narrator.models.folder import read_config
from narrator.models.presets import Weights
from narrator.models.weights import find_weights
from narrator.options import is_server
from narrator.settings import CACHE


@dataclass(frozen=True)
class EngineChoice:
    """An engine, and why it was chosen. A server has weights of its own: its bits are 0."""

    name: str  # mlx, torch or server
    bits: int
    why: str
    url: str | None = None  # of a server

    def weights(self) -> Weights:
        """What this engine loads on this machine."""
        if self.name == "mlx":
            return {4: Weights.MLX_4BIT, 8: Weights.MLX_8BIT, 16: Weights.MLX_16BIT}[self.bits]
        from narrator.engines.torch import torch_device, torch_dtype

        in_bfloat16 = torch_device() == "cpu" and str(torch_dtype()) == "torch.bfloat16"
        return Weights.TORCH_BFLOAT16 if in_bfloat16 else Weights.TORCH


def choose_engine(name: str, bits: int | None) -> EngineChoice:
    """mlx where there is an Apple GPU, torch elsewhere, unless told. Raises UsageError."""
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    why = "as asked"
    if is_server(name):
        return EngineChoice("server", 0, why, name)
    if name == "auto":
        name, why = ("mlx", "Apple Silicon") if apple else ("torch", "no Apple GPU here")
    if name == "torch" and bits == 4:
        raise UsageError("--bits 4 is for --engine mlx; torch takes 8 or 16")
    return EngineChoice(name, bits or (4 if name == "mlx" and apple else 16), why)


@functools.cache
def import_packages(name: str) -> Exception | None:
    """Import what an engine needs, which takes seconds. Returns what failed, which open_engine()
    raises: imported again, half a library fails for another reason."""
    if name == "mlx":
        hide_torch()
    try:
        importlib.import_module(f"narrator.engines.{name}")
    except Exception as error:
        return error
    return None


def open_engine(
    choice: EngineChoice,
    model: str | None,
    cache: Path = CACHE,
    may_download: bool = True,
    guesses: bool = True,
) -> Engine:
    """Find the model's weights, in `cache` or on the Hub, and load them; or ask the server.

    model: as for find_weights(); None for the one that a server serves. guesses: of words, where an
    engine makes any. Raises PeteError.
    """
    if choice.url is not None:
        from narrator.engines.server import ServerEngine

        return ServerEngine(choice.url, model)
    if error := import_packages(choice.name):
        raise error
    folder = find_weights(str(model), choice.weights(), cache, may_download)
    try:
        if choice.name == "mlx":
            from narrator.engines.mlx import MlxEngine

            return MlxEngine(folder)
        from narrator.engines.torch import TorchEngine, torch_device, torch_dtype

        if torch_device() == "cpu" and read_config(folder)["model_type"] == "smolvlm":
            from narrator.engines.cpu import CpuEngine

            return CpuEngine(folder, torch_dtype(), choice.bits, guesses)
        if choice.bits == 8:
            raise UsageError("--bits 8 with torch is for SmolVLM2 on a CPU; leave it out")
        return TorchEngine(folder, torch_device(), torch_dtype())
    except (PeteError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise ModelError(f"the model in {folder} can't be loaded: {reason_of(error)}") from error
