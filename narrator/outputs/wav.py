"""The sound of the narration -> one WAV file, and the samples of a sentence without silence."""

from __future__ import annotations

import struct

import numpy as np

from narrator.outputs.growing_file import GrowingFile
from narrator.settings import SAMPLE_RATE, SILENCE_BETWEEN_S

HEADER = 44  # bytes


class WavFile:
    """One WAV file, valid at any moment. Where there are no cues beside it, it is an AudioSink."""

    def __init__(self, path: str) -> None:
        self._file = GrowingFile("--wav", path)
        self._size = 0  # bytes of samples
        self._write(0, b"")
        self.close = self._file.close

    def expect(self, sentence: str, text: str, at: float) -> None: ...
    def unspoken(self, sentence: str, caption: int, at: float) -> None: ...

    def keep(self, text: str, samples: bytes) -> None:
        """Add one sentence after the last one. samples: as AudioSink.keep gets them."""
        silence = bytes_until(SILENCE_BETWEEN_S) if self._size else 0
        self._write(self._size + silence, samples)

    def put(self, second: float, samples: bytes) -> None:
        """Add samples at this second of the file, or after what is there."""
        self._write(max(self._size, bytes_until(second)), samples)

    def fill(self, second: float) -> None:
        """Make it this many seconds long with silence, if it is shorter."""
        if (end := bytes_until(second)) > self._size:
            self._write(end - 2, bytes(2))

    def _write(self, start: int, samples: bytes) -> None:
        """The header comes last: until then nobody reads on to what is new. What is skipped reads
        as zeros, which are silence."""
        end = start + len(samples)
        parts = (HEADER + start, samples), (0, header(end))
        if self._file.write(HEADER + self._size, *parts):
            self._size = end


def header(size: int) -> bytes:
    """A WAV header for so many bytes of samples; it can count no further than 27 hours."""
    size = min(size, 0xFFFF_FF00)
    form = (b"WAVE", b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16, b"data", size)
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", HEADER - 8 + size, *form)


def bytes_until(second: float) -> int:
    """How many bytes of samples come before this second."""
    return 2 * int(second * SAMPLE_RATE)


def seconds_of(samples: bytes) -> float:
    """The length of samples."""
    return len(samples) / 2 / SAMPLE_RATE


def trimmed(samples: bytes) -> bytes:
    """Samples without the silence before and after, but for a hundredth of a second."""
    values = np.frombuffer(samples, "<i2")
    level = np.abs(values.astype("int32"))
    loud = np.flatnonzero(level > level.max(initial=0) / 300)
    if not len(loud):  # --volume 0
        return samples
    margin = SAMPLE_RATE // 100
    return values[max(0, loud[0] - margin) : loud[-1] + margin].tobytes()
