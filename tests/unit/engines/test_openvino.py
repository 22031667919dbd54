"""OpenVINO says what transformers says of the small checkpoint, quickly, and tells nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("openvino")

from narrator.engines.openvino import OpenVinoEngine
from narrator.engines.torch import TorchEngine
from narrator.settings import DEFAULT_PROMPT, PROJECT
from support.asking import TOKENS, caption, clip_of, exact_share, noise, opened_openvino
from support.made_models import smolvlm_384

Scenes = tuple[list[np.ndarray], list[str]]
Clips = tuple[list[list[np.ndarray]], list[str]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the graphs go that are made here: a folder with a space in its path."""
    return tmp_path_factory.mktemp("made here")


@pytest.fixture(scope="module")
def rounded(tiny: Path, cache: Path) -> OpenVinoEngine:
    """With 8 bits."""
    return opened_openvino(tiny, 8, cache)


def child(code: str, *arguments: str | Path, **environment: str) -> str:
    """What Python prints for some code in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}", **environment},
        capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------------------------ what is true


@pytest.mark.parametrize("bits", [16, 8])
def test_it_is_at_most_a_point_less_exact_than_float32(
    tiny: Path,
    cache: Path,
    scenes: Scenes,
    said_in_float32: list[str],
    bits: int,
) -> None:
    engine = opened_openvino(tiny, bits, cache)
    said = [caption(engine, image) for image in scenes[0]]
    assert exact_share(said, scenes[1]) >= exact_share(said_in_float32, scenes[1]) - 0.01


def test_nine_of_ten_unseen_clips_are_captioned_exactly(
    rounded: OpenVinoEngine, clips: Clips
) -> None:
    said = [caption(rounded, *images) for images in clips[0]]
    assert exact_share(said, clips[1]) >= 0.9


HELD_TO_AVX2 = """
import sys
from pathlib import Path
import numpy as np
from narrator.settings import DEFAULT_PROMPT
from support.asking import clip_of, noise, opened_openvino

exact, rounded = (opened_openvino(Path(sys.argv[1]), bits, Path(sys.argv[2])) for bits in (16, 8))
for number, detail in enumerate((False, True)):
    logits = exact.first_logits(clip_of(noise()), DEFAULT_PROMPT, detail)
    np.save(f"{sys.argv[2]}/{number}.npy", logits)
    said, guessed = (
        list(exact._tokens(clip_of(noise()), DEFAULT_PROMPT, 12, detail)) for _ in range(2)
    )
    assert [token for token, _ in said] == [token for token, _ in guessed]
    assert np.allclose(*([chance for _, chance in one] for one in (said, guessed)), atol=1e-4)
    print(*(token for token, _ in said))
assert list(rounded.describe(clip_of(noise()), DEFAULT_PROMPT, 24))
print(exact.label)
"""


# Weights are rounded to float16, which float32 ones that were never trained feel more.
@pytest.mark.parametrize(("geometry", "tolerance"), [("256M", 0.05), ("2.2B", 0.5)])
def test_held_to_avx2_logits_and_tokens_are_those_of_transformers(
    tiny: Path, tmp_path: Path, geometry: str, tolerance: float
) -> None:
    folder = tiny if geometry == "256M" else smolvlm_384(tmp_path / "model")
    library = TorchEngine(folder, "cpu", torch.float32)
    *told, label = child(HELD_TO_AVX2, folder, tmp_path, ONEDNN_MAX_CPU_ISA="AVX2").splitlines()
    assert label.endswith("f32")
    for number, detail in enumerate((False, True)):
        inputs = library.prepare(clip_of(noise()), DEFAULT_PROMPT, detail)
        with torch.inference_mode():
            expected = library._model(**inputs, logits_to_keep=1).logits[:, -1].numpy()
        assert np.abs(np.load(tmp_path / f"{number}.npy") - expected).max() < tolerance
        tokens = library._tokens(clip_of(noise()), DEFAULT_PROMPT, 12, detail)
        if folder == tiny:  # Others' tokens are near ties.
            assert told[number].split() == [str(token) for token, _ in tokens]


# --------------------------------------------------------------------------- what makes it quick


ON_ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from pathlib import Path
from support.asking import caption, noise, opened_openvino

for bits in (16, 8):
    print(caption(opened_openvino(Path(sys.argv[1]), bits, Path(sys.argv[2])), noise()))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_one_core_is_enough(tiny: Path, cache: Path) -> None:
    assert len(child(ON_ONE_CORE, tiny, cache).splitlines()) == 2


class WrongDrafts:
    """Guesses that are never right."""

    def guess(self, said: list[int]) -> list[int]:
        return [5] * 3

    def keep(self, said: list[int]) -> None:
        pass


def test_guesses_change_no_token_be_they_right_or_wrong(
    tiny: Path, cache: Path, scenes: Scenes
) -> None:
    engine = opened_openvino(tiny, 8, cache, guesses=False)
    some = scenes[0][:20]
    alone = [caption(engine, image) for image in some]
    engine._drafts = WrongDrafts()  # type: ignore[assignment]
    assert [caption(engine, image) for image in some] == alone
    guessing = opened_openvino(tiny, 8, cache)
    assert [caption(guessing, image) for image in [*some, *some]] == [*alone, *alone]


def test_what_was_seen_of_a_frame_is_kept_for_the_next_clip(
    rounded: OpenVinoEngine, scenes: Scenes
) -> None:
    first, second, third = clip_of(*scenes[0][:3])
    list(rounded.describe([first, second], DEFAULT_PROMPT, 2))
    seen = rounded._seen[1][2]
    list(rounded.describe([second, third], DEFAULT_PROMPT, 2))
    assert rounded._seen[0][2] is seen
    list(rounded.describe([second], DEFAULT_PROMPT, 2, detail=True))
    assert len(rounded._seen[0][2]) > len(seen)


def test_a_caption_that_is_cancelled_leaves_the_next_one_as_it_was(
    rounded: OpenVinoEngine, scenes: Scenes
) -> None:
    said = caption(rounded, scenes[0][0])
    started = rounded.describe(clip_of(scenes[0][1]), DEFAULT_PROMPT, TOKENS)
    next(started)
    started.close()  # type: ignore[attr-defined]
    assert caption(rounded, scenes[0][0]) == said


# ------------------------------------------------------------------------------- made only once

WATCHED = """
import os, sys
asked = []
sys.addaudithook(lambda event, _: asked.append(event) if event.startswith("socket.") else None)
from pathlib import Path
from narrator.settings import DEFAULT_PROMPT
from support.asking import caption, noise, opened_openvino

engine = opened_openvino(Path(sys.argv[1]), 8, Path(sys.argv[2]))
print(caption(engine, noise()))
print("torch" in sys.modules, "openvino_telemetry" in sys.modules)
descriptors = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
sockets = [os.readlink(name) for name in descriptors if os.path.islink(name)]
print([event for event in asked if event != "socket.gethostname"])
print([name for name in sockets if name.startswith("socket:")])
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_no_socket_is_opened_and_the_second_start_needs_no_torch(
    tiny: Path, tmp_path: Path
) -> None:
    said, loaded, asked, sockets = child(WATCHED, tiny, tmp_path).splitlines()
    assert loaded == "True False"
    assert (asked, sockets) == ("[]", "[]")
    again, loaded, asked, sockets = child(WATCHED, tiny, tmp_path).splitlines()
    assert again == said
    assert loaded == "False False"
    assert (asked, sockets) == ("[]", "[]")
