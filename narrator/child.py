"""Child processes for what is not ours and may hang, crash, print or eat memory: camera drivers,
FFmpeg, the system's speech. Both ends of the line, and who starts a child again.

Messages are JSON objects, one a line, over the child's stdin and stdout. What the child's libraries
print goes to its stderr, and from there to the log (--debug). A child is in a session of its own:
Ctrl-C does not reach it, and all that it starts ends with it. When the parent is gone, for whatever
reason, the child ends too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from narrator.backoff import PAUSES_S, Backoff
from narrator.errors import reason_of
from narrator.settings import PROJECT
from narrator.text import printable

MAX_MESSAGE = 1 << 20  # bytes
POLL_S = 0.2  # how often a child that is silent is looked after
END_S = 0.5  # for a killed child to be gone; one that its driver holds in the kernel is left behind
log = logging.getLogger(__name__)


class ChildHangs(ChildProcessError):
    """It did not answer in time."""


class Child(subprocess.Popen[bytes]):
    """A child process, as its parent sees it; `with` ends it. fds: descriptors that it inherits."""

    def __init__(self, command: Sequence[str], fds: Sequence[int] = ()) -> None:
        self._name = command[-1]
        super().__init__(
            command, cwd=PROJECT, bufsize=0, start_new_session=True, pass_fds=fds,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._received = b""
        assert self.stdin is not None  # A child that was stopped empties no pipe.
        os.set_blocking(self.stdin.fileno(), False)
        threading.Thread(target=self._log, name="child's stderr", daemon=True).start()

    def ask(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Send a message, and return the one that answers it. Raises as receive() does."""
        self.send(message)
        return self.receive(timeout)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; whether the child is there to read it shows in its answer."""
        assert self.stdin is not None
        data = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed here
            while data and select.select([], [self.stdin], [], POLL_S)[1]:
                data = data[os.write(self.stdin.fileno(), data) :]

    def receive(self, timeout: float) -> dict[str, Any]:
        """Wait up to `timeout` seconds for a message. Raises ChildProcessError."""
        assert self.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.stdout], [], [], min(left, POLL_S))[0]:
                if self._is_stopped():
                    raise ChildProcessError("it was stopped")
                if not left:
                    raise ChildHangs("no answer in time")
                continue
            if not (data := os.read(self.stdout.fileno(), 65536)):
                raise ChildProcessError("it ended unexpectedly")
            self._received += data
            if len(self._received) > MAX_MESSAGE:
                break
        line, _, self._received = self._received.partition(b"\n")
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(message := json.loads(line), dict):
                return message
        raise ChildProcessError("it sent an invalid reply")

    def _is_stopped(self) -> bool:
        """Whether it got SIGSTOP: it will not answer. Unknown on a Mac before Python 3.13."""
        if not hasattr(os, "waitid"):
            return False
        with contextlib.suppress(ChildProcessError):  # It has ended.
            about = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, about) is not None
        return False

    def kill(self) -> None:
        """End it and all that it started, at once and without waiting; from any thread."""
        if self.returncode is None:  # else its number may be somebody else's by now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def __exit__(self, *_: Any) -> None:
        self.kill()
        for pipe in (self.stdin, self.stdout):
            assert pipe is not None
            pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(END_S)

    def _log(self) -> None:
        assert self.stderr is not None
        with self.stderr as lines:
            while line := lines.readline(4096):
                log.debug(f"{self._name}: {printable(line.decode('utf-8', 'replace'))}")


class Parent:
    """The parent, as its child sees it. Takes over stdin and stdout; made once. at_end: called when
    it is gone."""

    def __init__(self) -> None:
        self.at_end: Callable[[], object] = lambda: None
        self._channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._received: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def send(self, **message: Any) -> None:
        self._channel.write(json.dumps(message) + "\n")  # one write: whole lines only
        self._channel.flush()

    def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for a message, `timeout` seconds or for ever. Raises queue.Empty."""
        return self._received.get(timeout=timeout)

    def _listen(self) -> None:
        try:
            for line in sys.stdin:
                self._received.put(json.loads(line))
        finally:  # The parent is gone: so is everything that was started here.
            self.at_end()
            os.killpg(0, signal.SIGKILL)


class Supervisor:
    """Keeps one child at work, on a thread of its own.

    work: is given each new child, and returns when nothing is left to do. When it raises, the child
    is killed and another one started, after a pause that grows from failure to failure.
    on_trouble: is given the exception, once an outage: as soon as the next pause is not 0.
    on_recovery: called when steady() ends an outage that was reported. Both run where `work` runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        work: Callable[[Child], None],
        on_trouble: Callable[[Exception], None],
        on_recovery: Callable[[], None],
        pauses_s: Sequence[float] = PAUSES_S,
        fds: Sequence[int] = (),
    ) -> None:
        self._start, self._work = partial(Child, command, fds), work
        self._on_trouble, self._on_recovery = on_trouble, on_recovery
        self._backoff = Backoff(pauses_s)
        self._child: Child | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()  # so that no child starts behind close()
        self.failing = False  # an outage was reported, and lasts
        self._thread = threading.Thread(target=self._run, name=command[-1], daemon=True)
        self._thread.start()

    def steady(self) -> None:
        """The child does its work: the next failure begins a new outage. Called by `work`."""
        self._backoff.reset()
        if self.failing:
            self.failing = False
            self._on_recovery()

    def restart(self) -> None:
        """Kill the child, which counts as a failure; from any thread."""
        if self._child is not None:
            self._child.kill()

    def close(self) -> None:
        """End the child for good, within a second; from any thread but that of `work`."""
        self._closed.set()
        self.restart()  # even where the lock is held
        with self._lock:
            self.restart()
        self._thread.join(END_S)

    def _run(self) -> None:
        while not self._closed.wait(self._backoff.wait_s()):
            try:
                with self._lock:
                    if self._closed.is_set():
                        return
                    self._child = self._start()
                with self._child as child:
                    self._work(child)
                return
            except Exception as error:  # Whatever it is, this thread goes on.
                if not self._closed.is_set():
                    self._fail(error)

    def _fail(self, error: Exception) -> None:
        log.debug(f"{self._thread.name} failed: {reason_of(error)}", exc_info=error)
        if self._backoff.failed():
            self.report(error)

    def report(self, error: Exception) -> None:
        """Report an outage, at the latest now; called by `work`."""
        if not self.failing:
            self.failing = True
            self._on_trouble(error)
