"""The sentences of the narration and their times -> a WebVTT file."""

from __future__ import annotations

from collections import deque

from narrator.outputs.growing_file import GrowingFile

CUE_S = 1.5  # a cue is to be shown at least so long


class VttFile:
    """Cues as WebVTT (https://www.w3.org/TR/webvtt1/), valid at any moment.

    What begins later takes the place of what was there: a cue that would still be shown ends then,
    and cues that would come after it are taken away. The words after WEBVTT are for people: on
    lines of their own they would be headers, of which the standard has none today.
    """

    def __init__(self, path: str, language: str | None) -> None:
        self._file = GrowingFile("--vtt", path, ".vtt", b"WEBVTT Kind: descriptions")
        self._language = f"; Language: {language}" if language else ""
        self._size = 0
        # Offset in the file; start and end in milliseconds; text.
        self._cues: deque[tuple[int, int, int, str]] = deque(maxlen=10)
        self.close = self._file.close

    def begin(self) -> None:
        """From now on the file is ours: a narration without a word."""
        self._append(f"WEBVTT Kind: descriptions{self._language}\n")

    def add(self, start: float, end: float, text: str) -> None:
        """Write a cue. start, end: seconds. text: printable, one line."""
        begins = round(start * 1000)
        while self._cues and self._cues[-1][2] > begins:
            self._size, before, _, words = self._cues.pop()
            if before < begins:
                self._append_cue(before, begins, words)
                break
        self._append_cue(begins, max(round(end * 1000), begins + 1), text)

    def _append_cue(self, start: int, end: int, text: str) -> None:
        self._cues.append((self._size, start, end, text))
        for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(sign, name)
        self._append(f"\n{cue_time(start)} --> {cue_time(end)}\n{text}\n")

    def _append(self, text: str) -> None:
        data = text.encode()
        if self._file.write(self._size, (self._size, data)):
            self._size += len(data)


def cue_time(milliseconds: int) -> str:
    """As WebVTT has it, hours first."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
