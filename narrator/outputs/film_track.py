"""What is said of a film -> cues and sound at the film's own times."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from narrator.outputs.vtt import VttFile
from narrator.outputs.wav import WavFile, seconds_of, trimmed
from narrator.settings import SILENCE_BETWEEN_S
from narrator.speech.speaker import Speaker
from narrator.text import count_words, printable, speakable

CUE_S = 1.5  # a cue is to be shown at least so long
LATE_S = 3.0  # what is said so much before or after its frame is not about it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cue:
    """A sentence and its sound. Times in seconds, `at` into the film. follows: it is not the first
    sentence of its caption."""

    text: str
    at: float
    seconds: float
    samples: bytes
    follows: bool


class FilmNarrationTrack(Speaker):
    """The Speaker of a film: puts each sentence at its time, and says none aloud.

    Sentences have the length that they have when they are rendered, or else that of their words;
    none begins before the one before has ended, so what is new meanwhile is described when its turn
    has come. The first sentence of a caption always comes to its end; the others are left out where
    something new comes before their end (not when `whole`). The last one is held back until the end
    of the film is known, and moved to an earlier time if it would not fit.

    rate: words a minute. length: of the film in seconds, as announced, or None. render: a text's
    sound as in AudioSink.keep, or nothing; for an empty text it returns once it can render.
    """

    def __init__(
        self,
        vtt: VttFile,
        wav: WavFile | None,
        rate: int,
        length: float | None,
        render: Callable[[str], bytes] | None = None,
        whole: bool = False,
    ) -> None:
        self._files, self._length, self._whole = FilmFiles(vtt, wav), length, whole
        self._sound = partial(sound_of, render or (lambda _: b""), rate)
        self._waiting: list[Cue] = []
        self._last: tuple[float, Cue] | None = None  # start and what; not written yet
        self._free = 0.0, 0.0  # from when on there is room: for the last, after it
        self._said: tuple[int, float] | None = None  # caption and time
        self._closed = False
        self._lock = threading.RLock()  # for an end that comes from another thread

    def say(self, sentence: str, caption: int, at: float) -> bool:
        """Put a sentence into the track, at its time or later. False when it has no sound."""
        text = printable(sentence)
        if not speakable(text):
            return False
        samples, seconds = self._sound(text)
        with self._lock:
            if self._closed:
                return False
            self._place(at)
            follows, self._said = self._said == (caption, at), (caption, at)
            if not follows:
                self._waiting = [cue for cue in self._waiting if not cue.follows]
            self._waiting.append(Cue(text, at, seconds, samples, follows))
            self._place(at)
        return bool(samples)

    def quiet_in(self, at: float) -> float:
        """Seconds until there is room for a caption."""
        with self._lock:
            self._place(at)
            _, free = self._free
            for cue in self._waiting:
                if self._whole or not cue.follows:
                    free += cue.seconds + SILENCE_BETWEEN_S
            return max(0.0, free - at)

    def wait_until_ready(self) -> None:
        self._sound("")

    def finish(self, length: float | None, ended: bool) -> None:
        """Place what is left. length: what is known of it now, in seconds. ended: it is exact, and
        sound goes on in silence until then."""
        with self._lock:
            self._length = length
            self._place(math.inf if length is None else length)
            for cue in self._waiting:
                log.info(f"left out, as the film ends: {cue.text}")
            self._waiting.clear()
            self._write_last()
            if ended and length is not None:
                self._files.fill(length)

    def close(self) -> None:
        """Write what was held back; nothing more from now on."""
        if self._lock.acquire(timeout=0.3):
            self._write_last()
            self._waiting.clear()
            self._closed = True
            self._lock.release()

    def _place(self, now: float) -> None:
        """Give a time to each sentence whose turn has come `now`."""
        while self._waiting:
            cue = self._waiting[0]
            start = max(self._free[1], cue.at)
            if start + (cue.seconds if cue.follows else 0.0) > now:
                return
            del self._waiting[0]
            if start - cue.at > LATE_S and any(not other.follows for other in self._waiting):
                continue  # Something newer is to be said.
            self._write_last(until=start)
            self._last = (start, cue)
            self._free = self._free[1], start + cue.seconds + SILENCE_BETWEEN_S

    def _write_last(self, until: float | None = None) -> None:
        """until: when the next one begins. Where none follows, what was held back is moved so that
        it ends with the film, or left out."""
        if self._last is None:
            return
        (start, cue), self._last = self._last, None
        if until is None:
            until = math.inf if self._length is None else self._length
            earlier = until - cue.seconds
            if earlier < start:
                if earlier < self._free[0] or cue.at - earlier > LATE_S:
                    log.info(f"left out, as the film ends: {cue.text}")
                    return
                log.info(f"said {start - earlier:.1f} s early, as the film ends: {cue.text}")
                start = earlier
        self._files.write(start, min(start + max(cue.seconds, CUE_S), until), cue)


class FilmFiles:
    """The cues, and their sound where that is wanted."""

    def __init__(self, vtt: VttFile, wav: WavFile | None) -> None:
        self._vtt, self._wav = vtt, wav

    def write(self, start: float, end: float, cue: Cue) -> None:
        self._vtt.add(start, end, cue.text)
        if self._wav is not None:
            self._wav.put(start, cue.samples)

    def fill(self, length: float) -> None:
        """Let the sound go on in silence."""
        if self._wav is not None:
            self._wav.fill(length)


def sound_of(render: Callable[[str], bytes], rate: int, text: str) -> tuple[bytes, float]:
    """The samples of a text without silence around them, and the seconds that it takes."""
    samples = trimmed(render(text))
    return samples, seconds_of(samples) or 60 * count_words(text) / rate
