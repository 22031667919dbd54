"""The small model in training: what it sees, what it answers, weights rounded as by mlx, a step."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.utils.parametrize
from torch import nn


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
