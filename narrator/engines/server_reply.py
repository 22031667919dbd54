"""One request to an OpenAI-compatible server, and what comes of it: parts of an answer, or what is
wrong with the server.

The request is made on a thread of its own, so that it can be given up at any time: to a server that
drips, be it the reply or its head, the time limit of a single read means nothing.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import queue
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

import httpx2

from narrator.errors import UsageError, reason_of
from narrator.settings import SERVER_KEY
from narrator.text import without_password

TICK_S = 0.25  # how often a wait is interrupted for what is typed
LONGEST_RETRY_S = 600.0  # that a server may ask to be left alone for
HEAD_BYTES = 1 << 20  # of what says that something is wrong, and before the first token


@dataclass(frozen=True)
class Limits:
    """How long a server may take, in seconds."""

    connect_s: float = 3.0
    notice_s: float = 3.0  # until the user hears that a first answer takes long
    first_s: float = 300.0  # to the first token, as the server may have to load the model
    silent_s: float = 20.0  # from token to token, and for a list of models
    reply_s: float = 60.0  # from the first token to the last: what takes longer is out of date


@dataclass(eq=False)
class ServerFault(Exception):
    """What is wrong with a server."""

    trouble: str  # what is spoken after "The server"
    reason: str
    advice: str  # what the user may do
    passes: bool  # perhaps, by itself
    status: int = 0
    retry_after_s: float = 0.0


class Part(NamedTuple):
    """What a server says at a time: thoughts, text, and what it says of the tokens that it chose.
    finish: why it ends; "" where it goes on."""

    thoughts: str = ""
    text: str = ""
    tokens: Sequence[dict[str, Any]] = ()
    finish: str = ""
    notice: str = ""


def client_for(url: str, limits: Limits) -> tuple[httpx2.Client, SplitResult]:
    """What sends requests, and the address that they begin with. Raises UsageError for a key that
    can't be sent."""
    parts = urlsplit(url)
    headers = {"user-agent": "pete_sounds", "accept-encoding": "identity"}
    login = None
    if parts.username is not None:
        login = unquote(parts.username), unquote(parts.password or "")
    elif key := key_of_the_environment():
        headers["authorization"] = f"Bearer {key}"
    client = httpx2.Client(
        headers=headers,
        auth=login,
        timeout=httpx2.Timeout(limits.silent_s, connect=limits.connect_s, read=None),
        limits=httpx2.Limits(max_keepalive_connections=0),
        trust_env=False,  # proxies; certificates may well be named there (SSL_CERT_FILE)
        verify=parts.scheme == "https" and httpx2.create_ssl_context(),  # which takes its time
    )
    path = parts.path.rstrip("/")
    base = path.removesuffix("/chat/completions")
    if base == path:
        base = f"{path.removesuffix('/v1')}/v1"
    return client, parts._replace(netloc=parts.netloc.rpartition("@")[2], path=base)


def key_of_the_environment() -> str:
    """The server's key; empty where there is none. Raises UsageError for one that can't be sent."""
    key = os.environ.get(SERVER_KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"{SERVER_KEY} is not a valid key: it has control characters or letters")
    return key


class Reply:
    """What comes of a request. due: when it is given up, by time.monotonic(); most: bytes."""

    def __init__(
        self, client: httpx2.Client, request: httpx2.Request, within_s: float, most: int
    ) -> None:
        self.began = time.monotonic()
        self.due = self.began + within_s
        self._latest: float | None = None  # once a token came
        self._arrived: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()
        self._wires: list[socket.socket] = []
        self._closed = False
        request.extensions["trace"] = self._keep_wire
        fetch = (client, request, HEAD_BYTES + most)
        self._thread = threading.Thread(target=self._fetch, args=fetch, daemon=True)
        self._thread.start()

    def lines(self) -> Iterator[bytes | None]:
        """The lines of its body; None where nothing comes for TICK_S. Raises what goes wrong."""
        while True:
            left = self.due - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                arrived = self._arrived.get(timeout=min(TICK_S, left))
            except queue.Empty:
                yield None
                continue
            if arrived is None:
                return
            if isinstance(arrived, Exception):
                raise arrived
            yield arrived

    def came(self, limits: Limits) -> None:
        """A token came: how long the others may take."""
        now = time.monotonic()
        if self._latest is None:
            self._latest = now + limits.reply_s
        self.due = min(self._latest, now + limits.silent_s)

    def close(self) -> None:
        """End the connection, whoever is waiting for what comes of it."""
        self._closed = True
        for wire in self._wires:
            with contextlib.suppress(OSError):  # the server was quicker
                wire.shutdown(socket.SHUT_RDWR)
        self._thread.join(TICK_S)  # which may be looking up a name

    def _keep_wire(self, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._wires.append(info["return_value"].get_extra_info("socket"))
            if self._closed:
                raise ConnectionAbortedError

    def _fetch(self, client: httpx2.Client, request: httpx2.Request, most: int) -> None:
        try:
            reply = client.send(request, stream=True)
            with contextlib.closing(reply):
                lines = lines_of(reply, most)
                if reply.status_code != 200:
                    raise refusal(reply, b"\n".join(lines))
                for line in lines:
                    self._arrived.put(line)
            self._arrived.put(None)
        except Exception as error:
            self._arrived.put(error)


def lines_of(reply: httpx2.Response, most: int) -> Iterator[bytes]:
    """The lines of a body of at most so many bytes, as it was sent."""
    rest = b""
    for received in reply.iter_raw():
        most -= len(received)
        if most < 0:
            raise ValueError("its answer is too long")
        *lines, rest = (rest + received).split(b"\n")
        yield from lines
    yield rest


def chunks(lines: Iterator[bytes | None]) -> Iterator[Any]:
    """The JSON of each event of a stream, or of a body that is no stream; None where nothing
    came."""
    other = []
    for line in lines:
        field, _, value = (line or b"").strip().partition(b":")
        if line is None:
            yield None
        elif field == b"data" and value.strip() == b"[DONE]":
            yield {"choices": [{"finish_reason": "stop"}]}
        elif field in (b"data", b"error") and value.strip():
            yield json.loads(value) if field == b"data" else {"error": json.loads(value)}
        elif field not in (b"data", b"event", b"id", b"retry", b""):
            other.append(line)
    if other:
        yield json.loads(b"\n".join(other))


def part_of(chunk: Any) -> Part:
    """What is said in the first choice of an event, or of an answer that is whole."""
    if ("choices" not in chunk or chunk.get("error")) and (words := words_in(chunk)):
        raise ServerFault("reported an error", words, "look at its log", True)
    choice = (chunk.get("choices") or [{}])[0]
    said = choice.get("delta") or choice.get("message") or {}
    thoughts, text = said.get("reasoning_content") or said.get("reasoning") or "", ""
    content = said.get("content") or ""
    for part in [{"text": content}] if isinstance(content, str) else content:
        if part.get("type") == "thinking":
            thoughts += str(part["thinking"])
        else:
            text += part.get("text") or ""
    finish = choice.get("finish_reason") or "stop" * ("message" in choice)
    return Part(thoughts, text, (choice.get("logprobs") or {}).get("content") or [], finish)


def refusal(reply: httpx2.Response, body: bytes) -> ServerFault:
    """What another status than 200 says about the server, in its own words where it has any."""
    status, reason = reply.status_code, f"{reply.status_code} {reply.reason_phrase}"
    if 300 <= status < 400:
        place = without_password(reply.headers.get("location", "nowhere"))
        reason += f", to {place}, where nothing was sent"
    else:
        words = "" if body.lstrip().startswith(b"<") else body.decode("utf-8", "replace").strip()
        with contextlib.suppress(Exception):
            words = words_in(json.loads(body))
        reason += f": {words}" if words else ""
    if status in (429, 503):
        wait_s = retry_after_s(reply.headers.get("retry-after", ""))
        return ServerFault("is too busy", reason, "try later", True, status, wait_s)
    if status in (408, 425) or status >= 500:
        return ServerFault("reported an error", reason, "look at its log", True, status)
    key = status in (401, 403)
    advice = f"{SERVER_KEY} is for its key" if key else "look at --engine and --model"
    return ServerFault("refused the request", reason, advice, False, status)


def retry_after_s(header: str) -> float:
    """Seconds, as a number or until a date; 0 where it says neither."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (TypeError, ValueError):
            return 0.0
    return min(max(0.0, seconds), LONGEST_RETRY_S) if seconds == seconds else 0.0


def words_in(body: dict[str, Any]) -> str:
    """What a server says is wrong; "" where it does not."""
    words = body.get("error") or body.get("detail") or body.get("message") or ""
    return str(words.get("message") or words if isinstance(words, dict) else words)


def fault_of(error: Exception) -> ServerFault:
    """What an exception says about the server."""
    if isinstance(error, ServerFault):
        return error
    reason = re.sub(r"^\[[^]]*\] ", "", reason_of(error))
    if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
        reason = "it took too long"
    if isinstance(error, (TimeoutError, httpx2.TimeoutException, httpx2.ConnectError)):
        return ServerFault("does not answer", reason, "is it on, and is the address right?", True)
    if isinstance(error, httpx2.TransportError):
        return ServerFault("broke off its answer", reason, "is the address right?", True)
    return ServerFault("sent an invalid reply", reason, "is it OpenAI-compatible?", False)
