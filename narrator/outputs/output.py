"""A caption, and what every output does with one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from narrator.frames.frame import Frame
from narrator.text import TextLine, capitalised


class Alert(NamedTuple):
    """What came into view. probability: from 0 to 1."""

    when: str
    probability: float | None


@dataclass(frozen=True)
class Caption:
    """What was said of a frame, and when. Times are in seconds.

    frame: the frame, or the newest of a clip. time: when it was taken. text: printable, one line.
    first_token_s, caption_s: from the start of the work to its first token and to its end.
    frame_age_s: how old the frame was when the first sentence was handed on; 0 for a film, whose
    clock stands still meanwhile. spoken: to a voice. question: what was typed, for an answer.
    confidence: from 0 to 1, how predictable the words were, or how sure the reader is of the text;
    None where the engine can't tell. alert: what it is an alert for. lines: of text that was read.
    """

    frame: Frame
    time: datetime
    text: str
    first_token_s: float
    caption_s: float
    frame_age_s: float
    spoken: bool
    question: str | None = None
    confidence: float | None = None
    alert: Alert | None = None
    lines: Sequence[TextLine] | None = None

    @property
    def line(self) -> str:
        """The text, behind what it is an alert for."""
        return self.text if self.alert is None else f"{capitalised(self.alert.when)}: {self.text}"


class Output(ABC):
    """Where captions go. What an output does not need, it need not write."""

    def prepare(self) -> None:  # noqa: B027
        """Try whether captions can be kept, before the first one is made. Raises UsageError."""

    @abstractmethod
    def write(self, caption: Caption) -> None:
        """Take one caption. Raises StopRequested when there is nobody left to write for."""

    def announce(self, sentence: str) -> None:  # noqa: B027
        """Take a sentence that is no caption, such as "The camera is back."."""

    def show(self, frame: Frame | None) -> None:  # noqa: B027
        """Take what is in view; called often, between two pieces of a caption as well. Raises
        StopRequested when there is nobody left to show it to."""

    def looking(self, on: bool) -> None:  # noqa: B027
        """An engine works on what is in view, or no longer."""

    def close(self) -> None:  # noqa: B027
        """Leave whole what was written; called at any moment, on any thread."""
