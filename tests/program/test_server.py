"""The program with a model behind a server: one that misbehaves as a test tells it to, and a real
one, mlx_vlm.server with the small checkpoint. Both listen on the loopback interface."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from narrator.engines.server import ServerEngine
from narrator.errors import ExitCode
from narrator.settings import SERVER_KEY
from support.asking import caption
from support.camera import MjpegCamera
from support.captions import captions_of
from support.drawn_scenes import Scene, Shape, draw, random_scene
from support.program import ROOT, TINY, Program, wait_until
from support.server import SAID, ScriptedServer, event, raw, say, status

RED_CIRCLE = draw(Scene(Shape("circle", "red", 0.5, 0.5, 0.2)))
TRUTH = "A red circle in the center."
GREY = draw(Scene(None))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """The file of a picture: a red circle in the center."""
    file = tmp_path / "picture.png"
    cv2.imwrite(str(file), RED_CIRCLE)
    return file


def test_it_tells_once_that_the_server_is_lost_and_once_that_it_is_back(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    program.environment[SERVER_KEY] = "s3cret"
    mjpeg.show(GREY)
    running = program.start(
        "--engine", server.url.replace("//", "//me:s3cret@"), "--source", mjpeg.url, "--mute",
    )  # fmt: skip
    running.stdout.wait_for(SAID)
    server.answer = status(500, b"\x1b[31m out of memory")
    mjpeg.show(RED_CIRCLE)
    running.stderr.wait_for("The server reported an error; trying again.")
    mjpeg.show(GREY)  # as it was: only the server is news now
    asked = len(server.requests)
    assert wait_until(lambda: len(server.requests) >= asked + 2, 20)  # and each fails
    server.answer = say("A green square.")
    running.stdout.wait_for("A green square.")
    running.stderr.wait_for("The server is back.")
    result = running.end()
    assert result.returncode == ExitCode.OK
    assert result.stderr.count("trying again") == 1
    assert result.stderr.count("is back") == 1
    assert result.stderr.count(f"frames are sent to http://***@{server.host}\n") == 1
    assert "s3cret" not in result.stderr + result.stdout
    assert "\x1b" not in result.stderr


def test_a_picture_that_can_not_be_described_ends_with_the_engines_code(
    program: Program, server: ScriptedServer, picture: Path
) -> None:
    server.answer = status(503)
    result = program("--engine", server.url, "--source", picture, "--mute")
    assert result.returncode == ExitCode.ENGINE
    assert "is too busy" in result.stderr.splitlines()[-1]


def test_a_model_that_thinks_for_too_long_is_told_of_once_and_tried_again(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    server.answer = raw(event("", reasoning_content="Hmm. " * 64) + event("", "length"))
    mjpeg.show(GREY)
    running = program.start("--engine", server.url, "--source", mjpeg.url, "--mute")
    running.stderr.wait_for("used all its tokens for thinking. Raise --max-tokens")
    mjpeg.show(RED_CIRCLE)
    assert wait_until(lambda: len(server.asked()) >= 2, 30)
    server.answer = say("A grey wall.")
    mjpeg.show(GREY)
    running.stdout.wait_for("A grey wall.")
    result = running.end()
    assert result.returncode == ExitCode.OK
    assert result.stderr.count("thinking") == 1


def test_neither_a_model_nor_a_reader_nor_the_hub_is_needed(
    program: Program, server: ScriptedServer, picture: Path
) -> None:
    hub = ScriptedServer()
    program.environment.update(HF_ENDPOINT=hub.url, PYTHONPATH=str(ROOT))
    lines = (
        "import sys, pete_sounds",
        "code = pete_sounds.main(sys.argv[1:])",
        "heavy = {'torch', 'mlx', 'transformers', 'huggingface_hub', 'rapidocr'}",
        "print(code, *sorted(heavy & set(sys.modules)))",
    )
    arguments = ["--engine", server.url, "--source", str(picture), "--mute"]
    try:
        result = subprocess.run(
            [program.python, "-c", "\n".join(lines), *arguments], env=program.environment,
            check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert result.stdout == f"{SAID}\n0\n"
        assert hub.requests == []
    finally:
        hub.close()


# --------------------------------------------------------------------------------- a real server


class RealServer:
    """mlx_vlm.server with the small checkpoint, at a port of its own."""

    START = (  # without torch, which would take seconds
        "from narrator import libraries; libraries.hide_torch(); "
        "from mlx_vlm.server.cli import main; main()"
    )

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "server.log"
        self.start()

    def start(self) -> None:
        """Start it, perhaps once more; it takes some seconds until it answers."""
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--model", str(TINY)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", self.START, *where],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            )  # fmt: skip

    def answers(self) -> bool:
        """True once it does."""
        with contextlib.suppress(OSError):
            return bool(urllib.request.urlopen(f"{self.url}/v1/models", timeout=1).status == 200)
        return False

    def wait(self) -> None:
        """Wait until it answers."""
        assert wait_until(self.answers, 90), self._log.read_text()

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    made = RealServer(tmp_path_factory.mktemp("server"))
    try:
        made.wait()
        yield made
    finally:
        made.kill()


def test_captions_through_a_server_are_true(real: RealServer) -> None:
    rng = np.random.default_rng(20261123)
    scenes = [random_scene(rng) for _ in range(12)]
    engine = ServerEngine(real.url, None)
    assert engine.label == f"{TINY} at {real.url}"
    right = [caption(engine, image) == truth for image, truth in scenes]
    assert sum(right) >= 11  # JPEG may turn a near tie.


def test_a_picture_is_described_by_a_real_server_from_the_command_line(
    program: Program, real: RealServer, picture: Path
) -> None:
    result = program("--engine", real.url, "--source", picture, "--mute", "--json")
    assert result.returncode == ExitCode.OK, result.stderr
    [said] = captions_of(result.stdout)
    assert said["caption"] == TRUTH
    assert 0.9 < said["confidence"] <= 1.0
    assert f"frames are sent to {real.url}\n" in result.stderr
