"""What every engine does, on the small checkpoint, which really sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Engine
from narrator.engines.torch import TorchEngine
from support.asking import caption, chances, clip_of, noise, query, text_of

Make = Callable[[Path, Path], Engine]  # from a checkpoint's folder, and a cache

ENGINES: dict[str, Make] = {
    "openvino": lambda folder, cache: open_engine(
        choose_engine("openvino", 16), str(folder), cache
    ),
    "transformers": lambda folder, _: TorchEngine(folder, "cpu", torch.float32),
    "mlx": lambda folder, cache: open_engine(choose_engine("mlx", 4), str(folder), cache),
}
TRUTH = "A red circle in the center."


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, tiny: Path, cache: Path) -> Engine:
    return ENGINES[request.param](tiny, cache)


def red_circle() -> np.ndarray:
    """A red circle in the middle of a grey frame: shape (480, 640, 3), uint8, BGR."""
    image = np.full((480, 640, 3), 128, np.uint8)
    cv2.circle(image, (320, 240), 80, (40, 40, 210), -1, cv2.LINE_AA)
    return image


def test_frames_are_taken_as_bgr(engine: Engine) -> None:
    assert caption(engine, red_circle()) == TRUTH
    assert caption(engine, red_circle()[..., ::-1]) == "A blue circle in the center."


def test_a_caption_comes_in_pieces_and_can_be_cancelled(engine: Engine) -> None:
    pieces = list(engine.describe(query(clip_of(red_circle()))))
    assert len([piece for piece in pieces if piece]) > 2
    started = engine.describe(query(clip_of(red_circle())))
    next(started)
    started.close()  # type: ignore[attr-defined]
    assert caption(engine, red_circle()) == TRUTH


def test_max_tokens_ends_a_caption(engine: Engine) -> None:
    assert 0 < len(caption(engine, red_circle(), max_tokens=5)) < len(TRUTH)
    assert caption(engine, red_circle(), max_tokens=60) == TRUTH


def test_a_longer_prompt_than_the_last_one_fits(engine: Engine) -> None:
    assert caption(engine, red_circle(), prompt="What is there?")
    longer = "Look closely at the picture. " * 20 + "What is there?"
    assert caption(engine, red_circle(), prompt=longer)
    assert caption(engine, red_circle()) == TRUTH


def test_each_token_has_the_probability_it_was_chosen_with(
    engine: Engine, in_float32: TorchEngine
) -> None:
    assert engine.label.split()[0] in ("mlx", "OpenVINO", "torch")
    halves = np.concatenate([red_circle()[:, :320], red_circle()[:, 320:, ::-1]], axis=1)
    for image in (red_circle(), halves, noise()):
        expected, found = (
            chances(one, query(clip_of(image), max_tokens=4)) for one in (in_float32, engine)
        )
        assert found == pytest.approx(expected, abs=0.15 if "mlx" in engine.label else 0.05)


QUESTIONS = ["Is there a red circle? Answer yes or no.", "Is there a star? Answer yes or no."]


def test_each_question_is_answered_as_if_it_were_the_only_one(
    engine: Engine, in_float32: TorchEngine
) -> None:
    seen = query(clip_of(red_circle()))
    asked = [*QUESTIONS, "Is it true that there is a circle? Answer yes or no.", *QUESTIONS]
    together = engine.likelihoods(seen, asked)
    alone = [engine.likelihoods(seen, [one])[0] for one in asked]
    assert together == pytest.approx(alone, abs=0.03)
    assert together == pytest.approx(in_float32.likelihoods(seen, asked), abs=0.1)
    assert text_of(engine.describe(seen)).strip() == TRUTH  # of what was seen for the questions
    assert engine.likelihoods(query(clip_of(noise())), asked) != together
    assert engine.likelihoods(seen, asked[:1]) == pytest.approx(together[:1], abs=0.03)


def test_in_detail_what_is_seen_is_something_else_for_one_caption(engine: Engine) -> None:
    clip = clip_of(red_circle())
    assert list(engine.describe(query(clip, max_tokens=2, detail=True)))
    closer = engine.likelihoods(query(clip, detail=True), QUESTIONS)
    assert engine.likelihoods(query(clip), QUESTIONS) != closer
    assert caption(engine, red_circle()) == TRUTH
