"""Prompts and pixels: what transformers' own processor makes of the same frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from narrator.errors import ModelError
from narrator.frames.frame import Frame
from narrator.models.smolvlm import SmolVlmInputs
from narrator.settings import CLIP_PROMPT, MAX_CLIP_FRAMES
from support import made_models
from support.asking import clip_of, noise
from support.drawn_scenes import draw, random_journey, spoil

IMAGE_TOKEN = 21  # of the bundled tokenizer
PROMPT = "What is that?"
ASKING: dict[str, Any] = {
    "add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "np",
}  # fmt: skip


GREY = np.full((48, 64, 3), 100, np.uint8)


def at_seconds(seconds: Sequence[float], *images: np.ndarray) -> list[Frame]:
    """A clip of pictures, each of GREY unless given, that were taken then."""
    clip = clip_of(*(images or [GREY] * len(seconds)))
    return [replace(frame, taken=100.0 + at, at=7.25 + at) for frame, at in zip(clip, seconds)]


def prepared(
    inputs: SmolVlmInputs, clip: Sequence[Frame], prompt: str, detail: bool = False
) -> tuple[list[int], np.ndarray]:
    """The token numbers of a prompt about a clip, and the clip's pixels."""
    return inputs.numbers(clip, prompt, detail), inputs.pixels(clip, detail)


def picture_as_transformers_asks(processor: Any, frame: Frame, detail: bool) -> Any:
    """What transformers makes of the same frame and PROMPT."""
    processor.image_processor.do_image_splitting = detail
    content = [{"type": "image", "image": frame.rgb()}, {"type": "text", "text": PROMPT}]
    return processor.apply_chat_template([{"role": "user", "content": content}], **ASKING)


def clip_as_transformers_asks(
    processor: Any, images: Sequence[np.ndarray], seconds: Sequence[int]
) -> Any:
    """What transformers makes of the same frames, seconds and PROMPT."""
    from transformers.video_utils import VideoMetadata

    content = [{"type": "video"}, {"type": "text", "text": PROMPT}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    when = VideoMetadata(total_num_frames=len(images), fps=1.0, frames_indices=list(seconds))
    return processor(
        text=text,
        videos=[np.stack([image[..., ::-1] for image in images])],
        video_metadata=[when],
        do_sample_frames=False,
        return_tensors="pt",
    )


@pytest.fixture(scope="module")
def processor(tiny: Path) -> Any:
    """transformers' own processor of the small checkpoint."""
    return made_models.transformers_processor(tiny)


# ---------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (31, 57), (512, 512)])
@pytest.mark.parametrize("detail", [False, True], ids=["one tile", "detail"])
def test_a_picture_is_asked_about_as_transformers_own_processor_asks(
    tiny: Path, processor: Any, detail: bool, size: tuple[int, int]
) -> None:
    clip = clip_of(cv2.GaussianBlur(noise(*size), (0, 0), 5))
    theirs = picture_as_transformers_asks(processor, clip[0], detail)
    ids, pixels = prepared(SmolVlmInputs(tiny), clip, PROMPT, detail)
    assert ids == theirs["input_ids"][0].tolist()
    assert pixels.shape == theirs["pixel_values"][0].shape
    # It resizes twice, by way of a larger picture, and rounds between: near, but not the same.
    assert np.abs(pixels - theirs["pixel_values"][0]).mean() < 0.02


def test_at_384_pixels_too(tmp_path: Path) -> None:
    """The geometry of SmolVLM2 2.2B. A picture of one colour stays as it is, however it is
    resized."""
    folder = made_models.smolvlm_384(tmp_path / "384")
    processor = made_models.transformers_processor(folder)
    for size, detail in (((31, 57), False), ((480, 640), True), ((1080, 1920), True)):
        clip = clip_of(np.full((*size, 3), (30, 20, 220), np.uint8))
        theirs = picture_as_transformers_asks(processor, clip[0], detail)
        ids, pixels = prepared(SmolVlmInputs(folder), clip, PROMPT, detail)
        assert ids == theirs["input_ids"][0].tolist()
        assert ids.count(IMAGE_TOKEN) == 81 * len(pixels)
        assert pixels.shape == theirs["pixel_values"][0].shape
        assert np.abs(pixels - theirs["pixel_values"][0]).max() < 1e-5


def test_a_smolvlm_as_transformers_5_saves_it_is_prepared_the_same(
    tiny: Path, model: Path, processor: Any
) -> None:
    """It keeps the settings for pictures in processor_config.json."""
    (model / "preprocessor_config.json").unlink()
    processor.save_pretrained(model)
    assert not (model / "preprocessor_config.json").exists()
    found = prepared(SmolVlmInputs(model), clip_of(noise()), PROMPT, detail=True)
    expected = prepared(SmolVlmInputs(tiny), clip_of(noise()), PROMPT, detail=True)
    assert found[0] == expected[0]
    assert np.array_equal(found[1], expected[1])


# ------------------------------------------------------------------------------------------- clips


@pytest.mark.parametrize("seconds", [(0, 1), (0, 1, 75), tuple(range(MAX_CLIP_FRAMES))])
def test_a_clip_is_asked_about_as_transformers_own_processor_asks(
    tiny: Path, processor: Any, seconds: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(3)
    images = [spoil(draw(scene), rng) for scene in random_journey(rng, len(seconds))]
    theirs = clip_as_transformers_asks(processor, images, seconds)
    ids, pixels = prepared(SmolVlmInputs(tiny), at_seconds(seconds, *images), PROMPT)
    assert ids == theirs["input_ids"][0].tolist()
    assert pixels.shape == theirs["pixel_values"][0].shape == (len(seconds), 3, 128, 128)
    # It resizes in another way, with torchvision: near, but not the same.
    assert np.abs(pixels - theirs["pixel_values"][0].numpy()).mean() < 0.02


def test_a_question_that_follows_is_a_turn_as_in_transformers_own_processor(
    tiny: Path, processor: Any
) -> None:
    texts = {"user": "What is there?", "assistant": "A cat."}
    messages: list[dict[str, Any]] = [
        {"role": role, "content": [{"type": "text", "text": text}]} for role, text in texts.items()
    ]
    messages[0]["content"].insert(0, {"type": "image", "image": clip_of(GREY)[0].rgb()})
    messages.append({"role": "user", "content": [{"type": "text", "text": PROMPT}]})
    processor.image_processor.do_image_splitting = False
    expected = processor.apply_chat_template(messages, **ASKING)
    before = ("What is there?", "A cat.")
    ids = SmolVlmInputs(tiny).numbers(clip_of(GREY), PROMPT, before=before)
    assert ids == expected["input_ids"][0].tolist()


def test_a_camera_that_is_a_little_late_changes_no_word(tiny: Path) -> None:
    inputs = SmolVlmInputs(tiny)
    ids = inputs.numbers(at_seconds((0.0, 1.0, 2.0)), CLIP_PROMPT)
    assert inputs.numbers(at_seconds((0.03, 0.98, 2.4)), CLIP_PROMPT) == ids
    assert inputs.numbers(at_seconds((0.0, 1.0, 2.6)), CLIP_PROMPT) != ids


# ---------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        *(("processor_config.json", {"image_seq_len": number}) for number in (-1, 17, 10**9)),
        ("config.json", {"image_token_id": 10**9}),
        *(("config.json", {"scale_factor": number}) for number in (-1, 1)),
        *(("preprocessor_config.json", {"size": {"longest_edge": n}}) for n in (-1, 0, 10**9)),
        ("preprocessor_config.json", {"max_image_size": {"longest_edge": 17}}),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5, 0]}),
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5, float("nan")]}),
        ("chat_template.json", {"chat_template": "no place for a picture"}),
    ],
)
def test_what_does_not_fit_the_model_is_refused(
    model: Path, file: str, changes: dict[str, Any]
) -> None:
    made_models.change_json(model / file, **changes)
    told = "not have one place for each picture" if "chat" in file else f"{file}.* can't be used"
    with pytest.raises(ModelError, match=told):
        SmolVlmInputs(model)
