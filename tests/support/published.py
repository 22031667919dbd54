"""The pinned repositories as they are published: from ../shared/published, which has their listings
and small files, but no weights.

small_model() lays the bundled checkpoint out as one of them: the same files, the same keys in each,
the same names, axes, dtype and shards of tensors. full_model() makes one of full size.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.program import ROOT, TINY

PUBLISHED = ROOT.parent / "shared" / "published"
OWNERS = {
    "HuggingFaceTB": ("256M-Video-Instruct", "500M-Video-Instruct", "2.2B-Instruct"),
    "mlx-community": ("256M-Video-Instruct-mlx", "500M-Video-Instruct-mlx", "2.2B-Instruct-mlx"),
}
REPOSITORIES = [f"{owner}/SmolVLM2-{name}" for owner, names in OWNERS.items() for name in names]
needs_published = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="../shared/published is not beside this folder"
)


def listing(repository: str) -> dict[str, Any]:
    """revision, and files: bytes, sha256 and more by name."""
    return dict(json.loads((PUBLISHED / "listings.json").read_text("utf-8"))[repository])


def full_model(repository: str, folder: Path) -> Path:
    """All published files of a repository, with weights that say "A man in red waves.", then an end
    of the turn, of any picture."""
    maker = [sys.executable, str(PUBLISHED / "make_checkpoint.py"), repository, str(folder)]
    subprocess.run(maker, check=True, capture_output=True)
    return folder


def small_model(repository: str, folder: Path) -> Path:
    """The bundled checkpoint as this repository is laid out."""
    folder.mkdir(parents=True)
    for name, file in listing(repository)["files"].items():
        if "kept" in file and name.endswith(".json"):
            published = json.loads((PUBLISHED / file["kept"]).read_text("utf-8"))
            (folder / name).write_text(json.dumps(small_settings(name, published)), "utf-8")
        elif not name.endswith(("/", ".safetensors", "index.json")):
            (folder / name).write_text("#")
    lay_out_weights(repository, folder)
    return folder


def small_settings(name: str, published: dict[str, Any]) -> dict[str, Any]:
    """What a published file says, with the numbers of the bundled checkpoint."""
    words = json.loads((TINY / "tokenizer.json").read_text("utf-8"))
    special = {token["content"]: token["id"] for token in words["added_tokens"]}
    if name == "tokenizer.json":
        return dict(words)
    if name == "vocab.json":
        return dict(words["model"]["vocab"])
    if name == "added_tokens.json":
        return special
    if not (TINY / name).is_file():
        return published  # and what is made of the weights
    ours = json.loads((TINY / name).read_text("utf-8"))
    if name == "tokenizer_config.json":
        return {**published, **{key: ours[key] for key in ("added_tokens_decoder", "vocab_size")}}
    if name == "config.json":
        # An end of the turn is named by generation_config.json, if at all.
        ours = {key: ours[key] for key in ours if not key.endswith("token_id")}
        ours["image_token_id"] = special["<image>"]
        ours["torch_dtype"] = published["torch_dtype"]
        text = {key: value for key, value in ours["text_config"].items() if "_token_id" not in key}
        ours["text_config"] = {**published["text_config"], **text}
        ours["vision_config"] = {**published["vision_config"], **ours["vision_config"]}
    return {**published, **ours}


def lay_out_weights(repository: str, folder: Path) -> None:
    """The bundled checkpoint's weights under the names, in the axes, dtype and files of these."""
    import mlx.core as mx  # which most tests do without; torch takes longer to import

    shards = json.loads(
        (PUBLISHED / "tensors" / f"{repository.replace('/', '--')}.json").read_text("utf-8")
    )
    files = {name: file for file, names in shards.items() for name in names}
    made: dict[str, dict[str, mx.array]] = {file: {} for file in shards}
    weights = mx.load(str(TINY / "model.safetensors"))
    assert isinstance(weights, dict)
    for name, tensor in weights.items():
        if repository.startswith("mlx-community"):
            name = name.replace("model.", "", 1) if name.startswith("model.") else name
            name = name.replace("text_model.", "language_model.").replace(
                "lm_head.", "language_model.lm_head."
            )
            tensor = tensor.transpose(0, 2, 3, 1) if "patch_embedding.weight" in name else tensor
        dtype = {"F32": mx.float32, "BF16": mx.bfloat16}[shards[files[name]][name][0]]
        made[files[name]][name] = tensor.astype(dtype)
    for file, tensors in made.items():
        kind = "mlx" if repository.startswith("mlx-community") else "pt"
        mx.save_safetensors(str(folder / file), tensors, {"format": kind})
    if "model.safetensors.index.json" in listing(repository)["files"]:
        index = {name: file for file, tensors in made.items() for name in sorted(tensors)}
        size = sum(t.nbytes for tensors in made.values() for t in tensors.values())
        text = json.dumps({"metadata": {"total_size": size}, "weight_map": index}, indent=4)
        (folder / "model.safetensors.index.json").write_text(text, "utf-8")
