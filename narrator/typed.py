"""The lines that are typed on a terminal, read on a thread, as they may come at any moment."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable

from narrator.terminal import Terminal
from narrator.text import printable

MAX_WAITING = 8  # lines
END = ("q", "quit", "exit")
SPEAK = ("speak", "unmute")


def command_of(text: str) -> str:
    """A typed line as a command is written: "More." is more, and "??" is ?."""
    return " ".join(text.casefold().rstrip("?.! ").split()) or text[:1]


class NothingTyped:
    """In the place of typed lines where there is no terminal."""

    def take(self) -> tuple[list[str], bool]:
        """The lines that wait, printable, and whether others were dropped, as too many waited."""
        return [], False


class TypedLines(NothingTyped):
    """Reads what is typed.

    q ends the program at once, whatever the main thread is doing, and every line but `speak`
    silences the voice; the rest of its meaning waits for the main thread, the same line once.
    """

    def __init__(self, terminal: Terminal, hush: Callable[[], None]) -> None:
        self._terminal, self._hush = terminal, hush
        self._waiting: deque[str] = deque()
        self._dropped = False
        threading.Thread(target=self._listen, name="typed lines", daemon=True).start()

    def take(self) -> tuple[list[str], bool]:
        dropped, self._dropped = self._dropped, False
        return [self._waiting.popleft() for _ in range(len(self._waiting))], dropped

    def _listen(self) -> None:
        for line in self._terminal.lines():
            text = printable(line)
            command = command_of(text)
            if command in END:
                os.kill(os.getpid(), signal.SIGINT)
                continue
            if len(self._waiting) >= MAX_WAITING:
                self._dropped = True
            elif text not in self._waiting:  # Enter held down, say
                self._waiting.append(text)
            if command not in SPEAK:
                self._hush()
