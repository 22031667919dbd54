#!/usr/bin/env python3
"""What runs SmolVLM2 on this processor how fast, side by side: OpenVINO and transformers, and any
OpenAI-compatible server that is already running, such as llama.cpp's.

    .venv/bin/python tools/random_checkpoint.py smolvlm2-256m FOLDER
    .venv/bin/python tools/measure_peers.py FOLDER [--detail] [--server URL]
    .venv/bin/python tools/measure_peers.py FOLDER --memory
    .venv/bin/python tools/measure_peers.py FOLDER --agreement

All are loaded in one process and asked in turn about the same frame of 640x480, for 24 tokens,
so that whatever else the machine does is borne by all. No engine has seen the
frame. A processor is held to AVX2 by

    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Engine, Query
from narrator.engines.openvino import OpenVinoEngine
from narrator.engines.server import ServerEngine
from narrator.frames.frame import Frame
from narrator.libraries import set_environment
from narrator.settings import DEFAULT_PROMPT

TOKENS = 24


def transformers(folder: Path, dtype: str) -> Engine:
    """transformers' own model. Imported here: torch takes memory of which OpenVINO is free."""
    import torch

    from narrator.engines.torch import TorchEngine

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


def measure_memory(folder: Path, detail: bool) -> None:
    """Print how soon each engine is ready, and its peak memory, in a process of its own."""
    code = """
import sys, time
from pathlib import Path
start = time.perf_counter()
import measure_peers
from narrator.bench import peak_memory
engine = measure_peers.PEERS[sys.argv[1]](Path(sys.argv[2]))
ready = time.perf_counter() - start
measure_peers.ask(engine, measure_peers.frame_of_noise(0), sys.argv[3] == "True")
print(f"{sys.argv[1]:24} ready in {ready:.2f} s, {peak_memory() / 1e6:.0f} MB")
"""
    for name in PEERS:
        command = [sys.executable, "-c", code, name, str(folder), str(detail)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        for _ in range(2):  # The first time, what is kept is made.
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
        print(done.stdout.decode(), end="")


def next_tokens(engine: Engine, frame: Frame, said: list[int]) -> list[int]:
    """What an engine holds for the next token after each beginning of what was said."""
    query = Query([frame], DEFAULT_PROMPT, TOKENS)
    if isinstance(engine, OpenVinoEngine):
        first = int(engine._begin(query).argmax())
        return [first, *(int(engine._step([token]).argmax()) for token in said[:-1])]
    import torch

    from narrator.engines.torch import TorchEngine

    assert isinstance(engine, TorchEngine)
    inputs = engine._prepared(query)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([said[:-1]])], 1)
    with torch.inference_mode():
        found = engine._model(**inputs, logits_to_keep=len(said)).logits[0].argmax(-1)
    return [int(token) for token in found]


def measure_agreement(folder: Path, frames: int = 24) -> None:
    """Print how many of an engine's tokens are those of transformers in float32, when each time it
    is given the same ones before."""
    from narrator.engines.torch import TorchEngine

    engines = {name: make(folder) for name, make in PEERS.items()}
    exact = engines["transformers float32"]
    assert isinstance(exact, TorchEngine)
    same, total = dict.fromkeys(engines, 0), 0
    for seed in range(100, 100 + frames):
        frame = frame_of_noise(seed)
        said = [token for token, _ in exact._tokens(Query([frame], DEFAULT_PROMPT, TOKENS))]
        total += len(said)
        for name, engine in engines.items():
            found = next_tokens(engine, frame, said)
            same[name] += sum(one == other for one, other in zip(said, found))
    for name, count in same.items():
        print(f"{name:24} {100 * count / total:.1f} % of {total} tokens")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description="SmolVLM2's engines, side by side")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--server", metavar="URL", help="measure a server, too")
    parser.add_argument("--detail", action="store_true", help="the frame in tiles")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory", action="store_true", help="memory and start instead")
    parser.add_argument("--agreement", action="store_true", help="tokens as in float32 instead")
    options = parser.parse_args()
    set_environment()
    if options.memory:
        measure_memory(options.folder, options.detail)
    elif options.agreement:
        measure_agreement(options.folder)
    else:
        engines = {name: make(options.folder) for name, make in PEERS.items()}
        if options.server:
            engines["server"] = ServerEngine(options.server, None)
        measure_speed(engines, options.rounds, options.detail)


if __name__ == "__main__":
    main()
