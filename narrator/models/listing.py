"""--list-models: the presets, and what is on disk. Without huggingface-hub the presets alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from narrator.models.presets import PRESETS
from narrator.settings import CACHE, CONVERTED
from narrator.text import printable

# Which engines run a library's checkpoint on this system, and which does without --engine.
if sys.platform == "darwin":
    ENGINES, USUAL = {"mlx": "mlx", "torch": "torch"}, "mlx runs the model"
else:
    ENGINES = {"mlx": "mlx", "torch": "openvino, torch"}
    USUAL = "openvino runs the model, or torch on an NVIDIA or AMD GPU"


def list_models(cache: Path = CACHE) -> None:
    """Print what each preset is to each engine, then what is on disk. Needs no network."""
    print(f"{'--model':15}{'engine':17}{'download':10}{'licence':28}repository")
    for preset, checkpoints in PRESETS.items():
        for library, model in checkpoints.items():
            facts = f"{preset:15}{ENGINES[library]:17}{model.gigabytes} GB    {model.licence:28}"
            print(facts + model.repository)
    print(f"Without --engine, {USUAL}.")
    try:
        on_disk = sorted(found_in(cache))
    except ImportError:
        print("What is on disk is not known before ./install.sh has run.")
        return
    print("on disk (to remove a model, delete its folder):" if on_disk else "on disk: nothing yet")
    for name, size, what, folder in on_disk:
        print(printable(f"{name}: {size / 1e6:.0f} MB {what}, {folder}"))


def found_in(cache: Path) -> Iterator[tuple[str, int, str, Path]]:
    """Name, bytes, state and folder of what was downloaded, and of what was made here."""
    from huggingface_hub import scan_cache_dir

    if (cache / "hub").is_dir():
        for model in scan_cache_dir(cache / "hub").repos:
            names = (file.file_name for revision in model.revisions for file in revision.files)
            state = "downloaded" if "config.json" in names else "downloaded in part"
            yield model.repo_id, model.size_on_disk, state, model.repo_path
    for folder in (cache / CONVERTED.name).glob("[!.]*/"):
        size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
        yield folder.name.replace("--", "/", 1), size, "made here", folder
