"""How often the checkpoint answers unseen questions exactly, through the project's own engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Engine, Query
from narrator.frames.frame import Frame
from support.drawn_questions import (
    KINDS,
    Question,
)
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
from tiny_training.checkpoint import load_model
from tiny_training.model import see, wrong_answers
from tiny_training.pictures import squash
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


def evaluate(engine: Engine, count: int, kinds: Sequence[str], show: bool) -> None:
    """Print what share of each kind of question gets exactly the true answer, by the project's own
    engine, and of those about two shapes; if `show`, the wrong answers, too."""
    for kind in kinds:
        right: list[bool] = []
        for images, question, detail in held_out(kind, count):
            clip = [Frame(image, second, second) for second, image in enumerate(images)]
            told = said(engine, clip, question, detail)
            right.append(told == question.answer)
            if show and not right[-1]:
                print(f"    {question.text} {question.answer} -> {told}")
        two = right[3::4] if kind not in TESTED[:4] else []
        print(
            f"  {kind:16} {np.mean(right):6.1%} of {count}"
            + (f"; of two shapes {np.mean(two):.1%}" if two else ""),
            flush=True,
        )


@torch.no_grad()
def evaluate_follow_ups(folder: Path, count: int) -> None:
    """Print what share of short questions about what an earlier one spoke of ("And what colour?")
    is answered exactly, in scenes with two shapes; with that earlier question and its answer in the
    chat, and without."""
    model = load_model(folder, fresh=False).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rng = np.random.default_rng(TEST_SEED)
    asked: list[Question] = []
    frames: list[np.ndarray] = []
    while len(asked) < count:
        scene = clear_scene(rng, several=True)
        question = KINDS["follow-up"](rng, scene)
        if question.before is not None:
            asked.append(question)
            frames.append(squash(spoil(draw(scene), rng), rng))
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
    tokens = see(model, pixels)
    alone = [replace(question, before=None) for question in asked]
    for name, questions in (("with the earlier turn", asked), ("without", alone)):
        wrong = len(wrong_answers(model, tokenizer, tokens, questions))
        print(f"  follow-up {name}: {1 - wrong / count:.1%} of {count}")


def said(engine: Engine, clip: Sequence[Frame], question: Question, detail: bool = False) -> str:
    """What `engine` answers."""
    pieces = engine.describe(Query(clip, question.text, 60, detail))
    return "".join(piece.text for piece in pieces).strip()


def open_tested(name: str, folder: Path, cache: Path) -> Engine:
    """The engine of this name, such as mlx or mlx-4 (for 4 bits), with the checkpoint."""
    engine, _, bits = name.partition("-")
    return open_engine(choose_engine(engine, int(bits or 16)), str(folder), cache)
