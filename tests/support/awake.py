"""Stand-ins for the tools that keep a machine awake."""

from __future__ import annotations

from pathlib import Path

TOOLS = {"darwin": ["caffeinate"], "linux": ["systemd-inhibit", "gnome-session-inhibit"]}

# Says what it was started with, then does as the real ones do: caffeinate -w waits for a process,
# the others hold their lock while the command at the end of theirs runs.
STAND_IN = """#!/bin/sh
echo "$0 $*" >>"$CALLS"
case "$0" in
*/caffeinate) while kill -0 "$3" 2>/dev/null; do sleep 0.05; done ;;
*) for command; do :; done; "$command" ;;
esac
"""


def add_tools(folder: Path, tools: dict[str, str]) -> None:
    """Put tools with these contents into a folder."""
    for name, content in tools.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
