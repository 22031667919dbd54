"""A checkpoint on the Hub -> its folder in .hf_cache, downloaded once and checked.

config.json comes last, when all else is there and is what the Hub lists: so a snapshot with a
config.json is whole, and from then on the Hub is not asked about it.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi, errors, snapshot_download

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
    try:
        if (folder := find_snapshot(checkpoint, cache)) is None and not may_download:
            raise ModelError(f"{name} is not on this machine; a start without --bench downloads it")
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
    commit = api.model_info(name, revision=checkpoint.revision, timeout=15).sha
    # Where no revision is pinned, this notes for later starts which one "main" was.
    api.resolve_revision(name, revision=checkpoint.revision, cache_dir=cache)
    size = f", {checkpoint.gigabytes} GB" if checkpoint.gigabytes else ""
    log.info(f"downloading {name} (once{size})")
    get = partial(snapshot_download, name, revision=commit, cache_dir=cache)
    folder = Path(get(allow_patterns=WANTED_FILES, ignore_patterns=[LAST_FILE]))
    for wrong in api.verify_repo_checksums(name, revision=commit, cache_dir=cache).mismatches:
        file = folder / wrong["path"]
        file.resolve().unlink()
        file.unlink()
        raise ModelError(
            f"{name}: {file.name} is not what the Hub lists for this revision; it was deleted, "
            "start again to download it anew"
        )
    # huggingface-hub names a weight file's content by its SHA-256.
    if checkpoint.sha256 not in (None, (folder / "model.safetensors").resolve().name):
        log.info("note: the Hub lists another SHA-256 for model.safetensors than others saw before")
    get(allow_patterns=[LAST_FILE])
    return folder
