"""The capture child: reads a camera or a stream, and puts its newest picture into memory that the
parent has mapped, too. `python -m narrator.frames.capture`

The first message to it says what to do: {"cameras": true} lists the cameras, a Request watches one
of them or a stream. From then on each message asks for one picture, which comes as soon as there is
a new one. What lies in the memory is the parent's until it asks again, so nobody ever sees half a
picture. What it says:

  {"ready": true}                       at first
  {"opened": identity, "name": name}    it shows pictures; of a camera, see cameras.Camera
  {"shape": [...], "taken": seconds}    a picture: uint8 BGR, or of one dimension, a JPEG
  {"problem": text, "spoken": text or null, "final": false}    it shows none; it is tried again
  {"asking": true}                      macOS asks the user whether the camera may be used
"""

from __future__ import annotations

import contextlib
import mmap
import queue
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from narrator.backoff import Backoff
from narrator.child import Parent
from narrator.errors import SourceError, reason_of
from narrator.frames import cameras
from narrator.frames.cameras import Camera, NoPicture, camera_problem, find_camera
from narrator.frames.jpeg import TOO_LARGE, is_whole
from narrator.frames.live import Request
from narrator.frames.memory import limit_memory

FAILED_READS = 10  # in a row: some drivers fail a read now and then
FAILED_PAUSE_S = 0.03
STREAM_S = 4.0  # from its answer to its first picture; a camera may take longer to warm up
ASKING_S = 0.5  # from one word that macOS still asks to the next

if cameras.ON_A_MAC:
    from narrator.frames import mac_camera


class Capture:
    """Watches what was asked for, for ever."""

    def __init__(self, parent: Parent, request: Request) -> None:
        self._parent, self._request = parent, request
        self._memory = np.frombuffer(mmap.mmap(request.memory, 0), np.uint8)
        self._backoff = Backoff(request.pauses_s)
        self._camera = Camera(0, "", request.identity or "")
        self._wanted = False

    def run(self) -> None:
        limit_memory()
        while True:
            try:
                self._watch()
            except NoPicture as error:
                self._parent.send(problem=str(error), spoken=error.spoken, final=error.final)
            except (SourceError, MemoryError) as error:
                self._parent.send(problem=reason_of(error), spoken=None, final=False)
            except Exception as error:  # whatever a driver or a stream brings about
                problem = f"it can't be read: {reason_of(error)}"
                self._parent.send(problem=problem, spoken=None, final=False)
            self._backoff.failed()
            while (wait_s := self._backoff.wait_s()) > 0:
                rest(min(wait_s, 0.1))

    def _watch(self) -> None:
        """Open it, and show what comes until nothing does any more."""
        capture, problem = self._open()
        try:
            self._show(capture, problem)
        finally:
            capture.release()

    def _open(self) -> tuple[Any, Callable[[], SourceError]]:
        request = self._request
        if request.kind == "stream":
            from narrator.frames.stream_reader import open_stream

            return open_stream(request.source, request.open_s, request.read_s)
        if cameras.ON_A_MAC:
            self._wait_for_permission()
        self._camera = find_camera(request.source, self._camera.identity or None)
        from narrator.frames.opencv import open_camera

        capture = open_camera(self._camera)
        return capture, lambda: camera_problem(self._camera, opened=True)

    def _wait_for_permission(self) -> None:
        if mac_camera.is_undecided():
            mac_camera.ask_permission()
        while mac_camera.is_undecided():
            self._parent.send(asking=True)
            rest(ASKING_S)
        if (refused := mac_camera.why_refused()) is not None:
            raise NoPicture(f"the camera {refused}", refused, final=True)

    def _show(self, capture: Any, problem: Callable[[], SourceError]) -> None:
        """Read pictures. Raises SourceError."""
        opened_at, first_at, failed = time.monotonic(), None, 0
        patience_s = self._request.open_s
        if self._request.kind == "stream":  # It may begin with broken ones, but not for long.
            patience_s = min(patience_s, STREAM_S)
        while True:
            good, image = capture.read()
            taken = time.monotonic()
            if good and is_shown(image):
                if first_at is None:
                    first_at = taken
                    self._parent.send(opened=self._camera.identity, name=self._camera.name)
                if self._is_wanted():
                    self._put(image, taken)
                if taken - first_at >= self._request.steady_s:
                    self._backoff.reset()
            failed = 0 if good else failed + 1
            if first_at is None and taken - opened_at >= patience_s:
                raise problem()
            if first_at is not None and failed >= FAILED_READS:
                raise NoPicture("it stopped sending pictures", "is gone")
            rest(0.0 if good else FAILED_PAUSE_S)

    def _is_wanted(self) -> bool:
        """Whether the parent waits for a picture."""
        with contextlib.suppress(queue.Empty):
            while not self._wanted:
                self._parent.receive(0)
                self._wanted = True
        return self._wanted

    def _put(self, image: np.ndarray, taken: float) -> None:
        picture = image if image.ndim == 3 else image.ravel()
        if picture.nbytes > len(self._memory):
            raise SourceError(TOO_LARGE)
        self._wanted = False
        self._memory[: picture.nbytes] = picture.ravel()
        self._parent.send(shape=picture.shape, taken=taken)


def is_shown(image: np.ndarray) -> bool:
    """Whether there is something to see: pixels, or a whole JPEG. Raises SourceError for one that
    is too large."""
    return image.ndim == 3 or is_whole(image.tobytes())


def rest(seconds: float) -> None:
    """Wait; on a Mac the system reports meanwhile which cameras came and went."""
    if cameras.ON_A_MAC:
        mac_camera.turn_run_loop(seconds)
    elif seconds:
        time.sleep(seconds)


def main() -> None:
    parent = Parent()
    parent.send(ready=True)
    request = parent.receive()
    if "cameras" in request:
        from narrator.frames.opencv import listed_cameras

        parent.send(cameras=listed_cameras())
    else:
        Capture(parent, Request(**request)).run()


if __name__ == "__main__":
    main()
