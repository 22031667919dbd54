"""A model behind an OpenAI-compatible server: frames go out as JPEG in a request for a chat
completion, pieces of the caption come back as server-sent events, or all at once.

Frames reach the named address alone: no redirect is followed, no proxy of the environment is asked.
Whatever a server does, its reply ends within the limits; none but that server gets the key.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import httpx2
import numpy as np

from narrator.engines.engine import Piece, Query
from narrator.engines.server_reply import (
    Limits,
    Part,
    Reply,
    ServerFault,
    chunks,
    client_for,
    fault_of,
    part_of,
)
from narrator.errors import EngineError, EngineUnavailable, ModelError
from narrator.settings import JPEG_QUALITY
from narrator.text import printable, without_password, words_of
from narrator.wording import Cleaner

SIDE, DETAIL_SIDE = 512, 2048  # pixels: the one tile of SmolVLM2, and the most it cuts into tiles
ANSWER_TOKENS, THOUGHTFUL_TOKENS = 4, 1024  # for yes or no, and of a model that thinks before it
LIST_BYTES, TOKEN_BYTES = 4 << 20, 4 << 10  # of all models, and of a token with its probabilities
SLOW = "The server has not answered yet. It may be loading the model."


class ServerEngine:
    """See Engine. Opening it asks the server for its models.

    Whatever goes wrong then raises EngineError, or ModelError where it serves several and none was
    named. Until a first caption has come, what waiting will not mend (a refusal, an invalid reply)
    raises EngineError as well. Everything else, and all after a first caption, raises
    EngineUnavailable.
    """

    def __init__(self, url: str, model: str | None, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._place = without_password(url)
        self._client, self._address = client_for(url, self._limits)
        self._worked = False
        self._limit_name = "max_tokens"
        self._answer_tokens = ANSWER_TOKENS
        self._extras: dict[str, dict[str, Any]] = {  # until the server refuses them
            "temperature": {"temperature": 0.0},
            "logprobs": {"logprobs": True, "top_logprobs": 5},
        }
        self._model = model_of(self._served(), model, self._place)
        self.label = f"{self._model} at {self._place}"

    def describe(self, query: Query) -> Iterator[Piece]:
        """See Engine; nothing comes four times a second while the server is silent. Raises
        EngineError and EngineUnavailable."""
        for part in self._said(messages_of(query), query.max_tokens):
            thoughts = f"<think>{part.thoughts}</think>" * bool(part.thoughts)
            first, *others = [*map(chance, part.tokens), None]
            yield Piece(thoughts + part.text, first, part.finish == "length", part.notice)
            yield from (Piece("", one) for one in others[:-1])

    def likelihoods(self, query: Query, questions: Sequence[str]) -> list[float | None]:
        """See Engine: 1 or 0 where a server gives the word alone. Each question sends the frame."""
        found = []
        for question in questions:
            asked = messages_of(replace(query, prompt=question))
            said = list(self._said(asked, self._answer_tokens))
            text = Cleaner().add("".join(part.text for part in said), ended=True)
            tokens = [token for part in said if part.text for token in part.tokens]
            found.append(chance_of_yes(text, tokens))
        return found

    def _said(self, messages: Any, max_tokens: int) -> Iterator[Part]:
        """Parts of an answer; asked for again where the server refuses a setting it can do
        without."""
        while True:
            try:
                yield from self._answer(messages, max_tokens)
                return
            except ServerFault as fault:
                if not self._heeded(fault):
                    raise self._error(fault, may_pass=fault.passes or self._worked) from None

    def _answer(self, messages: Any, max_tokens: int) -> Iterator[Part]:
        request = {"model": self._model, "messages": messages, "stream": True}
        request[self._limit_name] = max_tokens
        for extra in self._extras.values():
            request.update(extra)
        said = thought = False
        first_s, most = self._limits.first_s, max_tokens * TOKEN_BYTES
        with self._reply("POST", "/chat/completions", request, first_s, most) as reply:
            notice_at = self._limits.silent_s if self._worked else self._limits.notice_s
            for chunk in chunks(reply.lines()):
                part = Part() if chunk is None else part_of(chunk)
                if part.text or part.thoughts:
                    reply.came(self._limits)
                    said, thought = said or bool(part.text.strip()), thought or bool(part.thoughts)
                elif not (said or thought) and time.monotonic() - reply.began >= notice_at:
                    part, notice_at = part._replace(notice=SLOW), math.inf
                yield part
                if part.finish:
                    break
            else:
                if said:
                    raise httpx2.RemoteProtocolError("the answer broke off")
                raise ValueError("no caption in its answer")
            if thought:
                self._answer_tokens = THOUGHTFUL_TOKENS
            elif self._worked and not said:
                raise ServerFault("sent an empty caption", "it has no text", "", True)
            self._worked = self._worked or said

    def _heeded(self, fault: ServerFault) -> bool:
        """Ask no more for what a server refuses; False where it refuses something else."""
        if fault.status not in (400, 422):
            return False
        if "max_completion_tokens" in fault.reason and self._limit_name == "max_tokens":
            self._limit_name = "max_completion_tokens"
            return True
        named = [name for name in self._extras if name in fault.reason]
        # Most that know nothing of probabilities do not say so.
        refused = named or [name for name in self._extras if name == "logprobs"]
        for name in refused:
            del self._extras[name]
        return bool(refused)

    def _error(self, fault: ServerFault, may_pass: bool = False) -> Exception:
        message = f"the server at {self._place} {fault.trouble} ({printable(fault.reason)[:200]})"
        if may_pass:
            return EngineUnavailable(fault.trouble, message, fault.retry_after_s)
        return EngineError(f"{message}; {fault.advice}")

    def _served(self) -> list[dict[str, Any]] | None:
        """What the server lists as its models; None where it has no such list."""
        try:
            within_s = self._limits.silent_s
            with self._reply("GET", "/models", None, within_s, LIST_BYTES) as reply:
                body = b"\n".join(line for line in reply.lines() if line is not None)
                models = json.loads(body)["data"] or []
                return [model for model in models if str(model["id"])]
        except ServerFault as fault:
            if fault.status in (404, 405, 501):
                return None
            raise self._error(fault) from None

    @contextlib.contextmanager
    def _reply(
        self, method: str, path: str, body: Any, within_s: float, most: int
    ) -> Iterator[Reply]:
        """A reply with status 200. Whatever goes wrong in reading it is a ServerFault."""
        url = self._address._replace(path=self._address.path + path).geturl()
        request = self._client.build_request(method, url, json=body)
        reply = Reply(self._client, request, within_s, most)
        try:
            yield reply
        except Exception as error:
            raise fault_of(error) from None
        finally:
            reply.close()


def chance(token: dict[str, Any]) -> float:
    """A token's probability, as a server gives it."""
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


def model_of(models: list[dict[str, Any]] | None, wanted: str | None, place: str) -> str:
    """The model to ask for: the one that is wanted; else the only one that the server lists, or
    says to have in memory; "default" where it has no list.

    One that is not listed is not asked for: a server might load it in the place of everybody's.
    Raises ModelError for that, for an empty list, and when there is a choice.
    """
    if models is None:
        return wanted or "default"
    served = {str(model["id"]): is_loaded(model) for model in models}
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


def is_loaded(model: dict[str, Any]) -> bool:
    """Whether a model is in memory, as mlx_vlm.server, llama.cpp or LM Studio tell it."""
    status = model.get("status") or model.get("state")
    status = status.get("value") if isinstance(status, dict) else status
    return model.get("loaded") is True or status == "loaded"


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
