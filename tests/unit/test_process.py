"""The end of the process, in processes of their own: what holds it up, and in which order it goes.

That it comes at any moment of the whole program is in tests/program/test_life_cycle.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.program import ROOT

SET_UP = """
import os, signal, sys, threading, time
from narrator.process import Shutdown, leave
def tell(what): os.write(1, f"{what}\\n".encode())  # print() must not be interrupted by itself
shutdown = Shutdown(lambda: tell("first"), timeout_s=0.5)
shutdown.on_signals()
"""


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[str]]]:
    """The processes that a test starts."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for child in started:
        child.kill()
        child.communicate()


def start(children: list[subprocess.Popen[str]], code: str) -> subprocess.Popen[str]:
    """Run this behind SET_UP until it prints "ready"."""
    child = subprocess.Popen(
        [sys.executable, "-c", SET_UP + code], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    children.append(child)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def end(child: subprocess.Popen[str], number: int = signal.SIGTERM) -> list[str]:
    """Send a signal; what is printed until the end, which must be a good one."""
    child.send_signal(number)
    printed, _ = child.communicate(timeout=20)
    assert child.returncode == 0, printed
    return printed.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_is_open_is_closed_in_reverse_order(
    children: list[subprocess.Popen[str]], number: int
) -> None:
    code = """
for name in ("source", "voice"):
    with shutdown.opening() as opened:
        opened.callback(tell, name)
tell("ready")
time.sleep(60)
"""
    assert end(start(children, code), number) == ["first", "voice", "source"]


def test_it_ends_though_what_is_being_opened_never_is(
    children: list[subprocess.Popen[str]],
) -> None:
    code = """
with shutdown.opening() as opened:
    opened.callback(tell, "never")
    tell("ready")
    time.sleep(60)
"""
    assert end(start(children, code)) == ["first"]


def test_it_ends_though_what_is_being_closed_never_is(
    children: list[subprocess.Popen[str]],
) -> None:
    code = """
with shutdown.opening() as opened:
    opened.callback(time.sleep, 60)
tell("ready")
time.sleep(60)
"""
    assert end(start(children, code)) == ["first"]


def test_it_ends_though_no_thread_can_be_started(
    children: list[subprocess.Popen[str]],
) -> None:
    """As when memory is short."""
    code = """
def fails(*_): raise RuntimeError("can't start new thread")
threading._start_new_thread = threading._start_joinable_thread = fails
tell("ready")
time.sleep(60)
"""
    assert end(start(children, code)) == ["first"]


def test_who_fails_because_of_the_end_does_not_go_on(
    children: list[subprocess.Popen[str]],
) -> None:
    code = """
closed = threading.Event()
with shutdown.opening() as opened:
    opened.callback(time.sleep, 0.2)
    opened.callback(closed.set)
tell("ready")
closed.wait()
shutdown.give_way()
tell("an error that is none")
"""
    assert end(start(children, code)) == ["first"]


def test_other_signals_do_not_end_it(children: list[subprocess.Popen[str]]) -> None:
    code = """
signal.signal(signal.SIGUSR1, lambda *_: tell("still here"))
tell("ready")
while True: time.sleep(0.1)
"""
    child = start(children, code)
    child.send_signal(signal.SIGUSR1)
    assert child.stdout is not None
    assert child.stdout.readline() == "still here\n"
    assert end(child) == ["first"]
