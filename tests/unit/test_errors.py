"""Reasons, as people hear them."""

from __future__ import annotations

import pytest

from narrator.errors import (
    EngineError,
    ExitCode,
    ModelError,
    PeteError,
    SourceError,
    UsageError,
    reason_of,
)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.mp4"), "No such file or directory"),
        (ValueError("too hard\nfor me"), "too hard"),
        (ValueError(), "ValueError"),
        (RuntimeError("\x1b[2Jred"), "[2Jred"),
        (RuntimeError("x" * 1000), "x" * 200),
    ],
    ids=["the system's words", "one line", "its name", "printable", "short"],
)
def test_a_reason_is_one_short_line_without_names_of_classes(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason


def test_each_kind_of_error_has_an_exit_code_of_its_own() -> None:
    kinds = [PeteError, UsageError, SourceError, ModelError, EngineError]
    assert [kind.exit_code for kind in kinds] == [1, 2, 3, 4, 5]
    assert set(ExitCode) == {0, 1, 2, 3, 4, 5}
