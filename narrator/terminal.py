"""The terminal: what is logged on stderr, and the line that is typed below it.

Captions alone go to stdout. A Terminal keeps the line in the typing whole: whatever is printed,
is printed inside printing(), which takes the line and a progress bar away meanwhile.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import re
import select
import signal
import sys
import termios
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from narrator.redrawing import may_redraw
from narrator.settings import SERVER_KEY
from narrator.text import printable, secrets_in, without_secrets

log = logging.getLogger(__name__)


class LogHandler(logging.Handler):
    """Prints each record as one line of ours on stderr; a traceback only at the level DEBUG.

    secrets: what is printed as *** wherever it would stand.
    """

    def __init__(self, terminal: Terminal, secrets: Sequence[str]) -> None:
        super().__init__()
        self._terminal, self._secrets = terminal, secrets

    def emit(self, record: logging.LogRecord) -> None:
        """Print it; a closed stderr is nobody's trouble."""
        lines = []
        if message := printable(record.getMessage()):
            lines.append(f"pete_sounds: {message}")
        if record.exc_info:
            lines.append(logging.Formatter().formatException(record.exc_info))
        text = without_secrets("\n".join(lines), self._secrets)
        with contextlib.suppress(OSError, ValueError), self._terminal.printing():
            print(text, file=sys.stderr, flush=True)


def log_to(terminal: Terminal, secrets: Sequence[str] = ()) -> None:
    """From now on, what the parts log is printed on this terminal, but for the secrets."""
    ours = logging.getLogger("narrator")
    ours.handlers[:] = [LogHandler(terminal, secrets)]
    ours.propagate = False
    ours.setLevel(logging.INFO)


def own_secrets() -> list[str]:
    """The passwords on this command line, and the key for a server."""
    key = os.environ.get(SERVER_KEY, "").strip()
    return [*secrets_in(sys.argv), *([key] if key else [])]


def tell_of_check() -> None:
    """After a start on which something failed, say what finds out more; to a person alone."""
    if sys.stderr.isatty():
        log.info("--check tries camera, model and voice, and says what to do about each")


def above_progress() -> contextlib.AbstractContextManager[None]:
    """Take a progress bar that stands on the terminal away while a line is printed."""
    bar = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if bar is None:
        return contextlib.nullcontext()
    away: contextlib.AbstractContextManager[None] = bar.external_write_mode(sys.stderr)
    return away


class Terminal:
    """The terminal on stdin and stderr, and the line that is being typed.

    Once taken, the terminal hands over each key and echoes none, so that the line can be removed
    and drawn again around a caption. Signals stay the terminal's: Ctrl-C and Ctrl-Z do what they
    always do. Where nothing may be drawn again the terminal keeps its own echo, and whole lines
    come from it.

    prompt_toolkit was tried for this: it prints from a thread of its own, some time later, and
    joins stdout and stderr, so that the last caption is lost at the end, and a closed pipe unseen.
    """

    MAX_LENGTH = 500  # characters
    POLL_S = 0.25
    # An escape sequence (ECMA-48: CSI, or ESC and a letter), or one character.
    KEY = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?|.", re.DOTALL)
    BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?$")  # of which the rest is still to come

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._text = ""
        self._drawn_on: int | None = None  # the descriptor to draw on, where we draw
        self._mode_lock = threading.Lock()  # never held for long, as the end waits for it
        self._before: list[Any] | None = None  # the terminal's own mode
        self._given_back = False

    def take(self, plain: bool = False) -> None:
        """Take over the terminal on stdin, where that can be done; plain: never."""
        # Reading in the background would stop the whole program; ignored, it fails instead.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        if plain or not may_redraw():
            return
        with contextlib.suppress(OSError, termios.error):
            termios.tcgetattr(0)
            self._drawn_on = os.open(os.ttyname(0), os.O_WRONLY | os.O_NOCTTY)
            self._take_keys()

    def give_back(self) -> None:
        """Put the terminal back as it was, for good; waits for nothing, and twice is no harm."""
        with self._mode_lock, contextlib.suppress(termios.error):
            self._given_back = True
            if self._before is not None and self._is_ours():
                # NOW: a terminal that Ctrl-S holds would never be drained.
                termios.tcsetattr(0, termios.TCSANOW, self._before)

    def lines(self) -> Iterator[str]:
        """Each line as it is ended by Enter, until the terminal is gone."""
        decoder, begun = codecs.getincrementaldecoder("utf-8")("ignore"), ""
        while True:
            if not self._is_ours():
                time.sleep(self.POLL_S)
                continue
            self._take_keys()
            try:
                if not select.select([0], [], [], self.POLL_S)[0]:
                    begun = ""  # It was the key Escape alone.
                    continue
                keys = os.read(0, 1024)
            except OSError:  # in the background now
                time.sleep(self.POLL_S)
                continue
            if not keys:
                return
            text = begun + decoder.decode(keys)
            found = self.BEGUN.search(text)
            begun = found[0] if found else ""
            for key in self.KEY.findall(text.removesuffix(begun)):
                if key in "\r\n":
                    yield self._entered()
                else:
                    self._press(key)

    @contextlib.contextmanager
    def printing(self) -> Iterator[None]:
        """Around whatever is printed: nothing else stands on the terminal's last line."""
        with self._lock:
            self._draw("")
            try:
                with above_progress():
                    yield
            finally:
                self._draw(self._text)

    def _entered(self) -> str:
        with self._lock:
            text, self._text = self._text, ""
            self._show("\n")
        return text

    def _press(self, key: str) -> None:
        with self._lock:
            text = self._text
            if key in "\x7f\b":
                text = text[:-1]
            elif key == "\x15":  # Ctrl-U
                text = ""
            elif key == "\x17":  # Ctrl-W
                text = re.sub(r"\S*\s*$", "", text)
            elif len(key) == 1 and printable(f".{key}.") != ".." and len(text) < self.MAX_LENGTH:
                text += " " if key == "\t" else key
            if self._text and text == self._text + key and self._end_of(text) == text:
                self._text = text
                self._show(key)  # Alone, as screen readers read aloud what is drawn.
            elif text != self._text:
                self._draw("")
                self._text = text
                self._draw(text)

    def _end_of(self, text: str) -> str:
        """As much of a line's end as one row has room for."""
        room = 76
        with contextlib.suppress(OSError):
            room = (os.get_terminal_size(self._drawn_on or 0).columns or 80) - 4
        room = max(room, 1)
        for start in range(len(text) - 1, -1, -1):
            room -= 1 + (unicodedata.east_asian_width(text[start]) in "WF")
            if room < 0:
                return text[start + 1 :]
        return text

    def _draw(self, text: str) -> None:
        """Draw the line's end, as much as fits; an empty text removes it."""
        if self._text and self._is_ours():
            self._show(f"\r\x1b[K> {self._end_of(text)}" if text else "\r\x1b[K")

    def _show(self, text: str) -> None:
        if self._drawn_on is not None:
            with contextlib.suppress(OSError):
                os.write(self._drawn_on, text.encode(errors="replace"))

    def _take_keys(self) -> None:
        """Have each key at once: at the start, and when a shell had the terminal meanwhile."""
        with self._mode_lock, contextlib.suppress(termios.error):
            if self._drawn_on is None or self._given_back or not self._is_ours():
                return
            mode = termios.tcgetattr(0)
            if not mode[3] & (termios.ICANON | termios.ECHO):
                return
            self._before = list(mode)
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(0, termios.TCSANOW, mode)
        with self.printing():
            pass  # The line is drawn again.

    @staticmethod
    def _is_ours() -> bool:
        """False in the background, while the terminal is the shell's or another program's."""
        try:
            return os.tcgetpgrp(0) == os.getpgrp()
        except OSError:  # Nobody else can have it.
            return True
