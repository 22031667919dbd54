"""What every engine offers, and what some keep between two questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from narrator.frames.frame import Frame


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


Turn = tuple[str, str]  # what was asked before, and the answer


class Engine(Protocol):
    """A frame or clip and a prompt become pieces of text, one a token. Decoding is greedy: the same
    frame gives the same caption."""

    @property
    def label(self) -> str:
        """Library, device and precision, for the user."""

    def describe(
        self,
        clip: Sequence[Frame],
        prompt: str,
        max_tokens: int,
        detail: bool = False,
        before: Turn | None = None,
    ) -> Iterator[Piece]:
        """Generate a caption of at most max_tokens tokens, piece by piece; to cancel it, close the
        iterator.

        clip: the frame to describe; or several, the newest last, as one clip. detail: look at a
        single frame in tiles. before: what the prompt follows; it counts where the model's chat
        template has turns. Raises UsageError for detail where the model knows no tiles,
        ModelError for a clip where it takes one frame only, and EngineUnavailable.
        """

    def likelihoods(
        self, frame: Frame, questions: Sequence[str], detail: bool = False
    ) -> list[float | None]:
        """How likely yes is as the answer to each question, against no: from 0 to 1, or None where
        it is neither. What the model sees in the frame is made out once, for all of them and for
        the next describe() of the frame. Raises what describe() does."""

    def prepare(self, clip: Sequence[Frame], prompt: str, detail: bool = False) -> Any:
        """What describe() does before the model's turn; for measurements."""

    def peak_memory(self) -> int:
        """Bytes that were needed at most so far, on the device that runs the model."""


class LastLook:
    """What was made of the clip that was looked at last, for the next question about the same."""

    def __init__(self) -> None:
        self._frames: Sequence[Frame] = ()
        self._detail = False
        self._made: Any = None

    def of(self, clip: Sequence[Frame], detail: bool, make: Callable[[], Any]) -> Any:
        """What make() returned for these very frames, called again for any others."""
        if detail is not self._detail or list(map(id, clip)) != list(map(id, self._frames)):
            self._made = make()
            self._frames, self._detail = clip, detail
        return self._made
