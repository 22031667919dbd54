"""How sure a sentence is: by the probabilities of its words, and where they are low by what is said
of the next frame.

Sentences pass through as they come; a doubtful one waits for the end of its caption and the second
look. What is spoken or printed, and how a frame is looked at, is not known here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from narrator.engines.engine import Piece
from narrator.errors import OnlyThoughts
from narrator.models.presets import SURE, UNSURE
from narrator.wording import Cleaner, Sentences

CANT_TELL = "I can't tell what this is."
NAMES_NOTHING = re.compile(
    r"a|an|and|are|as|at|be|been|being|by|for|from|has|have|in|is|its?|of|on|or|some|see|seen|shows?|"
    r"shown|that|the|their|there|these|this|those|to|visible|was|were|which|with|"
    r"picture|image|photo|scene|frame|view|perhaps"
)


class Sentence(NamedTuple):
    """A sentence. confidence: from 0 to 1, None where the engine can't tell. hedged: it says itself
    that it may be wrong."""

    text: str
    confidence: float | None
    hedged: bool = False


def named(text: str) -> list[str]:
    """The words that name something, in small letters, each once, in their order."""
    words = re.findall(r"\w+", text.casefold())
    return list(dict.fromkeys(word for word in words if not NAMES_NOTHING.fullmatch(word)))


def rated(pieces: Iterable[Piece]) -> Iterator[Sentence]:
    """Pieces of text as sentences, each as soon as the next one begins. One's confidence is the
    probability of its least likely word among those that name something."""
    text, known, waiting, at = "", False, 1.0, 0
    spans: list[tuple[int, int, float]] = []  # of each piece as it came: start, end, probability
    cleaner, splitter, cut = Cleaner(), Sentences(), False

    def rate(sentence: str) -> Sentence:
        nonlocal at
        chances: list[tuple[str, float]] = []
        for word in re.findall(r"\w+", sentence):
            start = max(at, text.find(word, at))
            at = start + len(word)
            parts = [chance for first, last, chance in spans if first < at and last > start]
            chances.append((word, math.prod(parts)))
        naming = [one for one in chances if not NAMES_NOTHING.fullmatch(one[0].casefold())]
        least = min((chance for _, chance in naming or chances), default=1.0)
        return Sentence(sentence, least if known else None)

    for piece in pieces:
        if piece.probability is not None:
            known, waiting = True, waiting * piece.probability
        if piece.text:  # Else it is a part of a character that is not whole yet.
            spans.append((len(text), len(text) + len(piece.text), waiting))
            text, waiting = text + piece.text, 1.0
        cut = piece.cut
        yield from map(rate, splitter.add(cleaner.add(piece.text)))
        if splitter.looping:
            break
    last = [*splitter.add(cleaner.add("", ended=True)), *splitter.end(cut)]
    yield from map(rate, last)
    if cleaner.thought and not at:
        raise OnlyThoughts


def weighed(
    said: Iterable[Sentence],
    look_again: Callable[[], str] | None,
    sure: float = SURE,
    unsure: float = UNSURE,
) -> Iterator[Sentence]:
    """Sentences, hedged where their confidence is below `unsure`, or is below `sure` and a second
    look names something else. look_again: what is said of the next frame; asked once, behind the
    last sentence, and only in doubt; None: nothing is."""
    held: list[Sentence] = []
    for sentence in said:
        if look_again is not None and (held or is_below(sure, sentence)):
            held.append(sentence)
        else:
            yield sentence
    again = named(look_again()) if look_again is not None and held else []
    for sentence in held:
        doubtful = is_below(sure, sentence)
        yield confirmed(sentence, again, is_below(unsure, sentence)) if doubtful else sentence


def is_below(level: float, sentence: Sentence) -> bool:
    return sentence.confidence is not None and sentence.confidence < level


def confirmed(sentence: Sentence, again: list[str], unsure: bool) -> Sentence:
    """A doubtful sentence as it may be said, where a second look named these words. unsure: it is
    hedged even where that look agrees."""
    names = set(named(sentence.text))
    agreed = names & set(again)
    if agreed == names and not unsure:
        return sentence
    text = perhaps(sentence.text) if agreed or not names else CANT_TELL
    return sentence._replace(text=text, hedged=True)


def perhaps(text: str) -> str:
    """A sentence with the word before it."""
    first = re.match(r"\w*", text)
    keeps_case = first is not None and (first[0] == "I" or first[0][1:] != first[0][1:].lower())
    return f"Perhaps {text if keeps_case else text[:1].lower() + text[1:]}"


def compared(said: str, again: str) -> str:
    """What two looks agree on, and where they differ. said, again: what was said at each."""
    before, now = named(said), named(again)
    both = [word for word in before if word in now]
    if before == both:
        return f"Yes: a second look names the same, {', '.join(both)}." if both else again
    lost = [word for word in before if word not in now]
    agreed = f"Not quite: both looks name {', '.join(both)}" if both else "No: nothing agrees"
    return f"{agreed}; only the first one {', '.join(lost)}. This time: {again}"
