"""Which engine runs the model, and opening it; only then its packages are imported."""

from __future__ import annotations

import functools
import importlib
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from narrator.engines.engine import Engine
from narrator.errors import ModelError, PeteError, UsageError, reason_of
from narrator.libraries import hide_torch
from narrator.models.folder import is_smolvlm
from narrator.models.presets import Weights
from narrator.models.weights import find_weights
from narrator.settings import CACHE
from narrator.values import is_server

PRECISIONS = {"mlx": (4, 8, 16), "openvino": (8, 16), "torch": (16,)}  # bits a weight
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA's, AMD's, and Windows' for WSL
AS_ASKED = "as asked"


@dataclass(frozen=True)
class EngineChoice:
    """An engine, and why it was chosen. A server has weights of its own: its bits are 0."""

    name: str  # mlx, openvino, torch or server
    bits: int
    why: str
    url: str | None = None  # of a server

    def weights(self) -> Weights:
        """What this engine loads on this machine."""
        if self.name == "mlx":
            return {4: Weights.MLX_4BIT, 8: Weights.MLX_8BIT, 16: Weights.MLX_16BIT}[self.bits]
        if self.name == "torch":
            return Weights.TORCH
        from narrator.engines.openvino import weights_for

        return weights_for(self.bits)


def choose_engine(name: str, bits: int | None) -> EngineChoice:
    """mlx where there is an Apple GPU, torch where it can use another, OpenVINO elsewhere, unless
    one is named. Raises UsageError."""
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    why = AS_ASKED
    if is_server(name):
        return EngineChoice("server", 0, why, name)
    if name == "auto" and apple:
        name, why = "mlx", "Apple Silicon"
    elif name == "auto" and sys.platform == "linux" and not has_gpu():
        name, why = "openvino", "no GPU here"
    elif name == "auto":
        name, why = "torch", "for this machine"
    if bits is not None and bits not in PRECISIONS[name]:
        takes = " or ".join(map(str, PRECISIONS[name]))
        raise UsageError(f"--bits {bits} is not for {name}, which takes {takes}")
    usual = {"mlx": 4 if apple else 16, "openvino": 8, "torch": 16}[name]
    return EngineChoice(name, bits or usual, AS_ASKED if bits else why)


def has_gpu() -> bool:
    """Whether torch can use a GPU of this Linux machine. It is asked, which takes seconds, only
    where a driver is loaded."""
    if not any(map(os.path.exists, GPU_DRIVERS)) or import_packages("torch"):
        return False
    from narrator.engines.torch import torch_device

    return torch_device() == "cuda"


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
    choice: EngineChoice, model: str | None, cache: Path = CACHE, may_download: bool = True
) -> Engine:
    """Find the model's weights, in `cache` or on the Hub, and load them; or ask the server.

    model: as for find_weights(); None for the one that a server serves. Raises PeteError.
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
        if choice.name == "openvino" and is_smolvlm(folder):
            from narrator.engines.openvino import OpenVinoEngine

            return OpenVinoEngine(folder, choice.bits)
        if choice.name == "openvino" and choice.why == AS_ASKED:
            raise UsageError(f"{model} is not a SmolVLM: it runs with --engine torch, in 16 bits")
        from narrator.engines.torch import TorchEngine, torch_device, torch_dtype

        return TorchEngine(folder, torch_device(), torch_dtype())
    except (PeteError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise ModelError(f"the model in {folder} can't be loaded: {reason_of(error)}") from error
