"""An OpenAI-compatible server on loopback that answers as a test tells it to.

It is the engine of tests that are about anything but the model: it needs no torch, and says what it
is given at the pace that is asked for. It fails in all the ways that no real server can be told to.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

SAID = "A red circle on the left."


@dataclass(frozen=True)
class Request:
    """What was sent. Header names are in small letters; a GET has an empty body."""

    path: str
    headers: dict[str, str]
    body: bytes

    def facts(self) -> dict[str, Any]:
        """The body of a request for a caption."""
        return dict(json.loads(self.body))

    def pictures(self) -> list[np.ndarray]:
        """Its pictures (BGR), in the order in which they were sent."""
        *pictures, _prompt = self.facts()["messages"][0]["content"]
        return [decoded(picture) for picture in pictures]

    def prompt(self) -> str:
        """What was asked of the pictures, last."""
        content = self.facts()["messages"][-1]["content"]
        return content if isinstance(content, str) else str(content[-1]["text"])


class Handler(BaseHTTPRequestHandler):
    """A request that is being answered."""

    request_sent: Request
    stopped: threading.Event  # set when the server is closed: nothing need be waited for any more

    def reply(self, kind: str = "text/event-stream", **more: str) -> None:
        """The head of an answer with status 200."""
        self.send_response(200)
        for name, value in {"Content-Type": kind, **more}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


Answer = Callable[[Handler], None]


class ScriptedServer:
    """Does what a test tells it to; keeps what it was sent."""

    def __init__(self) -> None:
        self.answer = say()
        self.models = json_answer({"data": [{"id": "small"}]})
        self.requests: list[Request] = []
        self._stopped = threading.Event()
        server = self

        class Served(Handler):
            stopped = server._stopped

            def do_GET(self) -> None:
                self._serve(server.models, b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._serve(server.answer, body)

            def _serve(self, answer: Answer, body: bytes) -> None:
                self.close_connection = True
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.request_sent = Request(self.path, headers, body)
                server.requests.append(self.request_sent)
                with contextlib.suppress(OSError):  # The client has had enough.
                    answer(self)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Served)
        self._http.daemon_threads = True
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def asked(self) -> list[Request]:
        """The requests for captions."""
        return [request for request in self.requests if request.body]

    def close(self) -> None:
        """Listen no more, and let every answer that waits come to its end."""
        self._stopped.set()
        self._http.shutdown()
        self._http.server_close()


def decoded(part: dict[str, Any]) -> np.ndarray:
    """The picture (BGR) of a part of a message."""
    before, data = part["image_url"]["url"].split(",")
    assert before == "data:image/jpeg;base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image)


# ------------------------------------------------------------------------------------- its answers


def event(text: Any, finish: str | None = None, **more: Any) -> bytes:
    """A piece of a caption, as servers stream it. more: of the delta."""
    choice = {"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def whole(content: Any = SAID, **more: Any) -> dict[str, Any]:
    """A caption as servers send it that do not stream. more: of the message."""
    message = {"role": "assistant", "content": content, **more}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def tokens(
    *said: tuple[str, float, dict[str, float]], pieces: Sequence[str] | None = None
) -> Answer:
    """A caption with what is told of its tokens: each one's text, its probability, and those of
    others that were as possible. pieces: the text of each event, where that is not its token's."""

    def logprob(text: str, probability: float) -> dict[str, Any]:
        return {"token": text, "logprob": math.log(probability)}

    events = b""
    for (text, probability, others), piece in zip(said, pieces or [text for text, *_ in said]):
        listed = [logprob(*other) for other in {text: probability, **others}.items()]
        told = {**logprob(text, probability), "top_logprobs": listed if others else []}
        choice = {"index": 0, "delta": {"content": piece}, "logprobs": {"content": [told]}}
        events += b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    return raw(events + event(None, "stop"))


def say(text: str = SAID, pause_s: float = 0.0) -> Answer:
    """A caption as it should be: a word a piece, each after a pause."""
    return describe(lambda _: text, pause_s)


def describe(look: Callable[[Request], str], pause_s: float = 0.0) -> Answer:
    """A caption that depends on what was sent."""

    def answer(handler: Handler) -> None:
        handler.reply()
        handler.wfile.write(event(""))  # the role, which is no token yet
        for word in look(handler.request_sent).split(" "):
            handler.stopped.wait(pause_s)
            handler.wfile.write(event(word + " "))
        handler.wfile.write(event(None, "stop") + b"data: [DONE]\n\n")

    return answer


def raw(body: bytes, kind: str = "text/event-stream") -> Answer:
    """Bytes, then the end."""

    def answer(handler: Handler) -> None:
        handler.reply(kind)
        handler.wfile.write(body)

    return answer


def json_answer(content: Any) -> Answer:
    """One JSON text."""
    return raw(json.dumps(content).encode(), "application/json")


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """A refusal."""

    def answer(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def endless(body: bytes, pause_s: float = 0.0, head: bytes = b"") -> Answer:
    """The same bytes over and over."""

    def answer(handler: Handler) -> None:
        handler.reply()
        handler.wfile.write(head)
        while not handler.stopped.wait(pause_s):
            handler.wfile.write(body)

    return answer


def after(pause_s: float, answer: Answer) -> Answer:
    """The same answer, which begins later."""

    def late(handler: Handler) -> None:
        handler.stopped.wait(pause_s)
        answer(handler)

    return late


def silent(head: bytes = b"") -> Answer:
    """Takes the request, and says nothing after these bytes of an answer."""

    def answer(handler: Handler) -> None:
        if head:
            handler.reply()
            handler.wfile.write(head)
        handler.stopped.wait(60)

    return answer


def cut_off(answer: bytes) -> Answer:
    """The first bytes of an answer, its head included, then the connection is gone."""

    def send(handler: Handler) -> None:
        handler.wfile.write(answer)

    return send


def broken_off(handler: Handler) -> None:
    """Half a caption, then the connection is gone."""
    handler.reply(Transfer_Encoding="chunked")
    data = event("A red")
    handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n40\r\nhalf")
