"""The line that is being typed: keys change it. Where it is drawn is not known here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from narrator.text import printable

# An escape sequence (ECMA-48: CSI, or ESC and a letter), or one character.
KEY = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?|.", re.DOTALL)
BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?$")  # of which the rest is still to come
CTRL_D, PASTE_BEGINS, PASTE_ENDS = "\x04", "\x1b[200~", "\x1b[201~"
STEPS = {"\x1b[A": -1, "\x1bOA": -1, "\x10": -1, "\x1b[B": 1, "\x1bOB": 1, "\x0e": 1}  # up, down

Edit = Callable[[str, str], tuple[str, str]]  # of the text before and behind the cursor
EDITS: dict[str, Edit] = {
    "\x7f": lambda before, after: (before[:-1], after),  # Backspace
    "\x1b[3~": lambda before, after: (before, after[1:]),  # Delete
    "\x17": lambda before, after: (re.sub(r"\S*\s*$", "", before), after),  # Ctrl-W
    "\x15": lambda before, after: ("", after),  # Ctrl-U
    "\x0b": lambda before, after: (before, ""),  # Ctrl-K
    "\x1b[D": lambda before, after: (before[:-1], before[-1:] + after),  # left
    "\x1b[C": lambda before, after: (before + after[:1], after[1:]),  # right
    "\x1b[H": lambda before, after: ("", before + after),  # Home
    "\x1b[F": lambda before, after: (before + after, ""),  # End
}
# What else sends the same: Ctrl and a letter, and the keys of other terminals.
SAME = {
    "\b": "\x7f", CTRL_D: "\x1b[3~", "\x02": "\x1b[D", "\x06": "\x1b[C", "\x01": "\x1b[H",
    "\x05": "\x1b[F", "\x1bOD": "\x1b[D", "\x1bOC": "\x1b[C", "\x1bOH": "\x1b[H",
    "\x1bOF": "\x1b[F", "\x1b[1~": "\x1b[H", "\x1b[4~": "\x1b[F", "\x1b[7~": "\x1b[H",
    "\x1b[8~": "\x1b[F",
}  # fmt: skip


class LineEditor:
    """The text before and behind the cursor, and the lines that were entered, for Up and Down."""

    MAX_LENGTH = 500  # characters
    MAX_HISTORY = 100  # lines

    def __init__(self) -> None:
        self.before = self.after = ""
        self._entered: list[str] = []
        self._unsent, self._at = "", 0  # the new line, and which one is shown
        self._begun, self._pasting = "", False

    @property
    def text(self) -> str:
        return self.before + self.after

    def keys(self, typed: str) -> Iterator[str]:
        """The keys of what was typed; one that is not all there yet waits for the rest. typed: ""
        if nothing came for a while: it was the key Escape alone, and a paste is over."""
        text = self._begun + typed if typed else ""
        self._pasting = self._pasting and bool(typed)
        found = BEGUN.search(text)
        self._begun = found[0] if found else ""
        yield from KEY.findall(text.removesuffix(self._begun))

    def press(self, key: str) -> str | None:
        """Change the line; returns it when this key enters it."""
        key = SAME.get(key, key)
        if key in (PASTE_BEGINS, PASTE_ENDS):
            self._pasting = key == PASTE_BEGINS
        elif key in "\r\n" and not self._pasting:
            return self._enter()
        elif edit := EDITS.get(key):
            self.before, self.after = edit(self.before, self.after)
        elif step := STEPS.get(key):
            self._recall(step)
        elif len(key) == 1 and printable(f".{key}.") != ".." and len(self.text) < self.MAX_LENGTH:
            self.before += " " if key.isspace() else key  # All that is pasted is one line.
        return None

    def shown(self, columns: int) -> tuple[str, str]:
        """What of both sides of the cursor has room on a row: more of what is before it."""
        room = max(columns - 4, 1)
        before = fitting(self.before[::-1], room - (room // 4 if self.after else 0))[::-1]
        return before, fitting(self.after, room - width(before))

    def _enter(self) -> str:
        text = self.text
        if text.strip() and text not in self._entered[-1:]:
            self._entered = [*self._entered, text][-self.MAX_HISTORY :]
        self.before = self.after = self._unsent = ""
        self._at = len(self._entered)
        return text

    def _recall(self, step: int) -> None:
        if self._at == len(self._entered):
            self._unsent = self.text
        self._at = min(max(self._at + step, 0), len(self._entered))
        self.before, self.after = [*self._entered, self._unsent][self._at], ""


def fitting(text: str, room: int) -> str:
    """As much of the beginning of a text as is no wider."""
    for end, character in enumerate(text):
        room -= width(character)
        if room < 0:
            return text[:end]
    return text


def width(text: str) -> int:
    """How many columns a text takes."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)
