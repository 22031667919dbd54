"""A model behind a server: what is sent to it and nobody else, which model it is, how faults end.

The server is scripted: no real one can be told to fail in all these ways.
"""

from __future__ import annotations

import json
import math
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from narrator.engines.server import SLOW as NOTICE
from narrator.engines.server import ServerEngine
from narrator.engines.server_reply import Limits
from narrator.errors import EngineError, EngineUnavailable, ModelError
from narrator.frames.frame import Frame
from narrator.settings import DEFAULT_PROMPT, SERVER_KEY
from narrator.wording import Cleaner
from support.asking import query, text_of
from support.server import (
    SAID,
    Answer,
    Handler,
    ScriptedServer,
    after,
    broken_off,
    cut_off,
    endless,
    event,
    json_answer,
    raw,
    say,
    silent,
    status,
    tokens,
    whole,
)

GREY = np.full((48, 64, 3), 128, np.uint8)
SHORT = Limits(first_s=0.5, silent_s=0.5, reply_s=1.0)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVER_KEY, raising=False)


def clip_of(*images: np.ndarray) -> list[Frame]:
    """Pictures as engines take them."""
    return [Frame(image, taken=0.0, at=0.0) for image in images]


def caption(engine: ServerEngine, image: np.ndarray = GREY, max_tokens: int = 32) -> str:
    return text_of(engine.describe(query(clip_of(image), max_tokens=max_tokens))).strip()


# ---------------------------------------------------------------------------------- what is sent


def test_the_frame_goes_as_a_small_jpeg_with_the_prompt(server: ScriptedServer) -> None:
    engine = ServerEngine(server.url, None)
    image = np.zeros((720, 1280, 3), np.uint8)
    image[:, :640] = (255, 0, 0)  # blue on the left
    assert caption(engine, image, 33) == SAID
    sent = server.asked()[-1]
    facts = sent.facts()
    assert (facts["model"], facts["max_tokens"]) == ("small", 33)
    assert (facts["temperature"], facts["stream"]) == (0.0, True)
    assert sent.prompt() == DEFAULT_PROMPT
    [seen] = sent.pictures()
    assert seen.shape == (288, 512, 3)
    assert np.abs(seen[140, 100].astype(int) - (255, 0, 0)).max() < 8
    assert seen[140, 400].max() < 8
    assert list(engine.describe(query(clip_of(image), detail=True)))
    [seen] = server.asked()[-1].pictures()
    assert seen.shape == (720, 1280, 3)


def test_a_clip_goes_as_several_pictures_and_a_question_that_follows_as_a_turn(
    server: ScriptedServer,
) -> None:
    clip = clip_of(*(np.full((40, 60, 3), level, np.uint8) for level in (10, 100, 200)))
    pieces = list(ServerEngine(server.url, None).describe(query(clip, "What moves?")))
    assert text_of(pieces).strip() == SAID
    sent = server.asked()[-1]
    assert [round(float(picture.mean()), -1) for picture in sent.pictures()] == [10, 100, 200]
    assert sent.prompt() == "What moves?"
    follows = query(clip[:1], "And where?", before=("What is it?", "A cat."))
    assert list(ServerEngine(server.url, None).describe(follows))
    first, *later = server.asked()[-1].facts()["messages"]
    assert [part["type"] for part in first["content"]] == ["image_url", "text"]
    assert first["content"][1]["text"] == "What is it?"
    assert later == [
        {"role": "assistant", "content": "A cat."}, {"role": "user", "content": "And where?"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "models", "captions"),
    [
        ("", "/v1/models", "/v1/chat/completions"),
        ("/v1/", "/v1/models", "/v1/chat/completions"),
        ("/v3/chat/completions", "/v3/models", "/v3/chat/completions"),
        ("/v1?team=7", "/v1/models?team=7", "/v1/chat/completions?team=7"),
    ],
)
def test_the_address_may_be_written_in_several_ways(
    server: ScriptedServer, path: str, models: str, captions: str
) -> None:
    caption(ServerEngine(server.url + path, None))
    assert [request.path for request in server.requests] == [models, captions]


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
    monkeypatch.setenv(SERVER_KEY, key)
    engine = ServerEngine(f"http://{user}{server.host}/v1", None)
    caption(engine)
    assert len(server.requests) == 2
    for request in server.requests:
        assert request.headers.get("authorization") == sent
        assert request.headers["user-agent"] == "pete_sounds"
        assert "somebodyelses" not in str(request)
    assert "p%40ss" not in engine.label


def test_frames_go_to_the_address_that_was_given_and_nowhere_else(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ScriptedServer()
    try:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "HF_ENDPOINT"):
            monkeypatch.setenv(name, other.url)
        engine = ServerEngine(server.url, None)
        assert caption(engine) == SAID
        server.answer = status(307, Location=f"http://me:s3cret@{other.host}/v1/chat/completions")
        with pytest.raises(EngineUnavailable, match=other.host) as caught:
            caption(engine)
        assert "s3cret" not in str(caught.value)
        assert other.requests == []
    finally:
        other.close()


# ---------------------------------------------------------------------------------- certificates


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    file = tmp_path_factory.mktemp("certificate") / "server.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x"
    name = ["-addext", "subjectAltName=IP:127.0.0.1"]
    into = ["-keyout", str(file), "-out", str(file.with_suffix(".crt"))]
    subprocess.run(["openssl", *request.split(), *name, *into], check=True, capture_output=True)
    return file


@pytest.fixture
def https(server: ScriptedServer, certificate: Path) -> str:
    """The URL of the server, which speaks TLS then."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.with_suffix(".crt"), certificate)
    listening = server._http.socket
    server._http.socket = context.wrap_socket(listening, server_side=True)
    return server.url.replace("http:", "https:")


def test_a_server_whose_certificate_nobody_vouches_for_is_sent_nothing(
    server: ScriptedServer, https: str
) -> None:
    with pytest.raises(EngineError, match=r"does not answer .*certificate verify failed"):
        ServerEngine(https, None)
    assert server.requests == []


def test_certificates_may_be_named_by_the_environment(
    server: ScriptedServer, https: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
    engine = ServerEngine(https, None, SHORT)
    assert caption(engine) == SAID
    server.answer = endless(b" ", 0.02)  # TLS or not, the deadline holds
    with pytest.raises(EngineUnavailable, match="does not answer"):
        caption(engine)
    with pytest.raises(EngineError, match="certificate verify failed"):
        ServerEngine(https.replace("127.0.0.1", "localhost"), None)


# ------------------------------------------------------------------------------ which model it is


def listed(*models: dict[str, Any]) -> Answer:
    return json_answer({"data": models})


@pytest.mark.parametrize(
    ("models", "named", "expected"),
    [
        (listed({"id": "one"}), None, "one"),
        (listed({"id": "a"}, {"id": "b", "loaded": True}), None, "b"),
        (listed({"id": "b", "status": {"value": "loaded"}}, {"id": "a"}), None, "b"),
        (listed({"id": "a"}, {"id": "b", "state": "loaded"}), None, "b"),
        (status(404, b"no such page"), None, "default"),
        (listed({"id": "smolvlm:latest"}, {"id": "other"}), "smolvlm", "smolvlm:latest"),
        (status(404), "smolvlm", "smolvlm"),
    ],
    ids=["one", "one in memory", "as llama.cpp", "as LM Studio", "no list", "newest", "named"],
)
def test_the_model_is_the_one_that_is_served_or_named(
    server: ScriptedServer, models: Answer, named: str | None, expected: str
) -> None:
    server.models = models
    engine = ServerEngine(server.url, named)
    assert engine.label == f"{expected} at {server.url}"
    caption(engine)
    assert server.asked()[-1].facts()["model"] == expected


@pytest.mark.parametrize(
    ("models", "named", "words"),
    [
        ([{"id": "one"}], "smolvlm", r"does not list smolvlm; it serves one"),
        (None, "smolvlm", r"lists no model; load one there first"),  # as Ollama has it
        ([{"id": "a"}, {"id": "b\x1b[31m"}], None, r"serves a, b\[31m; name one with --model"),
    ],
)
def test_a_model_that_is_not_listed_or_one_of_several_is_not_asked_for(
    server: ScriptedServer, models: list[dict[str, str]] | None, named: str | None, words: str
) -> None:
    server.models = json_answer({"data": models})
    with pytest.raises(ModelError, match=words):
        ServerEngine(server.url, named)
    assert server.asked() == []


# ----------------------------------------------------------------------------- as servers answer

CAT = event("A red ") + event("cat.")
LIKE_SERVERS: dict[str, Answer] = {
    "an empty finish_reason in each": raw(
        event("A red ", "") + event("cat.", "") + event("", "stop") + b"data: [DONE]\n\n"
    ),
    "no finish_reason": raw(CAT + b"data: [DONE]\n\n"),
    "a list of parts": raw(
        event([{"type": "text", "text": "A red "}, {"type": "text", "text": "cat."}], "stop")
    ),
    "whole": json_answer(whole("A red cat.")),
    "whole, in parts": json_answer(whole([{"type": "text", "text": "A red cat."}])),
    "whole, over several lines": raw(json.dumps(whole("A red cat."), indent=1).encode(), "text/x"),
    "another type of content": raw(CAT + event(None, "stop"), "application/octet-stream"),
    "no type of content": raw(CAT + event(None, "stop"), ""),
    "comments and other fields": raw(
        b": loading\n\nevent: message\nid: 7\nretry: 10\n" + CAT + event(None, "stop")
    ),
    "lines that end as on Windows": raw((CAT + event(None, "stop")).replace(b"\n", b"\r\n")),
    "an event about how much was used": raw(
        CAT + b'data: {"choices": [], "usage": {"total_tokens": 9}}\n\n' + event(None, "stop")
    ),
    "cut by the limit": raw(CAT + event("", "length")),
}  # fmt: skip


@pytest.mark.parametrize("name", LIKE_SERVERS)
def test_a_caption_is_understood_however_it_is_sent(server: ScriptedServer, name: str) -> None:
    server.answer = LIKE_SERVERS[name]
    pieces = list(ServerEngine(server.url, None).describe(query(clip_of(GREY))))
    assert text_of(pieces) == "A red cat."
    assert pieces[-1].cut == (name == "cut by the limit")


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [("0.5", 0.5, 0.5), ("soon", 0, 0), ("nan", 0, 0), ("1e99", 600, 600),
     ("Fri, 31 Dec 2100 23:59:59 GMT", 600, 600), ("Fri, 30 Dec 2005 12:00:00 GMT", 0, 0)],
)  # fmt: skip
def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(
    server: ScriptedServer, header: str, least_s: float, most_s: float
) -> None:
    server.answer = status(429, b'{"error": {"message": "slow down"}}', **{"Retry-After": header})
    with pytest.raises(EngineUnavailable, match="slow down") as away:
        caption(ServerEngine(server.url, None))
    assert least_s <= away.value.retry_after_s <= most_s


THOUGHTS = {
    "as vLLM and llama.cpp": raw(
        event(None, reasoning_content="A no")
        + event("", reasoning_content="se.")
        + event("A cat.", "stop")
    ),
    "as OpenRouter and Ollama": raw(event("", reasoning="A nose.") + event("A cat.", "stop")),
    "in the text": raw(event("<thi") + event("nk>A nose.</think>A cat.", "stop")),
    "whole": json_answer(whole("A cat.", reasoning_content="A nose.")),
    "as Mistral": raw(
        event([{"type": "thinking", "thinking": [{"type": "text", "text": "A nose."}]}])
        + event([{"type": "text", "text": "A cat."}], "stop")
    ),
}  # fmt: skip


@pytest.mark.parametrize("answer", THOUGHTS.values(), ids=THOUGHTS)
def test_thoughts_stand_between_marks(server: ScriptedServer, answer: Answer) -> None:
    server.answer = answer
    said = caption(ServerEngine(server.url, None))
    assert "nose" in said or "no</think><think>se" in said
    assert Cleaner().add(said, ended=True) == "A cat."


def test_a_server_that_thinks_gets_the_tokens_to_answer_yes_or_no(server: ScriptedServer) -> None:
    def answer(handler: Handler) -> None:
        if handler.request_sent.facts()["max_tokens"] < 100:
            raw(event("", "length", reasoning_content="No, it"))(handler)
        else:
            raw(event("", reasoning_content="No, it is.") + event("Yes", "stop"))(handler)

    server.answer = answer
    engine = ServerEngine(server.url, None)
    [frame] = clip_of(GREY)
    assert engine.likelihoods(query([frame]), ["Is it?", "Is it?"]) == [None, 1.0]


def test_a_first_token_that_takes_long_is_waited_for_and_told_of(server: ScriptedServer) -> None:
    """A server may have to load its model; what is typed is looked at four times a second."""
    server.answer = after(1.0, raw(event("A cat.", "stop")))
    limits = Limits(notice_s=0.3, first_s=30.0, silent_s=0.4, reply_s=0.6)
    pieces = list(ServerEngine(server.url, None, limits).describe(query(clip_of(GREY), "What?")))
    assert text_of(pieces) == "A cat."
    assert [piece.notice for piece in pieces if piece.notice] == [NOTICE]
    assert len(pieces) >= 3


@pytest.mark.parametrize("kind", ["stream", "whole", "refusal", "models"])
def test_an_answer_that_is_cut_at_any_byte_is_a_caption_or_one_line(
    server: ScriptedServer, kind: str
) -> None:
    content = "A red cat."
    answers = {
        "stream": event("A red ") + event("cat.", "stop") + b"data: [DONE]\n\n",
        "whole": json.dumps(whole(content)).encode(),
        "refusal": b'{"error": {"message": "out of memory"}}',
        "models": b'{"data": [{"id": "small", "loaded": true}]}',
    }  # fmt: skip
    body = answers[kind]
    code = "500 Internal Server Error" if kind == "refusal" else "200 OK"
    head = f"HTTP/1.1 {code}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    answer = head.encode() + body
    engine = None if kind == "models" else ServerEngine(server.url, None)
    said, lines = set(), []
    for length in range(len(answer)):
        served = cut_off(answer[:length])
        try:
            if engine is None:
                server.models = served
                said.add(ServerEngine(server.url, None).label.partition(" ")[0])
            else:
                server.answer = served
                said.add(caption(engine))
        except (EngineError, EngineUnavailable) as error:
            lines.append(str(error))
    assert said <= {content, "small"}
    assert len(lines) > len(head)
    assert all(line.isprintable() and len(line) < 400 for line in lines)


# -------------------------------------------------------------------------------------- its faults

AT_THE_START = {
    "wants a key": (status(401, b'{"error": {"message": "no\\u001b[31m"}}'), "401 .*no.*API_KEY"),
    "a web page": (raw(b"<html>Welcome", "text/html"), "invalid reply.*OpenAI-compatible"),
    "other JSON": (json_answer({"data": [7]}), "invalid reply"),
    "without end": (endless(b"x" * 65536), "invalid reply .*is too long"),
    "sends elsewhere": (status(302, Location="https://me:s3cret@other/"), r"302 .*\*\*\*@other/"),
}


@pytest.mark.parametrize(("models", "words"), AT_THE_START.values(), ids=AT_THE_START)
def test_a_server_that_can_not_be_used_is_told_when_it_is_opened(
    server: ScriptedServer, models: Answer, words: str
) -> None:
    server.models = models
    for model in (None, "small"):
        with pytest.raises(EngineError, match=words) as caught:
            ServerEngine(server.url.replace("//", "//me:s3cret@"), model)
        assert "s3cret" not in str(caught.value)
        assert str(caught.value).isprintable()


def squeezed(handler: Handler) -> None:
    """A caption that is compressed: it could be any size once it is not."""
    handler.reply(Content_Encoding="deflate")
    handler.wfile.write(zlib.compress(event(SAID, "stop")))


INVALID, REFUSED = "sent an invalid reply", "refused the request"
FAILED, BROKEN_OFF = "reported an error", "broke off its answer"
# What the server does; what is told of it; whether it may pass before the first caption, too.
FAULTS: dict[str, tuple[Answer, str, bool]] = {
    "busy": (status(429), "is too busy", True),
    "loading": (status(503, b'{"error": "Loading model"}'), "is too busy", True),
    "behind a gateway": (status(502, b"<html>" * 100), FAILED, True),
    "refuses the key": (status(401), REFUSED, False),
    "takes no pictures": (status(400, b'{"error": {"message": "text only"}}'), REFUSED, False),
    "broken off": (broken_off, BROKEN_OFF, True),
    "ends early": (raw(event("A red circle")), BROKEN_OFF, True),
    "an error as a line": (raw(b'error: {"code": 500, "message": "no memory"}\n\n'), FAILED, True),
    "an error as JSON": (json_answer({"error": "no memory"}), FAILED, True),
    "an error as of vLLM": (json_answer({"object": "error", "message": "no"}), FAILED, True),
    "an error on the way": (raw(CAT + b'data: {"error": {"message": "no"}}\n\n'), FAILED, True),
    "nothing": (raw(b""), INVALID, False),
    "no JSON": (raw(b"data: A red circle\n\n"), INVALID, False),
    "no choices": (raw(b'data: {"choices": 7}\n\n'), INVALID, False),
    "noise": (raw(bytes(range(256)) * 9), INVALID, False),
    "no end": (endless(b"x" * 65536), INVALID, False),
    "text without end": (endless(event("la " * 1000)), INVALID, False),
    "compressed": (squeezed, INVALID, False),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "trouble", "passes"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_told_for_what_it_is_and_gone_with_the_next_caption(
    server: ScriptedServer, answer: Answer, trouble: str, passes: bool
) -> None:
    engine = ServerEngine(server.url, None)
    server.answer = answer
    with pytest.raises(EngineUnavailable if passes else EngineError, match=trouble) as caught:
        caption(engine)
    assert str(caught.value).isprintable()
    server.answer = say()
    assert caption(engine) == SAID
    server.answer = answer
    with pytest.raises(EngineUnavailable, match=trouble) as away:
        caption(engine)
    assert away.value.trouble == trouble
    server.answer = say()
    assert caption(engine) == SAID


def test_a_caption_without_words_is_a_fault_of_a_server_that_can_do_better(
    server: ScriptedServer,
) -> None:
    engine = ServerEngine(server.url, None)
    server.answer = raw(event(" ", "stop"))
    assert caption(engine) == ""
    server.answer = say()
    assert caption(engine) == SAID
    server.answer = raw(event(" ", "stop"))
    with pytest.raises(EngineUnavailable, match="sent an empty caption"):
        caption(engine)


def dripping(head: bytes, drop: bytes, pause_s: float) -> Answer:
    """Bytes instead of a proper head, then the same ones over and over."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(head)
        while not handler.stopped.wait(pause_s):
            handler.wfile.write(drop)

    return answer


SLOW = {
    "slow": silent(),
    "falls silent": silent(event("A red ")),
    "only comments": endless(b": wait\n\n", 0.02),
    "drips empty pieces": endless(event(""), 0.02),
    "drips a head": dripping(b"HTTP/1.1 200 OK\r\nx: ", b"x", 0.02),
    "floods with promises": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.0),
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
def test_whatever_it_takes_its_time_with_comes_to_an_end(
    server: ScriptedServer, answer: Answer
) -> None:
    engine = ServerEngine(server.url, None, SHORT)
    server.answer = answer
    with pytest.raises(EngineUnavailable, match=r"does not answer \(it took too long\)") as away:
        caption(engine)
    assert away.value.trouble == "does not answer"
    server.answer = say()
    assert caption(ServerEngine(server.url, None)) == SAID


def test_a_handshake_that_drips_comes_to_an_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            wire, _ = listening.accept()
            with wire:
                wire.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 kB is to come
                while True:
                    try:
                        wire.sendall(b"\0")
                    except OSError:
                        return
                    time.sleep(0.05)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        with pytest.raises(EngineError, match=r"does not answer \(it took too long\)"):
            ServerEngine(f"https://127.0.0.1:{port}", None, SHORT)
        thread.join(10)
        assert not thread.is_alive()  # the connection is closed, too


def test_who_stops_iterating_hangs_up(server: ScriptedServer) -> None:
    hung_up = threading.Event()

    def answer(handler: Handler) -> None:
        try:
            endless(event("la "), 0.01)(handler)
        except OSError:
            hung_up.set()

    server.answer = answer
    engine = ServerEngine(server.url, None)
    threads = threading.active_count()
    pieces = engine.describe(query(clip_of(GREY), max_tokens=4096))
    assert next(iter(pieces)).text == "la "
    closing: Callable[[], None] = pieces.close  # type: ignore[attr-defined]
    closing()
    assert hung_up.wait(10)
    assert threading.active_count() <= threads + 1  # the server's own; nothing waits for a deadline


# ------------------------------------------------------------------------------- how sure it is


def test_the_probability_of_each_token_is_asked_for_and_kept(server: ScriptedServer) -> None:
    def chances() -> list[tuple[str, float]]:
        pieces = ServerEngine(server.url, None).describe(query(clip_of(GREY)))
        return [(text, round(chance, 6)) for text, chance, *_ in pieces if chance is not None]

    assert chances() == []  # of a server that tells none
    server.answer = tokens(("A", 0.9, {"The": 0.1}), (" cat", 0.5, {}), (".", 1.0, {}))
    assert chances() == [("A", 0.9), (" cat", 0.5), (".", 1.0)]
    assert server.asked()[-1].facts()["logprobs"] is True
    answer = whole("A cat.")
    each = [{"token": text, "logprob": math.log(0.5)} for text in ("A", " cat.")]
    answer["choices"][0]["logprobs"] = {"content": each}
    server.answer = json_answer(answer)
    assert chances() == [("A cat.", 0.5), ("", 0.5)]


@pytest.mark.parametrize(
    ("refused", "words", "instead"),
    [
        ("logprobs", "unknown field", {}),
        ("temperature", "'temperature' is not supported with this model", {}),
        ("max_tokens", "use 'max_completion_tokens' instead", {"max_completion_tokens": 32}),
    ],
)
def test_a_setting_that_a_server_refuses_is_not_sent_again(
    server: ScriptedServer, refused: str, words: str, instead: dict[str, int]
) -> None:
    def answer(handler: Handler) -> None:
        body = json.dumps({"error": {"message": words}}).encode()
        knows = refused not in handler.request_sent.facts()
        (say() if knows else status(400, body))(handler)

    server.answer = answer
    engine = ServerEngine(server.url, None)
    assert [caption(engine), caption(engine)] == [SAID, SAID]
    first, *later = (request.facts() for request in server.asked())
    assert len(later) == 2
    for facts in later:
        lost = {name for name in first if name not in facts and name != "top_logprobs"}
        assert lost == {refused}
        assert instead.items() <= facts.items()


@pytest.mark.parametrize(
    ("answer", "likely"),
    [
        (tokens((" Yes", 0.6, {"No": 0.1, "yes": 0.1, "A": 0.2}), (".", 1.0, {})), 0.875),
        (tokens(("\n", 1.0, {}), ("No", 0.8, {"Yes": 0.2})), 0.2),
        (tokens(("Yes", 0.7, {})), 0.7),  # of the others nothing is told
        (tokens(("No", 0.7, {})), 0.3),
        (say("Yes, there is."), 1.0),
        (say("Nothing."), None),
        (tokens(("It", 0.7, {"A": 0.1}), (" is", 0.9, {})), None),
    ],
)
def test_yes_against_no_by_what_the_server_tells(
    server: ScriptedServer, answer: Answer, likely: float | None
) -> None:
    server.answer = answer
    [frame] = clip_of(GREY)
    found = ServerEngine(server.url, None).likelihoods(query([frame]), ["Is it?", "Is it not?"])
    assert found == [likely if likely is None else pytest.approx(likely)] * 2
    assert [request.prompt() for request in server.asked()] == ["Is it?", "Is it not?"]
