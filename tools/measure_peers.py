#!/usr/bin/env python3
"""What runs SmolVLM2 on this processor how fast, side by side: OpenVINO and transformers, and any
OpenAI-compatible server that runs, such as llama.cpp's. --detail: the frame in tiles.

    .venv/bin/python tools/random_checkpoint.py smolvlm2-256m FOLDER
    .venv/bin/python tools/measure_peers.py FOLDER [--detail] [--server URL]

All are loaded in one process and asked in turn about the same frame of 640x480, for 24 tokens,
so that whatever else the machine does is borne by all. No engine has seen the
frame. A processor is held to AVX2 by

    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from measuring import read_options
from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Engine, Query
from narrator.engines.server import ServerEngine
from narrator.engines.torch import TorchEngine
from narrator.frames.frame import Frame
from narrator.libraries import set_environment
from narrator.settings import DEFAULT_PROMPT

TOKENS = 24


def transformers(folder: Path, dtype: str) -> Engine:
    """transformers' own model."""
    return TorchEngine(folder, "cpu", getattr(torch, dtype))


def openvino(folder: Path, bits: int) -> Engine:
    """OpenVINO, as the program opens it."""
    return open_engine(choose_engine("openvino", bits), str(folder))


PEERS: dict[str, Callable[[Path], Engine]] = {
    "transformers float32": lambda folder: transformers(folder, "float32"),
    "transformers bfloat16": lambda folder: transformers(folder, "bfloat16"),
    "OpenVINO, 16 bits": lambda folder: openvino(folder, 16),
    "OpenVINO, 8 bits": lambda folder: openvino(folder, 8),
}


def frame_of_noise(seed: int) -> Frame:
    """A frame that no engine has seen: its tokens are near ties, the hardest case."""
    image = np.random.default_rng(seed).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    return Frame(image, taken=0.0, at=0.0)


def ask(engine: Engine, frame: Frame, detail: bool) -> tuple[float, float]:
    """Seconds to the first token, and to the last."""
    start = time.perf_counter()
    pieces = engine.describe(Query([frame], DEFAULT_PROMPT, TOKENS, detail))
    next(pieces)
    first = time.perf_counter() - start
    for _ in pieces:
        pass
    return first, time.perf_counter() - start


def measure_speed(engines: dict[str, Engine], rounds: int, detail: bool) -> None:
    """Print medians, and their ratio to transformers' quicker precision."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for number in range(rounds + 1):
        for name, engine in engines.items():
            times = ask(engine, frame_of_noise(number), detail)
            if number:  # the first time, kernels are made
                taken[name].append(times)
    medians = {name: [median(part) for part in zip(*times)] for name, times in taken.items()}
    theirs = [values for name, values in medians.items() if name.startswith("transformers")]
    best = [min(part) for part in zip(*theirs)]
    print(f"{'':24} first token, s  ratio  {TOKENS} tokens, s  ratio")
    for name, (first, whole) in medians.items():
        ratios = (first / best[0], whole / best[1]) if best else (1.0, 1.0)
        print(f"{name:24} {first:14.3f} {ratios[0]:6.2f} {whole:13.3f} {ratios[1]:6.2f}")


def main() -> None:
    """Measure what is asked for."""
    options = read_options(__doc__, "folder", server="", detail=False, rounds=9)
    set_environment()
    engines = {name: make(options.folder) for name, make in PEERS.items()}
    if options.server:
        engines["server"] = ServerEngine(options.server, None)
    measure_speed(engines, options.rounds, options.detail)


if __name__ == "__main__":
    main()
