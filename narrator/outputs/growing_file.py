"""A file that can be read at any moment while it grows."""

from __future__ import annotations

import contextlib
import logging
import os
import threading

from narrator.errors import UsageError, reason_of

log = logging.getLogger(__name__)


class GrowingFile:
    """Written in place and without a buffer, so that what was written outlives a kill -9, and links
    and devices stay what they are. Trouble is told once: a write that finds no room is undone, and
    the last; a file that was moved or deleted is written on. Raises UsageError."""

    def __init__(self, option: str, path: str) -> None:
        self._name, self._path = f"{option} {path}", path
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed in close()
        except (OSError, ValueError) as error:  # ValueError: a zero byte
            raise UsageError(f"{self._name} can't be written: {reason_of(error)}") from error
        self._lock = threading.Lock()  # for an end that comes from another thread
        self._writes = self._is_there = True

    def write(self, whole: int, *parts: tuple[int, bytes]) -> bool:
        """Drop all but the first `whole` bytes, and write each part at its offset. False when there
        is no room for them, or it is closed."""
        with self._lock:
            if not self._writes:
                return False
            self._cut(whole)
            try:
                for offset, data in parts:
                    while data:
                        written = os.pwrite(self._file.fileno(), data, offset)
                        offset, data = offset + written, data[written:]
            except OSError as error:
                self._cut(whole)
                self._writes = False
                log.info(f"{self._name}: {reason_of(error)}; the narration goes on without it")
            if self._is_there and not os.path.exists(self._path):
                self._is_there = False
                log.info(f"{self._name} was moved or deleted; the narration goes on")
            return self._writes

    def close(self) -> None:
        with self._lock:
            self._writes = False
            self._file.close()

    def _cut(self, size: int) -> None:
        with contextlib.suppress(OSError):  # a device
            os.ftruncate(self._file.fileno(), size)
