"""Where nothing may be drawn again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from narrator.settings import PROJECT

SCRIPT = (
    "import sys; from narrator.redrawing import may_redraw; print(may_redraw(), file=sys.stderr)"
)


@pytest.mark.parametrize(
    ("environment", "terminal", "may"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "ACCESSIBLE": ""}, True, True),
        ({"TERM": "xterm", "ACCESSIBLE": "0"}, True, True),
        ({"TERM": "xterm", "ACCESSIBLE": "1"}, True, False),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
    ],
)
def test_who_wants_whole_lines_gets_them(
    environment: dict[str, str], terminal: bool, may: bool
) -> None:
    ours, theirs = os.openpty()
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=PROJECT, env=environment, check=True, text=True,
        stdout=theirs if terminal else subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert result.stderr == f"{may}\n"
