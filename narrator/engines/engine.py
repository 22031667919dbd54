"""What every engine offers, what it is asked, and what some keep between two questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from narrator.frames.frame import Frame

Turn = tuple[str, str]  # a question and its answer


@dataclass(frozen=True)
class Query:
    """What a model is asked about a frame, or about a clip, whose newest frame is the last.

    detail: look at a single frame in tiles. before: the turn that the prompt follows; it counts
    where the model's chat template has turns.
    """

    clip: Sequence[Frame]
    prompt: str
    max_tokens: int
    detail: bool = False
    before: Turn | None = None

    @property
    def tiled(self) -> bool:
        """A clip is never cut into tiles."""
        return self.detail and len(self.clip) == 1


class Piece(NamedTuple):
    """What a token adds to the text, which may be nothing yet, and the probability from 0 to 1 with
    which the model chose it; None where the engine can't tell.

    cut: the last piece, and max_tokens ended the text, not the model. notice: a sentence for the
    user while the engine has nothing else to say, such as why that takes long.
    """

    text: str
    probability: float | None
    cut: bool = False
    notice: str = ""


class Engine(Protocol):
    """A query becomes pieces of text, one a token. Decoding is greedy: the same frame gives the
    same caption."""

    @property
    def label(self) -> str:
        """Library, device and precision, for the user."""

    def describe(self, query: Query) -> Iterator[Piece]:
        """Generate at most query.max_tokens tokens, piece by piece; to cancel, close the iterator.

        Raises UsageError for detail where the model has no tiles, ModelError for a clip where it
        takes one frame only, and EngineUnavailable.
        """

    def likelihoods(self, query: Query, questions: Sequence[str]) -> list[float | None]:
        """How likely yes is as the answer to each question, against no: from 0 to 1, or None where
        it is neither. The questions take the place of the query's prompt. The model looks at the
        frame once, for all of them and for the next describe() of it. Raises as describe() does."""


class LastLook:
    """What a model made of the clip it looked at last, for the next question about the same."""

    def __init__(self) -> None:
        self._frames: Sequence[Frame] = ()
        self._tiled = False
        self._made: Any = None

    def of(self, query: Query, make: Callable[[], Any]) -> Any:
        """What make() returned for these very frames; it is called again for any others."""
        same = list(map(id, query.clip)) == list(map(id, self._frames))
        if query.tiled is not self._tiled or not same:
            self._made = make()
            self._frames, self._tiled = query.clip, query.tiled
        return self._made
