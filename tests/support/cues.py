"""What a WebVTT file says, as a parser of its own reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import webvtt


@dataclass(frozen=True)
class Cue:
    """A cue as the parser read it, times in seconds."""

    start: float
    end: float
    text: str


def second(stamp: Any) -> float:
    """A time of the parser's in seconds."""
    whole = 3600 * stamp.hours + 60 * stamp.minutes + stamp.seconds
    return round(whole + stamp.milliseconds / 1000, 3)


def cues_of(path: Path) -> list[Cue]:
    """The cues of a file that a parser takes, in order, none over another."""
    cues = [
        Cue(second(cue.start_time), second(cue.end_time), cue.text)
        for cue in webvtt.read(str(path))
    ]
    assert all(cue.start < cue.end for cue in cues)
    assert all(one.end <= other.start for one, other in zip(cues, cues[1:]))
    return cues
