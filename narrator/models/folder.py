"""A folder with a model in it: what its files say, and what an engine can't load or gets wrong."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from narrator.errors import ModelError, PeteError, UsageError, lacks_memory, reason_of

# Weights as safetensors and the processor's settings; never pickles, never code.
WANTED_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
INDEX = "model.safetensors.index.json"  # which file has which tensor
SETTINGS = (
    "config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json",
    "preprocessor_config.json", "processor_config.json", "chat_template.json", INDEX,
)  # fmt: skip
AGAIN = "get the model again from where it came from"
COUNTED = re.compile(r"(layers?|depth|heads?)$")
MAX_LAYERS = 1000  # and heads
USE_PRESET = "use --model fastvlm-0.5b with --engine mlx"
HALF_A_FASTVLM = f"holds FastVLM's language model without its vision tower; {USE_PRESET}"


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder that has weights too. Raises ModelError."""
    try:
        for file in folder.iterdir():  # Any may be read, and a library would wait at a pipe.
            if not (file.is_file() or file.is_dir()):
                raise ModelError(f"{file} is not a file but a pipe, a device or a broken link")
    except OSError as error:
        raise ModelError(f"{folder} can't be read: {reason_of(error)}") from error
    file = folder / "config.json"
    config = read_json(file)
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise ModelError(
            f"{folder} is not a model folder: it needs a config.json that names its model_type"
        )
    if "model_file" in config:  # mlx-vlm would run it, whatever else it is asked.
        raise ModelError(f"{file} names a program (model_file), which is never run here")
    if model_type == "smolvlm":
        with naming(file):
            config = with_omitted(config)
    if not any([*folder.glob("*.safetensors"), *folder.glob("language.bin")]):  # the latter is ours
        raise ModelError(
            f"{folder} holds a {model_type} model without weights; it needs *.safetensors files"
        )
    return config


@contextlib.contextmanager
def naming(*files: Path) -> Iterator[None]:
    """Around what reads these files. For whatever it raises, raises ModelError that names them."""
    try:
        yield
    except (PeteError, ImportError):
        raise
    except Exception as error:
        if lacks_memory(error):
            raise
        for file in files:
            if not file.exists():
                raise ModelError(f"{file} is missing; {AGAIN}") from error
        names = " and ".join([str(files[0]), *(file.name for file in files[1:])])
        reason = f"no {error}" if isinstance(error, KeyError) else reason_of(error)
        raise ModelError(f"{names} can't be used ({reason}); {AGAIN}") from error


def read_json(file: Path) -> dict[str, Any]:
    """The settings in a file, none where there is no such file. Raises ModelError."""
    if not file.exists():
        return {}
    with naming(file):
        found = json.loads(file.read_text("utf-8"), object_pairs_hook=object_in_range)
        if not isinstance(found, dict):
            raise ValueError("it holds no settings")
    return found


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
    """An object of a JSON file. Raises ValueError where it has so many layers or heads that a
    library would make them until the memory is full."""
    for name, number in pairs:
        least = 1 if name.endswith("heads") else -MAX_LAYERS  # of layers -1 may be the last one
        if COUNTED.search(name) and isinstance(number, int) and not least <= number <= MAX_LAYERS:
            raise ValueError(f"{name} is {number}")
    return dict(pairs)


def tensors_in(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and dtype, as safetensors calls it, of each tensor in a folder. Raises ModelError."""
    from safetensors import safe_open

    for file in folder.glob("*.safetensors"):
        with naming(file), safe_open(file, "np") as tensors:
            names = tensors.keys()
            yield from ((name, tensors.get_slice(name).get_dtype()) for name in names)


def refuse_damaged(folder: Path) -> None:
    """Raises ModelError, which names the file, where a file that some library reads is no JSON, is
    cut short, or is missing though the index names it."""
    for name in SETTINGS:
        read_json(folder / name)
    list(tensors_in(folder))
    if (index := folder / INDEX).exists():
        with naming(index):
            files = set(read_json(index)["weight_map"].values())
        for file in (folder / name for name in files):
            with naming(file):
                file.stat()


def config_and_weights(folder: Path) -> list[Path]:
    """The files that have to fit together."""
    return [folder / "config.json", *sorted(folder.glob("*.safetensors"))]


def refuse_unloadable(folder: Path, library: str, label: str) -> None:
    """Refuse what a library, mlx or torch, can't load. label: what the user calls the model.

    Raises ModelError, or UsageError where the other library can.
    """
    config = read_config(folder)
    refuse_damaged(folder)
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
