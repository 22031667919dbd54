"""The files of the small checkpoint: all but its weights are kept as they are."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from support.program import TINY
from tiny_training.pictures import PATCH


def write_layout(folder: Path) -> None:
    """Write every file of the checkpoint but its weights and the clip."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in TINY.glob("*.json"):
        if file.parent != folder and file.name != "demo.json":
            shutil.copy(file, folder)


def write_weights(folder: Path, model: nn.Module) -> None:
    """Write model.safetensors in bfloat16, as the official weights are."""
    state = model.state_dict()
    state = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in state.items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def fresh_model(folder: Path) -> nn.Module:
    """The model that `folder` describes, in float32, with random weights."""
    from transformers import AutoConfig, SmolVLMForConditionalGeneration

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
