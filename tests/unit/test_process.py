"""The end of the process, in processes of their own: what holds it up, and in which order it goes.

That it comes at any moment of the whole program is in tests/program/test_life_cycle.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from support.program import ROOT

SET_UP = """
import os, signal, sys, threading, time
from narrator.process import Shutdown, leave
def tell(what): os.write(1, f"{what}\\n".encode())  # print() must not be interrupted by itself
shutdown = Shutdown(lambda: tell("first"), timeout_s=0.5)
shutdown.on_signals()
"""


Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs code behind SET_UP until it prints "ready"."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", SET_UP + code], cwd=ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def end(child: subprocess.Popen[str], number: int = signal.SIGTERM) -> list[str]:
    """Send a signal; what is printed until the end, which must be a good one."""
    child.send_signal(number)
    printed, _ = child.communicate(timeout=20)
    assert child.returncode == 0, printed
    return printed.splitlines()


CODES = {
    "what is open is closed in reverse order": (
        """
for name in ("source", "voice"):
    with shutdown.opening() as opened:
        opened.callback(tell, name)
tell("ready")
time.sleep(60)
""",
        ["first", "voice", "source"],
    ),
    "what is being opened never is": (
        """
with shutdown.opening() as opened:
    opened.callback(tell, "never")
    tell("ready")
    time.sleep(60)
""",
        ["first"],
    ),
    "what is being closed never is": (
        """
with shutdown.opening() as opened:
    opened.callback(time.sleep, 60)
tell("ready")
time.sleep(60)
""",
        ["first"],
    ),
    "no thread can be started": (  # as when memory is short
        """
def fails(*_): raise RuntimeError("can't start new thread")
threading._start_new_thread = threading._start_joinable_thread = fails
tell("ready")
time.sleep(60)
""",
        ["first"],
    ),
    "who fails because of the end does not go on": (
        """
closed = threading.Event()
with shutdown.opening() as opened:
    opened.callback(time.sleep, 0.2)
    opened.callback(closed.set)
tell("ready")
closed.wait()
shutdown.give_way()
tell("an error that is none")
""",
        ["first"],
    ),
}


@pytest.mark.parametrize(("code", "printed"), CODES.values(), ids=CODES)
def test_it_ends_when_it_is_asked_to_though(start: Start, code: str, printed: list[str]) -> None:
    assert end(start(code)) == printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_some_signals_end_it_and_no_others(start: Start, number: int) -> None:
    child = start("""
signal.signal(signal.SIGUSR1, lambda *_: tell("still here"))
tell("ready")
while True: time.sleep(0.1)
""")
    child.send_signal(signal.SIGUSR1)
    assert child.stdout is not None
    assert child.stdout.readline() == "still here\n"
    assert end(child, number) == ["first"]
