"""What is said of a live source -> cues and sound, while it runs."""

from __future__ import annotations

from narrator.outputs.vtt import CUE_S, VttFile
from narrator.outputs.wav import WavFile, seconds_of, trimmed
from narrator.settings import SILENCE_BETWEEN_S
from narrator.text import count_words, printable


class LiveTrack:
    """Puts each sentence at its frame, or after the one before.

    As a voice's AudioSink it writes a sentence once it was said, with its true length. Without a
    voice it is the Speaker: a cue is written at once, as long as its words take, and the next
    caption takes its place. rate: words a minute.
    """

    audible = False

    def __init__(self, vtt: VttFile, wav: WavFile | None, rate: int) -> None:
        self._vtt, self._wav, self._rate = vtt, wav, rate
        self._expected: list[tuple[str, str, float]] = []  # as it is spoken, as text, at
        self._free = 0.0  # seconds into the source; from then on there is room
        self._caption = -1

    def expect(self, sentence: str, text: str, at: float) -> None:
        self._expected.append((text, printable(sentence), at))

    def keep(self, text: str, samples: bytes) -> None:
        while self._expected:
            expected, sentence, at = self._expected.pop(0)
            if expected == text:  # What was expected before it has been dropped.
                self._place(sentence, at, seconds_of(sound := trimmed(samples)), sound)
                break

    def unspoken(self, sentence: str, caption: int, at: float) -> None:
        self.say(sentence, caption, at)

    def say(self, sentence: str, caption: int, at: float) -> bool:
        """Write a sentence of caption number `caption`. False: nobody hears it."""
        if caption != self._caption:
            self._caption, self._free = caption, at
        self._place(printable(sentence), at, 60 * count_words(sentence) / self._rate)
        return False

    def _place(self, text: str, at: float, seconds: float, samples: bytes = b"") -> None:
        start = max(at, self._free)
        self._vtt.add(start, start + max(seconds, CUE_S), text)
        if self._wav is not None and samples:
            self._wav.put(start, samples)
        self._free = start + seconds + SILENCE_BETWEEN_S

    def quiet_in(self, at: float) -> float:
        return 0.0  # The next caption need not wait.

    def hush(self) -> None: ...
    def play(self, sound: object) -> None: ...
    def looking(self, on: bool) -> None: ...
    def mute(self, muted: bool) -> None: ...
    def wait_until_ready(self) -> None: ...
    def wait_until_quiet(self) -> None: ...
    def close(self) -> None: ...
