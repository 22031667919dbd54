"""The tree of errors, and the exit codes that they end with.

PeteError               a message for the user: what happened, and what to do
  UsageError            the command line
  SourceError           no frames come
  ModelError            the model is missing, or can't be used
  EngineError           what runs the model fails
EngineUnavailable       no caption now; a later frame may well get one
OnlyThoughts            no caption, as the model's thoughts took all the tokens
CaptionCancelled        the caption in the making is not wanted any more
StopRequested           the normal end, from within
"""

from __future__ import annotations

import enum
import re

from narrator.text import printable


class ExitCode(enum.IntEnum):
    """What the shell gets."""

    OK = 0  # the normal end, and an end that was asked for (Ctrl-C)
    INTERNAL = 1  # a bug
    USAGE = 2
    SOURCE = 3
    MODEL = 4
    ENGINE = 5  # what runs the model, or the speech where speech itself was asked for


class PeteError(Exception):
    """An error with a message for the user: what happened, and what to do."""

    exit_code = ExitCode.INTERNAL


class UsageError(PeteError):
    exit_code = ExitCode.USAGE


class SourceError(PeteError):
    exit_code = ExitCode.SOURCE


class ModelError(PeteError):
    exit_code = ExitCode.MODEL


class EngineError(PeteError):
    exit_code = ExitCode.ENGINE


class EngineUnavailable(Exception):
    """The engine can't describe this frame, but may well describe a later one.

    str() is one line with the reason. trouble is what is spoken, behind "The server".
    retry_after_s: how long it asks to be left alone.
    """

    def __init__(self, trouble: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.retry_after_s = retry_after_s


class OnlyThoughts(Exception):
    """The model's thoughts took all the tokens: there is no caption. str() says what to do."""

    def __init__(self) -> None:
        super().__init__(
            "The model used all its tokens for thinking. Raise --max-tokens, or take a model that "
            "does not think."
        )


class CaptionCancelled(Exception):
    """The caption in the making is not wanted any more: something was asked."""


class StopRequested(BaseException):
    """Nobody reads stdout any more, or the preview was closed."""


# In the words of the system, Python, numpy, torch and mlx. Static TLS is a matter of libraries.
NO_MEMORY = re.compile(
    "(can't|cannot|unable to|attempting to) allocate (?!memory in static TLS)"
    "|(out of|insufficient) memory|failed to map segment|can't start new thread",
    re.IGNORECASE,
)


def lacks_memory(error: BaseException) -> bool:
    """True for what failed for want of memory."""
    return isinstance(error, MemoryError) or NO_MEMORY.search(str(error)) is not None


def user_message(error: Exception) -> tuple[str, ExitCode]:
    """What to tell the user of an error, in one line, and its exit code."""
    if isinstance(error, PeteError):
        return str(error), error.exit_code
    if isinstance(error, EngineUnavailable):
        return str(error), ExitCode.ENGINE
    if lacks_memory(error):
        return reason_of(error), ExitCode.ENGINE
    if isinstance(error, ImportError):
        reason = f"a package can't be used ({reason_of(error)}); run ./install.sh again"
        return reason, ExitCode.ENGINE
    return f"an internal error: {reason_of(error)}; --debug shows where", ExitCode.INTERNAL


def reason_of(error: BaseException) -> str:
    """Why something failed, in one short printable line: the system's own words where there are
    any, else the exception's, else its name."""
    if lacks_memory(error):
        return "too little memory; close other programs, or take a smaller --model"
    words = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return printable(str(words).splitlines()[0])[:200]
