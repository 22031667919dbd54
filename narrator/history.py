"""What was said before: the last caption, a recap of the last minutes, and whether a sentence would
only repeat the last caption."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from narrator.outputs.output import Caption
from narrator.text import ago, is_repeat, words_of

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


class Repeats:
    """Which sentences are news. after_s: seconds of silence after which a repeat is news, too."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._caption: set[str] = set()  # the words of the last one's sentences
        self._text: list[str] = []  # the sentences of the text that was read last
        self._spoken_at = float("-inf")

    def is_news(self, sentence: str, now: float) -> bool:
        """Whether a sentence of a caption is to be spoken; from then on it counts as spoken."""
        if words_of(sentence) in self._caption and now - self._spoken_at < self._after_s:
            return False
        self._spoken_at = now
        return True

    def is_new_text(self, sentence: str) -> bool:
        """Whether a sentence of a text was not in the one that was read last."""
        return not is_repeat(sentence, self._text)

    def keep(self, sentences: Iterable[str]) -> None:
        """These are the sentences of the last caption now."""
        self._caption = set(map(words_of, sentences))

    def keep_text(self, sentences: Iterable[str]) -> None:
        """These are the sentences of the text that was read last."""
        self._text = list(sentences)

    def forget(self) -> None:
        """Whatever the next caption says is news."""
        self._caption = set()
