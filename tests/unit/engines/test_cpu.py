"""The CPU engine says what is true, token for token what transformers says, and quickly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from narrator.engines.cpu import MAX_GUESS, PROMPT_AT_ONCE, CpuEngine, DraftCache
from narrator.engines.cpu_layers import LanguageModel, text_linear
from narrator.engines.torch import TorchEngine
from narrator.frames.frame import Frame
from narrator.libraries import without_onednn
from narrator.settings import CLIP_PROMPT, DEFAULT_PROMPT
from support.asking import TOKENS, UNSEEN_SEED, caption, clip_of, exact_share, noise
from support.drawn_scenes import Scene, Shape, draw, random_clip, random_journey, spoil
from support.made_models import smolvlm_384

Scenes = tuple[list[np.ndarray], list[str]]
Clips = tuple[list[list[np.ndarray]], list[str]]

# ------------------------------------------------------------------------------------- what is true


def test_95_of_100_unseen_scenes_are_captioned_exactly(
    said_in_float32: list[str], scenes: Scenes
) -> None:
    assert exact_share(said_in_float32, scenes[1]) >= 0.95


@pytest.mark.parametrize("bits", [16, 8])
def test_what_is_quicker_is_at_most_a_point_less_exact(
    tiny: Path, said_in_float32: list[str], scenes: Scenes, bits: int
) -> None:
    engine = CpuEngine(tiny, torch.bfloat16, bits)
    said = [caption(engine, image) for image in scenes[0]]
    assert exact_share(said, scenes[1]) >= exact_share(said_in_float32, scenes[1]) - 0.01


def test_nine_of_ten_unseen_clips_are_captioned_exactly(
    said_of_clips: list[str], clips: Clips
) -> None:
    assert exact_share(said_of_clips, clips[1]) >= 0.9


OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_frames_in_the_wrong_order_give_the_opposite_answer(
    in_float32: CpuEngine, count: int
) -> None:
    rng = np.random.default_rng(UNSEEN_SEED + count)
    right = clips = 0
    while clips < 10:
        images, truth = random_clip(rng, count, moves=1.0)
        words = truth.rstrip(".").split()
        if words[-2] != "moving":
            continue
        clips += 1
        opposite = " ".join([*words[:-1], OPPOSITE[words[-1]]]) + "."
        right += caption(in_float32, *images[::-1]) == opposite
    assert right >= 9


@pytest.mark.parametrize(
    ("start", "end", "way"),
    [
        ((0.2, 0.5), (0.7, 0.5), "right"),
        ((0.8, 0.3), (0.4, 0.3), "left"),
        ((0.5, 0.8), (0.5, 0.3), "up"),
        ((0.3, 0.3), (0.3, 0.8), "down"),
    ],
)
def test_it_says_what_moves_where(
    in_float32: CpuEngine, start: tuple[float, float], end: tuple[float, float], way: str
) -> None:
    places = zip(np.linspace(start[0], end[0], 3), np.linspace(start[1], end[1], 3))
    images = [draw(Scene(Shape("circle", "red", x, y, 0.16))) for x, y in places]
    assert caption(in_float32, *images) == f"A red circle moving {way}."


def test_of_a_clip_in_which_nothing_moves_it_says_what_it_says_of_a_picture(
    in_float32: CpuEngine,
) -> None:
    image = draw(Scene(Shape("star", "yellow", 0.5, 0.5, 0.2)))
    assert caption(in_float32, image) == "A yellow star in the center."
    assert caption(in_float32, *[image] * 3) == "A yellow star in the center."


# ------------------------------------------------------------------- the same as transformers' own


ASKED = {
    "noise": ([noise()], False),
    "another size": ([noise(300, 200)], False),
    "in detail": ([noise()], True),
    "in detail and square": ([noise(480, 480)], True),
    "a clip of noise": ([noise(48, 64), noise(64, 48), noise(50, 50)], False),
}


def check_against_transformers(
    engine: CpuEngine, folder: Path, asked: list[tuple[list[np.ndarray], bool]], tokens: int
) -> None:
    """Compare logits with those of transformers' own model in float32, and tokens with its own
    generate; the tokens of TorchEngine, too."""
    from transformers import AutoModelForImageTextToText

    reference: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    library = TorchEngine(folder, "cpu", torch.float32)
    for images, detail in asked:
        clip = clip_of(*images)
        prompt = DEFAULT_PROMPT if len(clip) == 1 else CLIP_PROMPT
        ids, pixels = engine.prepare(clip, prompt, detail)
        inputs = {"input_ids": torch.tensor([ids]), "pixel_values": pixels[None]}
        with torch.inference_mode():
            logits = reference(**inputs, logits_to_keep=1).logits[:, -1]
        assert (engine.first_logits(clip, prompt, detail=detail) - logits).abs().max() < 1e-3
        made = reference.generate(**inputs, max_new_tokens=tokens, do_sample=False)[0, len(ids) :]
        expected = [token for token in made.tolist() if token not in engine._inputs.ends]
        assert list(engine._tokens(clip, prompt, tokens, detail)) == expected
        assert list(library._tokens(clip, prompt, tokens, detail)) == expected


def test_logits_and_tokens_are_those_of_transformers_own_generate(
    tiny: Path, in_float32: CpuEngine
) -> None:
    check_against_transformers(in_float32, tiny, list(ASKED.values()), TOKENS)


def test_they_are_so_for_the_geometry_of_the_2_2b_model_too(tmp_path: Path) -> None:
    folder = smolvlm_384(tmp_path / "model")
    check_against_transformers(CpuEngine(folder, torch.float32), folder, [ASKED["noise"]], 12)


def test_one_of_these_prompts_is_longer_than_what_is_taken_at_once(in_float32: CpuEngine) -> None:
    images, detail = ASKED["in detail and square"]
    assert len(in_float32.prepare(clip_of(*images), DEFAULT_PROMPT, detail)[0]) > PROMPT_AT_ONCE


def test_the_language_model_reads_the_newer_layout_of_the_rotary_base(
    tiny: Path, tmp_path: Path, in_float32: CpuEngine
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("demo.*"))
    config = json.loads((folder / "config.json").read_text())
    theta = config["text_config"].pop("rope_theta")
    config["text_config"]["rope_parameters"] = {"rope_theta": theta, "rope_type": "default"}
    (folder / "config.json").write_text(json.dumps(config))
    newer = CpuEngine(folder, torch.float32).first_logits(clip_of(noise()), DEFAULT_PROMPT)
    assert torch.equal(newer, in_float32.first_logits(clip_of(noise()), DEFAULT_PROMPT))


# ------------------------------------------------------------------------- what makes it quick


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("onednn", [True, False])
def test_one_row_gets_what_it_gets_among_others(dtype: torch.dtype, onednn: bool) -> None:
    linear = text_linear((torch.randn(96, 576) / 24).to(dtype))
    rows = torch.randn(6, 576)
    with without_onednn(not onednn):
        assert torch.backends.mkldnn.enabled is onednn
        alone = torch.cat([linear(row[None]) for row in rows])
    assert torch.backends.mkldnn.enabled
    assert alone.dtype is dtype
    torch.testing.assert_close(alone, linear(rows), atol=2e-2, rtol=1e-2)


def test_a_frame_of_the_last_clip_is_not_looked_at_again(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CpuEngine(tiny, torch.float32)
    looks: list[Any] = []
    see = engine._vision

    def counted(tile: Any) -> Any:
        looks.append(tile)
        return see(tile)

    monkeypatch.setattr(engine, "_vision", counted)
    rng = np.random.default_rng(5)
    journey = random_journey(rng, 5, moves=1.0)
    frames = clip_of(*(spoil(draw(scene), rng) for scene in journey))
    engine.first_logits(frames[:3], CLIP_PROMPT)
    assert len(looks) == 3
    later = engine.first_logits(frames[1:4], CLIP_PROMPT)
    assert len(looks) == 4
    fresh = CpuEngine(tiny, torch.float32).first_logits(frames[1:4], CLIP_PROMPT)
    assert torch.equal(later, fresh)
    engine.first_logits([frames[4]], CLIP_PROMPT)  # Frames of no clip any more are let go of.
    engine.first_logits([frames[1]], CLIP_PROMPT)
    assert len(looks) == 6
    engine.first_logits([frames[1]], CLIP_PROMPT, detail=True)
    assert len(looks) > 7


class Steps:
    """A language model that counts its steps."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.count = 0

    def __call__(self, x: torch.Tensor, last: bool = False) -> torch.Tensor:
        self.count += 1
        return self._model(x, last)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def steps_and_tokens(engine: CpuEngine, clips: list[list[Frame]]) -> tuple[int, list[list[int]]]:
    """How many steps the captions of these clips took, and their tokens."""
    model = engine._language
    steps = Steps(model)
    engine._language = steps  # type: ignore[assignment]
    tokens = [list(engine._tokens(clip, DEFAULT_PROMPT, TOKENS)) for clip in clips]
    engine._language = model
    return steps.count, tokens


class WrongDrafts(DraftCache):
    """Guesses what is never said."""

    def guess(self, said: list[int]) -> list[int]:
        return [5] * MAX_GUESS


def test_guesses_change_no_token_and_save_steps(tiny: Path, scenes: Scenes) -> None:
    clips = [clip_of(image) for image in scenes[0][:20]]
    plain, tokens = steps_and_tokens(CpuEngine(tiny, torch.float32, guesses=False), clips)
    engine = CpuEngine(tiny, torch.float32)
    engine._drafts = WrongDrafts(1)
    assert steps_and_tokens(engine, clips) == (plain, tokens)  # none is right, nothing is saved
    engine._drafts = DraftCache(32)
    assert steps_and_tokens(engine, clips)[1] == tokens
    again = steps_and_tokens(engine, clips)
    assert again[1] == tokens
    assert again[0] < plain / 2


def test_a_guess_is_what_followed_the_same_words_last() -> None:
    drafts = DraftCache(3)
    for said in ([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 9, 4, 5], [7, 2, 3]):
        drafts.keep(said)
    assert drafts.guess([1, 2, 3]) == [4, 5, 6, 7, 8]
    assert drafts.guess([66, 2, 3]) == [4, 5, 6, 7, 8]
    assert drafts.guess([1]) == [2, 9, 4, 5]  # the newer one; both are the first
    assert drafts.guess([66, 7, 2]) == [3]  # there was no more
    assert drafts.guess([66, 4]) == []  # one alone is not enough
    assert drafts.guess([66]) == []
    drafts.keep([8, 8, 8])  # and the oldest is forgotten
    assert drafts.guess([66, 2, 3]) == []
