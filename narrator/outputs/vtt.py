"""The sentences of the narration and their times -> a WebVTT file."""

from __future__ import annotations

import html

from narrator.outputs.growing_file import GrowingFile


class VttFile:
    """Cues as WebVTT (https://www.w3.org/TR/webvtt1/), valid at any moment.

    The words after WEBVTT are for people: on lines of their own they would be headers, of which the
    standard has none today.
    """

    def __init__(self, path: str, language: str | None) -> None:
        self._file = GrowingFile("--vtt", path, ".vtt", b"WEBVTT Kind: descriptions")
        self._language = f"; Language: {language}" if language else ""
        self.close = self._file.close

    def begin(self) -> None:
        """From now on the file is ours: a narration without a word."""
        self._file.begin()
        self._file.write(f"WEBVTT Kind: descriptions{self._language}\n".encode())

    def add(self, start: float, end: float, text: str) -> None:
        """Write a cue. start, end: seconds. text: printable, one line."""
        begins = round(start * 1000)
        times = f"{cue_time(begins)} --> {cue_time(max(round(end * 1000), begins + 1))}"
        self._file.write(f"\n{times}\n{html.escape(text, quote=False)}\n".encode())


def cue_time(milliseconds: int) -> str:
    """As WebVTT has it, hours first."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
