"""A folder with a model in it: what its files say, and what an engine can't load or gets wrong."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from narrator.errors import ModelError, UsageError

# Weights as safetensors and the processor's settings; never pickles, never code.
WANTED_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
COUNTED = re.compile(r"(layers?|depth|heads?)$")
MAX_LAYERS = 1000  # and heads
USE_PRESET = "use --model fastvlm-0.5b with --engine mlx"
HALF_A_FASTVLM = f"holds FastVLM's language model without its vision tower; {USE_PRESET}"


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder that has weights too. Raises ModelError."""
    try:
        for file in folder.iterdir():  # Any may be read, and a library would wait at a pipe.
            if not (file.is_file() or file.is_dir()):
                raise ModelError(f"{file} is a pipe, a device or a link to nowhere, and no file")
        config = json.loads(
            (folder / "config.json").read_text("utf-8"), object_pairs_hook=object_in_range
        )
        model_type = config["model_type"]
        if model_type == "smolvlm":
            config = with_omitted(config)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{folder} is no model folder: it needs a config.json that names its model_type"
        ) from error
    files = [*folder.glob("*.safetensors"), folder / "language.bin"]  # published, or OpenVINO's
    if not any(file.is_file() and file.stat().st_size for file in files):
        raise ModelError(
            f"{folder} holds a {model_type} model without weights; it needs *.safetensors files"
        )
    return dict(config)


def is_smolvlm(folder: Path) -> bool:
    """True for the family whose inputs smolvlm.py makes."""
    return bool(read_config(folder)["model_type"] == "smolvlm")


def with_omitted(config: dict[str, Any]) -> dict[str, Any]:
    """A SmolVLM's config with what transformers, when it saves one, leaves out as its default."""
    text = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
    text.update(config.get("text_config", {}))
    text.setdefault("num_key_value_heads", text["num_attention_heads"])
    vision = {"num_hidden_layers": 12, "num_attention_heads": 16, **config.get("vision_config", {})}
    return {"scale_factor": 2, **config, "text_config": text, "vision_config": vision}


def object_in_range(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of config.json. Raises ModelError where it tells of so many layers or heads that
    a library would make them until the memory is full."""
    for name, number in pairs:
        least = 1 if name.endswith("heads") else -MAX_LAYERS  # of layers -1 may be the last one
        if COUNTED.search(name) and isinstance(number, int) and not least <= number <= MAX_LAYERS:
            raise ModelError(f"config.json is wrong: {name} is {number}")
    return dict(pairs)


def tensors_in(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and dtype, as safetensors calls it, of each tensor in a folder."""
    from safetensors import safe_open

    for file in folder.glob("*.safetensors"):
        with safe_open(file, "np") as tensors:
            names = tensors.keys()
            yield from ((name, tensors.get_slice(name).get_dtype()) for name in names)


def refuse_unloadable(folder: Path, library: str, label: str) -> None:
    """Refuse what a library, mlx or torch, can't load. label: what the user calls the model.

    Raises ModelError, or UsageError where the other library can.
    """
    config = read_config(folder)
    if library == "mlx":
        guard_rotary_base(config, folder)
    elif "quantization" in config:
        raise ModelError(f"{label} holds weights for mlx alone; --engine mlx can use them")
    kind = config["model_type"]
    if kind == "fast_vlm" and (library == "mlx" or importlib.util.find_spec("timm") is None):
        raise ModelError(
            f"{label} is FastVLM in transformers' own layout, which needs torch and the package "
            f"timm; {USE_PRESET}"
        )
    if kind == "llava_qwen2":  # FastVLM as Apple has it, and as converted for mlx
        if not any("vision_tower" in name for name, _ in tensors_in(folder)):
            raise ModelError(f"{label} {HALF_A_FASTVLM}")
        if library != "mlx":
            raise UsageError(f"{label} is FastVLM in Apple's layout, which needs --engine mlx")


def guard_rotary_base(config: dict[str, Any], folder: Path) -> None:
    """transformers 5 saves it as rope_parameters.rope_theta; mlx-vlm 0.7.10's smolvlm reads
    rope_theta alone and takes 1,000,000 otherwise: fluent captions with things in wrong places."""
    text = config.get("text_config") or {}
    newer = (text.get("rope_parameters") or {}).get("rope_theta")
    if newer is not None and text.get("rope_theta") != newer:
        raise ModelError(
            f"{folder}/config.json keeps the rotary base where mlx-vlm does not look; "
            f'add "rope_theta": {newer} to its text_config'
        )


def folder_key(folder: Path) -> str:
    """The name under which what is made of a folder is kept; it changes with any file in it."""
    files = [file for file in sorted(folder.iterdir()) if file.suffix in (".json", ".safetensors")]
    state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    digest = hashlib.sha256(repr((str(folder.resolve()), state)).encode()).hexdigest()
    return f"{folder.resolve().name}-{digest[:12]}"
