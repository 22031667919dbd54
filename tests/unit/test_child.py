"""Child processes: real ones, that answer, hang, print, crash and start others."""

from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from narrator.child import Child, Supervisor
from narrator.settings import PROJECT
from support.program import wait_until

ECHO = """
from narrator.child import Parent
parent = Parent()
print("printed by a library", flush=True)
while True:
    parent.send(heard=parent.receive())
"""


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def is_running(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


def test_a_child_answers_each_message_though_its_libraries_print(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "narrator")
    with Child(python(ECHO)) as child:
        assert child.ask({"a": "ä\n"}, 60) == {"heard": {"a": "ä\n"}}
        long = {"b": "b" * 200_000}  # more than a pipe holds
        assert child.ask(long, 60) == {"heard": long}
        assert wait_until(lambda: "printed by a library" in caplog.text, 60)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("print('{\"half\":', end='', flush=True); import time; time.sleep(600)", "no answer"),
        ("raise SystemExit", "ended unexpectedly"),
        ("print('[1]', flush=True)", "invalid reply"),
        ("print('[' * 100_000, flush=True)", "invalid reply"),
        ("while True: print(end='a' * 65536)", "invalid reply"),
    ],
    ids=["half", "gone", "list", "deep", "endless"],
)
def test_a_child_that_does_not_answer_properly_is_an_error(code: str, why: str) -> None:
    with Child(python(code)) as child, pytest.raises(ChildProcessError, match=why):
        child.ask({}, 0.2 if "sleep" in code else 60)


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="needs Linux, or Python 3.13 on a Mac")
def test_a_stopped_child_holds_up_nobody() -> None:
    with Child(python(ECHO)) as child:
        child.ask({}, 60)
        os.kill(child.pid, signal.SIGSTOP)
        child.send({"text": "a" * 1_000_000})  # more than a pipe holds
        with pytest.raises(ChildProcessError, match="it was stopped"):
            child.ask({}, 60)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_child_started_ends_with_it() -> None:
    code = """
import subprocess, time
print('{"pid": %d}' % subprocess.Popen(["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""
    with Child(python(code)) as child:
        pid = child.receive(60)["pid"]
        assert is_running(pid)
    assert wait_until(lambda: not is_running(pid), 60)
    assert child.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_ends_with_its_parent_however_that_ends() -> None:
    code = f"""
from narrator.child import Child
import time
child = Child({python(ECHO)!r})
child.ask({{}}, 60)
print(child.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(python(code), cwd=PROJECT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert wait_until(lambda: not is_running(pid), 60)


class Work:
    """What a supervised child is for: it is asked once a second until it fails."""

    def __init__(self) -> None:
        self.pids: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.good = threading.Event()

    def do(self, child: Child) -> None:
        if not self.good.is_set():
            raise ChildProcessError("not yet")
        child.ask({}, 60)
        self.supervisor.steady()
        self.pids.put(child.pid)
        while True:
            child.receive(600)

    def start(self, code: str, *pauses_s: float) -> None:
        self.supervisor = Supervisor(
            python(code), self.do,
            lambda error: self.events.put(str(error)), lambda: self.events.put("back"), pauses_s,
        )  # fmt: skip


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.supervisor.close()


def test_a_killed_child_is_replaced_and_an_outage_reported_once(work: Work) -> None:
    work.start(ECHO, 0.01)
    assert work.events.get(timeout=60) == "not yet"
    time.sleep(0.1)  # It goes on failing meanwhile.
    work.good.set()
    first = work.pids.get(timeout=60)
    assert work.events.get(timeout=60) == "back"
    os.kill(first, signal.SIGKILL)
    assert work.events.get(timeout=60) == "it ended unexpectedly"
    assert work.pids.get(timeout=60) != first
    assert work.events.get(timeout=60) == "back"
    assert work.events.empty()


def test_nothing_is_reported_of_a_child_that_is_replaced_at_once(work: Work) -> None:
    work.good.set()
    work.start(ECHO, 0.0, 600.0)
    work.pids.get(timeout=60)
    work.supervisor.restart()
    work.pids.get(timeout=60)
    assert work.events.empty()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_close_ends_the_child_and_its_replacement(work: Work) -> None:
    work.good.set()
    work.start(ECHO, 0.0)
    pid = work.pids.get(timeout=60)
    work.supervisor.close()
    assert wait_until(lambda: not is_running(pid), 60)
    assert work.pids.empty()
    assert work.events.empty()
