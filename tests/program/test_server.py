"""The program with a model behind a server: one that misbehaves as a test tells it to, and a real
one, mlx_vlm.server with the small checkpoint. Both listen on the loopback interface."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from narrator.backoff import Backoff
from narrator.engines.server import ServerEngine
from narrator.errors import EngineUnavailable, ExitCode
from narrator.narration import confidence_of
from narrator.settings import SERVER_KEY
from support.asking import caption, clip_of, query, text_of
from support.camera import MjpegCamera
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


def test_what_a_server_says_is_printed_plain_and_whole(
    program: Program, server: ScriptedServer, picture: Path
) -> None:
    server.answer = say("<think>\nA dog?\n</think>\n\n**Caption:** A can of Dr. Pepper on a table")
    result = program("--engine", server.url, "--source", picture, "--mute", "--once")
    assert result.stdout == "A can of Dr. Pepper on a table\n"


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


def test_neither_torch_nor_mlx_nor_the_hub_is_needed(
    program: Program, server: ScriptedServer, picture: Path
) -> None:
    hub = ScriptedServer()
    program.environment.update(HF_ENDPOINT=hub.url, PYTHONPATH=str(ROOT))
    lines = (
        "import sys, pete_sounds",
        "code = pete_sounds.main(sys.argv[1:])",
        "heavy = {'torch', 'mlx', 'transformers', 'huggingface_hub'}",
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


def test_a_real_server_tells_how_sure_it_is(real: RealServer) -> None:
    engine, clip = ServerEngine(real.url, None), clip_of(RED_CIRCLE)
    pieces = list(engine.describe(query(clip)))
    assert text_of(pieces).strip() == TRUTH
    known = [piece.probability for piece in pieces if piece.probability is not None]
    assert 0.9 < (confidence_of(known) or 0.0) <= 1.0


def test_a_picture_is_described_by_a_real_server_from_the_command_line(
    program: Program, real: RealServer, picture: Path
) -> None:
    result = program("--engine", real.url, "--source", picture, "--mute", "--once")
    assert (result.returncode, result.stdout) == (ExitCode.OK, f"{TRUTH}\n")
    assert f"frames are sent to {real.url}\n" in result.stderr


class Narrating(threading.Thread):
    """Has one picture described over and over, and waits for the server when it is away."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._engine, self._stop_asked = ServerEngine(url, None), stop
        self._backoff = Backoff((0.2, 0.5))
        self.captions: list[str] = []
        self.losses = 0

    def run(self) -> None:
        while not self._stop_asked.wait(self._backoff.wait_s()):
            try:
                self.captions.append(caption(self._engine, RED_CIRCLE))
                self._backoff.reset()
            except EngineUnavailable:
                self.losses += self._backoff.tries == 0
                self._backoff.failed()


def test_ten_narrators_share_one_server_and_all_resume_when_it_is_restarted(
    real: RealServer,
) -> None:
    stop = threading.Event()
    narrators = [Narrating(real.url, stop) for _ in range(10)]
    for narrator in narrators:
        narrator.start()

    def all_have(captions: int) -> bool:
        return all(len(narrator.captions) >= captions for narrator in narrators)

    try:
        assert wait_until(lambda: all_have(2), 60)
        counts = [len(narrator.captions) for narrator in narrators]
        assert min(counts) >= max(counts) / 2 - 1  # none starves
        real.kill()
        assert wait_until(lambda: all(narrator.losses for narrator in narrators), 30)
        before = max(len(narrator.captions) for narrator in narrators)
        real.start()
        assert wait_until(lambda: all_have(before + 1), 120)
        assert {narrator.losses for narrator in narrators} == {1}
        assert {narrator.captions[-1] for narrator in narrators} == {TRUTH}
    finally:
        stop.set()
        for narrator in narrators:
            narrator.join(20)
