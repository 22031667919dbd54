"""Keeps the machine from going to sleep while nobody types, by the system's own tool.

The tool runs as a child that ends with this process, even when that is killed: caffeinate waits for
the process, the others run cat, which ends when this process's end of its pipe is closed. Where the
tool is missing or refuses, the machine sleeps as it would have. The display may turn off.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from narrator.process import Shutdown

WHY = "Describing what a camera sees"
COMMANDS = {
    "darwin": (("caffeinate", "-i", "-w", str(os.getpid())),),
    "linux": (
        ("systemd-inhibit", "--what=idle", "--who=Pete Sounds", f"--why={WHY}", "cat"),
        # GNOME counts its own inhibitors alone.
        ("gnome-session-inhibit", "--inhibit", "suspend", "--reason", WHY, "cat"),
    ),
}


def keep_awake(shutdown: Shutdown) -> None:
    """No sleep from now on until the end. Never fails."""
    for command in COMMANDS.get(sys.platform, ()):
        with contextlib.suppress(OSError), shutdown.opening() as opened:
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            opened.callback(child.terminate)
