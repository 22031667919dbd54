"""The memory of this process, for engines whose model shares it with the program."""

from __future__ import annotations

import resource
import sys


def peak_process_memory() -> int:
    """Bytes of memory that this process had at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
