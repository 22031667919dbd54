"""Reasons, as people hear them."""

from __future__ import annotations

import pytest

from narrator.errors import (
    EngineError,
    EngineUnavailable,
    ExitCode,
    ModelError,
    PeteError,
    SourceError,
    UsageError,
    reason_of,
    user_message,
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


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 TB"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[metal::malloc] Attempting to allocate 9000000000 bytes"),
        RuntimeError("can't start new thread"),
    ],
)
def test_too_little_memory_is_told_as_such_with_what_to_do(error: Exception) -> None:
    told = "too little memory; close other programs, or take a smaller --model"
    assert reason_of(error) == told
    of_libraries = "cannot allocate memory in static TLS block"
    assert reason_of(ImportError(of_libraries)) == of_libraries


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        (PeteError("no"), "no", ExitCode.INTERNAL),
        (UsageError("no"), "no", ExitCode.USAGE),
        (SourceError("no camera"), "no camera", ExitCode.SOURCE),
        (ModelError("no"), "no", ExitCode.MODEL),
        (EngineError("no"), "no", ExitCode.ENGINE),
        (EngineUnavailable("is busy", "the server is busy (503)"), "(503)", ExitCode.ENGINE),
        (MemoryError(), "too little memory; close", ExitCode.ENGINE),
        (ImportError("no torch"), "a package can't be used (no torch); run ./", ExitCode.ENGINE),
        (KeyError("x"), "an internal error: 'x'; --debug shows where", ExitCode.INTERNAL),
    ],
)
def test_what_is_user_message_an_error_has_its_exit_code(
    error: Exception, told: str, code: ExitCode
) -> None:
    assert told in user_message(error)[0]
    assert user_message(error)[1] == code
    assert set(ExitCode) == {0, 1, 2, 3, 4, 5}
