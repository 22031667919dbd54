"""OpenVINO says what transformers says of the small checkpoint, quickly, and tells nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("openvino")

from narrator.engines.openvino import OpenVinoEngine, weights_for
from narrator.engines.torch import TorchEngine
from narrator.models.presets import Weights
from narrator.models.weights import find_weights
from narrator.settings import PROJECT
from support.asking import caption, chances, clip_of, exact_share, noise, opened_openvino, query
from support.made_models import smolvlm_384

Scenes = tuple[list[np.ndarray], list[str]]
Clips = tuple[list[list[np.ndarray]], list[str]]


@pytest.mark.parametrize("weights", sorted({weights_for(8), Weights.OPENVINO_7_8}, key=str))
def test_with_8_bits_it_is_hardly_less_exact_than_float32(
    tiny: Path,
    cache: Path,
    scenes: Scenes,
    said_in_float32: list[str],
    clips: Clips,
    weights: Weights,
) -> None:
    """By what suits this processor, and by what AVX2 is quick with."""
    engine = OpenVinoEngine(find_weights(str(tiny), weights, cache), 8)
    said = [caption(engine, image) for image in scenes[0]]
    assert exact_share(said, scenes[1]) >= exact_share(said_in_float32, scenes[1]) - 0.05
    said = [caption(engine, *images) for images in clips[0]]
    assert exact_share(said, clips[1]) >= 0.9


# ------------------------------------------------------------------------- in a process of its own

STARTED = """
import json, os, sys
asked = []
sys.addaudithook(lambda event, _: asked.append(event) if event.startswith("socket.") else None)
if sys.argv[3] == "one core":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from pathlib import Path
from support.asking import chances, clip_of, noise, opened_openvino, query

engine = opened_openvino(Path(sys.argv[1]), 16, Path(sys.argv[2]))
for detail in (False, True):
    print(json.dumps(chances(engine, query(clip_of(noise()), max_tokens=12, detail=detail))))
print(engine.label)
print("torch" in sys.modules, "openvino_telemetry" in sys.modules)
descriptors = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
sockets = [os.readlink(name) for name in descriptors if os.path.islink(name)]
print([event for event in asked if event != "socket.gethostname"])
print([name for name in sockets if name.startswith("socket:")])
"""


def started(folder: Path, cache: Path, cores: str) -> list[str]:
    """What a process prints that is held to AVX2."""
    done = subprocess.run(
        [sys.executable, "-c", STARTED, str(folder), str(cache), cores],
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}",
             "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True, text=True, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_probabilities_are_those_of_transformers_and_no_socket_is_opened(
    tiny: Path, cache: Path, in_float32: TorchEngine
) -> None:
    find_weights(str(tiny), Weights.OPENVINO_32_16, cache)  # From then on no torch is needed.
    for cores in ("all", "one core"):
        *told, label, loaded, asked, sockets = started(tiny, cache, cores)
        assert label.endswith("f32")
        assert (loaded, asked, sockets) == ("False False", "[]", "[]")
        for line, detail in zip(told, (False, True)):
            expected = chances(in_float32, query(clip_of(noise()), max_tokens=12, detail=detail))
            assert json.loads(line) == pytest.approx(expected, abs=0.01)


def test_at_384_pixels_it_has_the_probabilities_of_transformers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The geometry of SmolVLM2 2.2B. Weights are rounded to float16, which float32 ones that were
    never trained feel more; and later tokens are near ties."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    folder = smolvlm_384(tmp_path / "model")
    engine = opened_openvino(folder, 16, tmp_path)
    library = TorchEngine(folder, "cpu", torch.float32)
    for detail in (False, True):
        asked = query(clip_of(noise()), max_tokens=1, detail=detail)
        assert chances(engine, asked) == pytest.approx(chances(library, asked), abs=0.1)
