"""Measures what it costs to look for something (--when), in seconds and, round by round, against a
caption's first token: `python tools/measure_looks.py FOLDER`.

FOLDER is a checkpoint of the size in question, such as tools/random_checkpoint.py makes: speed does
not depend on what the weights are worth.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))

from narrator.conditions import Condition
from narrator.engines.choice import choose_engine, open_engine
from narrator.frames.frame import Frame
from narrator.settings import CACHE, DEFAULT_PROMPT

WAITED_FOR = ("a red circle", "the door is open", "somebody at the window")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="the checkpoint")
    parser.add_argument("--engine", default="auto", help="default: %(default)s")
    parser.add_argument("--bits", type=int, help="of the weights (default: the engine's)")
    parser.add_argument("--rounds", type=int, default=11, help="default: %(default)s")
    options = parser.parse_args()
    engine = open_engine(choose_engine(options.engine, options.bits), options.folder, CACHE)
    questions = [Condition(text).question for text in WAITED_FOR]
    ways: dict[str, Callable[[Frame], object]] = {
        "a caption's first token": lambda frame: next(engine.describe([frame], DEFAULT_PROMPT, 24)),
        "a look for one thing": lambda frame: engine.likelihoods(frame, questions[:1]),
        "a look for two": lambda frame: engine.likelihoods(frame, questions[:2]),
        "a look for three": lambda frame: engine.likelihoods(frame, questions),
    }
    random = np.random.default_rng(0)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, do in ways.items():
            image = random.integers(0, 255, (480, 640, 3), dtype=np.uint8)
            start = time.perf_counter()
            do(Frame(image, 0.0, 0.0))
            if number:  # The first round warms up.
                taken[name].append(time.perf_counter() - start)
    print(engine.label)
    first = taken["a caption's first token"]
    for name, times in taken.items():
        least, middle, most = min(times), median(times), max(times)
        ratio = median(time / other for time, other in zip(times, first))
        print(f"{name:24} {middle:.3f} s ({least:.3f} to {most:.3f}), {ratio:.2f} times")


if __name__ == "__main__":
    main()
