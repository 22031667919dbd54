"""Captions on stdout: a line each, or a JSON object each for another program."""

from __future__ import annotations

import json
import os
import select
import stat
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from errno import EIO, EPIPE

from narrator.errors import StopRequested, UsageError, reason_of
from narrator.frames.frame import Frame
from narrator.outputs.output import Caption, Output


class Lines(Output):
    """Prints captions, each inside `around()`, which takes the typed line and progress bars off the
    terminal meanwhile."""

    def __init__(self, as_json: bool, around: Callable[[], AbstractContextManager[None]]) -> None:
        self._as_json, self._around = as_json, around

    def write(self, caption: Caption) -> None:
        """Print one. Raises StopRequested when nobody reads stdout any more, else UsageError."""
        try:
            with self._around():
                print(json_of(caption) if self._as_json else caption.line, flush=True)
        except OSError as error:
            if error.errno in (EPIPE, EIO):  # the pipe or the terminal is closed
                raise StopRequested from error
            raise UsageError(f"captions can't be written: {reason_of(error)}") from error

    def show(self, frame: Frame | None) -> None:
        """Nothing is shown, but a reader who is gone is noticed between captions, too."""
        if not stdout_is_read():
            raise StopRequested


def json_of(caption: Caption) -> str:
    """A caption as one line of JSON; the names are a contract."""
    facts = {
        "time": caption.time.isoformat(timespec="milliseconds"),
        "at": round(caption.frame.at, 3),
        "caption": caption.text,
        "first_token_s": round(caption.first_token_s, 3),
        "caption_s": round(caption.caption_s, 3),
        "frame_age_s": round(caption.frame_age_s, 3),
        "spoken": caption.spoken,
        "confidence": rounded(caption.confidence),
    }
    if caption.alert is not None:
        facts["when"], facts["probability"] = caption.alert.when, rounded(caption.alert.probability)
    if caption.question is not None:
        facts["question"] = caption.question
    if caption.lines is not None:
        facts["text"] = [line._asdict() for line in caption.lines]
    return json.dumps(facts, ensure_ascii=False)


def rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 3)


def stdout_is_read() -> bool:
    """False once the other end of a pipe on stdout is closed. Only a pipe is asked: macOS answers
    for a terminal that it is no valid descriptor (the BUGS of its poll(2))."""
    try:
        if not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
            return True
        poll = select.poll()
        poll.register(
            sys.stdout.fileno(), select.POLLOUT
        )  # asked for nothing, macOS reports nothing
        return not any(flags & (select.POLLERR | select.POLLHUP) for _, flags in poll.poll(0))
    except (OSError, ValueError):
        return True
