"""What is logged on stderr. The line that is typed is in test_line_editor.py, and on a
pseudo-terminal in tests/program/test_typing.py."""

from __future__ import annotations

import logging
import sys
import types

import pytest

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


def test_a_closed_stderr_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise OSError("closed")

        def flush(self) -> None:
            raise ValueError("closed")

    monkeypatch.setattr(sys, "stderr", Closed())
    log.info("nobody reads this")


def test_a_message_is_printed_while_tqdm_is_being_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))  # nothing in it yet
    log.info("a word")
    assert capsys.readouterr().err == "pete_sounds: a word\n"


def test_a_secret_is_masked_in_messages_and_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    log_to(Terminal(), ["s3cret-key"])
    logging.getLogger("narrator").setLevel(logging.DEBUG)
    log.info("your key s3cret-key is bad")
    log.debug("", exc_info=ValueError("at http://me:s3cret-key@host"))
    printed = capsys.readouterr().err
    assert "your key *** is bad" in printed
    assert "s3cret" not in printed


def test_a_short_secret_is_masked_where_it_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    log_to(Terminal(), ["x"])
    log.info("your key x is bad; next: 'x'")
    assert capsys.readouterr().err == "pete_sounds: your key *** is bad; next: '***'\n"
