"""What the small checkpoint is asked and is to answer, as the tokens of a chat."""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Tokenizer

from support.drawn_scenes import (
    Scene,
    caption_of,
    caption_of_clip,
)
from tiny_training.pictures import IMAGE_TOKENS
from tiny_training.questions import (
    DESCRIBE_PROMPT,
    HELD_OUT,
    KINDS,
    Question,
    ask_unknowable,
    pick,
)

DEFAULT_PROMPT = DESCRIBE_PROMPT
CLIP_PROMPT = "Describe what happens in one short sentence."
PROMPTS = (
    "Describe this image.",
    "Describe the image in one sentence.",
    "Describe the picture briefly.",
    "Describe the scene.",
    "Describe this image in detail.",
    "Can you describe this image?",
    "What do you see?",
    "What is in the picture?",
    "What is in this image?",
    "What is this?",
    "What is there?",
    "What is in front of me?",
    "What is it?",
    "What can you see here?",
    "What is happening?",
    "What is on the wall?",
    "Tell me what you see.",
    "Tell me about this picture.",
    "Caption this.",
    "Write a caption for this image.",
    "In one sentence, what is shown?",
    "Say something.",
    "Please look again.",
    "Did anything change?",
    "Hello!",
    "",
)
MIX = {  # how often each kind of question is trained
    "caption": 0.17,
    "colour": 0.09,
    "shape": 0.09,
    "where": 0.09,
    "what": 0.07,
    "how many": 0.07,
    "yes or no": 0.22,
    "can't know": 0.03,
    "more": 0.07,
    "follow-up": 0.1,
}

HARD_MIX = {  # at first in the last stage, mostly about two shapes: what takes longest to learn
    "caption": 0.06,
    "colour": 0.13,
    "shape": 0.14,
    "where": 0.13,
    "what": 0.13,
    "how many": 0.06,
    "yes or no": 0.15,
    "can't know": 0.02,
    "more": 0.05,
    "follow-up": 0.13,
}

START, END, TURN_END = "<|im_start|>", "<|im_end|>", "<end_of_utterance>"


def image_text(rows: int = 0, columns: int = 0) -> str:
    """What stands for a picture in a prompt; of so many tiles and the whole, if it is split."""
    fake, images = "<fake_token_around_image>", "<image>" * IMAGE_TOKENS
    tiles = [
        f"{fake}<row_{row}_col_{column}>{images}" + ("\n" if column == columns else "")
        for row in range(1, rows + 1)
        for column in range(1, columns + 1)
    ]
    return "".join([*tiles, "\n" if tiles else "", f"{fake}<global-img>{images}{fake}"])


def chat(
    prompt: str,
    seconds: Sequence[int] = (0,),
    before: tuple[str, str] | None = None,
    grid: tuple[int, int] = (0, 0),
) -> str:
    """What the chat template and the processor make of `prompt` and one picture, or of a clip whose
    frames were taken at `seconds`. `before`: an earlier question and its answer. `grid`: rows and
    columns of tiles, if the picture is split."""
    if before is not None:
        first = chat(before[0], seconds, grid=grid)
        return f"{first} {before[1]}{TURN_END}\nUser: {prompt}{TURN_END}\nAssistant:"
    if len(seconds) == 1:
        return f"{START}User:{image_text(*grid)}{prompt}{TURN_END}\nAssistant:"
    count = ("zero", "one", "two", "three", "four")[len(seconds)]
    frames = "".join(f"\nFrame from 00:{second:02d}:{image_text()}" for second in seconds)
    return (
        f"{START}User: You are provided the following series of {count} frames from a "
        f"0:00:{seconds[-1]:02d} [H:MM:SS] video.\n{frames}\n\n{prompt}{TURN_END}\nAssistant:"
    )


def random_prompt(rng: np.random.Generator, clip: bool = False) -> str:
    """The narrator's prompt half of the time, else another one or letters without meaning."""
    chance = rng.random()
    if chance < 0.5:
        return CLIP_PROMPT if clip or chance < 0.05 else DEFAULT_PROMPT
    if chance < 0.85:
        return (*PROMPTS, CLIP_PROMPT, DEFAULT_PROMPT)[rng.integers(len(PROMPTS) + 2)]
    letters = list(string.ascii_letters + string.digits + "      .,?!'-")
    return "".join(rng.choice(letters, rng.integers(1, 24)))


def random_question(
    rng: np.random.Generator, scene: Scene, mix: dict[str, float] = MIX
) -> Question:
    """A question about one picture, its kind as likely as `mix` says."""
    kind = str(rng.choice(list(mix), p=list(mix.values())))
    if kind == "caption":
        return Question(random_prompt(rng), caption_of(scene))
    return KINDS[kind](rng, scene)


def random_clip_question(rng: np.random.Generator, scenes: Sequence[Scene]) -> Question:
    """A question about a clip: what happens, or now and then one about its last frame."""
    if len(scenes) == 1:
        return random_question(rng, scenes[0])
    if rng.random() < 0.75:
        return Question(random_prompt(rng, clip=True), caption_of_clip(scenes))
    kind = pick(rng, ("colour", "shape", "where", "how many", "yes or no", "can't know"))
    return KINDS[kind](rng, scenes[-1])


def turns_of(
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    seconds: Sequence[int] = (0,),
    grid: tuple[int, int] = (0, 0),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of questions and their answers, int64 (n, longest), and the same with -100 where
    nothing is to learn."""
    rows: list[list[int]] = []
    labels: list[list[int]] = []
    for question in questions:
        asked = tokenizer.encode(chat(question.text, seconds, question.before, grid)).ids
        told = tokenizer.encode(f" {question.answer}{TURN_END}").ids
        rows.append(asked + told)
        labels.append([-100] * len(asked) + told)
    width = max(map(len, rows))
    pad = tokenizer.token_to_id(END)
    assert pad is not None
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    return ids, torch.tensor([row + [-100] * (width - len(row)) for row in labels])


def held_out_question(rng: np.random.Generator, kind: str, scene: Scene) -> Question:
    """As in training, but what can't be known is asked in words that training has not seen."""
    if kind == "can't know":
        return ask_unknowable(rng, scene, sorted(HELD_OUT))
    return KINDS[kind](rng, scene)
