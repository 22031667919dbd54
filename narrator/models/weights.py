"""What --model names -> a folder of weights that the engine can load: downloaded where it is
missing (hub.py), and converted to what the engine needs (conversion.py), each once."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from narrator.errors import ModelError, PeteError, UsageError, reason_of
from narrator.libraries import forbid_network
from narrator.models.conversion import convert_if_needed, is_whole
from narrator.models.folder import HALF_A_FASTVLM, folder_key, read_config
from narrator.models.presets import APPLE_LICENCE, PRESETS, Checkpoint, Weights
from narrator.settings import CACHE, CONVERTED
from narrator.text import did_you_mean, without_password

log = logging.getLogger(__name__)


def find_weights(
    model: str, weights: Weights, cache: Path = CACHE, may_download: bool = True
) -> Path:
    """The folder of a preset, Hub repository or folder as an engine needs it.

    What is downloaded and made is kept in `cache`; after that no library asks the network. Raises
    ModelError, and UsageError where the model is for another engine.
    """
    place = resolve_model(model, weights.library)
    if isinstance(place, Checkpoint):
        label = place.repository
        key = f"{label.replace('/', '--')}-{(place.revision or 'newest')[:12]}"
    else:
        key, label = folder_key(place), place.resolve().name
    if "fastvlm" in label.lower():
        log.info(f"FastVLM's weights have a licence of their own: {APPLE_LICENCE}")
    target = cache / CONVERTED.name / f"{key}-{weights.value}"
    try:
        if is_whole(target):
            place = target
        elif isinstance(place, Checkpoint):
            from narrator.models.hub import fetch

            place = fetch(place, cache / "hub", may_download)
        forbid_network()
        return convert_if_needed(place, weights, target, label)
    except (PeteError, ImportError):
        raise
    except Exception as error:
        what = f"read, or kept in {cache}" if getattr(error, "errno", None) else "used"
        raise ModelError(f"the weights of {label} can't be {what}: {reason_of(error)}") from error


def resolve_model(model: str, library: str) -> Checkpoint | Path:
    """What --model means to a library, mlx or torch: a checkpoint on the Hub, or a folder.

    Raises ModelError, or UsageError where the other library is needed.
    """
    if preset := PRESETS.get(model.lower()):
        if library not in preset:
            raise UsageError(f"--model {model} needs --engine {' or '.join(preset)}")
        return preset[library]
    folder = Path(os.path.expanduser(model))  # Path.expanduser() raises for an unknown ~user
    if os.path.isdir(folder):  # Path.is_dir() raises for a name that is too long
        read_config(folder)
        return folder
    if re.fullmatch(r"apple/FastVLM-.*-(fp16|int8|int4)", model):
        raise ModelError(f"{model} {HALF_A_FASTVLM}")
    there = ""
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model):
        if not os.path.isdir(folder.parent):
            return Checkpoint(model)
        there = f"; to ask the Hub for it, start where there is no folder {folder.parent}"
    if "/" in model and "://" not in model:
        raise ModelError(f"there is no folder {model}{there}")
    raise ModelError(
        f"--model {without_password(model)} is not in --list-models, not a folder, and not a Hub "
        f"repository (owner/name){did_you_mean(model, PRESETS)}"
    )
