"""A file that can be read at any moment while it grows."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import threading
from errno import ESPIPE

from narrator.errors import UsageError, reason_of

log = logging.getLogger(__name__)


class GrowingFile:
    """Written in place and without a buffer, so that what was written outlives a kill -9, and links
    and devices stay what they are. Trouble is told once: a write that finds no room is undone, and
    the last; a file that was moved or deleted is written on. Raises UsageError."""

    def __init__(self, option: str, path: str, ending: str, beginning: bytes) -> None:
        """ending: of the name, such as ".wav". beginning: a pattern that our own files match; no
        other file is overwritten. What is there stays so until the first write."""
        self._name, self._path = f"{option} {path}", path
        root, found = os.path.splitext(path)
        if found.lower() not in ("", ending):
            raise UsageError(f"{self._name}: no {found} file is made; name it {root}{ending}")
        try:
            self._is_new = not os.path.lexists(path)
            # A pipe without a reader must not be waited for.
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
            mode = os.fstat(self._file).st_mode
            if stat.S_ISFIFO(mode):
                raise OSError(ESPIPE, "it is a pipe; give a file")
        except (OSError, ValueError) as error:  # ValueError: a zero byte
            raise UsageError(f"{self._name} can't be written: {reason_of(error)}") from error
        start = os.pread(self._file, 64, 0) if stat.S_ISREG(mode) else b""
        if start and not re.match(beginning, start, re.DOTALL):
            raise UsageError(f"{self._name} is there and holds something else; give another name")
        self._lock = threading.Lock()  # for an end that comes from another thread
        self._writes = self._is_there = True

    def write(self, whole: int, *parts: tuple[int, bytes]) -> bool:
        """Drop all but the first `whole` bytes, and write each part at its offset. False when there
        is no room for them, or it is closed."""
        with self._lock:
            if not self._writes:
                return False
            self._is_new = False
            self._cut(whole)
            try:
                for offset, data in parts:
                    while data:
                        written = os.pwrite(self._file, data, offset)
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
            os.close(self._file)
            if self._is_new:  # and nothing was ever written
                with contextlib.suppress(OSError):  # Somebody was quicker.
                    os.unlink(self._path)

    def _cut(self, size: int) -> None:
        with contextlib.suppress(OSError):  # a device
            os.ftruncate(self._file, size)
