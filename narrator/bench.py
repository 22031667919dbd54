"""--bench: how fast the model that is on this disk runs here, as a table or as one JSON object.

Each caption is of another frame of coloured blots.
"""

from __future__ import annotations

import contextlib
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Engine, Query
from narrator.errors import ModelError, UsageError
from narrator.frames.frame import Frame
from narrator.options import Options
from narrator.settings import CACHE

TOKENS = 24  # a caption as long as most
ROWS = (
    ("first token", "first_token_s", "s", 2),
    ("tokens", "tokens_per_s", "/s", 1),
    ("whole caption", "caption_s", "s", 2),
    ("captions", "captions_per_minute", "/min", 1),
)


def bench(options: Options, cache: Path = CACHE) -> None:
    """Measure this machine, and print what was found. Raises PeteError, also for a model that is
    not in `cache`: a download is no part of this."""
    started = time.monotonic()
    choice = choose_engine(options.engine, options.bits)
    engine = open_engine(choice, options.model, cache, may_download=False)
    facts: dict[str, Any] = {
        "model": options.model,
        "engine": engine.label,
        "load_s": round(time.monotonic() - started, 2),
    }
    for name, detail, repeats in (("one_tile", False, 9), ("detail", True, 5)):
        with contextlib.suppress(UsageError):  # There is no --detail for models without tiles.
            facts[name] = measure(engine, options.prompt, detail, repeats)
    print(json.dumps(facts) if options.json else table(facts), flush=True)


def measure(engine: Engine, prompt: str, detail: bool, repeats: int) -> dict[str, Any]:
    """Median, least and most of each figure in ROWS, over captions of as many frames."""
    random = np.random.default_rng(0)
    figures: list[tuple[float, ...]] = []
    for _ in range(repeats + 1):
        blots = random.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        clip = [Frame(cv2.resize(blots, (640, 480), interpolation=cv2.INTER_CUBIC), 0.0, 0.0)]
        query = Query(clip, prompt, TOKENS, detail)
        times = [time.perf_counter()]
        times += [time.perf_counter() for piece in engine.describe(query) if piece.text]
        if len(times) == 1:
            raise ModelError("the model says nothing, so there is nothing to measure")
        first, whole = times[1] - times[0], times[-1] - times[0]
        speed = (len(times) - 2) / max(whole - first, 1e-9)
        figures.append((first, speed, whole, 60 / whole))
    results: dict[str, Any] = {"repeats": repeats}
    for (_, name, *_), values in zip(ROWS, zip(*figures[1:])):  # The first one warms up.
        low, middle, high = min(values), statistics.median(values), max(values)
        results[name] = [round(value, 3) for value in (middle, low, high)]
    return {**results, "peak_memory_mb": round(peak_memory() / 1e6)}


def peak_memory() -> int:
    """Bytes of memory that this process has had at most; what a GPU has of its own is not in it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def table(facts: dict[str, Any]) -> str:
    """The figures for a reader: median, and (least to most)."""
    columns = [facts[name] for name in ("one_tile", "detail") if name in facts]
    lines = [
        f"{facts['engine']}; {facts['model']}; loaded in {facts['load_s']:.1f} s",
        f"{'':19}{'one tile':30}{'--detail' if len(columns) > 1 else ''}".rstrip(),
    ]
    for title, name, unit, digits in ROWS:
        cells = [
            f"{middle:.{digits}f} {unit} ({least:.{digits}f} to {most:.{digits}f})"
            for middle, least, most in (column[name] for column in columns)
        ]
        lines.append(f"{title:19}" + "".join(f"{cell:30}" for cell in cells).rstrip())
    memory = [f"{column['peak_memory_mb']} MB" for column in columns]
    lines.append(f"{'peak memory':19}" + "".join(f"{cell:30}" for cell in memory).rstrip())
    counts = " and ".join(str(column["repeats"]) for column in columns)
    lines.append(
        f"640x480 frames, captions of at most {TOKENS} tokens; median (least to most) of {counts}"
    )
    return "\n".join(lines)
