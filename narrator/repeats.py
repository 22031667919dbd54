"""Was this said already? Sentences are compared with what was said in the last minute, however that
was worded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from narrator.comparing import named
from narrator.text import is_repeat


class Repeats:
    """What was said lately, and when.

    A scene that has come to rest may be as it was before, and that is news: what is said of it is
    compared with the last caption alone. A scene that goes on moving would bring the same few
    sentences again and again: what is said of it is compared with all that was said in `after_s`.
    moving: what is being described does not rest.
    """

    def __init__(self, after_s: float = 60.0) -> None:
        self._after_s, self.moving = after_s, False
        self._said: list[tuple[float, str]] = []  # when, and what; oldest first
        self._last: Sequence[str] = ()  # the sentences of the last caption
        self._text: Sequence[str] = ()  # and of the text that was read last

    def is_repeat(self, sentence: str, now: float) -> bool:
        """True when this was said lately, in these words or nearly these. now: in seconds."""
        self._said = [(at, said) for at, said in self._said if now - at < self._after_s]
        if not any(are_alike(sentence, said) for _, said in self._said):
            return False
        return self.moving or any(are_alike(sentence, said) for said in self._last)

    def spoken(self, sentence: str, now: float) -> None:
        """It was said, if only in print."""
        self._said.append((now, sentence))

    def described(self, sentences: Sequence[str]) -> None:
        """These were the last caption, whether they were said or not."""
        self._last = list(sentences)

    def is_new_text(self, sentence: str) -> bool:
        """Whether a sentence of a text was not in the one that was read last."""
        return not is_repeat(sentence, self._text)

    def read(self, sentences: Sequence[str]) -> None:
        """These are the sentences of the text that was read last."""
        self._text = list(sentences)

    def forget(self) -> None:
        """From now on, anything is worth a word again."""
        self._said, self._last = [], ()


def are_alike(one: str, other: str) -> bool:
    """True when two sentences name the same in the same order, but for the form of a verb: "A man
    walks a dog." and "The man is walking a dog.", not "A dog walks a man." or "Two men walk."."""
    pairs = list(itertools.zip_longest(named(one), named(other), fillvalue=""))
    if not pairs:  # They name nothing.
        return one == other
    return all(mine == its or is_verb_of(mine, its) or is_verb_of(its, mine) for mine, its in pairs)


def is_verb_of(form: str, verb: str) -> bool:
    """True for the -ing form of an English verb, and its base or its form with -s."""
    stem = form.removesuffix("ing")
    if stem == form or len(stem) < 2:
        return False
    if re.search(r"([^aeiouls])\1$", stem):  # sitting, running
        stem = stem[:-1]
    return verb in {stem, stem + "s", stem + "es", stem + "e"}
