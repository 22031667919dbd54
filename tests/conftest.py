"""The fixtures that every test may use; what they are made of is in support/."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

# Who takes every core for one sum waits for whoever else runs: 40 s instead of 5 for a test of the
# engine. Read when torch and cv2 are imported, so set before.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")

import pytest

from narrator.terminal import Terminal, log_to
from support.camera import MjpegCamera
from support.program import TINY, Program
from support.server import ScriptedServer
from support.sound import SoundCard
from support.video import DemoClip
from support.webcam import Webcam, build_webcam


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program, to be called with its arguments, or started."""
    made = Program(tmp_path / "program")
    yield made
    made.close()


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The folder of the small checkpoint."""
    return TINY


@pytest.fixture(scope="session")
def demo_clip() -> DemoClip:
    """The clip that --demo shows, and what is true when."""
    rests = json.loads((TINY / "demo.json").read_text("utf-8"))
    return DemoClip(
        TINY / "demo.mp4", tuple((rest["start"], rest["end"], rest["caption"]) for rest in rests)
    )


@pytest.fixture
def mjpeg() -> Iterator[MjpegCamera]:
    """A network camera that can be told what to show and how to fail."""
    camera = MjpegCamera()
    yield camera
    camera.close()


@pytest.fixture(scope="session")
def built_webcam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Skips where it can't be built."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("cc") is None:
        pytest.skip("the webcam is a library for Linux on x86-64, and needs a C compiler")
    return build_webcam(tmp_path_factory.mktemp("webcam"))


@pytest.fixture
def webcam(built_webcam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Webcam:
    """Cameras for the processes that the test starts; none is plugged in yet."""
    made = Webcam(built_webcam, tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """An engine that says what it is told to, without torch."""
    made = ScriptedServer()
    yield made
    made.close()


@pytest.fixture
def sound_card(tmp_path: Path) -> Iterator[SoundCard]:
    """A sound card that plays faster than a real one and keeps what it played."""
    card = SoundCard(tmp_path / "sound-card")
    yield card
    card.close()


@pytest.fixture
def stuck_sound_card(tmp_path: Path) -> Iterator[SoundCard]:
    """A sound card that is there, but blocks half a sentence later."""
    card = SoundCard(tmp_path / "stuck-sound-card", 1.0, stuck_after=15_000)
    yield card
    card.close()


@pytest.fixture
def slow_sound_card(tmp_path: Path) -> Iterator[SoundCard]:
    """A sound card that takes ten seconds over what is said in one."""
    card = SoundCard(tmp_path / "slow-sound-card", 0.1)
    yield card
    card.close()


@pytest.fixture
def speech() -> None:
    """Skips where there is nothing to speak with."""
    if sys.platform != "darwin" and shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed (./install.sh says how)")


@pytest.fixture
def logged_to_stderr() -> Iterator[None]:
    """What is logged is printed, as in the program."""
    ours = logging.getLogger("narrator")
    before = ours.handlers[:], ours.propagate, ours.level
    log_to(Terminal())
    yield
    ours.handlers[:], ours.propagate = before[:2]
    ours.setLevel(before[2])
