"""The sound of the narration -> one WAV file: 16-bit mono samples, SAMPLE_RATE a second."""

from __future__ import annotations

import re
import struct

import numpy as np

from narrator.outputs.growing_file import GrowingFile
from narrator.settings import SAMPLE_RATE, SILENCE_BETWEEN_S

HEADER = 44  # bytes


class WavFile:
    """A WAV that is valid at any moment. Where there are no cues beside it, it is an AudioSink."""

    def __init__(self, path: str) -> None:
        self._file = GrowingFile("--wav", path, ".wav", b"RIFF.{4}" + re.escape(header(0)[8:36]))
        self._length = 0  # in samples
        self.close = self._file.close

    def begin(self) -> None:
        """From now on the file is ours: a narration without a word."""
        self._write(0, b"")

    def expect(self, sentence: str, text: str, at: float) -> None: ...
    def unspoken(self, sentence: str, caption: int, at: float) -> None: ...

    def keep(self, text: str, samples: bytes) -> None:
        """Add a sentence after the last one."""
        silence = int(SILENCE_BETWEEN_S * SAMPLE_RATE) if self._length else 0
        self._write(self._length + silence, samples)

    def put(self, second: float, samples: bytes) -> None:
        """Add samples at this second of the file, or after what is there."""
        self._write(max(self._length, int(second * SAMPLE_RATE)), samples)

    def fill(self, second: float) -> None:
        """Make it this many seconds long with silence, if it is shorter."""
        if (length := int(second * SAMPLE_RATE)) > self._length:
            self._write(length - 1, bytes(2))

    def _write(self, start: int, samples: bytes) -> None:
        """What is skipped reads as zeros, which are silence; the header comes last, so that nobody
        reads on to what is not whole."""
        end = 2 * start + len(samples)
        whole = HEADER + 2 * self._length
        if self._file.write(whole, (HEADER + 2 * start, samples), (0, header(end))):
            self._length = end // 2


def header(size: int) -> bytes:
    """The header of a WAV with so many bytes of samples; it counts no further than 27 hours."""
    size = min(size, 0xFFFF_FF00)
    form = (b"WAVE", b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16, b"data", size)
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", HEADER - 8 + size, *form)


def seconds_of(samples: bytes) -> float:
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
