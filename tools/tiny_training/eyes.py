"""The head through which the vision tower of the small checkpoint learns to see."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from support.drawn_scenes import (
    BORDERS,
    COLOURS,
    SHAPES,
)
from tiny_training.pictures import IMAGE_TOKENS, PATCH, SCALE, TILE, Batch

CELL = 4  # pixels, the grain of the silhouettes that the eyes learn to trace


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
