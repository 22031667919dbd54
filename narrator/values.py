"""What a value on the command line may be: parsers for argparse, which reports what they refuse."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from narrator import settings
from narrator.text import as_condition, without_marks, without_password


def number_between(low: float, high: float) -> Callable[[str], Any]:
    """Parse a number from low to high, both included, of low's type."""
    kind = type(low)

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    return parse


def non_empty(text: str) -> str:
    """Parse text with at least one character that is not a space."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def question(text: str) -> str:
    """Parse what to ask a model."""
    return non_empty(without_marks(text))


def condition(text: str) -> str:
    """Parse what to wait for."""
    text = non_empty(as_condition(text))
    if len(text) > settings.MAX_CONDITION_LENGTH:
        raise argparse.ArgumentTypeError(f"longer than {settings.MAX_CONDITION_LENGTH} characters")
    return text


def engine_name(text: str) -> str:
    """Parse one of settings.ENGINES, or the URL of a server."""
    if text.lower() in settings.ENGINES:
        return text.lower()
    if not is_server(text):
        raise argparse.ArgumentTypeError(
            f"{without_password(text)!r} is neither {', '.join(settings.ENGINES)} nor a server "
            "(http://HOST:PORT)"
        )
    try:
        parts = urlsplit(text)
        good = bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:  # a port that is none
        good = False
    if not good or " " in text or not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the address of a server (http://HOST:PORT)"
        )
    return text


def is_server(engine: str) -> bool:
    """True when --engine names a server."""
    return re.match(r"https?://", engine, re.IGNORECASE) is not None
