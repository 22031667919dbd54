"""What the frames of a film come from: a child that decodes it, or pictures."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from narrator.child import Child
from narrator.errors import SourceError
from narrator.frames.memory import SharedMemory
from narrator.frames.pictures import Animation

FILM = (sys.executable, "-m", "narrator.frames.film_child")
START_S = 60.0  # for the child to import what it needs, on a busy machine
READ_S = 30.0  # for a picture, from a slow disk or network


class Shown(NamedTuple):
    """A picture (uint8, BGR) and its time in seconds: from `at` up to `end`, as far as is known."""

    picture: np.ndarray
    at: float
    end: float


class Pictures:
    """Films that are pictures. length: in seconds, as the file says, or None; a still has none."""

    length: float | None = None

    def __init__(self, shown: Iterable[Shown]) -> None:
        self._shown = iter(shown)

    def read(self, start: float = 0.0) -> Shown | None:
        """The next picture; None at the end. start: when it is to be shown; earlier ones may be
        left out."""
        return next(self._shown, None)

    def close(self) -> None:
        self._shown = iter(())


def moving(animation: Animation) -> Iterator[Shown]:
    """The pictures of an animation."""
    good, image = animation.read()
    at = 0.0
    while good:
        good, following = animation.read()
        end = animation.get(0) / 1000  # of which there is nothing else to get
        yield Shown(image, at, end)
        image, at = following, end


class FilmReader(Pictures):
    """A film that a child decodes. source: a path, a URL, or "-" for the film that comes from
    stdin. timeouts: of a URL, seconds for opening and reading it. Raises SourceError when it is no
    film. A child that dies ends the film."""

    def __init__(self, source: str, timeouts: tuple[float, float] | None = None) -> None:
        self._opened, self._memory = contextlib.ExitStack(), SharedMemory()
        fds = [self._memory.descriptor]
        try:
            if source == "-":
                fds.append(os.dup(0))
            self._child = self._opened.enter_context(Child(FILM, fds))
        finally:
            for fd in fds:
                os.close(fd)
        self._child.send(
            {"source": source, "memory": fds[0], "timeouts": timeouts, "stdin": fds[-1]}
        )
        try:
            self._child.receive(START_S)
            answer = self._child.receive(START_S)
        except ChildProcessError as error:
            answer = {"problem": str(error)}
        if "problem" in answer:
            self.close()
            raise SourceError(answer["problem"])
        self.length = answer.get("length")

    def read(self, start: float = 0.0) -> Shown | None:
        message: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed here
            message = self._child.ask({"start": start}, READ_S)
        if "shape" not in message:
            return None
        self.length = message["length"]
        return Shown(self._memory.picture(message["shape"]), message["at"], message["end"])

    def close(self) -> None:
        self._opened.close()
