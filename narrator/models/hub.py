"""A checkpoint on the Hub -> its folder in .hf_cache, downloaded once and checked.

config.json comes last, when all else is there and is what the Hub lists: so a snapshot with a
config.json is whole, and from then on the Hub is not asked about it.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, errors, snapshot_download
from huggingface_hub.utils import filter_repo_objects, tqdm

from narrator.errors import ModelError, reason_of
from narrator.models.folder import WANTED_FILES
from narrator.models.presets import Checkpoint

LAST_FILE = "config.json"
log = logging.getLogger(__name__)


def fetch(checkpoint: Checkpoint, cache: Path, may_download: bool = True) -> Path:
    """The folder of a checkpoint in huggingface-hub's `cache`, downloaded where it is missing.

    Raises ModelError; OSError when the disk is full or may not be written.
    """
    name = checkpoint.repository
    size = f" ({checkpoint.gigabytes} GB)" if checkpoint.gigabytes else ""
    try:
        if (folder := find_snapshot(checkpoint, cache)) is None and not may_download:
            raise ModelError(
                f"{name} is not on this machine; run pete_sounds.py with it once to download "
                f"it{size}"
            )
        return folder or download(checkpoint, cache)
    except errors.GatedRepoError as error:
        raise ModelError(f"{name} asks you to accept its terms on huggingface.co first") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(f"the Hub has no model {name}") from error
    except Exception as error:
        if isinstance(error, ModelError) or getattr(error, "errno", None):  # errno: of the disk
            raise
        raise ModelError(
            f"{name} is not on this machine and the Hub can't be reached "
            f"({reason_of(error.__cause__ or error)}); --demo works without it, the next start "
            "tries again"
        ) from error


def find_snapshot(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """The folder of a checkpoint that was downloaded whole; None where something is missing."""
    find = partial(snapshot_download, revision=checkpoint.revision, allow_patterns=WANTED_FILES)
    try:
        folder = Path(find(checkpoint.repository, cache_dir=cache, local_files_only=True))
    except errors.LocalEntryNotFoundError as error:
        if isinstance(error, errors.IncompleteSnapshotError):
            Path(error.snapshot_path, LAST_FILE).unlink(missing_ok=True)  # until it is whole again
        return None
    return folder if (folder / LAST_FILE).is_file() else None


def download(checkpoint: Checkpoint, cache: Path) -> Path:
    """Download what is missing of a checkpoint, and check it. Raises ModelError for a file that is
    not what the Hub lists, which is deleted; and what huggingface-hub raises."""
    name, api = checkpoint.repository, HfApi()
    found = api.model_info(name, revision=checkpoint.revision, timeout=15, files_metadata=True)
    commit = found.sha
    # Where no revision is pinned, this notes for later starts which one "main" was.
    api.resolve_revision(name, revision=checkpoint.revision, cache_dir=cache)
    size = f", {checkpoint.gigabytes} GB" if checkpoint.gigabytes else ""
    log.info(f"downloading {name} (once{size})")
    get = partial(snapshot_download, name, revision=commit, cache_dir=cache)
    wanted = filter_repo_objects(
        found.siblings or [], allow_patterns=WANTED_FILES, key=lambda file: file.rfilename
    )
    bars = bars_or_lines(sum(file.size or 0 for file in wanted))
    folder = Path(get(tqdm_class=bars, allow_patterns=WANTED_FILES, ignore_patterns=[LAST_FILE]))
    for wrong in api.verify_repo_checksums(name, revision=commit, cache_dir=cache).mismatches:
        file = folder / wrong["path"]
        file.resolve().unlink()
        file.unlink()
        raise ModelError(
            f"{name}: {file.name} does not match the Hub's checksum and was deleted; "
            "start again to download it anew"
        )
    # huggingface-hub names a weight file's content by its SHA-256.
    if checkpoint.sha256 not in (None, (folder / "model.safetensors").resolve().name):
        log.info("note: the Hub's SHA-256 of model.safetensors is not the one recorded here")
    get(allow_patterns=[LAST_FILE])
    return folder


def bars_or_lines(size: int) -> type[tqdm]:
    """huggingface-hub's bars; where they are not drawn, a line for each tenth of so many bytes."""

    class BarOrLines(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, name: str | None = None, **options: Any) -> None:
            super().__init__(*args, name=name, **options)
            self._of_all_files = name == "huggingface_hub.snapshot_download"
            self._done, self._reported = 0.0, 0

        def update(self, n: float | None = 1) -> bool | None:
            if self.disable and self._of_all_files:
                self._done += n or 0
                tenths = min(int(10 * self._done / size), 10) if size else 0
                if tenths > self._reported:
                    self._reported = tenths
                    log.info(f"downloaded {10 * tenths} %")
            drawn: bool | None = super().update(n)
            return drawn

    return BarOrLines
