"""Short sounds that tell what a voice has no words for. They are never kept in a file."""

from __future__ import annotations

import math
import struct
from enum import Enum

from narrator.settings import SAMPLE_RATE

PEAK = 0.3  # of the greatest sample at --volume 1; espeak-ng's speech reaches 0.75
FADE_S = 0.008  # at both ends of a tone, which would click else


class Sound(Enum):
    """For how many seconds it may wait for the end of a sentence, before it means nothing any more;
    and what is heard: tones of so many hertz (0: silence) and seconds."""

    READY = 1.0, (523, 0.08), (784, 0.14)  # rises
    LOOKING = 1.0, (440, 0.06)  # a tick
    ANSWER = 1.0, (988, 0.05), (0, 0.03), (988, 0.05)  # two
    TROUBLE = 15.0, (392, 0.14), (294, 0.2)  # falls
    ALERT = 15.0, (1480, 0.07), (0, 0.04), (1480, 0.07), (0, 0.04), (1480, 0.07)  # three high ones

    def __init__(self, patience_s: float, *tones: tuple[int, float]) -> None:
        self.patience_s, self.tones = patience_s, tones

    def samples(self, volume: float) -> bytes:
        """16 bits each, little-endian, mono, SAMPLE_RATE a second. volume: 0 to 1."""
        made = bytearray()
        for hertz, seconds in self.tones:
            count, fade = int(seconds * SAMPLE_RATE), FADE_S * SAMPLE_RATE
            for each in range(count):
                level = volume * PEAK * min(1.0, each / fade, (count - each) / fade)
                wave = math.sin(math.tau * hertz * each / SAMPLE_RATE)
                made += struct.pack("<h", int(32767 * level * wave))
        return bytes(made)
