"""May anything on the terminal be drawn again? Screen readers read what changes there, again and
again; where they are used, and in files and pipes, whole lines alone tell how far something is."""

from __future__ import annotations

import os
import sys


def may_redraw() -> bool:
    """False where ACCESSIBLE is set (0 is off), and where stdout is no terminal that moves its
    cursor."""
    can = os.environ.get("TERM", "dumb") != "dumb" and sys.stdout.isatty()
    return can and os.environ.get("ACCESSIBLE", "") in ("", "0")
