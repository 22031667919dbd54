"""Memory: what a child shows its parent lies in some that both have mapped, and what decodes gets
no more than it needs."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import resource
from collections.abc import Sequence

import numpy as np

from narrator.errors import SourceError, reason_of
from narrator.libraries import MAX_PIXELS

PICTURE = 3 * MAX_PIXELS  # bytes, of which no more are taken than a picture has
# Bytes beyond what an idle child takes: FFmpeg takes as much as a film asks for.
DECODING = 768 << 20


class SharedMemory:
    """Room for a picture that a child can map, too. It has no name, is in no file, and takes no
    memory before it is written to. descriptor: for the child. Raises SourceError."""

    def __init__(self) -> None:
        try:
            self.descriptor = unnamed_memory(PICTURE)
            self._mapped = mmap.mmap(self.descriptor, PICTURE)
        except OSError as error:
            reason = reason_of(error)
            raise SourceError(f"there is not enough memory for pictures: {reason}") from error

    def picture(self, shape: Sequence[int]) -> np.ndarray:
        """A copy of what a child put there, as uint8."""
        return np.frombuffer(self._mapped, np.uint8, math.prod(shape)).reshape(shape).copy()

    def close(self) -> None:
        """Close the descriptor; what is mapped stays."""
        os.close(self.descriptor)


def unnamed_memory(size: int) -> int:
    """A descriptor of so many bytes. Raises OSError."""
    if hasattr(os, "memfd_create"):
        memory = os.memfd_create("pictures")
    else:  # on a Mac
        import _posixshmem  # type: ignore[import-not-found]

        name = f"/pete_sounds.{os.getpid()}"
        memory = _posixshmem.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        _posixshmem.shm_unlink(name)
    os.ftruncate(memory, size)
    return memory


def limit_memory() -> None:
    """Let what reads pictures take no more than DECODING, where the system heeds that."""
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/statm") as file:
            idle = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (idle + DECODING, resource.RLIM_INFINITY))
