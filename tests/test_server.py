"""A model behind a server: mlx_vlm.server with the small checkpoint, and one that misbehaves.

Both listen on the loopback interface. The second is scripted here, as no real server can be told to
fail in all these ways.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import pete_sounds
from pete_sounds import (
    DEFAULT_PROMPT,
    Caption,
    CpuEngine,
    Engine,
    EngineAway,
    EngineError,
    ExitCode,
    Frame,
    Frames,
    ModelError,
    Narrator,
    ServerEngine,
    UsageError,
    Watch,
    parse_arguments,
)
from support.camera import MjpegCamera
from support.drawn_scenes import random_scene
from support.program import ROOT, TINY, Program, wait_until
from support.video import write_video

GREY = np.full((48, 64, 3), 128, np.uint8)
SAID = "A red circle on the left."


def clip_of(image: np.ndarray) -> list[Frame]:
    """A picture as engines take it."""
    return [Frame(image, taken=0.0, at=0.0)]


def caption(engine: Engine, image: np.ndarray = GREY) -> str:
    return "".join(engine.describe(clip_of(image), DEFAULT_PROMPT)).strip()


@pytest.fixture(autouse=True)
def _own_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The client's settings are the process's, and other tests fetch from a Hub."""
    monkeypatch.delenv(pete_sounds.SERVER_KEY, raising=False)
    yield
    if pete_sounds.import_inference_client.cache_info().currsize:
        from huggingface_hub.utils import _http, set_client_factory

        set_client_factory(_http.default_client_factory)
        pete_sounds.import_inference_client.cache_clear()


# --------------------------------------------------------------------------- a server with a script

Answer = Callable[[BaseHTTPRequestHandler], None]


class ScriptedServer:
    """Does what a test tells it to; keeps what it was sent."""

    def __init__(self) -> None:
        self.answer: Answer = say()
        self.models: Answer = json_answer({"data": [{"id": "small"}]})
        self.requests: list[dict[str, Any]] = []  # path, headers, body
        self.done = threading.Event()  # set at the end, for answers that wait
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._serve(server.models, b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._serve(server.answer, body)

            def _serve(self, answer: Answer, body: bytes) -> None:
                self.close_connection = True
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.requests.append({"path": self.path, "headers": headers, "body": body})
                with contextlib.suppress(OSError):  # The client has had enough.
                    answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def asked(self) -> dict[str, Any]:
        """The body of the latest request for a caption."""
        posted = [request for request in self.requests if request["body"]]
        return dict(json.loads(posted[-1]["body"]))

    def close(self) -> None:
        self.done.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    made = ScriptedServer()
    yield made
    made.close()


def reply(handler: BaseHTTPRequestHandler, kind: str = "text/event-stream", **more: str) -> None:
    """The head of an answer with status 200."""
    handler.send_response(200)
    for name, value in {"Content-Type": kind, **more}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def event(text: str | None, finish: str | None = None) -> bytes:
    """A piece of a caption, as servers stream it."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def say(text: str = SAID) -> Answer:
    """A caption as it should be: a word a piece."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        reply(handler)
        handler.wfile.write(event(""))  # the role, which is no token yet
        for word in text.split(" "):
            handler.wfile.write(event(word + " "))
        handler.wfile.write(event(None, "stop") + b"data: [DONE]\n\n")

    return answer


def raw(body: bytes, kind: str = "text/event-stream") -> Answer:
    """Bytes, then the end."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, kind)
        handler.wfile.write(body)

    return answer


def json_answer(content: Any) -> Answer:
    return raw(json.dumps(content).encode(), "application/json")


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """A refusal."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def endless(body: bytes, pause: float = 0.0, head: bytes = b"") -> Answer:
    """The same bytes over and over."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        reply(handler)
        handler.wfile.write(head)
        while True:
            handler.wfile.write(body)
            time.sleep(pause)

    return answer


def silent(head: bytes = b"") -> Answer:
    """Takes the request and says nothing more."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if head:
            reply(handler)
            handler.wfile.write(head)
        time.sleep(3)

    return answer


def broken_off(handler: BaseHTTPRequestHandler) -> None:
    """Half a caption, then the connection is gone."""
    reply(handler, Transfer_Encoding="chunked")
    data = event("A red")
    handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n40\r\nhalf")


# ------------------------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    "url",
    ["http://", "http://:80", "http://host:99999", "http://host:no", "http://host:0", "http://a b",
     "http://host\x1b[31m", "http://host#part", "https://me:s3cret@host:no", "ftp://host", "hptt"],
)  # fmt: skip
def test_what_is_no_address_of_a_server_is_refused_at_once(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(["--engine", url])
    assert caught.value.code == ExitCode.USAGE
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "--engine" in line
    assert "s3cret" not in line


@pytest.mark.parametrize("option", [["--bits", "8"], ["--bench"], ["--demo"]])
def test_options_that_mean_nothing_to_a_server_are_refused(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(["--engine", "http://host:8080/v1", *option])
    assert caught.value.code == ExitCode.USAGE
    assert option[0] in capsys.readouterr().err


def test_without_a_server_the_model_is_the_default_and_with_one_it_is_the_servers() -> None:
    assert parse_arguments([]).model == pete_sounds.DEFAULT_MODEL
    assert parse_arguments(["--engine", "http://host"]).model is None


# ---------------------------------------------------------------------------------- what is sent


def test_the_frame_goes_as_a_small_jpeg_with_the_prompt(server: ScriptedServer) -> None:
    engine = ServerEngine(server.url, None, 33)
    image = np.zeros((720, 1280, 3), np.uint8)
    image[:, :640] = (255, 0, 0)  # blue on the left
    assert caption(engine, image) == SAID
    body = server.asked()
    assert (body["model"], body["max_tokens"]) == ("small", 33)
    assert (body["temperature"], body["stream"]) == (0.0, True)
    [message] = body["messages"]
    picture, prompt = message["content"]
    assert prompt == {"type": "text", "text": DEFAULT_PROMPT}
    seen = decoded(picture)
    assert seen.shape == (288, 512, 3)
    assert np.abs(seen[140, 100].astype(int) - (255, 0, 0)).max() < 8
    assert seen[140, 400].max() < 8
    engine.detail = True
    caption(engine, image)
    [message] = server.asked()["messages"]
    assert decoded(message["content"][0]).shape == (720, 1280, 3)


def decoded(part: dict[str, Any]) -> np.ndarray:
    """The picture of a message, BGR."""
    before, data = part["image_url"]["url"].split(",")
    assert before == "data:image/jpeg;base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def test_a_clip_goes_as_several_pictures_the_oldest_first(server: ScriptedServer) -> None:
    engine = ServerEngine(server.url, None, 32)
    clip = [Frame(np.full((40, 60, 3), level, np.uint8), 0.0, 0.0) for level in (10, 100, 200)]
    pieces = list(engine.describe(clip, "What moves?"))
    assert "".join(pieces).strip() == SAID
    assert all(pieces)
    *pictures, prompt = server.asked()["messages"][0]["content"]
    assert [round(float(decoded(one).mean()), -1) for one in pictures] == [10, 100, 200]
    assert prompt["text"] == "What moves?"


@pytest.mark.parametrize(
    ("key", "user", "sent"),
    [("", "", None), ("k-e-y", "", "Bearer k-e-y"), ("k", "me:p%40ss@", "Basic bWU6cEBzcw==")],
    ids=["nothing", "the key", "user and password"],
)
def test_only_our_own_key_is_sent(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, key: str, user: str, sent: str | None
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "hf_somebodyelses")
    if key:
        monkeypatch.setenv(pete_sounds.SERVER_KEY, key)
    engine = ServerEngine(f"http://{user}{server.host}/v1", None, 32)
    caption(engine)
    assert [request["path"] for request in server.requests] == [
        "/v1/models",
        "/v1/chat/completions",
    ]
    for request in server.requests:
        assert request["headers"].get("authorization") == sent
        assert request["headers"]["user-agent"] == "pete_sounds"
        assert "somebodyelses" not in str(request)
    assert "p%40ss" not in engine.label


def test_a_key_that_can_not_be_sent_is_told_without_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(pete_sounds.SERVER_KEY, "s3cret\nkey")
    with pytest.raises(UsageError) as caught:
        ServerEngine(server.url, None, 32)
    assert pete_sounds.SERVER_KEY in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_frames_go_to_the_address_that_was_given_and_nowhere_else(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ScriptedServer()
    try:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "HF_ENDPOINT"):
            monkeypatch.setenv(name, other.url)
        engine = ServerEngine(server.url, None, 32)
        assert caption(engine) == SAID
        server.answer = status(307, Location=f"http://me:s3cret@{other.host}/v1/chat/completions")
        with pytest.raises(EngineAway) as caught:
            caption(engine)
        assert other.host in str(caught.value)
        assert "s3cret" not in str(caught.value)
        assert other.requests == []
    finally:
        other.close()


# ------------------------------------------------------------------------------ which model it is


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (json_answer({"data": [{"id": "one"}]}), "one"),
        (json_answer({"data": [{"id": "a"}, {"id": "b", "loaded": True}]}), "b"),
        (json_answer({"data": None}), "default"),
        (status(404, b"no such page"), "default"),
    ],
    ids=["one", "one in memory", "none", "no list"],
)
def test_the_model_is_the_one_that_is_served(
    server: ScriptedServer, models: Answer, expected: str
) -> None:
    server.models = models
    engine = ServerEngine(server.url, None, 32)
    assert engine.label == f"{expected} at {server.url}"
    caption(engine)
    assert server.asked()["model"] == expected


def test_a_choice_of_models_is_left_to_the_user(server: ScriptedServer) -> None:
    server.models = json_answer({"data": [{"id": name} for name in ("a", "b\x1b[31m", "c")]})
    with pytest.raises(ModelError, match=r"serves a, b\[31m, c; name one with --model"):
        ServerEngine(server.url, None, 32)
    engine = ServerEngine(server.url, "b", 32)
    caption(engine)
    assert server.asked()["model"] == "b"


# -------------------------------------------------------------------------------------- its faults

AT_THE_START = {
    "wants a key": (
        status(401, b'{"error": {"message": "no\\u001b[31m key"}}'),
        "401 .*no.*API_KEY",
    ),
    "forbids": (status(403), "403 Forbidden"),
    "breaks": (status(500, b"<html>"), "500 Internal"),
    "a web page": (raw(b"<html>Welcome", "text/html"), "nonsense.*OpenAI-compatible"),
    "a list": (json_answer([1, 2]), "nonsense"),
    "other JSON": (json_answer({"data": [7]}), "nonsense"),
    "sends elsewhere": (status(302, Location="https://me:s3cret@other/"), r"302 .*\*\*\*@other/"),
}


@pytest.mark.parametrize(("models", "words"), AT_THE_START.values(), ids=AT_THE_START)
def test_a_server_that_can_not_be_used_is_told_when_it_is_opened(
    server: ScriptedServer, models: Answer, words: str
) -> None:
    server.models = models
    with pytest.raises(EngineError, match=words) as caught:
        ServerEngine(server.url.replace("//", "//me:s3cret@"), None, 32)
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_server_that_is_not_there_is_told_when_it_is_opened() -> None:
    with pytest.raises(EngineError, match=r"does not answer .*is the address right"):
        ServerEngine("http://127.0.0.1:9", None, 32)


# What the server does; what is told of it; whether it may pass before the first caption, too.
FAULTS = {
    "busy": (status(429), "has too much to do", True),
    "loading": (status(503, b'{"error": "Loading model"}'), "has too much to do", True),
    "breaks": (status(500, b"[7]"), "has a fault", True),
    "behind a gateway": (status(502, b"<html>" * 100), "has a fault", True),
    "refuses the key": (status(401), "refuses", False),
    "forbids": (status(403), "refuses", False),
    "knows no such model": (status(404, b'{"detail": "no such model"}'), "refuses", False),
    "takes no pictures": (status(400, b'{"error": {"message": "text only"}}'), "refuses", False),
    "slow": (silent(), "does not answer", True),
    "falls silent": (silent(event("A red ")), "does not answer", True),
    "drips": (endless(b" ", 0.02), "does not answer", True),
    "only comments": (endless(b": wait\n\n", 0.02), "does not answer", True),
    "broken off": (broken_off, "breaks off", True),
    "ends early": (raw(event("A red circle")), "breaks off", True),
    "an error on the way": (raw(b'data: {"error": {"message": "memory"}}\n'), "has a fault", True),
    "a web page": (raw(b"<html>Welcome</html>", "text/html"), "answers with nonsense", False),
    "nothing": (raw(b""), "answers with nonsense", False),
    "no JSON": (raw(b"data: A red circle\n\n"), "answers with nonsense", False),
    "a list": (raw(b"data: [1, 2]\n\n"), "answers with nonsense", False),
    "no choices": (raw(b'data: {"choices": 7}\n\n'), "answers with nonsense", False),
    "noise": (raw(bytes(range(256)) * 9), "answers with nonsense", False),
    "no end": (endless(b"x" * 65536), "answers with nonsense", False),
    "no words": (raw(event(" ", "stop")), "says nothing", None),
}


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits for tests."""
    monkeypatch.setattr(pete_sounds, "SERVER_SILENT_S", 0.25)
    monkeypatch.setattr(pete_sounds, "SERVER_CAPTION_S", 0.4)
    monkeypatch.setattr(pete_sounds, "REOPEN_PAUSES_S", (0.05, 0.1))


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(("answer", "trouble", "passes"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_told_for_what_it_is_and_gone_with_the_next_caption(
    server: ScriptedServer, answer: Answer, trouble: str, passes: bool | None
) -> None:
    engine = ServerEngine(server.url, None, 32)
    if passes is not None:
        server.answer = answer
        with pytest.raises(EngineAway if passes else EngineError, match=trouble) as caught:
            caption(engine)
        assert str(caught.value).isprintable()
    server.answer = say()
    assert caption(engine) == SAID
    server.answer = answer
    started = time.monotonic()
    with pytest.raises(EngineAway, match=trouble) as away:
        caption(engine)
    assert time.monotonic() - started < 2
    assert away.value.trouble == trouble
    server.answer = say()
    assert caption(engine) == SAID


def test_text_without_end_is_cut_where_max_tokens_would(server: ScriptedServer) -> None:
    server.answer = endless(event("la la. "))
    assert len(caption(ServerEngine(server.url, None, 10))) <= 10 * 8


def test_who_stops_iterating_hangs_up(server: ScriptedServer) -> None:
    hung_up = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        try:
            endless(event("la "), 0.01)(handler)
        except OSError:
            hung_up.set()

    server.answer = answer
    engine = ServerEngine(server.url, None, 4096)
    pieces = engine.describe(clip_of(GREY), DEFAULT_PROMPT)
    assert next(iter(pieces)) == "la "
    pieces.close()  # type: ignore[attr-defined]
    assert hung_up.wait(2)
    assert not engine._client.exit_stack._exit_callbacks  # or each caption would leave one


# --------------------------------------------------------------------------- the program and faults


def test_the_program_tells_once_each_way_and_resumes_by_itself(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    program.environment[pete_sounds.SERVER_KEY] = "s3cret"
    running = program.start(
        "--engine", server.url.replace("//", "//me:s3cret@"), "--source", mjpeg.url, "--mute",
    )  # fmt: skip
    running.stdout.wait_for(SAID)
    server.answer = status(500, b"\x1b[31m out of memory")
    mjpeg.show(circle())
    running.stderr.wait_for("The server has a fault; trying again.")
    mjpeg.show(np.full((240, 320, 3), 128, np.uint8))  # as it was: only the server is news now
    asked = len(server.requests)
    assert wait_until(lambda: len(server.requests) >= asked + 2, 10)  # and each fails
    server.answer = say("A green square.")
    running.stdout.wait_for("A green square.")
    running.stderr.wait_for("The server is back.")
    result = running.end(timeout=2)
    assert result.returncode == ExitCode.OK
    assert result.stderr.count("trying again") == 1
    assert result.stderr.count("is back") == 1
    assert result.stderr.count(f"frames are sent to http://***@{server.host}\n") == 1
    assert "s3cret" not in result.stderr + result.stdout
    assert "\x1b" not in result.stderr


def circle() -> np.ndarray:
    """Something to look at, BGR: a red circle in the center."""
    image = np.full((240, 320, 3), 128, np.uint8)
    cv2.circle(image, (160, 120), 60, (0, 0, 200), -1)
    return image


def test_a_picture_that_can_not_be_described_ends_with_the_engines_code(
    program: Program, server: ScriptedServer, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), random_scene(np.random.default_rng(1))[0])
    server.answer = status(503)
    result = program("--engine", server.url, "--source", picture, "--mute")
    assert result.returncode == ExitCode.ENGINE
    assert "has too much to do" in result.stderr.splitlines()[-1]
    server.answer = say()
    result = program("--engine", server.url, "--source", picture, "--mute", "--debug")
    assert (result.returncode, result.stdout) == (ExitCode.OK, f"{SAID}\n")


def test_ctrl_c_ends_it_while_the_server_keeps_it_waiting(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    mjpeg.show(circle())
    server.answer = silent()
    running = program.start("--engine", server.url, "--source", mjpeg.url, "--mute")
    assert wait_until(lambda: len(server.requests) >= 2, 30)
    assert running.end(timeout=2).returncode == ExitCode.OK


def test_neither_torch_nor_mlx_nor_the_hub_is_needed(
    program: Program, server: ScriptedServer, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), random_scene(np.random.default_rng(1))[0])
    hub = ScriptedServer()
    program.environment["HF_ENDPOINT"] = hub.url
    program.environment["PYTHONPATH"] = str(ROOT)
    lines = (
        "import sys, pete_sounds",
        "code = pete_sounds.main(sys.argv[1:])",
        "print(code, *sorted({'torch', 'mlx', 'transformers'} & set(sys.modules)))",
    )
    try:
        result = subprocess.run(
            [program.python, "-c", "\n".join(lines), "--engine", server.url,
             "--source", str(picture), "--mute"],
            check=True, capture_output=True, text=True, env=program.environment, timeout=60,
        )  # fmt: skip
        assert result.stdout == f"{SAID}\n0\n"
        assert hub.requests == []
    finally:
        hub.close()


# --------------------------------------------------------------------------------- a real server


class RealServer:
    """mlx_vlm.server with the small checkpoint, at a port of its own."""

    # The BLAS of import_mlx_vlm(), and no torch, which would take seconds.
    START = (
        "import pete_sounds; pete_sounds.import_mlx_vlm(); "
        "from mlx_vlm.server.cli import main; main()"
    )

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "server.log"
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", self.START, "--host", "127.0.0.1", "--port", str(self.port),
                 "--model", str(TINY)],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            )  # fmt: skip

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(urllib.request.urlopen(f"{self.url}/v1/models", timeout=1).status == 200)
        return False

    def wait(self) -> None:
        assert wait_until(self.answers, 60), self._log.read_text()

    def kill(self) -> None:
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


def test_captions_through_a_server_are_those_of_the_engine_itself(
    real: RealServer, tiny: Path
) -> None:
    rng = np.random.default_rng(20261123)
    scenes = [random_scene(rng)[0] for _ in range(12)]
    local = CpuEngine(tiny, 32, torch.float32)
    engine = ServerEngine(real.url, None, 32)
    assert engine.label == f"{TINY} at {real.url}"
    same = [caption(engine, image) == caption(local, image) for image in scenes]
    assert sum(same) >= 11  # JPEG may turn a near tie.


class Kept:
    """An output that keeps the captions."""

    def __init__(self) -> None:
        self.captions: list[Caption] = []

    def write(self, caption: Caption) -> None:
        self.captions.append(caption)


def all_have(kept: list[Kept], count: int) -> bool:
    """True when each narrator has made so many captions."""
    return all(len(one.captions) >= count for one in kept)


def test_ten_narrators_share_one_server_and_all_resume_when_it_is_restarted(
    real: RealServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pete_sounds, "REOPEN_PAUSES_S", (0.2, 0.5))
    film = write_video(tmp_path / "film.mp4", [circle()] * 600, fps=4)  # longer than this takes
    kept = [Kept() for _ in range(10)]
    ends: list[Frames] = []
    watches = []
    for one in kept:
        frames = Frames(str(film))
        ends.append(frames)
        narrator = Narrator(ServerEngine(real.url, None, 32), None, [one], DEFAULT_PROMPT)
        watches.append(Watch(frames, narrator, always=True, limit=10_000, debug=False))
    stop, threads = threading.Event(), []
    for watch in watches:
        monkeypatch.setattr(watch, "_ended", stop.is_set)
        threads.append(threading.Thread(target=watch.run, daemon=True))
        threads[-1].start()
    try:
        assert wait_until(lambda: all_have(kept, 2), 40)
        counts = [len(one.captions) for one in kept]
        assert min(counts) >= max(counts) / 2  # none starves
        real.kill()
        printed = ""

        def told(words: str, times: int) -> bool:
            nonlocal printed
            printed += capsys.readouterr().err
            return printed.count(words) >= times

        assert wait_until(lambda: told("trying again", 10), 20)
        before = max(len(one.captions) for one in kept)
        real.start()
        assert wait_until(lambda: told("The server is back.", 10), 60)
        assert wait_until(lambda: all_have(kept, before + 1), 40)
        assert printed.count("trying again") == 10
        assert printed.count("The server is back.") == 10
        assert {one.captions[-1].text for one in kept} == {"A red circle in the center."}
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
        for frames in ends:
            frames.close()


def test_a_picture_is_described_by_a_real_server_from_the_command_line(
    program: Program, real: RealServer, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), circle())
    result = program("--engine", real.url, "--source", picture, "--mute", "--once")
    assert (result.returncode, result.stdout) == (ExitCode.OK, "A red circle in the center.\n")
    assert f"frames are sent to {real.url}\n" in result.stderr
