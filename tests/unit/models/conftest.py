"""A model folder that may be changed, a cache of its own, and a Hub on loopback."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torchvision  # noqa: F401

from support.fake_hub import FakeHub, fake_hub
from support.program import NOBODY

REPOSITORY = "somebody/small-model"


@pytest.fixture(autouse=True)
def _lines_for_the_user(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "narrator")


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the small checkpoint that a test may change."""
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("demo.*"))
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An empty .hf_cache, which is not connected yet."""
    return tmp_path / "cache"


@pytest.fixture
def use_hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Points huggingface-hub to another Hub, and gives it leave to ask it."""

    def use(url: str) -> None:
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        for name, value in {
            "ENDPOINT": url,
            "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)

    return use


@pytest.fixture
def hub(model: Path, use_hub: Callable[[str], None]) -> Iterator[FakeHub]:
    """A Hub that has `model` as REPOSITORY."""
    with fake_hub(model, REPOSITORY) as hub:
        use_hub(hub.url)
        yield hub


@pytest.fixture
def no_hub(use_hub: Callable[[str], None]) -> None:
    """No Hub answers."""
    use_hub(NOBODY)
