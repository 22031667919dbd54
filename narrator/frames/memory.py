"""Memory: what a child shows its parent lies in some that both have mapped, and what decodes gets
no more than it needs."""

from __future__ import annotations

import contextlib
import os
import resource

from narrator.libraries import MAX_PIXELS

PICTURE = 3 * MAX_PIXELS  # bytes, of which no more are taken than a picture has
DECODING = (
    768 << 20
)  # bytes beyond what an idle child takes: FFmpeg takes as much as a film asks for


def shared_memory(size: int = PICTURE) -> int:
    """The descriptor of memory that a child can map, too. It has no name, is in no file, and takes
    no room before it is written to. Raises OSError."""
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
