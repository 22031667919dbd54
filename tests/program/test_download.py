"""A model that is not on disk yet: it is downloaded once, by the whole program or by install.sh,
from a Hub that lists what the real one lists."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from narrator.engines.choice import choose_engine
from narrator.models.presets import PRESETS
from support.fake_hub import FakeHub, fake_hub
from support.program import NOBODY, ROOT, TINY, Program, copy_program
from support.published import PUBLISHED, full_model, listing, needs_published, small_model

INSTALL_LINE = r"(\.venv/bin/python -c '.*'); then"
GREY = "Nothing but a grey wall.\n"


@pytest.fixture
def installed(program: Program, tmp_path: Path) -> Program:
    """The program in a folder of its own, as ./install.sh leaves it, with an empty .hf_cache."""
    program.script = copy_program(tmp_path / "a copy")
    (program.script.parent / ".venv").symlink_to(ROOT / ".venv")
    return program


@contextlib.contextmanager
def hub_of(program: Program, folder: Path, library: str) -> Iterator[FakeHub]:
    """A Hub with the small checkpoint in the place of the default model's."""
    checkpoint = PRESETS["smolvlm2-256m"][library]
    if PUBLISHED.is_dir():
        small_model(checkpoint.repository, folder)
    else:
        shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("demo.*"))
    with fake_hub(folder, checkpoint.repository, checkpoint.revision or "") as hub:
        program.environment["HF_ENDPOINT"] = hub.url
        yield hub


def asked_of(hub: FakeHub) -> set[str]:
    """The files that were fetched."""
    return {path.rsplit("/", 1)[1] for path in hub.paths if "/resolve/" in path}


def wanted_of(hub: FakeHub) -> set[str]:
    """The files that are of use."""
    return {file.name for file in hub.folder.iterdir()} - {".gitattributes", "README.md"}


def test_a_missing_model_is_downloaded_and_from_then_on_the_hub_is_not_asked(
    installed: Program, tmp_path: Path
) -> None:
    arguments = ("--source", TINY / "demo.mp4", "--engine", "mlx", "--once", "--mute")
    with hub_of(installed, tmp_path / "hub", "mlx") as hub:
        first = installed(*arguments, timeout=170)
        assert (first.returncode, first.stdout) == (0, GREY), first.stderr
        assert asked_of(hub) == wanted_of(hub)
        hub.paths.clear()
        second = installed(*arguments)
        assert (second.returncode, second.stdout) == (0, GREY), second.stderr
        assert hub.paths == []


def test_what_install_sh_makes_ready_is_all_that_a_start_needs(
    installed: Program, tmp_path: Path
) -> None:
    """By the very line of install.sh: with the Hub, and then without it or any model."""
    line = re.search(INSTALL_LINE, (ROOT / "install.sh").read_text())
    assert line is not None
    installed.here = folder = installed.script.parent
    (folder / "tests").mkdir()
    demo = folder / "tests" / "tiny_smolvlm2"
    demo.symlink_to(TINY)
    library = choose_engine("auto", None).weights().library
    with hub_of(installed, tmp_path / "hub", library) as hub:
        ready = installed.start(shell=line[1]).finished(170)
        assert (ready.returncode, ready.stdout) == (0, ""), ready.stderr
        assert asked_of(hub) == wanted_of(hub)
        hub.paths.clear()
        for source in (("--source", TINY / "demo.mp4"), ("--demo",)):
            started = installed(*source, "--once", "--mute")
            assert (started.returncode, started.stdout) == (0, GREY), started.stderr
            assert "making" not in started.stderr
        assert hub.paths == []
    shutil.rmtree(folder / ".hf_cache")
    demo.unlink()
    demo.mkdir()
    installed.environment["HF_ENDPOINT"] = NOBODY
    result = installed.start(shell=line[1]).finished(90)
    assert (result.returncode, result.stdout) == (4, "")
    no_hub, no_demo = result.stderr.splitlines()
    assert no_hub.startswith("pete_sounds: ")
    assert "the next start tries again" in no_hub
    assert str(demo) in no_demo


@needs_published
@pytest.mark.skipif(
    "FULL_SIZE_MODELS" not in os.environ,
    reason="FULL_SIZE_MODELS=1 makes models of 0.5 and 1 GB, which takes minutes",
)
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("engine", "library", "bits"), [("mlx", "mlx", "4"), ("openvino", "torch", "16")]
)
def test_a_model_of_full_size_is_downloaded_converted_and_says_its_sentence(
    installed: Program, tmp_path: Path, engine: str, library: str, bits: str
) -> None:
    checkpoint = PRESETS["smolvlm2-256m"][library]
    assert listing(checkpoint.repository)["revision"] == checkpoint.revision
    arguments = ("--engine", engine, "--bits", bits, "--source", TINY / "demo.mp4")
    folder = full_model(checkpoint.repository, tmp_path / "hub")
    if engine == "mlx":  # Its own BLAS for Linux is 15 times slower than OpenCV's.
        libraries = Path(cv2.__file__).parent.parent / "opencv_python.libs"
        installed.environment["LD_PRELOAD"] = " ".join(map(str, libraries.glob("libopenblas*")))
        installed.environment["OPENBLAS_NUM_THREADS"] = str(os.cpu_count())
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
