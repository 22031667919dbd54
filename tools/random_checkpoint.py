#!/usr/bin/env python3
"""Makes a SmolVLM2 checkpoint of the true shape with random weights, to measure speed and memory.

    .venv/bin/python tools/random_checkpoint.py smolvlm2-256m FOLDER
    .venv/bin/python pete_sounds.py --bench --model FOLDER

It is as quick as the true one and takes as much memory; what it says makes no sense. Its words are
those of the small checkpoint in tests/, filled up to the true vocabulary.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

TINY = Path(__file__).resolve().parents[1] / "tests" / "tiny_smolvlm2"
VOCABULARY = 49280


class TextShape(NamedTuple):
    """Of a language model, by the names in config.json."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    head_dim: int = 64
    vocab_size: int = VOCABULARY


class VisionShape(NamedTuple):
    """Of a vision tower, by the names in config.json."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    image_size: int = 512
    patch_size: int = 16


TEXT = {
    "smolvlm2-256m": TextShape(576, 30, 9, 3, 1536),
    "smolvlm2-500m": TextShape(960, 32, 15, 5, 2560),
    "smolvlm2-2.2b": TextShape(2048, 24, 32, 32, 8192),
}
VISION = VisionShape()
LARGE_VISION = VisionShape(1152, 27, 16, 4304, 384, 14)


def make(
    folder: Path, text: TextShape, vision: VisionShape = VISION, scale_factor: int = 4
) -> Path:
    """Write the checkpoint to a folder that does not exist yet; returns it.

    scale_factor: so many patches a side become one image token.
    """
    folder.mkdir(parents=True)
    for file in TINY.glob("*.json"):
        shutil.copyfile(file, folder / file.name)

    def change(name: str, changes: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        settings: dict[str, Any] = json.loads((folder / name).read_text("utf-8"))
        changes(settings)
        (folder / name).write_text(json.dumps(settings), "utf-8")
        return settings

    def enlarge(config: dict[str, Any]) -> None:
        config.update(scale_factor=scale_factor, vocab_size=text.vocab_size)
        config["text_config"].update(text._asdict(), pixel_shuffle_factor=scale_factor)
        config["vision_config"].update(vision._asdict())

    def fill(tokenizer: dict[str, Any]) -> None:
        words = tokenizer["model"]["vocab"]
        words.update({f"<{number}>": number for number in range(len(words), text.vocab_size)})

    side = vision.image_size
    sizes = {"max_image_size": {"longest_edge": side}, "size": {"longest_edge": 4 * side}}
    tokens = (side // vision.patch_size // scale_factor) ** 2
    change("tokenizer.json", fill)
    change("processor_config.json", lambda settings: settings.update(image_seq_len=tokens))
    change("preprocessor_config.json", lambda settings: settings.update(sizes))
    config = change("config.json", enlarge)
    save_file(random_tensors(config), folder / "model.safetensors", {"format": "pt"})
    return folder


def make_preset(preset: str, folder: Path) -> Path:
    """make(), with the sizes of a preset."""
    if preset == "smolvlm2-2.2b":
        return make(folder, TEXT[preset], LARGE_VISION, 3)
    return make(folder, TEXT[preset])


def random_tensors(config: dict[str, Any]) -> dict[str, np.ndarray]:
    """Every tensor of a SmolVLM checkpoint, float16: normal with deviation 0.02, norms about 1."""
    random = np.random.default_rng(0)

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        is_norm = "norm" in name and name.endswith("weight")
        values = random.standard_normal(shape, dtype=np.float32) * 0.02 + is_norm
        return values.astype(np.float16)

    return {name: tensor(name, shape) for name, shape in tensor_shapes(config).items()}


def tensor_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a SmolVLM checkpoint."""
    vision, text = config["vision_config"], config["text_config"]
    v, t, patch = vision["hidden_size"], text["hidden_size"], vision["patch_size"]
    places = (vision["image_size"] // patch) ** 2
    kv = text["num_key_value_heads"] * text["head_dim"]
    tower, language = "model.vision_model.", "model.text_model."
    shapes: dict[str, tuple[int, ...]] = {
        f"{tower}embeddings.patch_embedding.weight": (v, 3, patch, patch),
        f"{tower}embeddings.patch_embedding.bias": (v,),
        f"{tower}embeddings.position_embedding.weight": (places, v),
        f"{tower}post_layernorm.weight": (v,),
        f"{tower}post_layernorm.bias": (v,),
        "model.connector.modality_projection.proj.weight": (t, v * config["scale_factor"] ** 2),
        f"{language}embed_tokens.weight": (text["vocab_size"], t),
        f"{language}norm.weight": (t,),
        "lm_head.weight": (text["vocab_size"], t),
    }
    for layer in range(vision["num_hidden_layers"]):
        start, inner = f"{tower}encoder.layers.{layer}.", vision["intermediate_size"]
        linears: dict[str, tuple[int, ...]]
        linears = {f"self_attn.{name}_proj": (v, v) for name in ("q", "k", "v", "out")}
        linears.update({"mlp.fc1": (inner, v), "mlp.fc2": (v, inner)})
        linears.update({"layer_norm1": (v,), "layer_norm2": (v,)})
        shapes.update({f"{start}{name}.weight": shape for name, shape in linears.items()})
        shapes.update({f"{start}{name}.bias": shape[:1] for name, shape in linears.items()})
    for layer in range(text["num_hidden_layers"]):
        start, inner = f"{language}layers.{layer}.", text["intermediate_size"]
        linears = {"q": (t, t), "k": (kv, t), "v": (kv, t), "o": (t, t)}
        shapes.update({f"{start}self_attn.{n}_proj.weight": s for n, s in linears.items()})
        linears = {"gate": (inner, t), "up": (inner, t), "down": (t, inner)}
        shapes.update({f"{start}mlp.{name}_proj.weight": s for name, s in linears.items()})
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{start}{norm}.weight"] = (t,)
    return shapes


def main() -> None:
    """Read the command line and make one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("preset", choices=TEXT)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    if asked.folder.exists():
        sys.exit(f"{asked.folder} is there already; name another folder")
    print(make_preset(asked.preset, asked.folder))


if __name__ == "__main__":
    main()
