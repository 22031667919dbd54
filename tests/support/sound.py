"""A stand-in for a sound card that keeps what it is given, and what is heard in a recording."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import sys
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest

RATE = 22050  # of what is kept: mono, 16 bits
F_SETPIPE_SZ = 1031  # of Linux, which fcntl names from Python 3.10 on

SLAVE = """pcm.!default {{
 type plug
 slave {{
  format S32_LE
  rate {rate}
  channels 2
  pcm {{
   type file
   slave.pcm {{ type null }}
   file "{fifo}"
   format "raw"
  }}
 }}
}}
"""


class SoundCard:
    """ALSA's file plugin in the place of a sound card: it takes samples at the pace of a real one,
    or faster, and holds 12 ms of them. It writes into a FIFO that is read here.

    speed: of which 1 is real time. stuck_after: samples after which it takes none any more.
    """

    def __init__(self, folder: Path, speed: float = 20.0, stuck_after: float = math.inf) -> None:
        if sys.platform != "linux":
            pytest.skip("a stand-in for a sound card needs ALSA")
        if " " in str(folder):
            pytest.skip("ALSA takes a space in ALSA_CONFIG_PATH for the end of a file's name")
        folder.mkdir()
        self._fifo, self._config = folder / "fifo", folder / "alsa.conf"
        os.mkfifo(self._fifo)
        self._speed, self.stuck_after = speed, stuck_after
        self.plug_in()
        self._recordings: list[bytearray] = []
        self.sound_at = 0.0  # monotonic time of the last sample that is not silent
        self.sounds_at: list[float] = []  # and of the first one of each recording
        self.is_open = False
        self._closed = threading.Event()
        threading.Thread(target=self._record, name="sound card", daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program play on it."""
        return {"ALSA_CONFIG_PATH": str(self._config)}

    def plug_in(self) -> None:
        self._configure(SLAVE.format(rate=RATE, fifo=self._fifo))

    def unplug(self) -> None:
        """From now on it can't be opened."""
        self._configure("")

    def _configure(self, text: str) -> None:
        """In a new file, as ALSA tells old from new by inode and whole seconds."""
        new = self._config.with_suffix(".new")
        new.write_text(text)
        new.replace(self._config)

    def recordings(self) -> list[np.ndarray]:
        """What was played, its samples, for each time that the device was opened, in order."""
        return [
            np.frombuffer(bytes(each[: len(each) // 8 * 8]), np.int32)[::2] // 65536
            for each in self._recordings
        ]

    def played(self) -> np.ndarray:
        """All of it."""
        return np.concatenate([np.zeros(0, int), *self.recordings()])

    def seconds(self) -> float:
        """How much sound there was, without the silence."""
        return sum(end - start for start, end in heard_in(self.played()))

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):  # Nobody waits for a writer.
            os.close(os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK))

    def _record(self) -> None:
        while not self._closed.is_set():
            with open(self._fifo, "rb", buffering=0) as fifo:
                with contextlib.suppress(OSError):  # There is more in it already.
                    fcntl.fcntl(fifo, F_SETPIPE_SZ, 4096)
                self.is_open = True
                self._record_one(fifo.fileno())
                self.is_open = False

    def _record_one(self, fifo: int) -> None:
        bytes_a_second, recording = RATE * 8 * self._speed, bytearray()
        began, silent = time.monotonic(), True
        self._recordings.append(recording)
        while True:
            if len(recording) / 8 >= self.stuck_after and not self._closed.is_set():
                self._closed.wait(0.01)
            elif not (data := os.read(fifo, 2048)):
                return
            elif not self._closed.is_set():  # else read on, as ALSA aborts where it can't write
                recording += data
                if np.frombuffer(data[: len(data) // 4 * 4], np.int32).any():
                    self.sound_at = time.monotonic()
                    self.sounds_at += [self.sound_at] if silent else []
                    silent = False
                ahead = began + len(recording) / bytes_a_second - time.monotonic()
                if ahead > 0:
                    time.sleep(ahead)
                else:
                    began -= ahead  # A card does not make up for what it did not get.


def samples_of(path: Path) -> np.ndarray:
    """The samples of a WAV file, int64."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(int)


def loudest_hertz(samples: np.ndarray) -> int:
    """The frequency that has most power in it."""
    power = np.abs(np.fft.rfft(samples, RATE))
    return int(power.argmax())


def times_of(sound: bytes, samples: np.ndarray) -> list[float]:
    """When a sound begins in what was played, seconds; it is found where it is like it."""
    wanted = np.frombuffer(sound, "<i2").astype(float)
    if len(samples) < len(wanted):
        return []
    size = len(samples) + len(wanted)
    spectrum = np.fft.rfft(samples, size) * np.conj(np.fft.rfft(wanted, size))
    alike = np.fft.irfft(spectrum, size)[: len(samples) - len(wanted) + 1]
    power = np.convolve(samples.astype(float) ** 2, np.ones(len(wanted)), "valid")
    alike /= np.sqrt(np.maximum(power, 1.0) * (wanted**2).sum())
    found: list[float] = []
    while (at := int(alike.argmax())) or alike[at] > 0.9:
        if alike[at] <= 0.9:
            break
        found.append(at / RATE)
        alike[max(0, at - len(wanted)) : at + len(wanted)] = 0
    return sorted(found)


def heard(path: Path) -> list[tuple[float, float]]:
    """Start and end of each stretch of sound between silences of 0.2 s or more, seconds."""
    return heard_in(samples_of(path))


def heard_in(samples: np.ndarray) -> list[tuple[float, float]]:
    """The same of samples."""
    loud = np.flatnonzero(np.abs(samples) > 150)
    if not len(loud):
        return []
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > 0.2 * RATE) + 1)
    return [(part[0] / RATE, part[-1] / RATE) for part in parts]
