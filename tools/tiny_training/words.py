"""The last stage of training: the language model alone, on image tokens that the eyes made once."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F

from support.drawn_scenes import MOVED, Scene, way_of
from tiny_training.model import (
    add_four_bits,
    answers,
    drop_four_bits,
    schedule,
    update,
)
from tiny_training.pictures import (
    CLIP_FRAMES,
    DETAIL_GRID,
    Pool,
    draw_clips,
    mirrored,
    still_batch,
)
from tiny_training.questions import KINDS, pick
from tiny_training.turns import (
    HARD_MIX,
    MIX,
    random_clip_question,
    random_question,
    turns_of,
)

ROUNDING_FROM = 0.3  # of the steps: that kind of search is not learned with rounded weights
SIZES = {"stills": 30, "badly seen": 7, "mixed": 11}  # of a batch of single pictures


@dataclass
class Seen:
    """Pictures as the eyes see them. `tokens`: image tokens, bfloat16 (2, 2, n, pictures, 16,
    hidden): as they are and through a connector in 4 bits; straight and mirrored. `scenes`: what
    was drawn, n lists; the pictures are their frames, or the tiles of one and the whole."""

    tokens: torch.Tensor
    scenes: list[list[Scene]]


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
    part = min(50, count)
    tasks = [(seed * 1_000_000 + i, part) for i in range(max(1, count // part))]
    with multiprocessing.get_context("spawn").Pool(2) as workers:
        return see_all(model, workers.imap(draw_some, tasks), mirror=draw_some is draw_clips)


def see_pool(model: nn.Module, pool: Pool, readings: int = 1) -> Seen:
    """Look at all pictures of `pool`, each of which stands there `readings` times."""
    parts = [slice(start, start + 200) for start in range(0, len(pool.pixels), 200)]

    def drawn() -> Iterator[tuple[np.ndarray, list[list[Scene]]]]:
        for part in parts:
            scenes = still_batch(pool, part).scenes()
            told = [scenes[i : i + readings] for i in range(0, len(scenes), readings)]
            yield pool.pixels[part][::readings, None], told

    return see_all(model, drawn())


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
    pool: Seen, rounded: bool, size: int, pairs: float | None, rng: np.random.Generator
) -> tuple[torch.Tensor, list[Scene]]:
    """Image tokens, (size, tiles, 16, hidden), and scenes of random pictures, mirrored or not.
    pairs: how many of them show two shapes, from 0 to 1, if not as many as there are."""
    flips = rng.integers(pool.tokens.shape[1], size=size)
    chosen = rng.integers(len(pool.scenes), size=size)
    if pairs is not None:
        several = np.array([len(shown[0].shapes) == 2 for shown in pool.scenes])
        two, others = np.flatnonzero(several), np.flatnonzero(~several)
        chosen = np.where(rng.random(size) < pairs, rng.choice(two, size), rng.choice(others, size))
    scenes = [pick(rng, pool.scenes[i]) for i in chosen]
    scenes = [mirrored(scene) if flip else scene for scene, flip in zip(scenes, flips)]
    return pool.tokens[int(rounded), flips, chosen], scenes


def train_words(
    model: nn.Module,
    tokenizer: Tokenizer,
    pools: dict[str, Seen],
    steps: int,
    seed: int,
) -> None:
    """Teach the language model alone: to find what a question asks for among two shapes, mostly
    so for the first half; what moves where in a clip; pictures in detail. The eyes stay as they
    are."""
    rng = np.random.default_rng(seed)
    rounders = add_four_bits(model)
    started = time.monotonic()
    losses: list[float] = []
    trained = [model.model.text_model, model.lm_head]
    for step, optimizers in enumerate(schedule(trained, steps, peak=5e-4), 1):
        rounded = step % 2 == 0 and step > ROUNDING_FROM * steps
        for rounder in rounders:
            rounder.on = rounded
        hard = step < 0.5 * steps
        mix, pairs, clips, details = (
            (HARD_MIX, 0.7, 0.15, 0.12) if hard else (MIX, 0.45, 0.25, 0.15)
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
            more = rng.random(len(scenes)) < 0.5
            asked = [
                KINDS["more"](rng, scene) if detail else random_question(rng, scene, mix)
                for scene, detail in zip(scenes, more)
            ]
        else:
            parts = [
                some_pictures(pools[name], rounded, size, pairs if name == "stills" else None, rng)
                for name, size in SIZES.items()
            ]
            tokens = torch.cat([part for part, _ in parts])
            scenes = [scene for _, shown in parts for scene in shown]
            asked = [random_question(rng, scene, mix) for scene in scenes]
        ids, labels = turns_of(tokenizer, asked, seconds, grid)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(*answers(model, tokens, ids, labels))
        losses.append(update(optimizers, loss))
        if step % 500 == 0 or step == steps:
            spent = time.monotonic() - started
            print(f"words {step} at {spent:.0f} s: loss {np.mean(losses[-500:]):.3f}", flush=True)
    for rounder in rounders:
        rounder.on = False
    drop_four_bits(model)
