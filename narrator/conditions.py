"""What --when watches for: when each was last in view, and when it is time for an alert."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from narrator.settings import MAX_CONDITION_LENGTH, MAX_CONDITIONS
from narrator.text import ago, words_of

IN_VIEW, OUT_OF_VIEW = 0.6, 0.5  # probabilities of yes: from, and up to; see KNOWN_ISSUES.md
LOOKS = 2  # that have to agree
LOOK_EVERY_S = 5.0  # at least, as what the scene gate takes for light may be what it is for
SENTENCE = re.compile(r"\b(is|are|was|were|has|have|does|do|isn't|aren't|can)\b", re.IGNORECASE)


@dataclass
class Condition:
    """What to watch for: a thing, "a red circle", or a sentence, "the door is open".

    An alert is due once LOOKS in a row find it, and again only after as many in between deny it.
    What is neither likely nor unlikely counts for nothing: that is the hysteresis.
    """

    text: str
    in_view: bool = False
    agreeing: int = 0  # looks in a row that speak for the other state
    seen_at: float | None = None  # seconds on the source's clock

    @property
    def question(self) -> str:
        """As the model is asked."""
        asked = f"Is it true that {self.text}" if self.is_sentence else f"Is there {self.text}"
        return f"{asked}? Answer yes or no."

    @property
    def is_sentence(self) -> bool:
        return SENTENCE.search(self.text) is not None

    def look(self, probability: float | None, at: float) -> bool:
        """Take in one look; True when it is time for the alert."""
        found = probability is not None and probability >= IN_VIEW
        denied = probability is not None and probability <= OUT_OF_VIEW
        if found:
            self.seen_at = at
        self.agreeing = self.agreeing + 1 if (denied if self.in_view else found) else 0
        if self.agreeing < LOOKS:
            return False
        self.agreeing, self.in_view = 0, not self.in_view
        return self.in_view


class Conditions:
    """All of them, in the order in which they were given."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.all: list[Condition] = []
        self._looked_at = float("-inf")
        for text in texts:
            self.add(text)

    def add(self, text: str) -> str:
        """Watch for one more, clean as from as_condition(). Returns what to say about it."""
        if words_of(text) in [words_of(one.text) for one in self.all]:
            return f"Already watching for {text}."
        if len(self.all) >= MAX_CONDITIONS:
            return f"I can watch for {MAX_CONDITIONS} things at most; type forget to clear them."
        if len(text) > MAX_CONDITION_LENGTH:
            return f"That is too long: {MAX_CONDITION_LENGTH} characters at most."
        self.all.append(Condition(text))
        return f"Watching for: {text}. I'll say nothing else until you type forget."

    def due(self, changed: bool, now: float) -> bool:
        """Whether it is time for a look: the scene changed, a look waits to be confirmed, or the
        last one is long ago. now: seconds on the source's clock."""
        unsettled = any(one.agreeing for one in self.all)
        return changed or unsettled or not 0 <= now - self._looked_at < LOOK_EVERY_S

    def look(
        self, probabilities: Iterable[float | None], at: float
    ) -> list[tuple[Condition, float | None]]:
        """Take in one look, a probability for each; those of which an alert is due, with theirs."""
        self._looked_at = at
        looks = list(zip(self.all, probabilities))
        return [(one, probability) for one, probability in looks if one.look(probability, at)]

    def summary(self, now: float) -> str:
        """All of them, and when each was last seen, to be spoken."""
        when = ["not seen yet" if one.seen_at is None else f"seen {ago(now - one.seen_at)}"
                for one in self.all]  # fmt: skip
        listed = "; ".join(f"{one.text}, {seen}" for one, seen in zip(self.all, when))
        return f"Watching for: {listed}." if listed else "Not watching for anything."
