"""What two descriptions of the same view agree on, by the words in them that name something."""

from __future__ import annotations

import re

NAMES_NOTHING = re.compile(
    r"a|an|and|are|as|at|be|been|being|by|for|from|has|have|in|is|its?|of|on|or|some|see|seen|shows?|"
    r"shown|that|the|their|there|these|this|those|to|visible|was|were|which|with|"
    r"picture|image|photo|scene|frame|view"
)


def named(text: str) -> list[str]:
    """The words that name something, in small letters, each once, in their order."""
    words = re.findall(r"\w+", text.casefold())
    return list(dict.fromkeys(word for word in words if not NAMES_NOTHING.fullmatch(word)))


def compared(said: str, again: str) -> str:
    """What two descriptions agree on, and where they differ. said: the first; again: the second."""
    before, now = named(said), named(again)
    both = [word for word in before if word in now]
    if before == both:
        return f"Yes, a second look agrees: {again}" if both else again
    if not both:
        return f"No, a second look differs: {again}"
    lost = ", ".join(word for word in before if word not in now)
    return f"Not quite: both looks name {', '.join(both)}, but only the first {lost}. Now: {again}"
