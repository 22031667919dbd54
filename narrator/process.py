"""The process: its hand-over to .venv, its standard streams, and its end at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from narrator.errors import EngineError, ExitCode, PeteError, reason_of
from narrator.settings import VENV

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def open_standard_streams() -> None:
    """Make stdout and stderr usable, whatever they are: closed, or in a narrow encoding."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # started with it closed
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")


def print_list(print_it: Callable[[], ExitCode | None], kind: type[PeteError]) -> ExitCode:
    """Have a list or a table printed. Raises `kind` where that fails."""
    try:
        code = print_it()
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise kind(f"this can't be printed: {reason_of(error)}") from error
    return code or ExitCode.OK


def is_installed() -> bool:
    """True once install.sh has made .venv."""
    return (VENV / "bin" / "python").exists()


def continue_under_venv(script: Path) -> None:
    """Run this same command line again under the Python that install.sh made, unless this is it.

    Raises EngineError when that is missing or does not start.
    """
    python = VENV / "bin" / "python"
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    if not is_installed():
        raise EngineError("not installed yet; run ./install.sh first")
    # Half an environment runs, but not as itself: without this it would be tried for ever.
    if os.environ.get("PETE_SOUNDS_VENV") == str(os.getpid()):
        raise EngineError(f"{VENV} is broken; run ./install.sh again")
    os.environ["PETE_SOUNDS_VENV"] = str(os.getpid())  # exec keeps the process
    # Until the script is there again and quiet about signals: Python itself is not.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        os.execv(python, [str(python), str(script), *sys.argv[1:]])
    except OSError as error:
        raise EngineError(
            f"{python} does not start ({reason_of(error)}); run ./install.sh again"
        ) from error


def stop_signals() -> Iterator[signal.Signals]:
    """The signals that end the program; under nohup SIGHUP doesn't."""
    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            yield number


class Shutdown:
    """Ends the program at any moment, whatever the main thread is doing.

    A handler that raised would raise in the middle of what Python does just then, and some of
    that swallows exceptions (callbacks of weak references, as in the import system) or takes
    seconds to come back from (a vision pass). So the handlers do nothing: a signal also writes to
    the wakeup descriptor, and a thread that waits there closes what is open and ends the process.

    first: called before anything is closed; it must not wait. timeout_s: from the signal to the
    end, whatever hangs, while Python runs.
    """

    def __init__(self, first: Callable[[], None], timeout_s: float = 1.5) -> None:
        self._first = first
        self._timeout_s = timeout_s
        self._opened = contextlib.ExitStack()  # everything that has to be closed
        self._lock = threading.Lock()
        self._asked = threading.Event()

    def on_signals(self) -> None:
        """From now on Ctrl-C, SIGTERM and SIGHUP end the program."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in stop_signals():
            signal.signal(number, lambda *_: None)
        # Both now: when memory is short, no thread can be started any more.
        threading.Thread(target=self._give_up, name="patience", daemon=True).start()
        threading.Thread(target=self._end, args=[reading], name="shutdown", daemon=True).start()

    def _end(self, reading: int) -> None:
        while os.read(reading, 1)[0] not in STOP_SIGNALS:
            pass  # Any other that Python handles writes its number here, too.
        self._asked.set()
        self.close()
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr.isatty():
                print(file=sys.stderr)  # the shell's prompt would stand behind the terminal's ^C
        leave(ExitCode.OK)

    def _give_up(self) -> None:
        """End while a lock or a driver does not let go."""
        self._asked.wait()
        for _ in range(30):  # An import that keeps Python's lock for seconds takes one step.
            time.sleep(self._timeout_s / 30)
        os._exit(ExitCode.OK)

    @contextlib.contextmanager
    def opening(self) -> Iterator[contextlib.ExitStack]:
        """Where to register what has to be closed; no end comes between opening and registering."""
        with self._lock:
            yield self._opened

    def close(self) -> None:
        """Close everything, once; who comes second waits for the first."""
        self._first()
        with self._lock:
            self._opened.close()

    def give_way(self) -> None:
        """Go no further once an end was asked for: what is open is being closed."""
        if self._asked.is_set():
            time.sleep(2 * self._timeout_s)


def leave(code: int) -> NoReturn:
    """Flush and end now: a thread that hangs in a driver must not hold up the end."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
