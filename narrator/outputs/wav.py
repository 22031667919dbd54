"""The sound of the narration -> one WAV file: 16-bit mono samples, SAMPLE_RATE a second."""

from __future__ import annotations

import re
import struct
import wave
from typing import IO, cast

import numpy as np

from narrator.outputs.growing_file import GrowingFile
from narrator.settings import SAMPLE_RATE, SILENCE_BETWEEN_S

FORMAT = struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
OURS = b"RIFF.{4}WAVEfmt " + re.escape(FORMAT + b"data")
MAX_SAMPLES = (1 << 31) - 64  # 27 hours; the header of a WAV counts no further


class WavFile:
    """A WAV that is valid at any moment, as `wave` corrects its header after each sentence. Where
    there are no cues beside it, it is an AudioSink."""

    def __init__(self, path: str) -> None:
        self._file = GrowingFile("--wav", path, ".wav", OURS)
        self._wave = wave.Wave_write(cast("IO[bytes]", self._file))
        self._wave.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        self.close = self._file.close

    def begin(self) -> None:
        """From now on the file is ours: a narration without a word."""
        self._file.begin()
        self._write(b"")

    def keep(self, text: str, samples: bytes) -> None:
        """Add a sentence after the last one."""
        length = self._wave.tell()
        self.put(length / SAMPLE_RATE + SILENCE_BETWEEN_S if length else 0.0, samples)

    def put(self, second: float, samples: bytes) -> None:
        """Add samples at this second of the file, or after what is there."""
        self.fill(second)
        if self._wave.tell() + len(samples) // 2 <= MAX_SAMPLES:
            self._write(samples)

    def fill(self, second: float) -> None:
        """Make it this many seconds long with silence, if it is shorter."""
        length = min(int(second * SAMPLE_RATE), MAX_SAMPLES)
        while (missing := length - self._wave.tell()) > 0:
            self._write(bytes(2 * min(missing, 60 * SAMPLE_RATE)))

    def _write(self, samples: bytes) -> None:
        with self._file.lock:
            self._wave.writeframes(samples)


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
