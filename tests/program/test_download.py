"""A model that is not on disk yet: the whole program downloads it, once, with either engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fake_hub import FakeHub, fake_hub
from support.program import NOBODY, ROOT, Program, copy_program

REPOSITORY = "somebody/small-model"


@pytest.fixture
def hub(tiny: Path, tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub that has the small checkpoint."""
    shutil.copytree(tiny, tmp_path / "hub", ignore=shutil.ignore_patterns("demo.*"))
    with fake_hub(tmp_path / "hub", REPOSITORY) as hub:
        yield hub


@pytest.fixture
def installed(program: Program, tmp_path: Path) -> Program:
    """The program in a folder of its own, as ./install.sh leaves it, with an empty .hf_cache."""
    program.script = copy_program(tmp_path / "a copy")
    (program.script.parent / ".venv").symlink_to(ROOT / ".venv")
    return program


@pytest.mark.parametrize("engine", ["mlx", "torch"])
def test_a_missing_model_is_downloaded_and_from_then_on_the_hub_is_not_asked(
    installed: Program, hub: FakeHub, tiny: Path, engine: str
) -> None:
    arguments = ("--model", REPOSITORY, "--engine", engine, "--source", tiny / "demo.mp4")
    installed.environment["HF_ENDPOINT"] = hub.url
    first = installed(*arguments, "--once", "--mute")
    assert first.returncode == 0, first.stderr
    assert any(path.endswith("/model.safetensors") for path in hub.paths)

    asked = len(hub.paths)
    second = installed(*arguments, "--once", "--mute")
    assert (second.returncode, second.stdout) == (0, first.stdout), second.stderr
    assert hub.paths[asked:] == []


@pytest.mark.parametrize("engine", ["mlx", "torch"])
def test_a_missing_model_and_no_hub_is_one_line_with_exit_code_4(
    installed: Program, tiny: Path, engine: str
) -> None:
    installed.environment["HF_ENDPOINT"] = NOBODY
    arguments = ("--model", REPOSITORY, "--engine", engine, "--source", tiny / "demo.mp4")
    result = installed(*arguments, "--once", "--mute")
    assert result.returncode == 4
    assert "Connection refused" in result.stderr
    assert len(result.stderr.splitlines()) == 1
