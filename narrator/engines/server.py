"""A model behind an OpenAI-compatible server: frames go out as JPEG in a request for a chat
completion, pieces of the caption come back as server-sent events.

Frames reach the named address alone: no redirect is followed, no proxy of the environment is asked.
Whatever a server does, its reply ends within the limits; none but that server gets the key.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

import cv2
import httpx2
import numpy as np

from narrator.engines.engine import Piece, Query
from narrator.errors import EngineError, EngineUnavailable, ModelError, UsageError, reason_of
from narrator.settings import JPEG_QUALITY, SERVER_KEY
from narrator.text import printable, without_password, words_of

SIDE, DETAIL_SIDE = 512, 2048  # pixels: the one tile of SmolVLM2, and the most it cuts into tiles
ANSWER_TOKENS = 4  # yes or no, and what may stand before and behind it
CHARACTERS_A_TOKEN = 8  # at most, on average: where max_tokens ends a server that has no end


@dataclass(frozen=True)
class Limits:
    """How long a server may take, and how much it may say."""

    connect_s: float = 3.0
    silent_s: float = 20.0  # before the first piece, which waits for other narrators, and between
    reply_s: float = 60.0  # a caption that takes longer is too old to be said
    event_bytes: int = 1 << 20  # and of a reply that is no stream of events


@dataclass(eq=False)
class ServerFault(Exception):
    """What is wrong with a server."""

    trouble: str  # what is spoken after "The server"
    reason: str
    advice: str  # what the user may do
    passes: bool  # perhaps, by itself
    status: int = 0


class ServerEngine:
    """See Engine. Opening it asks the server for its models.

    Whatever goes wrong then raises EngineError, or ModelError where it serves several and none was
    named. Until a first caption has come, what waiting will not mend (a refusal, nonsense) raises
    EngineError as well. Everything else, and all after a first caption, raises EngineUnavailable.
    """

    def __init__(self, url: str, model: str | None, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._place = without_password(url)
        parts = urlsplit(url)
        headers = {"user-agent": "pete_sounds", "accept-encoding": "identity"}
        login = None
        if parts.username is not None:
            login = unquote(parts.username), unquote(parts.password or "")
        elif key := key_of_the_environment():
            headers["authorization"] = f"Bearer {key}"
        self._client = httpx2.Client(
            headers=headers,
            auth=login,
            timeout=httpx2.Timeout(self._limits.silent_s, connect=self._limits.connect_s),
            limits=httpx2.Limits(max_keepalive_connections=0),
            trust_env=False,  # proxies; certificates may well be named there (SSL_CERT_FILE)
            verify=httpx2.create_ssl_context(),
        )
        path = parts.path.rstrip("/")
        base = path.removesuffix("/chat/completions")
        if base == path:
            base = f"{path.removesuffix('/v1')}/v1"
        self._address = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=base)
        self._worked = False
        self._tells: dict[str, Any] = {"logprobs": True, "top_logprobs": 5}  # if it is asked to
        self._model = model_of(self._served(), model, self._place)
        self.label = f"{self._model} at {self._place}"

    def describe(self, query: Query) -> Iterator[Piece]:
        """See Engine. Raises EngineError and EngineUnavailable."""
        chances = Chances()
        for text, tokens in self._said(messages_of(query), query.max_tokens):
            chances.add(tokens)
            if text:  # Some servers begin with an empty one, before there is a token.
                yield Piece(text, chances.of(text))

    def likelihoods(self, query: Query, questions: Sequence[str]) -> list[float | None]:
        """See Engine: 1 or 0 where a server gives the word alone. Each question sends the frame."""
        found = []
        for question in questions:
            messages = messages_of(replace(query, prompt=question))
            said = list(self._said(messages, ANSWER_TOKENS))
            text = "".join(text for text, _ in said)
            found.append(chance_of_yes(text, [token for _, tokens in said for token in tokens]))
        return found

    def _said(self, messages: Any, max_tokens: int) -> Iterator[tuple[str, list[Any]]]:
        """Pieces of a reply, each with what the server tells of the tokens that it chose."""
        request = {"model": self._model, "messages": messages, **self._tells}
        settings = {"max_tokens": max_tokens, "temperature": 0.0, "stream": True}
        room = max_tokens * CHARACTERS_A_TOKEN
        came = ended = False
        try:
            with self._reply("POST", "/chat/completions", {**request, **settings}) as reply:
                for choice in choices(reply, self._limits.event_bytes):
                    piece = str((choice.get("delta") or {}).get("content") or "")[:room]
                    room -= len(piece)
                    ended = choice.get("finish_reason") is not None or room <= 0
                    came = came or bool(piece.strip())
                    self._worked = self._worked or (came and ended)
                    yield piece, (choice.get("logprobs") or {}).get("content") or []
                    if ended:
                        break
                else:
                    if came:
                        raise httpx2.RemoteProtocolError("the caption has no end")
                    raise ValueError("no caption in its answer")
            if not came and self._worked:
                raise ServerFault("says nothing", "its caption is empty", "", True)
        except ServerFault as fault:
            if not (fault.status in (400, 422) and self._tells):
                raise self._error(fault, may_pass=fault.passes or self._worked) from None
            self._tells = {}  # Perhaps it does not know of them.
            yield from self._said(messages, max_tokens)

    def _error(self, fault: ServerFault, may_pass: bool = False) -> Exception:
        reason = printable(fault.reason)[:200]
        message = f"the server at {self._place} {fault.trouble} ({reason})"
        if may_pass:
            return EngineUnavailable(fault.trouble, message)
        return EngineError(f"{message}; {fault.advice}")

    def _served(self) -> list[dict[str, Any]] | None:
        """What the server lists as its models; None where it has no such list."""
        try:
            with self._reply("GET", "/models") as reply:
                models = json_of(reply, self._limits.event_bytes)["data"] or []
                return [model for model in models if str(model["id"])]
        except ServerFault as fault:
            if fault.status in (404, 405, 501):
                return None
            raise self._error(fault) from None

    @contextlib.contextmanager
    def _reply(self, method: str, path: str, body: Any = None) -> Iterator[httpx2.Response]:
        """A reply with status 200. Whatever goes wrong, here or in reading it, is a ServerFault.

        Its connection is shut down at the deadline: to a server that drips, be it the reply or its
        head, the time limit of a single read means nothing.
        """
        deadline = time.monotonic() + self._limits.reply_s
        url = self._address._replace(path=self._address.path + path).geturl()
        with contextlib.ExitStack() as stack:

            def on_event(event: str, info: dict[str, Any]) -> None:
                if event == "connection.connect_tcp.complete":
                    wire = stack.enter_context(info["return_value"].get_extra_info("socket").dup())
                    timer = threading.Timer(deadline - time.monotonic(), shut_down, [wire])
                    timer.daemon = True
                    timer.start()
                    stack.callback(timer.join)
                    stack.callback(timer.cancel)

            try:
                reply = stack.enter_context(
                    self._client.stream(method, url, json=body, extensions={"trace": on_event})
                )
                if reply.headers.get("content-encoding", "identity") != "identity":
                    raise ValueError("its answer is compressed, though that was ruled out")
                if reply.status_code != 200:
                    raise refusal(reply, self._limits.event_bytes)
                yield reply
            except Exception as error:
                raise fault_of(error, late=time.monotonic() >= deadline) from None


def shut_down(wire: socket.socket) -> None:
    """End a connection, whoever is waiting for what comes of it."""
    with contextlib.suppress(OSError):  # the server was quicker
        wire.shutdown(socket.SHUT_RDWR)


class Chances:
    """The probabilities of tokens, dealt out to the pieces of text that they stand in; a server may
    send either first."""

    def __init__(self) -> None:
        self._tokens: deque[tuple[int, float]] = deque()  # length in characters, probability
        self._missing: float = 0  # characters that were sent and whose tokens were not
        self._known = False

    def add(self, tokens: list[dict[str, Any]]) -> None:
        """Take in what a server tells of tokens, as in its logprobs."""
        for token in tokens:
            self._known = True
            self._tokens.append((len(str(token["token"])), chance(token)))

    def of(self, piece: str) -> float | None:
        """The probability of the next piece; None where the server tells none."""
        self._missing += len(piece)
        product = 1.0
        while self._tokens and self._missing > 0:
            length, probability = self._tokens.popleft()
            self._missing -= length
            product *= probability
        return product if self._known else None


def chance(token: dict[str, Any]) -> float:
    """A token's probability, as a server tells it."""
    return math.exp(min(0.0, float(token["logprob"])))


def chance_of_yes(text: str, tokens: list[dict[str, Any]]) -> float | None:
    """How likely yes is, against no, where this was said; None where it is neither."""
    for token in tokens:
        listed = token.get("top_logprobs") or [token]
        yes, no = (
            sum(chance(one) for one in listed if words_of(str(one["token"])) == word)
            for word in ("yes", "no")
        )
        if len(listed) == 1 and yes + no > 0:  # of what was chosen alone
            return yes or 1 - no
        if yes + no > 0:
            return yes / (yes + no)
    word = words_of(text).partition(" ")[0]
    return {"yes": 1.0, "no": 0.0}.get(word)


def choices(reply: httpx2.Response, most: int) -> Iterator[dict[str, Any]]:
    """The first choice of each event; each holds a piece of the caption."""
    for event in httpx2.EventSource(reply, most):
        if event.data == "[DONE]":
            return
        chunk: Any = event.json()
        if chunk.get("error"):
            raise ServerFault("has a fault", words_in(chunk), "look at its log", True)
        yield from (chunk.get("choices") or [])[:1]


def json_of(reply: httpx2.Response, most: int) -> Any:
    """The whole of a reply that is not streamed."""
    body = b""
    for part in reply.iter_bytes():
        body += part
        if len(body) > most:
            raise ValueError("its answer does not end")
    return json.loads(body)


def refusal(reply: httpx2.Response, most: int) -> ServerFault:
    """What another status than 200 says about the server, in its own words where it has any."""
    status, reason = reply.status_code, f"{reply.status_code} {reply.reason_phrase}"
    if 300 <= status < 400:
        place = without_password(reply.headers.get("location", "nowhere"))
        reason += f", to {place}, where nothing was sent"
    else:
        with contextlib.suppress(Exception):
            reason += f": {words_in(json_of(reply, most))}"
    if status in (429, 503):
        return ServerFault("has too much to do", reason, "try later", True, status)
    if status in (408, 425) or status >= 500:
        return ServerFault("has a fault", reason, "look at its log", True, status)
    key = status in (401, 403)
    advice = f"{SERVER_KEY} is for its key" if key else "look at --engine and --model"
    return ServerFault("refuses", reason, advice, False, status)


def words_in(body: dict[str, Any]) -> str:
    """What a server says is wrong."""
    words = body.get("error") or body.get("detail") or body["message"]
    return str(words["message"] if isinstance(words, dict) else words)


def fault_of(error: Exception, late: bool) -> ServerFault:
    """What an exception says about the server. late: the deadline has passed."""
    if isinstance(error, ServerFault):
        return error
    reason = re.sub(r"^\[[^]]*\] ", "", reason_of(error))
    if late or isinstance(error, httpx2.TimeoutException):
        reason, late = "it took too long", True
    if late or isinstance(error, httpx2.ConnectError):
        return ServerFault("does not answer", reason, "is it on, and is the address right?", True)
    if isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.SSEError):
        return ServerFault("breaks off", reason, "is the address right?", True)
    return ServerFault("answers with nonsense", reason, "is it OpenAI-compatible?", False)


def key_of_the_environment() -> str:
    """The server's key; empty where there is none. Raises UsageError for one that can't be sent."""
    key = os.environ.get(SERVER_KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"{SERVER_KEY} holds what no key can: control characters or letters")
    return key


def model_of(models: list[dict[str, Any]] | None, wanted: str | None, place: str) -> str:
    """The model to ask for: the one that is wanted; else the only one that the server lists, or has
    in memory, which mlx_vlm.server tells; "default" where it has no list.

    One that is not listed is not asked for: a server might load it in the place of everybody's.
    Raises ModelError for that, for an empty list, and when there is a choice.
    """
    if models is None:
        return wanted or "default"
    served = {str(model["id"]): bool(model.get("loaded")) for model in models}
    some = ", ".join(map(printable, list(served)[:5])) + (", ..." if len(served) > 5 else "")
    if not served:
        raise ModelError(f"the server at {place} lists no model; load one there first")
    if wanted is not None:
        for name in (wanted, f"{wanted}:latest"):  # as Ollama calls the one without a tag
            if name in served:
                return name
        raise ModelError(f"the server at {place} does not list {wanted}; it serves {some}")
    loaded = [name for name, in_memory in served.items() if in_memory] or list(served)
    if len(loaded) > 1:
        raise ModelError(f"the server at {place} serves {some}; name one with --model")
    return loaded[0]


def messages_of(query: Query) -> list[dict[str, Any]]:
    """A query as a chat: each frame as a JPEG in a data URL, the oldest first."""
    side = DETAIL_SIDE if query.detail else SIDE
    content: list[Any] = [
        {"type": "image_url", "image_url": {"url": jpeg_url(frame.image, side)}}
        for frame in query.clip
    ]
    asked = (query.prompt,) if query.before is None else (*query.before, query.prompt)
    content.append({"type": "text", "text": asked[0]})
    roles = ("user", "assistant", "user")
    turns = zip(roles, (content, *asked[1:]))
    return [{"role": role, "content": turn} for role, turn in turns]


def jpeg_url(image: np.ndarray, side: int) -> str:
    """An image, shape (height, width, 3), dtype uint8, BGR, as a data URL of a JPEG whose longer
    side is at most `side` pixels."""
    scale = side / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(length * scale)) for length in (image.shape[1], image.shape[0])]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
