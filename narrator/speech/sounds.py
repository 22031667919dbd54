"""Short sounds that tell what a voice has no words for, each played while nothing is said.

They are made here and played by the same program as the voice's sentences, but not by its child, so
that they are heard while that is started anew. They are never kept in a file.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import threading
import time
import wave
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from narrator.errors import reason_of
from narrator.settings import SAMPLE_RATE
from narrator.speech.audio import WAV_FORMAT, play

PEAK = 0.3  # of the greatest sample at --volume 1; espeak-ng's speech reaches 0.75
FADE_S = 0.008  # at both ends of a tone, which would click else
PLAYER = ("afplay",) if sys.platform == "darwin" else ("aplay", "-q")


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


@dataclass(frozen=True)
class SoundLimits:
    """Seconds without a word until LOOKING is heard, and from then on; how long a player may take,
    as a sound device may have to wake up; and the command that plays a file."""

    looking_after_s: float = 3.0
    looking_every_s: float = 5.0
    play_timeout_s: float = 10.0
    player: tuple[str, ...] = PLAYER


LIMITS = SoundLimits()


class SoundPlayer:
    """Plays one sound at a time, on a thread of its own.

    folder: for its files. volume: 0 to 1. changed: a voice's lock, which is notified when a sound
    has ended. may_play: asked while that is held; False while something is said. heard: told why
    nothing was heard, or None, after each sound.
    """

    def __init__(
        self,
        folder: str,
        volume: float,
        changed: threading.Condition,
        may_play: Callable[[], bool],
        heard: Callable[[str | None], None],
        limits: SoundLimits,
    ) -> None:
        self._folder, self._volume, self._limits = Path(folder), volume, limits
        self._changed, self._may_play, self._heard = changed, may_play, heard
        self._next: Sound | None = None
        self._stale_at = 0.0  # what is next
        self._looking = False
        self._looking_at = math.inf  # when LOOKING is due
        self._playing = self._stopped = self._closed = False
        self._player: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="sounds", daemon=True)
        self._thread.start()

    def play(self, sound: Sound) -> None:
        """Play it as soon as nothing is said, in the place of one that waits."""
        with self._changed:
            self._next, self._stale_at = sound, time.monotonic() + sound.patience_s
            self.restart()

    def looking(self, on: bool) -> None:
        """on: something is being waited for, which LOOKING tells while no word is heard."""
        with self._changed:
            if on != self._looking:
                self._looking = on
                self.restart()

    def restart(self) -> None:
        """Wait anew until LOOKING, as something was heard."""
        after = self._limits.looking_after_s if self._looking else math.inf
        self._looking_at = time.monotonic() + after
        self._changed.notify_all()

    @property
    def busy(self) -> bool:
        """True while a sound is played, and while one has its turn before the next sentence."""
        return self._playing or (self._next is not None and time.monotonic() <= self._stale_at)

    def hush(self) -> None:
        """Silence at once, also of LOOKING until something else is heard or waited for."""
        with self._changed:
            self._next, self._looking_at, self._stopped = None, math.inf, True
            if self._player is not None:
                self._player.kill()

    def close(self) -> None:
        """End it, within a second; from any thread."""
        self._closed = True
        if self._player is not None:  # even where somebody keeps the lock
            self._player.kill()
        with self._changed:
            self.hush()
            self._changed.notify_all()
        self._thread.join(0.3)

    def _run(self) -> None:
        while (sound := self._wait_for_next()) is not None:
            trouble = self._play_file(sound)
            with self._changed:
                self._playing, self._player = False, None
                if not self._stopped:
                    self._heard(trouble)
                self._changed.notify_all()

    def _wait_for_next(self) -> Sound | None:
        """The sound whose turn has come, or None at the end."""
        with self._changed:
            while not self._closed:
                now, may_play = time.monotonic(), self._may_play()
                sound, due = self._next, self._looking_at <= now
                if may_play and (sound is not None or due):
                    self._next = None
                    if sound is None:
                        self._looking_at = now + self._limits.looking_every_s
                    if sound is None or now <= self._stale_at:
                        self._playing, self._stopped = True, False
                        return sound or Sound.LOOKING
                    continue
                waits = may_play and self._looking_at < math.inf
                self._changed.wait(self._looking_at - now if waits else None)
            return None

    def _play_file(self, sound: Sound) -> str | None:
        """Play it to its end. Returns why it was not heard, or None."""
        path = self._folder / f"{sound.name.lower()}.wav"
        try:
            if not path.exists():
                write(sound, self._volume, path)
            return play([*self._limits.player, str(path)], self._began, self._limits.play_timeout_s)
        except OSError as error:  # no room, no process
            return reason_of(error)

    def _began(self, player: subprocess.Popen[str]) -> None:
        with self._changed:
            self._player = player
            if self._stopped:  # just before
                player.kill()


def write(sound: Sound, volume: float, path: Path) -> None:
    """Make its WAV file."""
    samples = array("h")
    for hertz, seconds in sound.tones:
        count, fade = int(seconds * SAMPLE_RATE), FADE_S * SAMPLE_RATE
        for each in range(count):
            level = volume * PEAK * min(1.0, each / fade, (count - each) / fade)
            samples.append(int(32767 * level * math.sin(math.tau * hertz * each / SAMPLE_RATE)))
    if sys.byteorder == "big":
        samples.byteswap()
    with contextlib.closing(wave.open(str(path), "wb")) as file:
        file.setparams(WAV_FORMAT)
        file.writeframes(samples.tobytes())
