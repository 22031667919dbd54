"""MlxEngine on the small checkpoint, which really sees: drawn scenes in, true captions out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_scenes import random_scene

import pete_sounds
from pete_sounds import DEFAULT_PROMPT, MlxEngine, PeteError, find_weights

UNSEEN_SEED = 20261123  # training and its own evaluation use others
SCENES = 300


@pytest.fixture(scope="module")
def quantised(tiny: Path) -> MlxEngine:
    """The engine as --demo has it: the small checkpoint at 4 bits."""
    return MlxEngine(find_weights(str(tiny)), max_tokens=32)


def caption(engine: MlxEngine, image: np.ndarray, prompt: str = DEFAULT_PROMPT) -> str:
    return "".join(engine.describe(image, prompt)).strip()


def exact_share(engine: MlxEngine) -> float:
    """The share of unseen scenes whose caption is right to the letter."""
    rng = np.random.default_rng(UNSEEN_SEED)
    scenes = [random_scene(rng) for _ in range(SCENES)]
    return sum(caption(engine, image) == truth for image, truth in scenes) / SCENES


def test_at_four_bits_95_of_100_unseen_scenes_are_captioned_exactly(quantised: MlxEngine) -> None:
    assert exact_share(quantised) >= 0.95


def test_in_float_95_of_100_unseen_scenes_are_captioned_exactly(tiny: Path) -> None:
    assert exact_share(MlxEngine(tiny, max_tokens=32)) >= 0.95


def red_circle() -> np.ndarray:
    """A red circle in the middle of a grey frame: shape (480, 640, 3), uint8, BGR."""
    import cv2

    image = np.full((480, 640, 3), 128, np.uint8)
    cv2.circle(image, (320, 240), 80, (40, 40, 210), -1, cv2.LINE_AA)
    return image


def test_frames_are_taken_as_bgr(quantised: MlxEngine) -> None:
    assert caption(quantised, red_circle()) == "A red circle in the center."
    assert caption(quantised, red_circle()[..., ::-1]) == "A blue circle in the center."


def test_the_same_frame_gives_the_same_caption(quantised: MlxEngine) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    assert caption(quantised, noise) == caption(quantised, noise)


def test_a_caption_comes_in_pieces_and_can_be_interrupted(quantised: MlxEngine) -> None:
    pieces = list(quantised.describe(red_circle(), DEFAULT_PROMPT))
    assert len([piece for piece in pieces if piece]) > 2
    started = quantised.describe(red_circle(), DEFAULT_PROMPT)
    next(started)
    started.close()  # type: ignore[attr-defined]
    assert caption(quantised, red_circle()) == "A red circle in the center."


def test_max_tokens_ends_a_caption(tiny: Path) -> None:
    engine = MlxEngine(find_weights(str(tiny)), max_tokens=2)
    assert 0 < len(caption(engine, red_circle())) < len("A red circle in the center.")


@pytest.mark.parametrize("size", [(1, 1), (16, 1600), (1080, 1920), (31, 57)])
def test_a_frame_of_any_size_is_one_tile(
    quantised: MlxEngine, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt_tokens = []
    real = quantised._mlx_vlm.stream_generate

    def counting(*arguments: object, **settings: object):  # type: ignore[no-untyped-def]
        for result in real(*arguments, **settings):
            prompt_tokens.append(result.prompt_tokens)
            yield result

    monkeypatch.setattr(quantised._mlx_vlm, "stream_generate", counting)
    assert caption(quantised, np.full((*size, 3), 120, np.uint8))
    caption(quantised, red_circle())
    assert len(set(prompt_tokens)) == 1


def test_torch_is_not_imported_for_mlx(tiny: Path) -> None:
    script = (
        "import pathlib, sys, pete_sounds as p\n"
        "p.MlxEngine(p.find_weights(sys.argv[1]), 8)\n"
        "print(sys.modules.get('torch'), [m for m in sys.modules if m.startswith('torch.')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tiny)], cwd=pete_sounds.PROJECT,
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert result.stdout == "None []\n"


def test_a_folder_that_is_no_model_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "smolvlm"}')
    with pytest.raises(PeteError, match="can't be loaded") as caught:
        MlxEngine(tmp_path, 8)
    assert caught.value.exit_code is pete_sounds.ExitCode.MODEL
