"""The first two stages of training: the eyes through their head, then the whole model."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F

from support.drawn_scenes import SHAPES
from tiny_training.eyes import Eyes, eyes_loss
from tiny_training.model import (
    add_four_bits,
    answers,
    drop_four_bits,
    schedule,
    see,
    update,
)
from tiny_training.pictures import TILE, Batch, Pool, random_batch
from tiny_training.turns import random_question, turns_of

SHARE = 0.2  # of the pictures trained on: badly seen; and as many mixed


@dataclass
class Trainer:
    """What the two training stages share. `bad`, `mixed`: pictures badly seen, and mixed ones."""

    model: nn.Module
    head: Eyes
    pool: Pool
    bad: Pool
    mixed: Pool
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
        """Pictures from the `share` of the pool with the largest shapes; from the whole one,
        some are badly seen or mixed."""
        others = [] if share < 1.0 else [self.bad, self.mixed]
        count = int(SHARE * self.size)
        largest = max(1, int(share * len(self.largest_first)))
        ranks = self.rng.integers(largest, size=self.size - count * len(others))
        parts = [(self.pool, self.largest_first[ranks])]
        parts += [(pool, self.rng.integers(len(pool.pixels), size=count)) for pool in others]
        drawn = [random_batch(pool, chosen, self.rng, self.grain) for pool, chosen in parts]
        return Batch(
            *(torch.cat([getattr(b, name) for b in drawn]) for name in Batch.__annotations__)
        )

    def tell(self, stage: str, step: int, losses: list[float]) -> None:
        """Print a line of progress."""
        print(
            f"{stage} {step} at {time.monotonic() - self.started:.0f} s: "
            f"loss {np.mean(losses):.3f}",
            flush=True,
        )


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
    for rounder in rounders:
        rounder.on = False
    drop_four_bits(model)
