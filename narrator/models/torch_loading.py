"""A folder of weights -> transformers' own model. Those of the SmolVLM family may be laid out for
torch or for mlx, in one file or several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from narrator.models.folder import config_and_weights, is_smolvlm, naming

# What mlx-vlm calls a tensor -> what transformers does.
RENAMED = (
    (r"^language_model\.lm_head\.", "lm_head."),
    (r"^language_model\.", "model.text_model."),
    (r"^(vision_model|connector)\.", r"model.\1."),
)
PATCHES = "vision_model.embeddings.patch_embedding.weight"


def load_torch_model(folder: Path, dtype: torch.dtype) -> Any:
    """The model in a folder, on the CPU. Raises ModelError where its weights are not all there."""
    # It takes 9 s to import, and the choice of device and dtype does without.
    from transformers import (
        AutoModelForImageTextToText,
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
    )
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    local = {"local_files_only": True, "trust_remote_code": False}
    with naming(*config_and_weights(folder)):
        if is_smolvlm(folder):
            config = SmolVLMConfig.from_pretrained(folder, **local)
            model, found = SmolVLMForConditionalGeneration.from_pretrained(
                None, config=config, state_dict=smolvlm_tensors(folder), **options
            )
        else:
            model, found = AutoModelForImageTextToText.from_pretrained(folder, **local, **options)
        if missing := sorted(found["missing_keys"]):  # They would be random.
            raise ValueError(f"{len(missing)} tensors are missing, {missing[0]} among them")
    return model.eval()


def smolvlm_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a SmolVLM, as transformers names and shapes them."""
    tensors = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as published:
            for name in published.keys():  # noqa: SIM118 - it is no dictionary
                tensor = published.get_tensor(name)
                if name == PATCHES:  # mlx has the channels last.
                    tensor = tensor.permute(0, 3, 1, 2).contiguous()
                for ours, theirs in RENAMED:
                    name = re.sub(ours, theirs, name)
                tensors[name] = tensor
    return tensors
