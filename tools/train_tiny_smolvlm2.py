"""Train the small SmolVLM2 checkpoint in tests/tiny_smolvlm2/ from nothing, and measure it.

The result has the file layout, the architecture and the configuration keys of
HuggingFaceTB/SmolVLM2-256M-Video-Instruct at less than a hundredth of its size, and describes
drawn scenes (tests/support/drawn_scenes.py) in one sentence, whatever it is asked. Nothing in it
comes from a trained model.

Stages, in order: a tokenizer is built; scenes are drawn once and squashed to the vision tower's
square; the eyes (vision tower and connector) learn kind, colour, place and outline from those
through a head that is thrown away afterwards; then the whole model learns to say it. Each batch
moves, mirrors and relights its pictures, so that few are seen twice. In every other step of the
last stage the language weights are rounded as mlx's 4-bit conversion will round them, so that the
answers survive it.

A third stage teaches the language model alone, on image tokens that the eyes made once, what moves
where in clips of two to four frames, mixed with single pictures. On a
busy machine one thread (--threads 1) is several times quicker there than two: its matrices are
small.

    python tools/train_tiny_smolvlm2.py --continue-from tests/tiny_smolvlm2 --threads 1

What helped the eyes to learn within minutes on two cores, each seen in a short trial: the largest
shapes first, image tokens that all vote on the kind, a patch embedding that starts from smooth
cosines, and Muon for the matrices.

The checkpoint in tests/tiny_smolvlm2 took 30 minutes for the first two stages on two cores with the
default options and torch 2.13. The third one was done in three runs, each continuing the last: 250
and 2200 steps of 16 clips out of 3000, then 3000 steps of 20 out of 9400 (15 minutes on one busy
core); the defaults below do as much in one go, which nobody has tried. Exact captions through
transformers in float32: of 300 unseen scenes 96.0 %, asked the narrator's own prompt, and 95.3 %,
asked others (97.7 % and 96.7 % before the third stage); of 300 unseen clips 98.3 %, and 93.5 % of
those that move, shown in the wrong order, give the opposite answer. Wrong places are next to the
border of two.

    python tools/train_tiny_smolvlm2.py                     # train, write tests/tiny_smolvlm2
    python tools/train_tiny_smolvlm2.py --evaluate-only     # measure what is there

It needs torch, transformers, torchvision, num2words, tokenizers, safetensors, Pillow and
opencv-python.
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
from collections.abc import Iterator, Sequence
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

from support.drawn_scenes import (
    BORDERS,
    COLOURS,
    EMPTY_CAPTION,
    MOVED,
    SHAPES,
    Scene,
    caption_of_clip,
    draw,
    every_caption,
    place_of,
    random_clip,
    random_journey,
    random_layout,
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
VOCABULARY = 512
CLIP_FRAMES = 4  # of a clip at most
TRAIN_SEED, TEST_SEED = 20, 1234567

DEFAULT_PROMPT = "Describe what you see in one short sentence."
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
    "What is it?",
    "What can you see here?",
    "What is happening?",
    "What is on the wall?",
    "What colour is it?",
    "What color is the shape?",
    "What shape is it?",
    "Where is it?",
    "Where is the shape?",
    "Is there anything in front of the camera?",
    "Is anybody there?",
    "Is it a circle or a square?",
    "Tell me what you see.",
    "Tell me about this picture.",
    "Caption this.",
    "Write a caption for this image.",
    "In one sentence, what is shown?",
    "How many shapes are there?",
    "Who are you?",
    "Say something.",
    "Answer in one word: what is it?",
    "Please look again.",
    "Did anything change?",
    "Hello!",
    "Read the text.",
    "",
)
MOTION_CAPTIONS = (  # for the tokenizer
    "A red circle moving right.",
    "A blue square moving left.",
    "A green triangle moving up.",
    "An orange star moving down.",
    "A white star coming in from the left.",
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
        vocab_size=VOCABULARY,
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
            "num_hidden_layers": 3,
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
    """Drawn pictures, squashed to the tile. `pixels`: uint8 RGB (n, TILE, TILE, 3). `colour` and
    `kind`: class numbers; `kind` is len(SHAPES) where the wall is empty. `spot`: centre x and y,
    fractions. `reach`: the radius as fractions of width and height."""

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
        np.zeros(count, np.int64),
        np.full(count, len(SHAPES), np.int64),
        np.full((count, 2), 0.5, np.float32),
        np.zeros((count, 2), np.float32),
    )
    for i in range(count):
        scene = random_layout(rng)
        pool.pixels[i] = squash(spoil(draw(scene), rng), rng)
        if scene.shape is not None:
            pool.colour[i] = list(COLOURS).index(scene.shape.colour)
            pool.kind[i] = SHAPES.index(scene.shape.kind)
            pool.spot[i] = scene.shape.x, scene.shape.y
            pool.reach[i] = scene.shape.radius * scene.height / scene.width, scene.shape.radius
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
    """Picture `i` mirrored (half of the time) and shifted by whole pixels, and its new centre.

    The wall is continued at the edges. One in eight shapes may be cut by the edge, its centre
    still inside."""
    pixels, spot, reach = pool.pixels[i], pool.spot[i].copy(), pool.reach[i]
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        spot[0] = 1 - spot[0]
    if pool.kind[i] == len(SHAPES) or rng.random() < 0.15:
        return pixels, spot
    keep = np.full(2, 0.05) if rng.random() < 0.125 else reach
    low, high = np.ceil((keep - spot) * TILE), np.floor((1 - keep - spot) * TILE)
    limit = 20
    shift = [
        int(rng.integers(max(-limit, min(a, 0)), min(limit, max(b, 0)) + 1))
        for a, b in zip(low, high)
    ]
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    pixels = cv2.warpAffine(
        np.ascontiguousarray(pixels),
        matrix,
        (TILE, TILE),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return pixels, spot + np.array(shift, np.float32) / TILE


@dataclass
class Batch:
    """Pictures, float32 (n, 3, TILE, TILE) from -1 to 1, and what is on them (see `Pool`)."""

    pixels: torch.Tensor
    colour: torch.Tensor
    kind: torch.Tensor
    spot: torch.Tensor

    def captions(self) -> list[str]:
        texts = []
        for colour, kind, (x, y) in zip(
            self.colour.tolist(), self.kind.tolist(), self.spot.tolist()
        ):
            word = list(COLOURS)[colour]
            article = "An" if word == "orange" else "A"
            told = kind < len(SHAPES)
            texts.append(
                f"{article} {word} {SHAPES[kind]} {place_of(x, y)}." if told else EMPTY_CAPTION
            )
        return texts


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
    spot = torch.from_numpy(np.stack([s for _, s in pairs]).astype(np.float32))
    return Batch(
        pixels, torch.from_numpy(pool.colour[chosen]), torch.from_numpy(pool.kind[chosen]), spot
    )


def still_batch(pool: Pool) -> Batch:
    """All pictures of `pool` as they are."""
    pixels = torch.from_numpy(pool.pixels).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
    return Batch(
        pixels,
        torch.from_numpy(pool.colour),
        torch.from_numpy(pool.kind),
        torch.from_numpy(pool.spot),
    )


# -------------------------------------------------------------------------------------------- words


IMAGE = (
    "<fake_token_around_image><global-img>" + "<image>" * IMAGE_TOKENS + "<fake_token_around_image>"
)


def chat(prompt: str, seconds: Sequence[int] = (0,)) -> str:
    """What the chat template and the processor make of `prompt` and one picture, or of a clip whose
    frames were taken at `seconds`."""
    if len(seconds) == 1:
        return f"{START}User:{IMAGE}{prompt}{TURN_END}\nAssistant:"
    count = ("zero", "one", "two", "three", "four")[len(seconds)]
    frames = "".join(f"\nFrame from 00:{second:02d}:{IMAGE}" for second in seconds)
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


def random_turns(
    tokenizer: Tokenizer,
    captions: list[str],
    rng: np.random.Generator,
    seconds: Sequence[int] = (0,),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of a prompt and its answer, int64 (n, longest), and the same with -100 where
    nothing is to learn."""
    rows: list[list[int]] = []
    labels: list[list[int]] = []
    for caption in captions:
        prompt = random_prompt(rng, len(seconds) > 1)
        asked = tokenizer.encode(chat(prompt, seconds)).ids
        told = tokenizer.encode(f" {caption}{TURN_END}").ids
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
    hidden), to colour, column and row logits and the centre for each picture, the kind's logits for
    each token, (n, 16, kinds and none), and the silhouette's logits, (n, 1, side, side)."""

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
        self.cells = nn.Linear(hidden, (PATCH * SCALE // CELL) ** 2)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        side = TILE // PATCH // SCALE
        cells = self.cells(tokens).view(len(tokens), side, side, -1).permute(0, 3, 1, 2)
        cells = F.pixel_shuffle(cells, PATCH * SCALE // CELL)
        return *self.layers(tokens).split(self.parts, dim=1), self.kinds(tokens), cells


def silhouette(pixels: torch.Tensor) -> torch.Tensor:
    """Where `pixels` differ from the wall, 0 or 1 for each square of `CELL` pixels."""
    small = F.avg_pool2d(pixels, CELL)
    wall = small.flatten(2).median(dim=2).values[:, :, None, None]
    contrast = (small - wall).abs().amax(dim=1, keepdim=True)
    return (contrast > (contrast.amax(dim=(2, 3), keepdim=True) / 2).clamp(min=0.22)).float()


def cells_of(spot: torch.Tensor) -> torch.Tensor:
    """Column and row, int64 (n, 2), of centres, (n, 2)."""
    return torch.bucketize(spot, torch.tensor(BORDERS[1:3]), right=True)


def votes(kinds: torch.Tensor) -> torch.Tensor:
    """The kind's logits of each picture, from those of its image tokens: every token votes, so that
    what is seen in one patch helps before the patches have learned to look at each other."""
    return kinds.sum(dim=1) / 4


def see(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Image tokens, (n, 16, hidden), of `pixels`, (n, 3, TILE, TILE)."""
    return model.model.connector(model.model.vision_model(pixels).last_hidden_state)


def eyes_loss(head: Eyes, tokens: torch.Tensor, batch: Batch) -> torch.Tensor:
    """How wrong the head is about kind, colour, place, centre and outline."""
    colour, column, row, spot, kinds, cells = head(tokens)
    shown = batch.kind < len(SHAPES)
    place = cells_of(batch.spot)
    whole = (
        F.cross_entropy(colour[shown], batch.colour[shown])
        + F.cross_entropy(column[shown], place[shown, 0])
        + F.cross_entropy(row[shown], place[shown, 1])
        + F.l1_loss(spot[shown], batch.spot[shown])
        + 2 * F.cross_entropy(votes(kinds), batch.kind)
    )
    outlined = F.binary_cross_entropy_with_logits(cells, silhouette(batch.pixels))
    return whole + 2 * outlined


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
        area = self.pool.reach.prod(axis=1)
        empty = self.pool.kind == len(SHAPES)
        area[empty] = self.rng.choice(area[~empty], size=int(empty.sum()))
        self.largest_first = np.argsort(-area)

    def batch(self, share: float = 1.0) -> Batch:
        """Pictures from the `share` of the pool with the largest shapes."""
        ranks = self.rng.integers(max(1, int(share * len(self.largest_first))), size=self.size)
        return random_batch(self.pool, self.largest_first[ranks], self.rng, self.grain)

    def tell(self, stage: str, step: int, losses: list[float]) -> None:
        """Print a line of progress and keep the weights."""
        right, kind = self.look()
        print(
            f"{stage} {step} at {time.monotonic() - self.started:.0f} s: "
            f"loss {np.mean(losses):.3f}, head right {right:.3f}, kind {kind:.3f}",
            flush=True,
        )
        torch.save(
            {"model": self.model.state_dict(), "head": self.head.state_dict()},
            self.folder / f"{stage}.pt",
        )

    @torch.no_grad()
    def look(self) -> tuple[float, float]:
        """How often the head is right on unseen scenes: in all, and about the kind of shape."""
        batch = still_batch(self.unseen)
        colour, column, row, _, kinds, _ = self.head(see(self.model, batch.pixels))
        empty = batch.kind == len(SHAPES)
        kind = votes(kinds).argmax(1)
        place = torch.stack([column.argmax(1), row.argmax(1)], dim=1)
        told = (place == cells_of(batch.spot)).all(dim=1) & (colour.argmax(1) == batch.colour)
        right = (kind == batch.kind) & (told | empty)
        return right.float().mean().item(), (kind == batch.kind).float().mean().item()


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
    """Teach the whole model to say what it sees, in every other step with its language weights in
    4 bits."""
    model, head = trainer.model, trainer.head
    rounders = add_four_bits(model)
    losses: list[float] = []
    for step, optimizers in enumerate(schedule([model, head], steps, peak), 1):
        batch = trainer.batch()
        ids, labels = random_turns(tokenizer, batch.captions(), trainer.rng)
        for rounder in rounders:
            rounder.on = step % 2 == 0
        with torch.autocast("cpu", torch.bfloat16):
            tokens = see(model, batch.pixels)
            loss = F.cross_entropy(*answers(model, tokens, ids, labels))
            both = loss + 0.3 * eyes_loss(head, tokens, batch)
        update(optimizers, both)
        losses.append(loss.item())
        if step % 200 == 0 or step == steps:
            trainer.tell("all", step, losses[-200:])
    for rounder in rounders:
        rounder.on = False
    drop_four_bits(model)


# -------------------------------------------------------------------------------------------- clips


@dataclass
class ClipPool:
    """Drawn clips of `CLIP_FRAMES` frames as the eyes see them. `tokens`: image tokens, bfloat16
    (2, 2, n, frames, 16, hidden): as they are and through a connector in 4 bits; straight and
    mirrored. `scenes`: what was drawn, n lists."""

    tokens: torch.Tensor
    scenes: list[list[Scene]]


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


@torch.no_grad()
def see_clips(model: nn.Module, count: int, seed: int, processes: int = 2) -> ClipPool:
    """Draw `count` clips and look at each of their frames, straight and mirrored."""
    part = 100
    tasks = [(seed * 1_000_000 + i, part) for i in range(max(1, count // part))]
    rounders = add_four_bits(model)
    seen: list[list[torch.Tensor]] = [[], []]  # by rounding
    scenes: list[list[Scene]] = []
    with multiprocessing.get_context("spawn").Pool(processes) as workers:
        for drawn, clips in workers.imap(draw_clips, tasks):
            scenes += clips
            straight = torch.from_numpy(drawn).permute(0, 1, 4, 2, 3)
            pixels = torch.stack([straight, straight.flip(-1)]).float() / 127.5 - 1
            hidden = model.model.vision_model(pixels.flatten(0, 2)).last_hidden_state
            for rounded, tokens in enumerate(seen):
                for rounder in rounders:
                    rounder.on = bool(rounded)
                found = model.model.connector(hidden).bfloat16()
                tokens.append(found.view(2, part, CLIP_FRAMES, *found.shape[1:]))
    drop_four_bits(model)
    return ClipPool(torch.stack([torch.cat(tokens, dim=1) for tokens in seen]), scenes)


def mirrored(scene: Scene) -> Scene:
    """The same scene in a mirror."""
    shape = scene.shape
    return scene if shape is None else replace(scene, shape=replace(shape, x=1 - shape.x))


def some_frames(
    pool: ClipPool, seconds: Sequence[int], rounded: bool, size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, list[str]]:
    """Image tokens, (size, frames, 16, hidden), and captions of the frames at `seconds` of random
    clips, half of them mirrored, half of them in the reversed order; none of which it would be
    hard to say whether anything moved."""
    tokens: list[torch.Tensor] = []
    captions: list[str] = []
    while len(captions) < size:
        clip, flip = int(rng.integers(len(pool.scenes))), int(rng.integers(2))
        order = list(seconds) if rng.random() < 0.5 else list(seconds)[::-1]
        scenes = [pool.scenes[clip][second] for second in order]
        scenes = [mirrored(scene) for scene in scenes] if flip else scenes
        if 0.3 * MOVED < max(map(abs, way_of(scenes))) < 1.6 * MOVED:
            continue
        tokens.append(pool.tokens[int(rounded), flip, clip, order])
        captions.append(caption_of_clip(scenes))
    return torch.stack(tokens), captions


def random_seconds(rng: np.random.Generator) -> list[int]:
    """Which frames to take of a clip: one, or the first ones, or now and then any in their
    order."""
    count = int(rng.choice([1, 2, 3, 4], p=[0.3, 0.3, 0.2, 0.2]))
    if count == 1 or rng.random() < 0.8:
        return list(range(count))
    later = rng.choice(np.arange(1, CLIP_FRAMES), count - 1, replace=False)
    return [0, *sorted(later.tolist())]


@torch.no_grad()
def look_at_clips(
    model: nn.Module, tokenizer: Tokenizer, pool: ClipPool, rounders: list[FourBits], count: int
) -> None:
    """Print what share of captions the model would say exactly: of single pictures, and of clips
    of two, three and four frames; unrounded, then rounded."""
    for rounded in (False, True):
        for rounder in rounders:
            rounder.on = rounded
        shares = []
        for frames in range(1, CLIP_FRAMES + 1):
            rng = np.random.default_rng(1)
            seconds = range(frames)
            tokens, captions = some_frames(pool, seconds, rounded, count, rng)
            ids, labels = random_turns(tokenizer, captions, rng, seconds)
            logits, wanted = answers(model, tokens, ids, labels)
            row = (labels[:, 1:] != -100).nonzero()[:, 0]
            wrong = row[logits.argmax(1) != wanted].unique()
            shares.append(round(1 - len(wrong) / count, 3))
        print(f"  exact, {'rounded' if rounded else 'as they are'}: {shares}", flush=True)


def train_clips(
    model: nn.Module,
    tokenizer: Tokenizer,
    pool: ClipPool,
    unseen: ClipPool,
    options: argparse.Namespace,
) -> None:
    """Teach the language model to tell what moves where in a clip, and keep what it can say of one
    picture. The eyes stay as they are: they have learned where things are."""
    rng = np.random.default_rng(TRAIN_SEED)
    rounders = add_four_bits(model)
    started = time.monotonic()
    losses: list[float] = []
    parts = [model.model.text_model, model.lm_head]
    for step, optimizers in enumerate(schedule(parts, options.clip_steps, peak=5e-4), 1):
        rounded = step % 2 == 0
        for rounder in rounders:
            rounder.on = rounded
        seconds = random_seconds(rng)
        tokens, captions = some_frames(pool, seconds, rounded, options.batch, rng)
        ids, labels = random_turns(tokenizer, captions, rng, seconds)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(*answers(model, tokens, ids, labels))
        losses.append(update(optimizers, loss))
        if step % 250 == 0 or step == options.clip_steps:
            spent = time.monotonic() - started
            print(f"clips {step} at {spent:.0f} s: loss {np.mean(losses[-250:]):.3f}", flush=True)
            look_at_clips(model, tokenizer, unseen, rounders, 60)
            torch.save(model.state_dict(), options.work / "clips.pt")
    for rounder in rounders:
        rounder.on = False
    drop_four_bits(model)


# --------------------------------------------------------------------------------------- evaluation


def evaluate(folder: Path, count: int, prompts: tuple[str, ...]) -> float:
    """Share of exact captions on `count` scenes that training has not seen, through transformers'
    own processor and greedy generation in float32, asked each of `prompts` in turn. Prints the
    wrong ones."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    model = load_model(folder, fresh=False).eval()
    rng = np.random.default_rng(TEST_SEED)
    right = 0
    for i in range(count):
        frame, caption = random_scene(rng)
        turn = [{"type": "image"}, {"type": "text", "text": prompts[i % len(prompts)]}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": turn}], add_generation_prompt=True
        )
        inputs = processor(
            text=text, images=[Image.fromarray(frame[..., ::-1])], return_tensors="pt"
        )
        tokens = model.generate(**inputs, do_sample=False, max_new_tokens=24)[
            0, inputs["input_ids"].shape[1] :
        ]
        told = processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        right += told == caption
        if told != caption:
            print(f"  scene {i}: {caption} -> {told}")
    return right / count


def evaluate_clips(folder: Path, count: int) -> tuple[float, float]:
    """Share of exact captions on `count` clips of two, three and four frames that training has not
    seen, asked the narrator's prompt for clips, and of opposite answers where what moves is shown
    in the wrong order; through transformers' own model and greedy generation in float32."""
    model = load_model(folder, fresh=False).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rng = np.random.default_rng(TEST_SEED)
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up"}

    def told(frames: list[np.ndarray]) -> str:
        tiles = [
            cv2.resize(f[..., ::-1], (TILE, TILE), interpolation=cv2.INTER_AREA) for f in frames
        ]
        pixels = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2).float() / 127.5 - 1
        ids = torch.tensor([tokenizer.encode(chat(CLIP_PROMPT, range(len(frames)))).ids])
        made = model.generate(
            input_ids=ids, pixel_values=pixels[None], do_sample=False, max_new_tokens=24
        )
        return tokenizer.decode(made[0, ids.shape[1] :].tolist()).strip()

    right = turned = moving = 0
    for i in range(count):
        frames, caption = random_clip(rng, 2 + i % 3)
        right += (said := told(frames)) == caption
        if said != caption:
            print(f"  clip {i}, {len(frames)} frames: {caption} -> {said}")
        before, moves, way = caption.rstrip(".").rpartition(" moving ")
        if moves:
            moving += 1
            turned += told(frames[::-1]) == f"{before}{moves}{opposite[way]}."
    return right / count, turned / moving


def evaluate_mlx(folder: Path, count: int, prompts: tuple[str, ...]) -> float:
    """The same through mlx-vlm, for a checkpoint as it is or converted by it."""
    from mlx_vlm import generate, load
    from mlx_vlm.prompt_utils import apply_chat_template

    model, processor = load(str(folder))
    rng = np.random.default_rng(TEST_SEED)
    right = 0
    for i in range(count):
        frame, caption = random_scene(rng)
        prompt = apply_chat_template(
            processor, model.config, prompts[i % len(prompts)], num_images=1
        )
        picture = Image.fromarray(frame[..., ::-1])
        told = generate(
            model, processor, prompt, [picture], max_tokens=24, temperature=0.0, verbose=False
        ).text.strip()
        right += told == caption
        if told != caption:
            print(f"  scene {i}: {caption} -> {told}")
    return right / count


def evaluate_four_bits(folder: Path, count: int, prompts: tuple[str, ...]) -> float:
    """The same after mlx-vlm's 4-bit conversion with groups of 64."""
    from mlx_vlm import convert

    with tempfile.TemporaryDirectory() as temporary:
        converted = Path(temporary) / "converted"
        convert(str(folder), str(converted), quantize=True, q_bits=4, q_group_size=64)
        return evaluate_mlx(converted, count, prompts)


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
        "--engine", choices=("transformers", "mlx", "mlx-4bit"), default="transformers"
    )
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
        "--clip-steps",
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
        "--tests", type=int, default=300, help="unseen scenes to evaluate on (default: %(default)s)"
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
        pool, unseen = draw_pool(options.scenes, TRAIN_SEED), draw_pool(1000, TRAIN_SEED + 1)
        model = load_model(options.folder, fresh=True)
        head = Eyes(model.config.text_config.hidden_size)
        trainer = Trainer(model, head, pool, unseen, options.work, options.batch, TRAIN_SEED)
        train_eyes(trainer, options.eyes_steps, peak=1e-3)
        train_all(trainer, tokenizer, options.steps, peak=5e-4)
    else:
        tokenizer = Tokenizer.from_file(str(options.continue_from / "tokenizer.json"))
        model = load_model(options.continue_from, fresh=False)
    clips, unseen_clips = (
        see_clips(model, count, seed)
        for count, seed in ((options.clips, TRAIN_SEED + 2), (400, TRAIN_SEED + 3))
    )
    train_clips(model, tokenizer, clips, unseen_clips, options)
    write_weights(options.folder, model)


def main() -> None:
    options = parse_arguments()
    if not options.evaluate_only:
        train(options)
    test = {"transformers": evaluate, "mlx": evaluate_mlx, "mlx-4bit": evaluate_four_bits}[
        options.engine
    ]
    for name, prompts in (("the default prompt", (DEFAULT_PROMPT,)), ("other prompts", PROMPTS)):
        print(f"{options.engine}, {name}: {test(options.folder, options.tests, prompts):.1%} exact")
    if options.engine == "transformers":
        right, turned = evaluate_clips(options.folder, options.tests)
        print(f"transformers, clips: {right:.1%} exact; {turned:.1%} opposite in reversed order")


if __name__ == "__main__":
    main()
