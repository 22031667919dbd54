"""A folder of weights -> the folder that an engine needs, made of it once where it has to be.

Weights are quantised by mlx-vlm, or become OpenVINO's graphs, in a temporary folder that gets its
name when it is whole: a conversion that is killed loses nothing.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

from narrator.libraries import hide_torch
from narrator.models.folder import (
    INDEX,
    WANTED_FILES,
    is_smolvlm,
    read_config,
    refuse_unloadable,
)
from narrator.models.presets import Weights
from narrator.models.smolvlm import SmolVlmInputs

QUANTISED = {Weights.MLX_4BIT: 4, Weights.MLX_8BIT: 8}  # bits
GRAPHS = {  # bits of the vision tower, and of the language model
    weights: tuple(map(int, weights.value.split("-")[1:]))
    for weights in Weights
    if weights.name.startswith("OPENVINO")
}
ABANDONED_S = 3600.0  # so old is only what a killed conversion left
log = logging.getLogger(__name__)


def convert_if_needed(source: Path, weights: Weights, target: Path, label: str) -> Path:
    """`source` where its weights will do, else `target`, which is made of them now.

    label: what the user calls the model. Raises PeteError where the engine can't load it, OSError
    when the disk is full or may not be written, and whatever a library raises.
    """
    refuse_unloadable(source, weights.library, label)
    if not needs_conversion(source, weights):
        return source
    if is_smolvlm(source):
        SmolVlmInputs(source)  # What can't be asked anything is not worth the time.
    kind = "OpenVINO" if weights in GRAPHS else weights.value
    log.info(f"making the {kind} weights of {label} (once)")
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(".making-*"):
        if left.stat().st_mtime < time.time() - ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as folder:
        made = Path(folder) / "made"
        made.mkdir()
        for file in (file for pattern in WANTED_FILES for file in source.glob(pattern)):
            if file.suffix != ".safetensors" and file.name != INDEX:
                shutil.copyfile(file, made / file.name)
        if weights in QUANTISED:
            hide_torch()
            from narrator.models import mlx_conversion

            mlx_conversion.convert(source, made, QUANTISED[weights])
        else:
            from narrator.models import openvino_conversion  # It imports torch.

            openvino_conversion.convert(source, made, *GRAPHS[weights])
        if not is_whole(target):  # Another start may have been quicker.
            shutil.rmtree(target, ignore_errors=True)
            os.replace(made, target)
    return target


def is_whole(target: Path) -> bool:
    """True for a folder that convert_if_needed() made and nobody has taken files from."""
    graphs = ("vision.xml", "vision.bin", "language.xml", "language.bin")
    has_graphs = all((target / name).is_file() for name in graphs)
    has_weights = has_graphs or any(target.glob("*.safetensors"))
    return (target / "config.json").is_file() and has_weights


def needs_conversion(source: Path, weights: Weights) -> bool:
    """False where the folder's own weights will do."""
    if weights in GRAPHS:
        return is_smolvlm(source) and not (source / "language.xml").is_file()
    return weights in QUANTISED and "quantization" not in read_config(source)
