"""The terminal: what is logged on stderr, and the line that is typed below it.

Captions alone go to stdout. A Terminal keeps the line in the typing whole: whatever is printed,
is printed inside printing(), which takes the line and a progress bar away meanwhile.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from narrator.line_editor import CTRL_D, LineEditor
from narrator.redrawing import may_redraw
from narrator.settings import SERVER_KEY
from narrator.text import printable, secrets_in, without_secrets

log = logging.getLogger(__name__)

# Sent to a terminal: to send what is pasted as that, or as keys (xterm's bracketed paste).
PASTE_AS_PASTE, PASTE_AS_KEYS = "\x1b[?2004h", "\x1b[?2004l"
ERASE, SAVE_CURSOR, RESTORE_CURSOR = "\r\x1b[K", "\x1b7", "\x1b8"


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
            if message == self._terminal.entered:
                return  # It is the last line on the screen already.
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

    prompt_toolkit was tried in its place. Its patch_stdout prints later, on a thread of its own:
    the last caption is lost at the end, and a closed pipe goes unseen. Without it, each line
    printed has to stop its renderer on another thread first; to import it takes 0.8 s of processor
    time, and a typed line six times as much as here.
    """

    POLL_S = 0.25

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._line = LineEditor()
        self.entered = ""  # the line typed last, while nothing else was printed below it
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
        with self._mode_lock, contextlib.suppress(OSError, termios.error):
            self._given_back = True
            if self._before is not None and self._is_ours():
                # NOW: a terminal that Ctrl-S holds would never be drained.
                termios.tcsetattr(0, termios.TCSANOW, self._before)
                if self._drawn_on is not None:
                    os.set_blocking(self._drawn_on, False)
                    os.write(self._drawn_on, PASTE_AS_KEYS.encode())

    def lines(self) -> Iterator[str]:
        """Each line as it is ended by Enter, until the terminal is gone. Ctrl-D on an empty one is
        the line q."""
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        while True:
            if not self._is_ours():
                time.sleep(self.POLL_S)
                continue
            self._take_keys()
            try:
                waits = select.select([0], [], [], self.POLL_S)[0]
                typed = os.read(0, 1024) if waits else b""
            except OSError:  # in the background now
                time.sleep(self.POLL_S)
                continue
            if waits and not typed:
                if os.isatty(0):  # It was Ctrl-D, and the terminal is still there.
                    yield "q"
                return
            for key in self._line.keys(decoder.decode(typed)):
                if key == CTRL_D and not self._line.text:
                    yield "q"
                elif (line := self._press(key)) is not None:
                    yield line

    @contextlib.contextmanager
    def printing(self) -> Iterator[None]:
        """Around whatever is printed: nothing else stands on the terminal's last line."""
        with self._lock:
            self.entered = ""
            self._erase()
            try:
                with above_progress():
                    yield
            finally:
                if self._line.text:
                    self._draw()

    def _press(self, key: str) -> str | None:
        with self._lock:
            if self._drawn_on is None and key < " " and key not in "\t\r\n":
                return None  # What the terminal itself has shown can't be changed.
            columns = self._columns()
            shown = self._line.shown(columns)
            line = self._line.press(key)
            if line is not None:
                self._show("\n")
                whole = sys.stderr.isatty() and "".join(shown) == line
                self.entered = printable(f"> {line}") if whole else ""
                return line
            now = self._line.shown(columns)
            if now == (shown[0] + key, "") and shown[0]:
                self._show(key)  # Alone, as screen readers read aloud what is drawn.
            elif now != shown:
                self._draw()
        return None

    def _columns(self) -> int:
        with contextlib.suppress(OSError):
            return os.get_terminal_size(self._drawn_on or 0).columns or 80
        return 80

    def _erase(self) -> None:
        if self._line.text and self._is_ours():
            self._show(ERASE)

    def _draw(self) -> None:
        """Draw as much of the line as fits, and put the cursor where it belongs."""
        before, after = self._line.shown(self._columns())
        if self._is_ours():
            behind = f"{SAVE_CURSOR}{after}{RESTORE_CURSOR}" if after else ""
            self._show(f"{ERASE}> {before}{behind}" if before or after else ERASE)

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
        with self.printing():  # The line is drawn again.
            if not self._given_back:
                self._show(PASTE_AS_PASTE)

    @staticmethod
    def _is_ours() -> bool:
        """False in the background, while the terminal is the shell's or another program's."""
        try:
            return os.tcgetpgrp(0) == os.getpgrp()
        except OSError:  # Nobody else can have it.
            return True
