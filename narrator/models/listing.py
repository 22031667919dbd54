"""--list-models: the presets, and what is on disk. Without huggingface-hub the presets alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from narrator.models.presets import PRESETS
from narrator.settings import CACHE, CONVERTED
from narrator.text import printable


def list_models(cache: Path = CACHE) -> None:
    """Print what each preset is to each engine, then what is on disk. Needs no network."""
    print(f"{'--model':15}{'engine':8}{'download':10}{'licence':28}repository")
    for preset, checkpoints in PRESETS.items():
        for library, model in checkpoints.items():
            facts = f"{preset:15}{library:8}{model.gigabytes:.1f} GB    {model.licence:28}"
            print(facts + model.repository)
    try:
        on_disk = sorted((*downloaded(cache / "hub"), *converted(cache / CONVERTED.name)))
    except ImportError:
        print("What is on disk is not known before ./install.sh has run.")
        return
    print("on disk:" if on_disk else "Nothing is on disk yet.")
    for name, size, what, folder in on_disk:
        amount = f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
        print(printable(f"{name}: {amount} {what}, {folder}"))
    if on_disk:
        print("To remove one, delete its folder.")


def downloaded(hub: Path) -> Iterator[tuple[str, int, str, Path]]:
    """Name, bytes, state and folder of each model in huggingface-hub's cache."""
    from huggingface_hub import scan_cache_dir

    for repository in scan_cache_dir(hub).repos if hub.is_dir() else ():
        names = (file.file_name for revision in repository.revisions for file in revision.files)
        state = "downloaded" if "config.json" in names else "downloaded in part"
        yield repository.repo_id, repository.size_on_disk, state, repository.repo_path


def converted(folder: Path) -> Iterator[tuple[str, int, str, Path]]:
    """The same of each folder of weights that were made here."""
    for made in folder.glob("[!.]*/"):
        size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
        yield made.name.replace("--", "/", 1), size, "made here", made
