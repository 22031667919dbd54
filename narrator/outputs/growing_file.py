"""A file that can be read at any moment while it grows."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import threading

from narrator.errors import UsageError, reason_of

log = logging.getLogger(__name__)


class GrowingFile:
    """Written in place and without a buffer, so that what was written outlives a kill -9, and links
    and devices stay what they are. It has what `wave` needs of a file.

    What is there stays so until begin(). A write that fails is undone and reported, and ends the
    file: what is written later, or after close(), is dropped.
    """

    def __init__(self, option: str, path: str, ending: str, beginning: bytes) -> None:
        """ending: of the name, such as ".wav". beginning: a pattern that our own files match; no
        other file is overwritten. Raises UsageError."""
        self._name, self._path = f"{option} {path}", path
        root, found = os.path.splitext(path)
        if found.lower() not in ("", ending):
            raise UsageError(f"{self._name}: {found} files are not supported; use {root}{ending}")
        try:
            self._is_new = not os.path.lexists(path)
            # Opening a pipe without a reader would block.
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
        except (OSError, ValueError) as error:  # ValueError: a zero byte
            raise UsageError(f"{self._name} can't be written: {reason_of(error)}") from error
        mode = os.fstat(self._file).st_mode
        if stat.S_ISFIFO(mode):
            raise UsageError(f"{self._name} can't be written: it is a pipe; give a file")
        start = os.pread(self._file, 64, 0) if stat.S_ISREG(mode) else b""
        if start and not re.match(beginning, start, re.DOTALL):
            raise UsageError(f"{self._name} already holds something else; give another name")
        # For an end that comes from another thread; held over several writes that belong together.
        self.lock = threading.RLock()
        self._writes, self._at, self._end = False, 0, 0

    def begin(self) -> None:
        """Empty the file; from now on it is ours."""
        self._is_new, self._writes = False, True
        self._cut()

    def write(self, data: bytes) -> None:
        with self.lock:
            at, self._at = self._at, self._at + len(data)
            try:
                while data and self._writes:
                    written = os.pwrite(self._file, data, at)
                    at, data = at + written, data[written:]
                self._end = max(self._end, at)
            except OSError as error:
                self._cut()
                self._writes = False
                log.info(f"{self._name}: {reason_of(error)}; the narration goes on without it")

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> None:
        self._at = offset

    def tell(self) -> int:
        return self._at

    def flush(self) -> None: ...

    def close(self) -> None:
        with self.lock:
            self._writes = False
            os.close(self._file)
            if self._is_new:  # and nothing was ever written
                with contextlib.suppress(OSError):  # Somebody was quicker.
                    os.unlink(self._path)

    def _cut(self) -> None:
        with contextlib.suppress(OSError):  # a device
            os.ftruncate(self._file, self._end)
