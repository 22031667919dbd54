"""What is logged on stderr, and where nothing may be drawn again. The line that is typed is in
test_line_editor.py, and on a pseudo-terminal in tests/program/test_typing.py."""

from __future__ import annotations

import logging
import os
import sys

import pytest

from narrator.redrawing import may_redraw
from narrator.terminal import Terminal, log_to

log = logging.getLogger("narrator.test")
pytestmark = pytest.mark.usefixtures("logged_to_stderr")


def test_a_message_is_one_line_that_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.info("two\nlines \x1b[2J and more")
    assert capsys.readouterr().err == "pete_sounds: two lines [2J and more\n"


def test_a_traceback_is_for_debugging_alone(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        log.debug("", exc_info=error)
        assert capsys.readouterr().err == ""
        logging.getLogger("narrator").setLevel(logging.DEBUG)
        log.debug("", exc_info=error)
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback (most recent call last)")
    assert printed.endswith("ValueError: broken\n")


def test_a_secret_is_masked_in_messages_and_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    log_to(Terminal(), ["s3cret-key", "x"])
    logging.getLogger("narrator").setLevel(logging.DEBUG)
    log.info("your key s3cret-key is bad; next: 'x'")
    log.debug("", exc_info=ValueError("at http://me:s3cret-key@host"))
    printed = capsys.readouterr().err
    assert "your key *** is bad; next: '***'" in printed  # a short one where it stands alone
    assert "s3cret" not in printed


@pytest.mark.parametrize(
    ("environment", "terminal", "may"),
    [
        ({"TERM": "xterm", "ACCESSIBLE": "0"}, True, True),
        ({"TERM": "xterm", "ACCESSIBLE": "1"}, True, False),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
    ],
)
def test_who_wants_whole_lines_gets_them(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], terminal: bool, may: bool
) -> None:
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert may_redraw() is may
