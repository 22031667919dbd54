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
from narrator.settings import DEFAULT_PROMPT
from support.asking import caption, clip_of, noise

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
def engine(
    request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> Engine:
    return ENGINES[request.param](tiny, tmp_path_factory.mktemp("cache"))


def red_circle() -> np.ndarray:
    """A red circle in the middle of a grey frame: shape (480, 640, 3), uint8, BGR."""
    image = np.full((480, 640, 3), 128, np.uint8)
    cv2.circle(image, (320, 240), 80, (40, 40, 210), -1, cv2.LINE_AA)
    return image


def test_frames_are_taken_as_bgr(engine: Engine) -> None:
    assert caption(engine, red_circle()) == TRUTH
    assert caption(engine, red_circle()[..., ::-1]) == "A blue circle in the center."


def test_the_same_frame_gives_the_same_caption(engine: Engine) -> None:
    assert caption(engine, noise()) == caption(engine, noise())


def test_a_caption_comes_in_pieces_and_can_be_cancelled(engine: Engine) -> None:
    pieces = list(engine.describe(clip_of(red_circle()), DEFAULT_PROMPT, 32))
    assert len([piece for piece in pieces if piece]) > 2
    started = engine.describe(clip_of(red_circle()), DEFAULT_PROMPT, 32)
    next(started)
    started.close()  # type: ignore[attr-defined]
    assert caption(engine, red_circle()) == TRUTH


def test_max_tokens_ends_a_caption(engine: Engine) -> None:
    assert 0 < len(caption(engine, red_circle(), max_tokens=5)) < len(TRUTH)
    assert caption(engine, red_circle(), max_tokens=60) == TRUTH


def prompt_length(engine: Engine, detail: bool) -> int:
    """Tokens of a prompt with its picture."""
    prepared = engine.prepare(clip_of(red_circle()), DEFAULT_PROMPT, detail)
    parts = prepared if isinstance(prepared, tuple) else (prepared,)  # mlx: a text, and inputs
    inputs = parts[-1]
    return int(np.asarray(inputs["input_ids"] if isinstance(inputs, dict) else parts[0]).size)


def test_detail_is_a_matter_of_one_caption(engine: Engine) -> None:
    assert prompt_length(engine, detail=True) > 4 * prompt_length(engine, detail=False)
    assert list(engine.describe(clip_of(red_circle()), DEFAULT_PROMPT, 2, detail=True))
    assert caption(engine, red_circle()) == TRUTH


def test_a_longer_prompt_than_the_last_one_fits(engine: Engine) -> None:
    assert caption(engine, red_circle(), prompt="What is there?")
    longer = "Look closely at the picture. " * 20 + "What is there?"
    assert caption(engine, red_circle(), prompt=longer)
    assert caption(engine, red_circle()) == TRUTH


def test_it_says_what_it_is_and_what_memory_it_took(engine: Engine) -> None:
    assert engine.label.split()[0] in ("mlx", "OpenVINO", "torch")
    assert 10**8 < engine.peak_memory() < 10**11
