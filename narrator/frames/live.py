"""A camera or stream that is kept going: read all the time, and opened again when it is lost.

The capture child reads it (capture.py) and is replaced when it hangs or dies. A thread here takes
its pictures, and decides what they are worth: is the source stalled or frozen, does it send what it
held up, which messages does the user need?
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from narrator.backoff import PAUSES_S
from narrator.child import Child, ChildHangs, Supervisor
from narrator.errors import SourceError
from narrator.frames.faults import BurstDetector, FreezeDetector, Outage
from narrator.frames.frame import Frame
from narrator.frames.latest import LatestFrame
from narrator.frames.memory import SharedMemory

CAPTURE = (sys.executable, "-m", "narrator.frames.capture")
LOOK_APART_S = 0.06  # what is taken more often shows no more, and has to be decoded
ASKING = "macOS is asking whether this terminal may use the camera: choose Allow."
SILENT, FROZEN = "sends no picture", "sends the same picture over and over"


@dataclass(frozen=True)
class LiveLimits:
    """How long to wait for a camera or stream, in seconds, and how often."""

    start_s: float = 60.0  # for the child to import what it needs, on a busy machine
    open_s: float = 10.0  # one that shows nothing for so long is lost
    stall_s: float = 5.0  # one that stops showing anything is reopened after so long
    late_s: float = 2.0  # by which the child may exceed the time limits that it was given
    pauses_s: tuple[float, ...] = PAUSES_S  # from a try to reopen it to the next one
    steady_s: float = 0.5  # of pictures make a source that was lost one that is back
    burst_after_s: float = 0.5  # without a picture; what comes next may have been held up
    max_burst_s: float = 2.0
    settle_s: float = 0.015  # a picture of a burst is followed sooner, one of 60 a second later
    noisy_pictures: int = 100  # that differed in a row: such a source can freeze


CAMERA_LIMITS = LiveLimits(pauses_s=(0.5,))  # Nobody is troubled by it.


@dataclass(frozen=True)
class Request:
    """What the capture child is asked to watch. kind: "camera" or "stream". memory: the descriptor
    of where pictures are put. open_s, read_s: how long a stream may take. pauses_s: between the
    tries to open it; they begin anew once pictures came for steady_s. identity: of the camera that
    it was before, see cameras.Camera."""

    kind: str
    source: str
    memory: int
    open_s: float
    read_s: float
    steady_s: float
    pauses_s: Sequence[float]
    identity: str | None = None


class LiveSource(LatestFrame):
    """A camera or stream.

    kind: "camera" or "stream". waits: one that is not connected is lost from the start; else
    SourceError is raised. newest() raises it as well, but only where the user was asked for
    permission and refused it. name: of a camera, where the system has one.
    """

    def __init__(
        self,
        kind: str,
        source: str,
        clip_length: int = 1,
        limits: LiveLimits = LiveLimits(),
        waits: bool = False,
    ) -> None:
        super().__init__(clip_length, LOOK_APART_S)
        self._limits, self.name = limits, ""
        self._outage = Outage(kind, waits, limits.steady_s)
        self._freeze = FreezeDetector(limits.noisy_pictures)
        self._burst = BurstDetector(limits.burst_after_s, limits.max_burst_s, limits.settle_s)
        self._reader = Reader(self, kind, source, limits)
        try:
            self._reader.wait_until_known()
            self._outage.raise_error()
        except SourceError:
            self.close()
            raise

    @property
    def lost(self) -> bool:
        return self._outage.lost

    def newest(self, timeout: float) -> Frame | None:
        self._outage.raise_error()
        return super().newest(timeout)

    def messages(self) -> list[str]:
        messages = self._outage.messages
        return [messages.popleft() for _ in range(len(messages))]

    def close(self) -> None:
        self._reader.close()

    # -- on the reader's thread

    def show(self, picture: np.ndarray, taken: float) -> bool:
        """Take a new picture; False when the source is frozen."""
        frame = Frame(picture, taken, taken - (self._outage.first_at or taken))
        still_s = self._freeze.still_for(frame)
        if still_s >= self._limits.stall_s:
            return False
        settle_s = self._burst.settle_s(taken)
        if self._outage.is_over(taken, moves=not still_s):
            self.put(frame, settle_s)
        return True

    def lose(self, problem: str, spoken: str | None, final: bool = False) -> None:
        """Begin an outage, or go on with it, see Outage.lose()."""
        self._outage.lose(problem, spoken, final)
        self._freeze.restart(time.monotonic())
        self.clear()

    def wait_for_user(self) -> None:
        """Say that macOS is asking."""
        if not self.lost:
            self._outage.lost = True
            self._outage.messages.append(ASKING)


class Reader:
    """Has a capture child read what a LiveSource shows, on a thread of its own."""

    def __init__(self, live: LiveSource, kind: str, source: str, limits: LiveLimits) -> None:
        self._live, self._limits = live, limits
        self._known = threading.Event()
        self._memory, self._opened = SharedMemory(), contextlib.ExitStack()
        self._opened.callback(self._memory.close)
        memory = self._memory.descriptor
        self._request = Request(
            kind, source, memory, limits.open_s, limits.stall_s, limits.steady_s, limits.pauses_s
        )
        pauses_s = (0.0, *limits.pauses_s)  # A child that dies once is not reported.
        self._supervisor = Supervisor(
            CAPTURE, self._read, self._fail, lambda: None, pauses_s, [memory]
        )
        self._opened.callback(self._supervisor.close)

    def wait_until_known(self) -> None:
        """Wait until there is a picture, or a message in its place."""
        self._known.wait()

    def close(self) -> None:
        self._opened.close()

    def _read(self, child: Child) -> None:
        """Ask for one picture after the other, until something is wrong."""
        limits = self._limits
        child.receive(limits.start_s)
        child.send(asdict(self._request))
        child.send({})
        first_s = limits.late_s + 2 * limits.open_s + max(limits.pauses_s)
        wait_s, steady_from = first_s, math.inf
        while True:
            message = self._receive(child, wait_s)
            if "shape" in message:
                wait_s = limits.stall_s
                if not self._take(**message):
                    self._live.lose(f"it {FROZEN}", FROZEN)
                    raise ChildProcessError(FROZEN)
                steady_from = min(steady_from, message["taken"] + limits.steady_s)
                if message["taken"] >= steady_from:
                    self._supervisor.steady()
                child.send({})
            elif "problem" in message:
                wait_s, steady_from = first_s, math.inf
                self._live.lose(**message)
                if message["final"]:
                    break
            elif "opened" in message:
                self._live.name = message["name"]
                self._request = replace(self._request, identity=message["opened"])
            else:
                self._live.wait_for_user()
            if "opened" not in message:
                self._known.set()
        self._known.set()

    def _receive(self, child: Child, wait_s: float) -> dict[str, Any]:
        try:
            return child.receive(wait_s)
        except ChildHangs as error:  # or what it reads does
            self._fail(error)
            raise

    def _take(self, shape: Sequence[int], taken: float) -> bool:
        return self._live.show(self._memory.picture(shape), taken)

    def _fail(self, _: Exception) -> None:
        self._live.lose(f"the {self._request.kind} {SILENT}", SILENT)
        self._known.set()
