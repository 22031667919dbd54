"""A stand-in for a sound card that keeps what it is given, and what is heard in a recording."""

from __future__ import annotations

import shutil
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest


@dataclass(frozen=True)
class SoundCard:
    """ALSA's file plugin in the place of a sound card: what is played can be read afterwards."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program play on it."""
        return {"ALSA_CONFIG_PATH": str(self.folder / "alsa.conf")}

    def recordings(self) -> list[Path]:
        """What was played, a WAV file for each time that the device was opened, in order."""
        return sorted(self.folder.glob("played.wav*"))


def make_sound_card(folder: Path, target: str) -> SoundCard:
    """A sound card whose sound goes to `target`: a file, or "| command"."""
    if sys.platform != "linux" or shutil.which("aplay") is None:
        pytest.skip("a stand-in for a sound card needs ALSA's aplay")
    if " " in str(folder):
        pytest.skip("ALSA takes a space in ALSA_CONFIG_PATH for the end of a file's name")
    folder.mkdir()
    (folder / "alsa.conf").write_text(
        "pcm.!default {\n"
        " type plug\n"
        " slave.pcm {\n"
        "  type file\n"
        "  slave.pcm { type null }\n"
        f'  file "{target}"\n'
        '  format "wav"\n'
        "  truncate false\n"  # but played.wav, played.wav.0001 and so on
        " }\n"
        "}\n"
    )
    return SoundCard(folder)


def samples_of(path: Path) -> np.ndarray:
    """The samples of a WAV file, int64."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(int)


def loudest_hertz(samples: np.ndarray) -> int:
    """The frequency that has most power in it."""
    power = np.abs(np.fft.rfft(samples, 22050))
    return int(power.argmax())


def heard(path: Path) -> list[tuple[float, float]]:
    """Start and end of each stretch of sound between silences of 0.2 s or more, seconds."""
    samples = samples_of(path)
    loud = np.flatnonzero(np.abs(samples) > 150)
    if not len(loud):
        return []
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > 0.2 * 22050) + 1)
    return [(part[0] / 22050, part[-1] / 22050) for part in parts]
