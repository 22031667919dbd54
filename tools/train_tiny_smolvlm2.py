"""Train the small SmolVLM2 checkpoint in tests/tiny_smolvlm2/ from nothing, and measure it.

The result has the file layout, the architecture and the configuration keys of
HuggingFaceTB/SmolVLM2-256M-Video-Instruct at less than a fiftieth of its size. It describes drawn
scenes and clips (tests/support/drawn_scenes.py) in one sentence, and answers the questions of
tests/support/drawn_questions.py; what is no such question gets the description, what no picture can
tell "I can't tell." Nothing in it comes from a trained model.

Stages, in order: a tokenizer is built; scenes are drawn once and squashed to the vision tower's
square; the eyes (vision tower and connector) learn kind, colour, place and outline from those
through a head that is thrown away afterwards; then the whole model learns to answer. Each batch
moves, mirrors and relights its pictures, so that few are seen twice. In every other step the
language weights are rounded as mlx's 4-bit conversion will round them, so that the answers survive
it.

The last stage teaches the language model alone, on image tokens that the eyes made once: to find
what is asked for among two shapes, what moves where in clips of two to four frames, and pictures
in tiles. What it is to find is learned late and at once, mostly from hard questions, and not while
weights are rounded. On a busy machine one thread (--threads 1) is quicker than two: the matrices
are small.

What helped the eyes to learn within minutes on two cores, each seen in a short trial: the largest
shapes first, image tokens that all vote on the kind, a patch embedding that starts from smooth
cosines, and Muon for the matrices.

How the checkpoint in tests/tiny_smolvlm2 was made: an earlier one, of single shapes and clips, had
30 minutes for the first two stages on two cores, and 15 on one for clips. From that, with two
layers and 128 words more, --continue-from went on on two cores that others used, too: 600 and 2200
steps of the second stage with 24 pictures each (35 minutes), then 500, 2600 and 1000 steps of the
last one (45 minutes; in the last 1000 all kinds of questions, three fifths about two shapes). The
defaults below do about as much in one go from nothing, which nobody has tried. Yes or no is read
from one token each, " Yes" and " No".

    python tools/train_tiny_smolvlm2.py                     # train, write tests/tiny_smolvlm2
    python tools/train_tiny_smolvlm2.py --evaluate-only --engine torch mlx mlx-4 openvino

It needs what requirements.txt lists, and torch.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.utils.parametrize
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))

from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Engine
from narrator.frames.frame import Frame
from support.drawn_questions import (
    DESCRIBE_PROMPT,
    HELD_OUT,
    KINDS,
    Question,
    ask_unknowable,
)
from support.drawn_scenes import (
    BORDERS,
    COLOURS,
    MOVED,
    SHAPES,
    Scene,
    Shape,
    caption_of,
    caption_of_clip,
    draw,
    every_caption,
    is_clear,
    place_of,
    random_clip,
    random_journey,
    random_layout,
    random_pair,
    random_scene,
    spoil,
    way_of,
    write_demo_clip,
)
from support.program import TINY

TILE = 128  # pixels, the side of the vision tower's square
PATCH = 16
CELL = 4  # pixels, the grain of the silhouettes that the eyes learn to trace
SCALE = 2  # pixel shuffle: (128 / 16 / 2) ** 2 = 16 image tokens
IMAGE_TOKENS = (TILE // PATCH // SCALE) ** 2
VOCABULARY = 640
FIRST_TOKENS = 512  # of those: byte pairs found in captions; the others are whole words
TEXT_LAYERS = 5
DETAIL_GRID = (3, 4)  # rows and columns of tiles, for most cameras' frames
CLIP_FRAMES = 4  # of a clip at most
TRAIN_SEED, TEST_SEED = 20, 1234567

PAIRS = 0.4  # of the scenes drawn
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
MOTION_CAPTIONS = (  # for the tokenizer
    "A red circle moving right.",
    "A blue square moving left.",
    "A green triangle moving up.",
    "An orange star moving down.",
    "A white star coming in from the left.",
)

TESTED = (
    "caption of one",
    "other prompts",
    "caption of two",
    "clips",
    *(kind for kind in KINDS if kind not in ("caption", "follow-up")),
)

START, END, TURN_END = "<|im_start|>", "<|im_end|>", "<end_of_utterance>"
SPECIAL_TOKENS = [
    "<|endoftext|>",
    START,
    END,
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
    "<fake_token_around_image>",
    "<image>",
    TURN_END,
]
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


# -------------------------------------------------------------------------- files of the checkpoint


def build_tokenizer() -> Tokenizer:
    """A byte-level BPE of `VOCABULARY` tokens: any text can be encoded, the grammar's words in one
    token each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=FIRST_TOKENS,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    turns = ["User:", "Assistant:"] * 300
    text = (
        every_caption() * 3
        + list(MOTION_CAPTIONS) * 40
        + [DEFAULT_PROMPT] * 60
        + list(PROMPTS)
        + turns
    )
    tokenizer.train_from_iterator(text, trainer)
    return with_words(tokenizer)


def with_words(tokenizer: Tokenizer) -> Tokenizer:
    """`tokenizer` with the words of answers and questions that it would split, the most frequent
    first, as tokens of their own, until there are `VOCABULARY`; what it has keeps its number."""
    rng = np.random.default_rng(TRAIN_SEED)
    counts: Counter[str] = Counter()
    for number in range(20_000):
        scene = random_pair(rng) if number % 2 else random_layout(rng)
        question = random_question(rng, scene)
        turns = [(question.text, question.answer), *([question.before] if question.before else [])]
        for asked, told in turns:
            split = tokenizer.pre_tokenizer.pre_tokenize_str
            counts.update(word for word, _ in split(asked))
            counts.update({word: 5 for word, _ in split(f" {told}")})
    for word, _ in counts.most_common():
        state = json.loads(tokenizer.to_str())
        vocabulary, merges = state["model"]["vocab"], state["model"]["merges"]
        parts = [token.value for token in tokenizer.model.tokenize(word)]
        while len(parts) > 1 and len(vocabulary) < VOCABULARY:
            merges.append(parts[:2])
            parts[:2] = ["".join(parts[:2])]
            vocabulary[parts[0]] = len(vocabulary)
        tokenizer = Tokenizer.from_str(json.dumps(state))
        if len(vocabulary) == VOCABULARY:
            break
    return tokenizer


def model_config(tokenizer: Tokenizer) -> dict:
    """config.json in the keys of the official repository (with `rope_theta`, which mlx-vlm
    reads)."""
    token = tokenizer.token_to_id
    return {
        "architectures": ["SmolVLMForConditionalGeneration"],
        "bos_token_id": token(START),
        "eos_token_id": token(TURN_END),
        "image_token_id": token("<image>"),
        "model_type": "smolvlm",
        "pad_token_id": token(END),
        "scale_factor": SCALE,
        "text_config": {
            "architectures": ["VLlama3ForCausalLM"],
            "bos_token_id": token(START),
            "eos_token_id": token(TURN_END),
            "head_dim": 32,
            "hidden_size": 128,
            "intermediate_size": 384,
            "is_llama_config": True,
            "max_position_embeddings": 2048,
            "model_type": "llama",
            "num_attention_heads": 4,
            "num_hidden_layers": TEXT_LAYERS,
            "num_key_value_heads": 2,
            "pad_token_id": token(END),
            "pixel_shuffle_factor": SCALE,
            "rms_norm_eps": 1e-05,
            "rope_theta": 100000,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "vocab_size": VOCABULARY,
        },
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vision_config": {
            "hidden_size": 192,
            "image_size": TILE,
            "intermediate_size": 576,
            "max_image_size": {"longest_edge": TILE},
            "model_type": "smolvlm_vision",
            "num_attention_heads": 6,
            "num_hidden_layers": 3,
            "patch_size": PATCH,
            "size": {"longest_edge": 4 * TILE},
            "tie_word_embeddings": False,
        },
        "vocab_size": VOCABULARY,
    }


def processor_configs() -> dict[str, dict]:
    """The processor's files. One tile a picture: the model has never seen a tiled one."""
    return {
        "preprocessor_config.json": {
            "do_convert_rgb": True,
            "do_image_splitting": False,
            "do_normalize": True,
            "do_pad": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SmolVLMImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "max_image_size": {"longest_edge": TILE},
            "processor_class": "SmolVLMProcessor",
            "resample": 1,
            "rescale_factor": 1 / 255,
            "size": {"longest_edge": 4 * TILE},
            "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": TILE}},
        },
        "processor_config.json": {
            "image_seq_len": IMAGE_TOKENS,
            "processor_class": "SmolVLMProcessor",
        },
        "chat_template.json": {"chat_template": CHAT_TEMPLATE},
    }


def tokenizer_configs(tokenizer: Tokenizer) -> dict[str, dict]:
    """The files beside tokenizer.json."""
    names = {
        "bos_token": START,
        "end_of_utterance_token": TURN_END,
        "eos_token": TURN_END,
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "image_token": "<image>",
        "pad_token": END,
        "unk_token": "<|endoftext|>",
    }
    extra = ["<fake_token_around_image>", "<image>", TURN_END]
    flags = {
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": True,
    }
    added = {str(tokenizer.token_to_id(text)): {"content": text} | flags for text in SPECIAL_TOKENS}
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": extra,
        "clean_up_tokenization_spaces": False,
        "extra_special_tokens": {
            k: v for k, v in names.items() if "image" in k or "utterance" in k
        },
        "model_max_length": 2048,
        "processor_class": "SmolVLMProcessor",
        "tokenizer_class": "GPT2Tokenizer",
        "truncation_side": "left",
        "vocab_size": VOCABULARY,
    }
    return {
        "tokenizer_config.json": config | names,
        "special_tokens_map.json": {"additional_special_tokens": extra} | names,
    }


def write_layout(folder: Path, tokenizer: Tokenizer) -> None:
    """Write every file of the checkpoint but its weights and the clip."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model_config(tokenizer)
    generation = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    files = {
        "config.json": config,
        "generation_config.json": {"_from_model_config": True} | generation,
    }
    files |= processor_configs() | tokenizer_configs(tokenizer)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"))


def write_weights(folder: Path, model: nn.Module) -> None:
    """Write model.safetensors in bfloat16, as the official weights are."""
    state = model.state_dict()
    state = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in state.items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


# ----------------------------------------------------------------------------------------- pictures


@dataclass
class Pool:
    """Drawn pictures, squashed to the tile. `pixels`: uint8 RGB (n, TILE, TILE, 3). Of two shapes
    each: `colour` and `kind`, class numbers (n, 2); `kind` is len(SHAPES) where there is none;
    `spot`: centre x and y, fractions (n, 2, 2); `reach`: the radius as fractions of width and
    height (n, 2, 2)."""

    pixels: np.ndarray
    colour: np.ndarray
    kind: np.ndarray
    spot: np.ndarray
    reach: np.ndarray


def squash(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A BGR frame as an RGB tile, resized in one of the ways that the processors or the narrator
    may choose."""
    rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    way = rng.random()
    if way < 0.4:
        return cv2.resize(rgb, (TILE, TILE), interpolation=cv2.INTER_AREA)
    if way < 0.6:
        return cv2.resize(rgb, (TILE, TILE), interpolation=cv2.INTER_LINEAR)
    resample = Image.Resampling.LANCZOS if way < 0.8 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(rgb).resize((TILE, TILE), resample))


def draw_part(task: tuple[int, int]) -> Pool:
    """Draw `count` scenes from `seed`, both from `task`."""
    seed, count = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    pool = Pool(
        np.empty((count, TILE, TILE, 3), np.uint8),
        np.zeros((count, 2), np.int64),
        np.full((count, 2), len(SHAPES), np.int64),
        np.full((count, 2, 2), 0.5, np.float32),
        np.zeros((count, 2, 2), np.float32),
    )
    for i in range(count):
        scene = random_pair(rng) if rng.random() < PAIRS else random_layout(rng)
        pool.pixels[i] = squash(spoil(draw(scene), rng), rng)
        for j, shape in enumerate(scene.shapes):
            pool.colour[i, j] = list(COLOURS).index(shape.colour)
            pool.kind[i, j] = SHAPES.index(shape.kind)
            pool.spot[i, j] = shape.x, shape.y
            pool.reach[i, j] = shape.radius * scene.height / scene.width, shape.radius
    return pool


def draw_pool(count: int, seed: int, processes: int = 2) -> Pool:
    """Draw `count` scenes in `processes` processes."""
    part = 500
    tasks = [(seed * 1_000_000 + i, part) for i in range(max(1, count // part))]
    with multiprocessing.get_context("spawn").Pool(processes) as workers:
        parts = workers.map(draw_part, tasks, chunksize=1)
    return Pool(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in Pool.__annotations__)
    )


def moved(pool: Pool, i: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Picture `i` mirrored (half of the time) and shifted by whole pixels, and its new centres.

    The wall is continued at the edges. One in eight single shapes may be cut by the edge, its
    centre still inside."""
    pixels, spot = pool.pixels[i], pool.spot[i].copy()
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        spot[:, 0] = 1 - spot[:, 0]
    count = int((pool.kind[i] < len(SHAPES)).sum())
    if count == 0 or rng.random() < 0.15:
        return pixels, spot
    shown = spot[:count]
    keep = np.full(2, 0.05) if count == 1 and rng.random() < 0.125 else pool.reach[i, :count]
    low = np.ceil((keep - shown) * TILE).reshape(-1, 2).max(axis=0)
    high = np.floor((1 - keep - shown) * TILE).reshape(-1, 2).min(axis=0)
    limit = 20
    shift = [
        int(rng.integers(max(-limit, min(a, 0)), min(limit, max(b, 0)) + 1))
        for a, b in zip(low, high)
    ]
    there = shown + np.array(shift, np.float32) / TILE
    if count == 2 and place_of(*there[0]) == place_of(*there[1]):
        return pixels, spot
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    pixels = cv2.warpAffine(
        np.ascontiguousarray(pixels),
        matrix,
        (TILE, TILE),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REPLICATE,
    )
    spot[:count] = there
    return pixels, spot


@dataclass
class Batch:
    """Pictures, float32 (n, 3, TILE, TILE) from -1 to 1, and what is on them (see `Pool`)."""

    pixels: torch.Tensor
    colour: torch.Tensor
    kind: torch.Tensor
    spot: torch.Tensor
    reach: torch.Tensor

    def scenes(self) -> list[Scene]:
        return [
            scene_of(*row)
            for row in zip(
                self.colour.tolist(), self.kind.tolist(), self.spot.tolist(), self.reach.tolist()
            )
        ]


def scene_of(colour: list, kind: list, spot: list, reach: list) -> Scene:
    """One row of a `Batch` in words."""
    shapes = [
        Shape(SHAPES[k], list(COLOURS)[c], at[0], at[1], radius)
        for c, k, at, (_, radius) in zip(colour, kind, spot, reach)
        if k < len(SHAPES)
    ]
    return Scene(shapes[0] if shapes else None, other=shapes[1] if len(shapes) > 1 else None)


def random_batch(
    pool: Pool, chosen: np.ndarray, rng: np.random.Generator, grain: torch.Tensor
) -> Batch:
    """The `chosen` pictures of `pool`, each moved, relit and with noise from `grain`, a long row
    of normal values."""
    size = len(chosen)
    pairs = [moved(pool, i, rng) for i in chosen]
    pixels = (
        torch.from_numpy(np.stack([p for p, _ in pairs])).permute(0, 3, 1, 2).contiguous().float()
    )
    gain, offset, noise = (
        torch.from_numpy(rng.uniform(low, high, (size, 1, 1, 1)).astype(np.float32))
        for low, high in ((0.93, 1.07), (-6, 6), (0, 3))
    )
    start = int(rng.integers(grain.numel() - pixels.numel()))
    speckle = grain[start : start + pixels.numel()].view(pixels.shape)
    pixels.mul_(gain).add_(offset).addcmul_(speckle, noise).clamp_(0, 255).div_(127.5).sub_(1)
    spot = np.stack([s for _, s in pairs]).astype(np.float32)
    rest = (pool.colour[chosen], pool.kind[chosen], spot, pool.reach[chosen])
    return Batch(pixels, *map(torch.from_numpy, rest))


def still_batch(pool: Pool, chosen: slice = slice(None)) -> Batch:
    """Pictures of `pool` as they are."""
    pixels = torch.from_numpy(pool.pixels[chosen]).permute(0, 3, 1, 2).contiguous().float()
    rest = (pool.colour, pool.kind, pool.spot, pool.reach)
    return Batch(pixels / 127.5 - 1, *(torch.from_numpy(part[chosen]) for part in rest))


# -------------------------------------------------------------------------------------------- words


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
    kind = pick_kind(rng, ("colour", "shape", "where", "how many", "yes or no", "can't know"))
    return KINDS[kind](rng, scenes[-1])


def pick_kind(rng: np.random.Generator, kinds: Sequence[str]) -> str:
    return kinds[int(rng.integers(len(kinds)))]


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


# ---------------------------------------------------------------------------------------- the model


def load_model(folder: Path, fresh: bool) -> nn.Module:
    """The model that `folder` describes, in float32; `fresh`: with random weights."""
    from transformers import AutoConfig, SmolVLMForConditionalGeneration

    if not fresh:
        return SmolVLMForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    config = AutoConfig.from_pretrained(folder)
    model = SmolVLMForConditionalGeneration._from_config(config, dtype=torch.float32)
    model.set_attn_implementation("eager")  # torch's own is slower backwards at this size
    vision = model.model.vision_model
    vision.embeddings.patch_embedding.weight.data.copy_(
        patch_patterns(len(vision.post_layernorm.weight))
    )
    nn.init.normal_(vision.embeddings.position_embedding.weight, std=0.3)
    nn.init.xavier_uniform_(model.model.connector.modality_projection.proj.weight)
    return model


def grown_model(folder: Path, tokenizer: Tokenizer, grown: Path) -> nn.Module:
    """The model in `folder`, with what `grown` asks for and it lacks: rows for the new tokens, each
    the mean of what stood for it, and layers of the language model that change nothing yet."""
    old, new = load_model(folder, fresh=False), load_model(grown, fresh=True)
    spelled = Tokenizer.from_file(str(folder / "tokenizer.json"))
    state = new.state_dict()
    for name, weight in old.state_dict().items():
        if weight.shape == state[name].shape:
            state[name] = weight
            continue
        state[name][: len(weight)] = weight  # of the embeddings and of the head
        for number in range(len(weight), len(state[name])):
            text = tokenizer.decode([number])
            parts = spelled.encode(text, add_special_tokens=False).ids
            state[name][number] = weight[parts].mean(dim=0)
    for name in set(state) - set(old.state_dict()):
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            state[name].zero_()
    new.load_state_dict(state)
    return new


def patch_patterns(count: int) -> torch.Tensor:
    """First weights of the patch embedding, (count, 3, PATCH, PATCH): brightness and two colour
    contrasts times the smoothest two-dimensional cosines, so that patches are told apart by what is
    on them from the start."""
    phase = (torch.arange(PATCH) + 0.5) * math.pi / PATCH
    waves = torch.stack([torch.cos(k * phase) for k in range(8)])
    grid = sorted((i * i + j * j, i, j) for i in range(8) for j in range(8))
    contrasts = torch.tensor([[1.0, 1.0, 1.0], [1.4, -0.7, -0.7], [0.0, 1.2, -1.2]]) / 3
    patterns = [
        contrast[:, None, None] * torch.outer(waves[i], waves[j]) * (4.0 / PATCH**2)
        for _, i, j in grid
        for contrast in contrasts
    ]
    return torch.stack(patterns[:count])


class Eyes(nn.Module):
    """The head that teaches the eyes, dropped after training: from the image tokens, (n, 16,
    hidden), to colour, column and row logits and the centre for each picture of a single shape, the
    kind's and the colour's logits for each token, (n, 16, kinds or colours and none), and the
    silhouette's logits, (n, 1, side, side)."""

    parts = (len(COLOURS), 3, 3, 2)

    def __init__(self, hidden: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(IMAGE_TOKENS * hidden, 256),
            nn.GELU(),
            nn.Linear(256, sum(self.parts)),
        )
        self.kinds = nn.Linear(hidden, len(SHAPES) + 1)
        self.colours = nn.Linear(hidden, len(COLOURS) + 1)
        self.cells = nn.Linear(hidden, (PATCH * SCALE // CELL) ** 2)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        side = TILE // PATCH // SCALE
        cells = self.cells(tokens).view(len(tokens), side, side, -1).permute(0, 3, 1, 2)
        cells = F.pixel_shuffle(cells, PATCH * SCALE // CELL)
        whole = self.layers(tokens).split(self.parts, dim=1)
        return *whole, self.kinds(tokens), self.colours(tokens), cells


def silhouette(pixels: torch.Tensor) -> torch.Tensor:
    """Where `pixels` differ from the wall, 0 or 1 for each square of `CELL` pixels."""
    small = F.avg_pool2d(pixels, CELL)
    wall = small.flatten(2).median(dim=2).values[:, :, None, None]
    contrast = (small - wall).abs().amax(dim=1, keepdim=True)
    edge = (contrast.amax(dim=(2, 3), keepdim=True) / 2).clamp(min=0.22, max=0.4)
    return (contrast > edge).float()


def cells_of(spot: torch.Tensor) -> torch.Tensor:
    """Column and row, int64 (n, 2), of centres, (n, 2)."""
    return torch.bucketize(spot, torch.tensor(BORDERS[1:3]), right=True)


def covered(batch: Batch) -> torch.Tensor:
    """Which shape each image token shows, int64 (n, 16): 0, 1, or 2 for none."""
    side = TILE // PATCH // SCALE
    middle = (torch.arange(side) + 0.5) / side
    tokens = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), dim=-1).view(1, -1, 1, 2)
    away = (batch.spot[:, None] - tokens).abs()
    outside = (away - 0.5 / side).clamp(min=0) / batch.reach[:, None].clamp(min=1e-6)
    shown = (outside.norm(dim=-1) < 0.6) & (batch.kind[:, None] < len(SHAPES))
    nearest = torch.where(shown, away.norm(dim=-1), 9.0)
    return torch.where(shown.any(dim=-1), nearest.argmin(dim=-1), 2)


def eyes_loss(head: Eyes, tokens: torch.Tensor, batch: Batch) -> torch.Tensor:
    """How wrong the head is about kinds, colours and outlines, and of single shapes about place and
    centre."""
    colour, column, row, spot, kinds, colours, cells = head(tokens)
    single = (batch.kind[:, 0] < len(SHAPES)) & (batch.kind[:, 1] == len(SHAPES))
    place = cells_of(batch.spot[single, 0])
    whole = (
        F.cross_entropy(colour[single], batch.colour[single, 0])
        + F.cross_entropy(column[single], place[:, 0])
        + F.cross_entropy(row[single], place[:, 1])
        + F.l1_loss(spot[single], batch.spot[single, 0])
    )
    one = batch.kind[:, 1] == len(SHAPES)
    whole = whole + F.cross_entropy(votes(kinds[one]), batch.kind[one, 0])
    which = covered(batch)
    none = [torch.full((len(which), 1), len(of)) for of in (SHAPES, COLOURS)]
    kind = torch.cat([batch.kind, none[0]], dim=1).gather(1, which)
    hue = torch.cat([batch.colour, none[1]], dim=1).gather(1, which)
    here = F.cross_entropy(kinds.flatten(0, 1), kind.flatten())
    here = here + F.cross_entropy(colours.flatten(0, 1), hue.flatten())
    outlined = F.binary_cross_entropy_with_logits(cells, silhouette(batch.pixels))
    return whole + 2 * here + 2 * outlined


def votes(kinds: torch.Tensor) -> torch.Tensor:
    """The kind's logits of each picture, from those of its image tokens: every token votes, so that
    what is seen in one patch helps before the patches have learned to look at each other."""
    return kinds.sum(dim=1) / 4


def see(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Image tokens, (n, 16, hidden), of `pixels`, (n, 3, TILE, TILE)."""
    return model.model.connector(model.model.vision_model(pixels).last_hidden_state)


def answers(
    model: nn.Module, tokens: torch.Tensor, ids: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The answers' logits, (m, vocabulary), and what they should be, (m,). tokens: what was seen,
    (..., hidden), as many as `ids` has image tokens, in their order."""
    text = model.model.text_model
    embeddings = text.get_input_embeddings()(ids)
    pictures = (ids == model.config.image_token_id)[..., None].expand_as(embeddings)
    embeddings = embeddings.masked_scatter(pictures, tokens.to(embeddings.dtype))
    hidden = text(inputs_embeds=embeddings, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    told = wanted != -100
    return model.lm_head(hidden[told]), wanted[told]


class FourBits(nn.Module):
    """A weight as mlx's affine 4-bit quantisation with groups of 64 gives it back, while `on`;
    gradients pass through unchanged. Follows `mx.quantize`: the end of the range farther from zero
    is kept exact."""

    def __init__(self) -> None:
        super().__init__()
        self.on = False

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.rounded(weight) - weight).detach() if self.on else weight

    @staticmethod
    @torch.no_grad()
    def rounded(weight: torch.Tensor) -> torch.Tensor:
        groups = weight.reshape(-1, 64)
        low, high = groups.amin(1, keepdim=True), groups.amax(1, keepdim=True)
        from_low = low.abs() > high.abs()
        scale = ((high - low) / 15).clamp(min=1e-7)
        scale = torch.where(from_low, scale, -scale)
        edge = torch.where(from_low, low, high)
        steps = torch.round(edge / scale)
        scale = torch.where(steps == 0, scale, edge / steps).bfloat16().float()
        bias = torch.where(steps == 0, 0.0, edge).bfloat16().float()
        return (torch.round((groups - bias) / scale).clamp(0, 15) * scale + bias).view_as(weight)


def add_four_bits(model: nn.Module) -> list[FourBits]:
    """Put `FourBits` on each weight that the 4-bit conversion rounds: all but the vision
    tower's."""
    rounders = []
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)) and "vision_model" not in name:
            rounders.append(FourBits())
            nn.utils.parametrize.register_parametrization(module, "weight", rounders[-1])
    return rounders


def drop_four_bits(model: nn.Module) -> None:
    """Take `FourBits` off again, leaving the unrounded weights."""
    for module in list(model.modules()):
        if nn.utils.parametrize.is_parametrized(module):
            nn.utils.parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)


# ----------------------------------------------------------------------------------------- training


@dataclass
class Trainer:
    """What the two training stages share. `folder`: where the weights so far are kept."""

    model: nn.Module
    head: Eyes
    pool: Pool
    unseen: Pool
    folder: Path
    size: int
    seed: int

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.grain = torch.randn(
            3 * TILE * TILE * (self.size + 40), generator=torch.Generator().manual_seed(self.seed)
        )
        self.started = time.monotonic()

        # From large to small; an empty wall may come anywhere.
        area = self.pool.reach.prod(axis=2).max(axis=1)
        empty = (self.pool.kind == len(SHAPES)).all(axis=1)
        area[empty] = self.rng.choice(area[~empty], size=int(empty.sum()))
        self.largest_first = np.argsort(-area)

    def batch(self, share: float = 1.0) -> Batch:
        """Pictures from the `share` of the pool with the largest shapes."""
        ranks = self.rng.integers(max(1, int(share * len(self.largest_first))), size=self.size)
        return random_batch(self.pool, self.largest_first[ranks], self.rng, self.grain)

    def tell(self, stage: str, step: int, losses: list[float]) -> None:
        """Print a line of progress and keep the weights."""
        print(
            f"{stage} {step} at {time.monotonic() - self.started:.0f} s: "
            f"loss {np.mean(losses):.3f}, head {self.look()}",
            flush=True,
        )
        torch.save(
            {"model": self.model.state_dict(), "head": self.head.state_dict()},
            self.folder / f"{stage}.pt",
        )

    @torch.no_grad()
    def look(self) -> str:
        """How often the head is right on unseen scenes: about single shapes in all; about kind and
        about colour of the tokens that show a shape."""
        batch = still_batch(self.unseen)
        colour, column, row, _, kinds, colours, _ = self.head(see(self.model, batch.pixels))
        single = batch.kind[:, 1] == len(SHAPES)
        empty = batch.kind[:, 0] == len(SHAPES)
        place = torch.stack([column.argmax(1), row.argmax(1)], dim=1)
        told = (place == cells_of(batch.spot[:, 0])).all(dim=1)
        told &= colour.argmax(1) == batch.colour[:, 0]
        right = (votes(kinds).argmax(1) == batch.kind[:, 0]) & (told | empty)
        which = covered(batch)
        shown = which < 2
        kind = batch.kind.gather(1, which.clamp(max=1))
        hue = batch.colour.gather(1, which.clamp(max=1))
        shares = (
            right[single],
            kinds.argmax(2)[shown] == kind[shown],
            colours.argmax(2)[shown] == hue[shown],
        )
        return ", ".join(f"{share.float().mean():.3f}" for share in shares)


def schedule(
    modules: list[nn.Module], steps: int, peak: float
) -> Iterator[list[torch.optim.Optimizer]]:
    """Yield the optimizers `steps` times, their rate warming up for 100 steps, then falling as
    a cosine. Muon (torch.optim.Muon; it needs fewer pictures here than Adam) takes the matrices
    of the layers, AdamW all else."""
    named = [item for module in modules for item in module.named_parameters()]
    matrices = [p for name, p in named if p.ndim == 2 and "layers" in name]
    others = [p for name, p in named if not (p.ndim == 2 and "layers" in name)]
    optimizers = [
        torch.optim.Muon(matrices, lr=3 * peak, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=peak, betas=(0.9, 0.98), weight_decay=0.02),
    ]
    for step in range(steps):
        share = min(1, (step + 1) / 100) * (0.505 + 0.495 * math.cos(math.pi * step / steps))
        for optimizer, highest in zip(optimizers, (3 * peak, peak)):
            for group in optimizer.param_groups:
                group["lr"] = highest * share
        yield optimizers


def update(optimizers: list[torch.optim.Optimizer], loss: torch.Tensor) -> float:
    """One step down `loss`, its gradient clipped to norm 1; the loss's value."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    groups = [group["params"] for optimizer in optimizers for group in optimizer.param_groups]
    torch.nn.utils.clip_grad_norm_([p for group in groups for p in group], 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return loss.item()


def train_eyes(trainer: Trainer, steps: int, peak: float) -> None:
    """Teach vision tower and connector what is where, through the head: the largest shapes alone
    for a quarter of the time, as what makes a star a star is learned from those first."""
    model, head = trainer.model, trainer.head
    modules = [model.model.vision_model, model.model.connector, head]
    losses: list[float] = []
    for step, optimizers in enumerate(schedule(modules, steps, peak), 1):
        batch = trainer.batch(share=min(1.0, max(0.3, 0.3 + 2 * (step / steps - 0.25))))
        with torch.autocast("cpu", torch.bfloat16):
            loss = eyes_loss(head, see(model, batch.pixels), batch)
        losses.append(update(optimizers, loss))
        if step % 200 == 0 or step == steps:
            trainer.tell("eyes", step, losses[-200:])


def train_all(trainer: Trainer, tokenizer: Tokenizer, steps: int, peak: float) -> None:
    """Teach the whole model to answer, two questions a picture, in every other step with its
    language weights in 4 bits."""
    model, head = trainer.model, trainer.head
    rounders = add_four_bits(model)
    losses: list[float] = []
    for step, optimizers in enumerate(schedule([model, head], steps, peak), 1):
        batch = trainer.batch()
        scenes = batch.scenes()
        questions = [random_question(trainer.rng, scene) for _ in range(2) for scene in scenes]
        ids, labels = turns_of(tokenizer, questions)
        for rounder in rounders:
            rounder.on = step % 2 == 0
        with torch.autocast("cpu", torch.bfloat16):
            tokens = see(model, batch.pixels)
            loss = F.cross_entropy(*answers(model, tokens.repeat(2, 1, 1), ids, labels))
            both = loss + 0.2 * eyes_loss(head, tokens, batch)
        update(optimizers, both)
        losses.append(loss.item())
        if step % 200 == 0 or step == steps:
            trainer.tell("all", step, losses[-200:])
        if step % 600 == 0 or step == steps:
            unseen = still_batch(trainer.unseen)
            with torch.no_grad():
                seen = see(model, unseen.pixels)
            look_at_answers(model, tokenizer, seen, unseen.scenes())
    for rounder in rounders:
        rounder.on = False
    drop_four_bits(model)


def wrong_answers(
    model: nn.Module,
    tokenizer: Tokenizer,
    tokens: torch.Tensor,
    questions: Sequence[Question],
    seconds: Sequence[int] = (0,),
    grid: tuple[int, int] = (0, 0),
) -> list[int]:
    """The numbers of those `questions` that the model would not answer exactly."""
    ids, labels = turns_of(tokenizer, questions, seconds, grid)
    logits, wanted = answers(model, tokens, ids, labels)
    row = (labels[:, 1:] != -100).nonzero()[:, 0]
    return sorted(set(row[logits.argmax(1) != wanted].tolist()))


@torch.no_grad()
def look_at_answers(
    model: nn.Module, tokenizer: Tokenizer, tokens: torch.Tensor, scenes: Sequence[Scene]
) -> None:
    """Print for each kind of question what share of `scenes`, seen as `tokens`, the model would
    answer exactly: of one shape or none, of two."""
    clear = [i for i, scene in enumerate(scenes) if is_clear(scene)]
    for several in (False, True):
        chosen = [i for i in clear if (len(scenes[i].shapes) == 2) is several][:200]
        shares = {}
        for kind in KINDS:
            rng = np.random.default_rng(1)
            asked = [held_out_question(rng, kind, scenes[i]) for i in chosen]
            wrong = wrong_answers(model, tokenizer, tokens[chosen], asked)
            shares[kind] = f"{1 - len(wrong) / len(chosen):.3f}"
        print(f"  exact of {len(chosen)}, {1 + several}:", *shares.items(), flush=True)


def held_out_question(rng: np.random.Generator, kind: str, scene: Scene) -> Question:
    """As in training, but what can't be known is asked in words that training has not seen."""
    if kind == "can't know":
        return ask_unknowable(rng, scene, sorted(HELD_OUT))
    return KINDS[kind](rng, scene)


# -------------------------------------------------------------------------------------------- clips


@dataclass
class Seen:
    """Pictures as the eyes see them. `tokens`: image tokens, bfloat16 (2, 2, n, pictures, 16,
    hidden): as they are and through a connector in 4 bits; straight and mirrored. `scenes`: what
    was drawn, n lists; the pictures are their frames, or the tiles of one and the whole."""

    tokens: torch.Tensor
    scenes: list[list[Scene]]


def mirrored(scene: Scene) -> Scene:
    """The same scene in a mirror."""
    shape, other = (
        None if shape is None else replace(shape, x=1 - shape.x)
        for shape in (scene.shape, scene.other)
    )
    return replace(scene, shape=shape, other=other)


def draw_clips(task: tuple[int, int]) -> tuple[np.ndarray, list[list[Scene]]]:
    """Draw `count` clips from `seed`, both from `task`: uint8 RGB (n, frames, TILE, TILE, 3), and
    their scenes."""
    seed, count = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    pixels = np.empty((count, CLIP_FRAMES, TILE, TILE, 3), np.uint8)
    scenes = [random_journey(rng, CLIP_FRAMES) for _ in range(count)]
    for clip, drawn in zip(scenes, pixels):
        for number, scene in enumerate(clip):
            drawn[number] = squash(spoil(draw(scene), rng), rng)
    return pixels, scenes


def draw_details(task: tuple[int, int]) -> tuple[np.ndarray, list[list[Scene]]]:
    """Draw `count` scenes from `seed`, both from `task`, split into the tiles of `DETAIL_GRID` and
    the whole: uint8 RGB (n, tiles, TILE, TILE, 3), and the scenes."""
    seed, count = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    rows, columns = DETAIL_GRID
    pixels = np.empty((count, rows * columns + 1, TILE, TILE, 3), np.uint8)
    scenes: list[list[Scene]] = []
    for drawn in pixels:
        scene = random_pair(rng) if rng.random() < PAIRS else random_layout(rng)
        scenes.append([scene])
        picture = Image.fromarray(cv2.cvtColor(spoil(draw(scene), rng), cv2.COLOR_BGR2RGB))
        large = picture.resize((columns * TILE, rows * TILE), Image.Resampling.LANCZOS)
        split = np.asarray(large).reshape(rows, TILE, columns, TILE, 3).swapaxes(1, 2)
        drawn[:-1] = split.reshape(-1, TILE, TILE, 3)
        drawn[-1] = np.asarray(picture.resize((TILE, TILE), Image.Resampling.LANCZOS))
    return pixels, scenes


@torch.no_grad()
def see_all(
    model: nn.Module, drawn: Iterable[tuple[np.ndarray, list[list[Scene]]]], mirror: bool = True
) -> Seen:
    """Look at all pictures of `drawn`, straight and mirrored."""
    rounders = add_four_bits(model)
    seen: list[list[torch.Tensor]] = [[], []]  # by rounding
    scenes: list[list[Scene]] = []
    for pictures, shown in drawn:
        scenes += shown
        straight = torch.from_numpy(pictures).permute(0, 1, 4, 2, 3)
        ways = [straight, straight.flip(-1)] if mirror else [straight]
        pixels = torch.stack(ways).float() / 127.5 - 1
        hidden = model.model.vision_model(pixels.flatten(0, 2)).last_hidden_state
        for rounded, tokens in enumerate(seen):
            for rounder in rounders:
                rounder.on = bool(rounded)
            found = model.model.connector(hidden).bfloat16()
            tokens.append(found.view(*pixels.shape[:3], *found.shape[1:]))
    drop_four_bits(model)
    return Seen(torch.stack([torch.cat(tokens, dim=1) for tokens in seen]), scenes)


def see_drawn(model: nn.Module, draw_some: Callable, count: int, seed: int) -> Seen:
    """Draw `count` of what `draw_some` draws in two processes, and look at it. Tiles are not
    mirrored."""
    part = 50
    tasks = [(seed * 1_000_000 + i, part) for i in range(max(1, count // part))]
    with multiprocessing.get_context("spawn").Pool(2) as workers:
        return see_all(model, workers.imap(draw_some, tasks), mirror=draw_some is draw_clips)


def see_pool(model: nn.Module, pool: Pool) -> Seen:
    """Look at all pictures of `pool`."""
    parts = [slice(start, start + 200) for start in range(0, len(pool.pixels), 200)]
    drawn = (
        (pool.pixels[part][:, None], [[scene] for scene in still_batch(pool, part).scenes()])
        for part in parts
    )
    return see_all(model, drawn)


def some_frames(
    pool: Seen, seconds: Sequence[int], rounded: bool, size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, list[list[Scene]]]:
    """Image tokens, (size, frames, 16, hidden), and scenes of the frames at `seconds` of random
    clips, half of them mirrored, half of them in the reversed order; none of which it would be
    hard to say whether anything moved."""
    tokens: list[torch.Tensor] = []
    clips: list[list[Scene]] = []
    while len(clips) < size:
        clip, flip = int(rng.integers(len(pool.scenes))), int(rng.integers(2))
        order = list(seconds) if rng.random() < 0.5 else list(seconds)[::-1]
        scenes = [pool.scenes[clip][second] for second in order]
        scenes = [mirrored(scene) for scene in scenes] if flip else scenes
        if 0.3 * MOVED < max(map(abs, way_of(scenes))) < 1.6 * MOVED:
            continue
        tokens.append(pool.tokens[int(rounded), flip, clip, order])
        clips.append(scenes)
    return torch.stack(tokens), clips


def random_seconds(rng: np.random.Generator) -> list[int]:
    """Which frames to take of a clip: the first ones, or now and then any in their order."""
    count = int(rng.choice([2, 3, 4], p=[0.4, 0.3, 0.3]))
    if rng.random() < 0.8:
        return list(range(count))
    later = rng.choice(np.arange(1, CLIP_FRAMES), count - 1, replace=False)
    return [0, *sorted(later.tolist())]


def some_pictures(
    pool: Seen, rounded: bool, size: int, pairs: float, rng: np.random.Generator
) -> tuple[torch.Tensor, list[Scene]]:
    """Image tokens, (size, tiles, 16, hidden), and scenes of random pictures, mirrored or not.
    pairs: how many of them show two shapes, from 0 to 1."""
    flips = rng.integers(pool.tokens.shape[1], size=size)
    several = np.array([len(shown[0].shapes) == 2 for shown in pool.scenes])
    two, others = np.flatnonzero(several), np.flatnonzero(~several)
    chosen = np.where(rng.random(size) < pairs, rng.choice(two, size), rng.choice(others, size))
    scenes = [pool.scenes[i][0] for i in chosen]
    scenes = [mirrored(scene) if flip else scene for scene, flip in zip(scenes, flips)]
    return pool.tokens[int(rounded), flips, chosen], scenes


@torch.no_grad()
def look_at_words(
    model: nn.Module, tokenizer: Tokenizer, unseen: dict[str, Seen], rounders: list[FourBits]
) -> None:
    """Print what share of answers would be exact: about single pictures, about pictures in detail,
    and captions of clips of two, three and four frames; unrounded, then rounded."""
    for rounded in (False, True):
        for rounder in rounders:
            rounder.on = rounded
        print(f" {'rounded' if rounded else 'as they are'}:")
        stills = unseen["stills"]
        scenes = [shown[0] for shown in stills.scenes]
        look_at_answers(model, tokenizer, stills.tokens[int(rounded), 0, :, 0].float(), scenes)
        shares = []
        for frames in range(2, CLIP_FRAMES + 1):
            rng = np.random.default_rng(1)
            seconds = range(frames)
            tokens, clips = some_frames(unseen["clips"], seconds, rounded, 100, rng)
            asked = [Question(CLIP_PROMPT, caption_of_clip(clip)) for clip in clips]
            shares.append(1 - len(wrong_answers(model, tokenizer, tokens, asked, seconds)) / 100)
        for kind in ("caption", "more"):
            rng = np.random.default_rng(1)
            tokens, scenes = some_pictures(unseen["details"], rounded, 100, 0.25, rng)
            asked = [KINDS[kind](rng, scene) for scene in scenes]
            wrong = wrong_answers(model, tokenizer, tokens, asked, grid=DETAIL_GRID)
            shares.append(1 - len(wrong) / 100)
        print("  exact, clips of 2, 3, 4 and captions, more in detail:", shares, flush=True)


def train_words(
    model: nn.Module,
    tokenizer: Tokenizer,
    pools: dict[str, Seen],
    unseen: dict[str, Seen],
    options: argparse.Namespace,
) -> None:
    """Teach the language model alone: to find what a question asks for among two shapes, mostly
    so for the first three fifths; what moves where in a clip; pictures in detail. The eyes stay as
    they are. Rounding comes in late, as that kind of search is not learned with it."""
    rng = np.random.default_rng(TRAIN_SEED)
    rounders = add_four_bits(model)
    started = time.monotonic()
    losses: list[float] = []
    parts = [model.model.text_model, model.lm_head]
    for step, optimizers in enumerate(schedule(parts, options.word_steps, peak=6e-4), 1):
        rounded = step % 2 == 0 and step > 0.3 * options.word_steps
        for rounder in rounders:
            rounder.on = rounded
        hard = step < 0.6 * options.word_steps
        mix, pairs, clips, details = (
            (HARD_MIX, 0.75, 0.12, 0.08) if hard else (MIX, 0.45, 0.3, 0.12)
        )
        chance, grid = rng.random(), (0, 0)
        seconds: Sequence[int] = (0,)
        if chance < clips:
            seconds = random_seconds(rng)
            tokens, shown = some_frames(pools["clips"], seconds, rounded, 20, rng)
            asked = [random_clip_question(rng, clip) for clip in shown]
        elif chance < clips + details:
            grid = DETAIL_GRID
            tokens, scenes = some_pictures(pools["details"], rounded, 10, pairs, rng)
            more = rng.random(len(scenes)) < 0.4
            asked = [
                KINDS["more"](rng, scene) if detail else random_question(rng, scene, mix)
                for scene, detail in zip(scenes, more)
            ]
        else:
            tokens, scenes = some_pictures(pools["stills"], rounded, 48, pairs, rng)
            asked = [random_question(rng, scene, mix) for scene in scenes]
        ids, labels = turns_of(tokenizer, asked, seconds, grid)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(*answers(model, tokens, ids, labels))
        losses.append(update(optimizers, loss))
        if step % 500 == 0 or step == options.word_steps:
            spent = time.monotonic() - started
            print(f"words {step} at {spent:.0f} s: loss {np.mean(losses[-500:]):.3f}", flush=True)
            look_at_words(model, tokenizer, unseen, rounders)
            state = {
                name.replace(".parametrizations.weight.original", ".weight"): weight
                for name, weight in model.state_dict().items()
            }
            torch.save(state, options.work / "words.pt")
    for rounder in rounders:
        rounder.on = False
    drop_four_bits(model)


# --------------------------------------------------------------------------------------- evaluation


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
    pieces = engine.describe(clip, question.text, 60, detail)
    return "".join(piece.text for piece in pieces).strip()


def open_tested(name: str, folder: Path, cache: Path) -> Engine:
    """The engine of this name, such as mlx or mlx-4 (for 4 bits), with the checkpoint."""
    engine, _, bits = name.partition("-")
    return open_engine(choose_engine(engine, int(bits or 16)), str(folder), cache)


# --------------------------------------------------------------------------------------------- main


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, default=TINY, help="the checkpoint (default: %(default)s)"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("tiny_training"), help="for weights so far (%(default)s)"
    )
    parser.add_argument("--evaluate-only", action="store_true", help="train nothing")
    parser.add_argument(
        "--engine",
        nargs="+",
        default=["torch"],
        help="to evaluate with: torch, mlx, mlx-4, mlx-8, openvino, openvino-8 (default: torch)",
    )
    parser.add_argument(
        "--kind", nargs="+", choices=TESTED, help="of question to evaluate on (default: all)"
    )
    parser.add_argument("--show-wrong", action="store_true", help="print the wrong answers")
    parser.add_argument(
        "--scenes", type=int, default=24000, help="scenes drawn for training (default: %(default)s)"
    )
    parser.add_argument(
        "--eyes-steps",
        type=int,
        default=6500,
        help="steps of the first stage (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=int, default=2500, help="steps of the second stage (default: %(default)s)"
    )
    parser.add_argument(
        "--clips", type=int, default=9400, help="clips drawn for training (default: %(default)s)"
    )
    parser.add_argument(
        "--word-steps",
        type=int,
        default=5000,
        help="steps of the third stage (default: %(default)s)",
    )
    parser.add_argument(
        "--continue-from",
        type=Path,
        help="a checkpoint that has been through the first two stages: do the third one alone",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=multiprocessing.cpu_count(),
        help="to calculate in (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", type=int, default=32, help="pictures a step (default: %(default)s)"
    )
    parser.add_argument(
        "--tests",
        type=int,
        default=300,
        help="held-out questions of each kind (default: %(default)s)",
    )
    return parser.parse_args()


def train(options: argparse.Namespace) -> None:
    """Make the checkpoint in `options.folder`."""
    torch.manual_seed(TRAIN_SEED)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)  # its pictures are too small to share out
    options.work.mkdir(parents=True, exist_ok=True)
    if options.continue_from is None:
        tokenizer = build_tokenizer()
        write_layout(options.folder, tokenizer)
        write_demo_clip(options.folder / "demo.mp4")
        model = load_model(options.folder, fresh=True)
    else:
        first = Tokenizer.from_file(str(options.continue_from / "tokenizer.json"))
        tokenizer = with_words(first)
        write_layout(options.folder, tokenizer)
        model = grown_model(options.continue_from, tokenizer, options.folder)
    pool, unseen = draw_pool(options.scenes, TRAIN_SEED), draw_pool(1000, TRAIN_SEED + 1)
    print("drawn", flush=True)
    head = Eyes(model.config.text_config.hidden_size)
    trainer = Trainer(model, head, pool, unseen, options.work, options.batch, TRAIN_SEED)
    if options.eyes_steps:
        train_eyes(trainer, options.eyes_steps, peak=1e-3)
    if options.steps:
        train_all(trainer, tokenizer, options.steps, peak=5e-4)
        write_weights(options.folder, model)
    pools, unseen_pools = (
        {
            "stills": see_pool(model, stills),
            "clips": see_drawn(model, draw_clips, clips, seed),
            "details": see_drawn(model, draw_details, details, seed),
        }
        for stills, clips, details, seed in (
            (pool, options.clips, options.clips // 4, TRAIN_SEED + 2),
            (unseen, 200, 200, TRAIN_SEED + 3),
        )
    )
    del pool, trainer
    train_words(model, tokenizer, pools, unseen_pools, options)
    write_weights(options.folder, model)


def main() -> None:
    options = parse_arguments()
    if not options.evaluate_only:
        train(options)
    for name in options.engine:
        with tempfile.TemporaryDirectory() as cache:
            engine = open_tested(name, options.folder, Path(cache))
            print(f"{name}: {engine.label}")
            evaluate(engine, options.tests, options.kind or TESTED, options.show_wrong)
    if options.kind is None:
        evaluate_follow_ups(options.folder, options.tests)


if __name__ == "__main__":
    main()
