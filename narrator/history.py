"""What was said before: the last caption, and a recap of the last minutes."""

from __future__ import annotations

from collections.abc import Callable

from narrator.outputs.output import Caption
from narrator.text import ago, words_of

RECAP_S = 600.0
RECAP_LENGTH = 10  # captions; nobody listens to more


class History:
    """The captions and answers that were printed. clock: in seconds.

    latest: the last one, as it was printed. answered: the question that it answers. count: of
    captions; answers to questions are not counted.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: dict[str, tuple[float, str]] = {}  # words: when last, and how; newest last
        self.latest = ""
        self.answered: str | None = None
        self.count = 0

    def keep(self, caption: Caption) -> None:
        """Remember a caption, in the place of an earlier one in the same words."""
        self.latest, self.answered = caption.line, caption.question
        if caption.question is not None:
            return
        self.count += 1
        words = words_of(caption.line)
        self._said.pop(words, None)
        self._said[words] = self._clock(), caption.line
        if len(self._said) > RECAP_LENGTH:
            del self._said[next(iter(self._said))]

    def recap(self) -> str:
        """The captions of the last minutes, each with how long ago it was last said."""
        now = self._clock()
        parts = [
            f"{ago(now - when)}: {text}"
            for when, text in self._said.values()
            if now - when <= RECAP_S
        ]
        return " ".join(parts) or "Nothing was said in the last ten minutes."
