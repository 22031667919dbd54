"""A model that is not on disk yet: the whole program downloads it, once, with each engine, from a
Hub that lists what the real one lists."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import pytest

from narrator.models.presets import PRESETS
from support.fake_hub import fake_hub
from support.program import NOBODY, ROOT, Program, copy_program
from support.published import PUBLISHED, full_model, listing, needs_published, small_model

LIBRARIES = {"mlx": "mlx", "openvino": "torch"}
BITS = {"mlx": "4", "openvino": "16"}


@pytest.fixture
def installed(program: Program, tmp_path: Path) -> Program:
    """The program in a folder of its own, as ./install.sh leaves it, with an empty .hf_cache."""
    program.script = copy_program(tmp_path / "a copy")
    (program.script.parent / ".venv").symlink_to(ROOT / ".venv")
    return program


@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", LIBRARIES)
def test_a_missing_model_is_downloaded_and_from_then_on_the_hub_is_not_asked(
    installed: Program, tiny: Path, tmp_path: Path, engine: str
) -> None:
    checkpoint = PRESETS["smolvlm2-256m"][LIBRARIES[engine]]
    arguments = ("--source", tiny / "demo.mp4", "--engine", engine, "--bits", BITS[engine])
    folder = tmp_path / "hub"
    if PUBLISHED.is_dir():
        small_model(checkpoint.repository, folder)
    else:
        shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("demo.*"))
    with fake_hub(folder, checkpoint.repository, checkpoint.revision or "") as hub:
        installed.environment["HF_ENDPOINT"] = hub.url
        first = installed(*arguments, "--once", "--mute", timeout=170)
        assert (first.returncode, first.stdout) == (0, "Nothing but a grey wall.\n"), first.stderr
        asked = {path.rsplit("/", 1)[1] for path in hub.paths if "/resolve/" in path}
        unread = {".gitattributes", "README.md"}
        assert asked == {file.name for file in folder.iterdir()} - unread
        hub.paths.clear()
        second = installed(*arguments, "--once", "--mute", timeout=170)
        assert (second.returncode, second.stdout) == (0, first.stdout), second.stderr
        assert hub.paths == []


@needs_published
@pytest.mark.skipif(
    "FULL_SIZE_MODELS" not in os.environ,
    reason="FULL_SIZE_MODELS=1 makes models of 0.5 and 1 GB, which takes minutes",
)
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("engine", ["mlx", "openvino"])
def test_a_model_of_full_size_is_downloaded_converted_and_says_its_sentence(
    installed: Program, tiny: Path, tmp_path: Path, engine: str
) -> None:
    checkpoint = PRESETS["smolvlm2-256m"][LIBRARIES[engine]]
    assert listing(checkpoint.repository)["revision"] == checkpoint.revision
    arguments = ("--engine", engine, "--bits", BITS[engine], "--source", tiny / "demo.mp4")
    folder = full_model(checkpoint.repository, tmp_path / "hub")
    if engine == "mlx":  # Its own BLAS for Linux is 15 times slower than OpenCV's.
        libraries = Path(cv2.__file__).parent.parent / "opencv_python.libs"
        installed.environment["LD_PRELOAD"] = " ".join(map(str, libraries.glob("libopenblas*")))
    with fake_hub(folder, checkpoint.repository, checkpoint.revision or "") as hub:
        installed.environment["HF_ENDPOINT"] = hub.url
        first = installed(*arguments, "--once", "--mute", timeout=1400)
        print(first.stderr, first.stdout)
        installed.environment["HF_ENDPOINT"] = NOBODY
        second = installed(*arguments, "--once", "--mute", timeout=1400)
        print(second.stderr, second.stdout)
    for start in (first, second):
        # The sentence and no more: the next token is an end of the turn.
        assert (start.returncode, start.stdout) == (0, "A man in red waves.\n"), start.stderr
    [made] = (installed.script.parent / ".hf_cache" / "pete_sounds").iterdir()
    sizes = {file.name: file.stat().st_size for file in made.iterdir() if file.is_file()}
    print(sizes)
    if engine == "mlx":
        assert sizes["model.safetensors"] == 268_677_544
