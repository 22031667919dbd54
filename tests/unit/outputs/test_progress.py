"""Progress: a bar on a real terminal, else lines; and the report."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from narrator.outputs.progress import Progress, report
from narrator.settings import PROJECT


@pytest.fixture(autouse=True)
def _log_what_the_user_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "narrator")


def test_without_a_terminal_there_is_a_line_for_each_tenth_or_minute(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    known, unknown = Progress(lambda: 125.0), Progress(lambda: None)
    for progress in (known, unknown):
        for at in (1.0, 13.0, 14.0, 65.0):
            progress.show(at)
        progress.close()
    assert caplog.messages == ["described 0:13 of 2:05", "described 1:05 of 2:05", "described 1:05"]
    assert capfd.readouterr() == ("", "")


def drawn_by(length: str, **environment: str) -> str:
    """What a terminal gets of a film of this length, of which 34 seconds are seen."""
    code = (
        "import logging, time; from narrator.outputs.progress import Progress\n"
        "logging.basicConfig(level='INFO', format='%(message)s')\n"
        f"progress = Progress(lambda: {length})\n"
        "time.sleep(0.2); progress.show(34.0); progress.close()"
    )
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, check=True, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
    )  # fmt: skip
    os.set_blocking(ours, False)
    drawn = os.read(ours, 4096).decode()
    os.close(theirs)
    os.close(ours)
    return drawn


def test_for_a_screen_reader_there_is_no_bar_but_a_whole_line() -> None:
    assert drawn_by("68.0", ACCESSIBLE="1") == "described 0:34 of 1:08\r\n"


@pytest.mark.parametrize(
    ("length", "shown"),
    [("68.0", r"50 %\|.*\| 34 of 68 s"), ("None", "34 s")],
)
def test_on_a_terminal_there_is_a_bar_that_is_wiped_in_the_end(length: str, shown: str) -> None:
    drawn = drawn_by(length)
    assert re.search(shown, drawn)
    assert "\n" not in drawn
    assert not drawn.rstrip("\r").rsplit("\r", 1)[-1].strip()


def test_what_became_of_a_film_is_told(caplog: pytest.LogCaptureFixture) -> None:
    report("film.vtt", seen=19.0, took=8.0, announced=19.5)
    report("film.vtt", seen=5.0, took=1.0, announced=10.0)
    assert caplog.messages == [
        "film.vtt is written: 0:19 of film took 0:08",
        "the film can't be read beyond 0:05 of 0:10",
        "film.vtt is written: 0:05 of film took 0:01",
    ]
