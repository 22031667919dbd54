"""Measures `--when` on twenty minutes of drawn scenes, and prints a table: `python
tools/measure_conditions.py`; --help lists what can be chosen.

What is waited for comes into view 60 times, for 3 to 20 seconds, alone or beside another shape;
between those the wall is empty, or shows what is like it but for its colour or kind. The program's
own scene gate and conditions decide when to look and when to tell, the engine how likely it is in
view. Time is simulated: nobody waits.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))

from narrator.conditions import IN_VIEW, OUT_OF_VIEW, Conditions
from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Engine, Query
from narrator.frames.frame import Frame
from narrator.scene.gate import SceneGate
from narrator.scene.thumbnail import Thumbnail
from support.drawn_scenes import (
    COLOURS,
    SHAPES,
    Scene,
    Shape,
    draw,
    named,
    random_layout,
    random_pair,
    random_shape,
)
from support.program import TINY

SEED = 86420
BASE_S = 1000.0  # of the monotonic clock
APPEARANCES = 60
SHOWN_S, BETWEEN_S = (3.0, 20.0), (4.0, 13.0)
LENGTH_S = 1200.0
FPS = 4
LOOK_S = 0.7  # what a look takes: the next one is no sooner


@dataclass
class Stretch:
    """A scene that rests. `shown`: whether it shows what is waited for."""

    scene: Scene
    start: float
    end: float
    shown: bool
    looks: int = 0
    told: list[int] = field(default_factory=list)  # after how many looks
    likely: list[float] = field(default_factory=list)


def wanted(rng: np.random.Generator, scene: Scene, colour: str, kind: str) -> Shape:
    shape = random_shape(rng, scene.width, scene.height)
    return replace(shape, colour=colour, kind=kind, paint=None)


def with_it(rng: np.random.Generator, colour: str, kind: str) -> Scene:
    """A scene that shows it; in a quarter of the cases beside another shape."""
    if rng.random() < 0.25:
        pair = without_it(rng, colour, kind, random_pair)
        assert pair.shape is not None
        return replace(pair, shape=replace(pair.shape, colour=colour, kind=kind, paint=None))
    scene = random_layout(rng)
    return replace(scene, shape=wanted(rng, scene, colour, kind))


def without_it(
    rng: np.random.Generator,
    colour: str,
    kind: str,
    some: Callable[[np.random.Generator], Scene] | None = None,
) -> Scene:
    """A scene without it; half of the time with what differs in one thing."""
    some = some or (random_pair if rng.random() < 0.25 else random_layout)
    while True:
        scene = some(rng)
        shape = scene.shape
        if shape is not None and scene.other is None and rng.random() < 0.5:
            if rng.random() < 0.5:
                scene = replace(scene, shape=replace(shape, kind=kind))
            else:
                like = replace(shape, colour=colour, paint=None)
                scene = replace(scene, shape=like)
        if all((shape.colour, shape.kind) != (colour, kind) for shape in scene.shapes):
            return scene


def random_script(rng: np.random.Generator, colour: str, kind: str) -> list[Stretch]:
    """What is shown when: all of one camera's size and wall."""
    wall = replace(random_layout(rng), shape=None, width=640, height=480)
    shown = rng.uniform(*SHOWN_S, APPEARANCES)
    between = rng.uniform(*BETWEEN_S, APPEARANCES)
    between *= (LENGTH_S - shown.sum()) / between.sum()
    script: list[Stretch] = []
    now = 0.0

    def add(scene: Scene, seconds: float, is_shown: bool) -> None:
        nonlocal now
        scene = replace(wall, shape=scene.shape, other=scene.other)
        script.append(Stretch(scene, now, now + seconds, is_shown))
        now += seconds

    for pause, stay in zip(between, shown):
        parts = 1 if pause < 5 else int(rng.integers(1, 3))
        for _ in range(parts):
            add(without_it(rng, colour, kind), pause / parts, False)
        add(with_it(rng, colour, kind), stay, True)
    return script


def film(script: list[Stretch], rng: np.random.Generator) -> Iterator[tuple[float, Stretch, Frame]]:
    """The camera's frames: some blur and noise."""
    number = 0
    for stretch in script:
        still = cv2.GaussianBlur(draw(stretch.scene), (0, 0), 1.2).astype(np.float32)
        while (at := number / FPS) < stretch.end:
            number += 1
            noise = rng.standard_normal(still.shape, np.float32) * 3
            image = np.clip(still + noise, 0, 255).astype(np.uint8)
            yield at, stretch, Frame(image, BASE_S + at, at)


def watch(engine: Engine, text: str, script: list[Stretch], rng: np.random.Generator) -> int:
    """Watch the film as the program does, and note in `script` what became of it; how many looks
    that took."""
    gate, conditions = SceneGate(), Conditions([text])
    (condition,) = conditions.all
    looks, free_at = 0, 0.0
    for at, stretch, frame in film(script, rng):
        seen = Thumbnail.of(frame)
        changed = gate.has_changed(seen)
        if at < free_at or not conditions.due(changed, frame.taken):
            continue
        (likely,) = engine.likelihoods(Query([frame], "", 1), [condition.question])
        looks += 1
        stretch.looks += 1
        stretch.likely.append(-1.0 if likely is None else likely)
        if conditions.look([likely], frame.taken):
            stretch.told.append(stretch.looks)
        gate.set_reference(seen)
        free_at = at + LOOK_S
    return looks


def report(text: str, script: list[Stretch], looks: int) -> None:
    shown = [stretch for stretch in script if stretch.shown]
    others = [stretch for stretch in script if not stretch.shown]
    told = [stretch for stretch in shown if stretch.told]
    print(f"\n{text}: {len(shown)} times in view, {looks} looks")
    print(f"  told                    {len(told)}")
    print(f"  of those within 2 looks {sum(s.told[0] <= 2 for s in told)}")
    print(f"  told again as it stays  {sum(len(s.told) - 1 for s in told)}")
    print(f"  false alerts            {sum(len(s.told) for s in others)}")
    yes = np.array([p for s in shown for p in s.likely])
    no = np.array([p for s in others for p in s.likely])
    print("  P(yes) in view, 0 to 20 %:", np.percentile(yes, (0, 1, 2, 5, 10, 20)).round(4))
    print("  P(yes) else, 80 to 100 %: ", np.percentile(no, (80, 90, 95, 98, 99, 100)).round(4))
    for level in (0.3, 0.5, 0.7, 0.9):
        print(f"  looks at it below {level}: {(yes < level).mean():.1%}; others from {level}: "
              f"{(no >= level).mean():.1%}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=TINY, help="the checkpoint (%(default)s)")
    parser.add_argument("--engine", default="torch", help="default: %(default)s")
    parser.add_argument("--bits", type=int, help="of the weights (default: the engine's)")
    parser.add_argument("--films", type=int, default=1, help="each of another shape (%(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(options.seed)
    print(f"IN_VIEW {IN_VIEW}, OUT_OF_VIEW {OUT_OF_VIEW}")
    with tempfile.TemporaryDirectory() as cache:
        choice = choose_engine(options.engine, options.bits)
        engine = open_engine(choice, str(options.folder), Path(cache))
        print(engine.label)
        for number in range(options.films):
            colour, kind = ("red", "circle")
            if number:
                colour = list(COLOURS)[rng.integers(len(COLOURS))]
                kind = SHAPES[rng.integers(len(SHAPES))]
            text = named(Shape(kind, colour, 0.5, 0.5, 0.1))
            script = random_script(rng, colour, kind)
            report(text, script, watch(engine, text, script, rng))


if __name__ == "__main__":
    main()
