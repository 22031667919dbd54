"""Lines: what another program reads, and how it is noticed that nobody does."""

from __future__ import annotations

import contextlib
import json
import os
import select
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TextIO

import numpy as np
import pytest

from narrator.errors import StopRequested
from narrator.frames.frame import Frame
from narrator.outputs.lines import Lines, json_of, stdout_is_read
from narrator.outputs.output import Alert, Caption
from narrator.text import TextLine

TAKEN = datetime(2026, 11, 23, 10, 8, 42, 123456, timezone(timedelta(hours=5, minutes=30)))
FRAME = Frame(np.zeros((4, 4, 3), np.uint8), 100.0, 7.50049)


def caption(text: str = "A cat.", question: str | None = None) -> Caption:
    return Caption(FRAME, TAKEN, text, 0.12345, 1.5, 3.25, True, question)


def nothing() -> AbstractContextManager[None]:
    return contextlib.nullcontext()


@contextmanager
def stdout_to(stream: TextIO, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """print() writes to this stream."""
    with patch.context() as patched:
        patched.setattr("sys.stdout", stream)
        yield
    with contextlib.suppress(OSError):
        stream.close()


def test_as_json_it_is_an_object_a_line_with_the_names_of_the_contract(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = Lines(True, nothing)
    lines.write(caption("Ένας κύκλος. 😀"))
    lines.write(caption("A dog.", question="Who?"))
    first, second = capsys.readouterr().out.splitlines()
    assert "Ένας κύκλος. 😀" in first  # readable as it is
    assert json.loads(first) == {
        "time": "2026-11-23T10:08:42.123+05:30",
        "at": 7.5,
        "caption": "Ένας κύκλος. 😀",
        "first_token_s": 0.123,
        "caption_s": 1.5,
        "frame_age_s": 3.25,
        "spoken": True,
        "confidence": None,
    }
    assert json.loads(second)["question"] == "Who?"
    line = TextLine("EXIT", (10, 20, 110, 50), 0.987)
    facts = json.loads(json_of(replace(caption("EXIT"), lines=[line])))
    assert facts["text"] == [{"text": "EXIT", "box": [10, 20, 110, 50], "confidence": 0.987}]
    assert json.loads(json_of(replace(caption("I see no text."), lines=[])))["text"] == []


def test_an_alert_has_what_was_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    alert = replace(caption("A red circle."), alert=Alert("a circle", 0.98765), confidence=0.91234)
    facts = json.loads(json_of(alert))
    assert {name: facts[name] for name in ("when", "probability", "caption")} == {
        "when": "a circle", "probability": 0.988, "caption": "A red circle.",
    }  # fmt: skip
    assert facts["confidence"] == 0.912
    Lines(False, nothing).write(alert)
    assert capsys.readouterr().out == "A circle: A red circle.\n"


def test_a_pipe_that_nobody_reads_any_more_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    lines = Lines(False, nothing)
    with stdout_to(os.fdopen(writing, "w"), monkeypatch):
        assert stdout_is_read()
        lines.write(caption())
        assert os.read(reading, 100) == b"A cat.\n"
        os.close(reading)
        assert not stdout_is_read()
        with pytest.raises(StopRequested):
            lines.write(caption())


def test_a_closed_pipe_is_noticed_where_only_a_question_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stand-in for macOS's poll(), which tells of a closed pipe only who asks for something."""

    class Poll:
        def register(self, descriptor: int, events: int) -> None:
            self.asked = events

        def poll(self, timeout: int) -> list[tuple[int, int]]:
            return [(1, select.POLLHUP)] if self.asked else []

    reading, writing = os.pipe()
    monkeypatch.setattr(select, "poll", Poll)
    with os.fdopen(reading), os.fdopen(writing, "w") as pipe, stdout_to(pipe, monkeypatch):
        assert not stdout_is_read()
