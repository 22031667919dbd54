"""A pseudo-terminal with the program on it, and what its screen shows, drawn by pyte."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import threading
from collections.abc import Callable
from typing import Any

import pyte

from support.program import Program, wait_until

COLUMNS, ROWS = 80, 40


class Terminal:
    """The program on a terminal of its own; close() ends it."""

    def __init__(self, program: Program, *arguments: Any, term: str = "xterm", **streams: Any):
        self._ours, theirs = os.openpty()
        self.settings = termios.tcgetattr(theirs)
        self._theirs = theirs
        self._screen = pyte.HistoryScreen(COLUMNS, ROWS, history=1000)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.resize(COLUMNS)
        self._closed = threading.Event()
        self.drawn = b""  # the very bytes
        program.environment["TERM"] = term
        self.process = subprocess.Popen(
            program.command(*arguments),
            cwd=program.here,
            env=program.environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            **{"stdin": theirs, "stdout": theirs, "stderr": theirs, **streams},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # Never waits in read(): that would keep the line open.
        while not self._closed.is_set():
            try:
                if not select.select([self._ours], [], [], 0.05)[0]:
                    continue
                shown = os.read(self._ours, 4096)
            except OSError:  # Linux's way to tell the end.
                return
            with self._lock:
                self.drawn += shown
                self._stream.feed(shown)

    def rows(self) -> list[str]:
        """Every row that is not empty, those that were scrolled away too."""
        with self._lock:
            columns = range(self._screen.columns)
            old = ["".join(row[x].data for x in columns) for row in self._screen.history.top]
            rows = [row.rstrip() for row in (*old, *self._screen.display)]
        return [row for row in rows if row]

    def text(self) -> str:
        """What is on the screen as one text: wrapped rows are joined."""
        return "".join(self.rows())

    def type(self, keys: str) -> None:
        """Press these keys."""
        os.write(self._ours, keys.encode())

    def wait_for(self, what: str | Callable[[list[str]], Any], timeout: float = 60) -> None:
        """Wait for a text, or until a question about the rows is answered by yes."""

        def found() -> Any:
            return what in self.text() if isinstance(what, str) else what(self.rows())

        assert wait_until(found, timeout), "\n".join(self.rows())

    def resize(self, columns: int) -> None:
        """Make the window narrower or wider."""
        with self._lock:
            self._screen.resize(ROWS, columns)
            fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("4H", ROWS, columns, 0, 0))

    def cursor(self) -> int:
        """The column that the cursor is in."""
        with self._lock:
            return int(self._screen.cursor.x)

    def mode(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self._theirs)

    def close_window(self) -> None:
        """What closing a terminal's window does: the line is gone, and SIGHUP is sent."""
        if not self._closed.is_set():
            self._closed.set()
            self._reader.join()
            os.close(self._theirs)
            os.close(self._ours)

    def close(self) -> None:
        """End the program."""
        self.process.kill()
        self.process.wait()
        self.close_window()


def count(part: str) -> Callable[[list[str]], int]:
    """How many rows have this in them."""
    return lambda rows: sum(part in row for row in rows)


def ends_with(*last: str) -> Callable[[list[str]], bool]:
    """Whether these are the last rows."""
    return lambda rows: rows[-len(last) :] == list(last)
