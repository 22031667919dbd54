"""How often the checkpoint answers unseen questions exactly, through the project's own engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Engine, Query
from narrator.frames.frame import Frame
from support.drawn_scenes import (
    Scene,
    draw,
    is_clear,
    random_clip,
    random_layout,
    random_pair,
    random_scene,
    spoil,
)
from tiny_training.questions import (
    KINDS,
    Question,
)
from tiny_training.turns import CLIP_PROMPT, DEFAULT_PROMPT, PROMPTS, held_out_question

TESTED = (
    "caption of one",
    "other prompts",
    "caption of two",
    "clips",
    *(kind for kind in KINDS if kind not in ("caption", "follow-up")),
)
TEST_SEED = 1234567

Asked = tuple[list[np.ndarray], Question, bool]  # frames (BGR), of a clip the newest last; detail


def held_out(kind: str, count: int) -> Iterator[Asked]:
    """Questions about scenes that training has not seen. Where `kind` tells nothing else, a quarter
    of those show two shapes, and where they are is clear."""
    rng = np.random.default_rng(TEST_SEED)
    for i in range(count):
        if kind in ("caption of one", "other prompts"):
            frame, caption = random_scene(rng)
            prompt = DEFAULT_PROMPT if kind == "caption of one" else PROMPTS[i % len(PROMPTS)]
            yield [frame], Question(prompt, caption), False
        elif kind == "clips":
            frames, caption = random_clip(rng, 2 + i % 3)
            yield frames, Question(CLIP_PROMPT, caption), False
        else:
            several = i % 4 == 3 or kind == "caption of two"
            scene = clear_scene(rng, several, wide=kind == "more")
            asked = held_out_question(rng, "caption" if kind == "caption of two" else kind, scene)
            yield [spoil(draw(scene), rng)], asked, kind == "more"


def clear_scene(rng: np.random.Generator, several: bool, wide: bool = False) -> Scene:
    """A random scene with nothing at a border of places; `wide`: as wide as cameras' frames are,
    which are split into tiles of `DETAIL_GRID`."""
    while True:
        scene = random_pair(rng) if several else random_layout(rng)
        if is_clear(scene) and not (wide and scene.width == scene.height):
            return scene


def evaluate(engine: Engine, count: int) -> None:
    """Print what share of each kind of question gets exactly the true answer."""
    for kind in TESTED:
        right = 0
        for images, question, detail in held_out(kind, count):
            clip = [Frame(image, second, second) for second, image in enumerate(images)]
            pieces = engine.describe(Query(clip, question.text, 60, detail))
            right += "".join(piece.text for piece in pieces).strip() == question.answer
        print(f"  {kind:16} {right / count:6.1%} of {count}", flush=True)


def open_tested(name: str, folder: Path, cache: Path) -> Engine:
    """The engine of this name, such as mlx or mlx-4 (for 4 bits), with the checkpoint."""
    engine, _, bits = name.partition("-")
    return open_engine(choose_engine(engine, int(bits or 16)), str(folder), cache)
