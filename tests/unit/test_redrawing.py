"""Where nothing may be drawn again, and the tenths that are told there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from narrator.redrawing import Tenths
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


def test_each_tenth_is_told_once_and_none_when_the_whole_is_not_known() -> None:
    tenths = Tenths()
    told = [tenths.passed(done, 200) for done in (0, 19, 20, 21, 95, 90, 199, 200, 230)]
    assert told == [None, None, 10, None, 40, None, 90, 100, None]
    assert Tenths().passed(7, 0) is None
