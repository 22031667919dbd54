"""Samples -> the sound device, through miniaudio: sentences and short sounds, in one queue.

The device is open while there is something to play, each time on a thread of its own that is left
behind where the device blocks: nobody who plays, hushes or closes ever waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import miniaudio

from narrator.libraries import quiet_alsa
from narrator.settings import SAMPLE_RATE

# Without miniaudio's own last choice, which plays nothing and reports nothing.
BACKENDS = [getattr(miniaudio.Backend, name) for name in ("COREAUDIO", "PULSEAUDIO", "ALSA")]
PERIOD_MS, PERIODS = 10, 4  # of the device's buffer: a longer pause of Python is heard as a gap
LATENCY = PERIOD_MS * PERIODS * SAMPLE_RATE // 1000  # samples that are taken but not heard yet
POLL_S = 0.02
MISSING = "no sound device was found"
LOST = "the sound device was disconnected"
BLOCKED = "the sound device does not respond"
UNINSTALLED = "neither PulseAudio nor ALSA is installed (./install.sh says how)"
log = logging.getLogger(__name__)


@dataclass(eq=False)
class Clip:
    """Something to play. samples: 16 bits each, little-endian, mono, SAMPLE_RATE a second. caption:
    number of the one that a sentence belongs to, None for a sound. done: called with the samples
    that were heard. stale_at: monotonic time after which it is left out. at: bytes played."""

    samples: bytes
    caption: int | None = None
    done: Callable[[bytes], None] = lambda heard: None
    stale_at: float = math.inf
    at: int = 0


@dataclass(eq=False)
class Opening:
    """The device from one opening to its closing. moved_at: when it took samples last, or was to.
    silence: how much of it since the last clip, in samples. over: it is to be closed."""

    began_at: float = field(default_factory=time.monotonic)
    moved_at: float = field(default_factory=time.monotonic)
    moved: bool = False
    silence: int = 0
    over: bool = False


@contextlib.contextmanager
def playback() -> Iterator[Any]:
    """miniaudio's PlaybackDevice for the system's default device. Raises MiniaudioError."""
    quiet_alsa()
    format16 = miniaudio.SampleFormat.SIGNED16
    device = miniaudio.PlaybackDevice(
        format16, 1, SAMPLE_RATE, PERIOD_MS, callback_periods=PERIODS, backends=BACKENDS
    )
    try:
        yield device
    finally:
        device.close()
        # miniaudio leaves it open, and with it a connection to PulseAudio, which allows 64.
        miniaudio.lib.ma_context_uninit(device._context)


class Player:
    """Plays one clip after the other. Trouble with the device is reported once, and so is its end.

    aloud: try at once whether there is a device. stall_s: how long that may take no samples, as it
    may have to wake up. trouble: why nothing is heard, or None. tried: whether that is known.
    """

    def __init__(self, aloud: bool, stall_s: float) -> None:
        self.trouble: str | None = None
        self.tried = not aloud
        self._stall_s = stall_s
        self._lock = threading.RLock()
        self._queue: list[Clip] = []  # The first one may be played in part.
        self._ended: list[Clip] = []  # whose `done` is to be called
        self._threads: list[threading.Thread] = []
        self._opening = self._open() if aloud else Opening(over=True)

    def play(self, clip: Clip) -> None:
        """Play a sentence after those that wait; a sound before them, in the place of one that
        waits, and only where it can be heard."""
        with self._lock:
            blocked = self.trouble == BLOCKED and any(each.is_alive() for each in self._threads)
            if blocked or (self.trouble and clip.caption is None):
                return
            begun = [each for each in self._queue if each.at]
            waiting = [each for each in self._queue if each.caption is not None and not each.at]
            self._queue = [*begun, clip, *waiting] if clip.caption is None else [*self._queue, clip]
            if self._opening.over:
                self._opening = self._open()

    def keep(self, caption: int) -> None:
        """Drop the sentences that wait, but those of this caption."""
        with self._lock:
            self._queue = [
                each for each in self._queue if each.at or each.caption in (None, caption)
            ]

    def hush(self) -> None:
        """Silence at once."""
        with self._lock:
            self._ended += [clip for clip in self._queue if clip.at]
            self._queue.clear()
            self._opening.over = True

    def sentences(self) -> int:
        """How many there are, the one that is heard included."""
        self._watch()
        return sum(clip.caption is not None for clip in self._queue)

    def left_s(self, sounds: bool = True) -> float:
        """Seconds that are still to be heard, 0 when all is silent. sounds: not sentences alone."""
        self._watch()
        with self._lock:
            clips = [clip for clip in self._queue if sounds or clip.caption is not None]
            left = sum(len(clip.samples) - clip.at for clip in clips) / 2
            return (left + (sounds and not self._opening.over)) / SAMPLE_RATE

    def close(self) -> None:
        """Silence for good, within a second; from any thread."""
        self.hush()
        for thread in self._threads[-1:]:
            thread.join(0.3)

    def _open(self) -> Opening:
        opening = Opening()
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=self._run, args=[opening, *self._threads], daemon=True)
        self._threads.append(thread)
        thread.start()
        return opening

    def _run(self, opening: Opening, *before: threading.Thread) -> None:
        for thread in before:  # Some devices are for one at a time.
            thread.join()
        if opening.over:
            return
        opening.moved_at = time.monotonic()
        try:
            with playback() as device:
                frames = self._frames(opening)
                next(frames)
                device.stop_callback = lambda: self._fail(opening, LOST)
                device.start(frames)
                while not self._is_over(opening):
                    time.sleep(POLL_S)
        except miniaudio.MiniaudioError as error:
            log.debug("miniaudio failed", exc_info=error)
            self._fail(opening, UNINSTALLED if "context" in str(error) else MISSING)

    def _frames(self, opening: Opening) -> Generator[bytes, int]:
        """Gives miniaudio up to as many samples as it asks for; the rest becomes silence."""
        count = yield b""
        while True:
            with self._lock:
                if not opening.moved:  # A device that takes long to open makes no sound stale.
                    for clip in self._queue:
                        clip.stale_at += time.monotonic() - opening.began_at
                samples = b"" if opening.over else self._take(2 * count)
                opening.moved_at, opening.moved = time.monotonic(), True
                opening.silence = 0 if samples else opening.silence + count
            count = yield samples

    def _take(self, size: int) -> bytes:
        taken = b""
        while self._queue and len(taken) < size:
            clip = self._queue[0]
            if clip.at or clip.stale_at > time.monotonic():
                part = clip.samples[clip.at : clip.at + size - len(taken)]
                taken += part
                clip.at += len(part)
                if clip.at < len(clip.samples):
                    break
                self._ended.append(clip)
            del self._queue[0]
        return taken

    def _is_over(self, opening: Opening) -> bool:
        while self._ended:
            clip = self._ended.pop(0)
            clip.done(clip.samples[: clip.at])
        with self._lock:
            if opening.moved and not opening.over:
                self._report(None)
                opening.over = not self._queue and opening.silence >= LATENCY
        return opening.over

    def _watch(self) -> None:
        """Give up a device that takes nothing."""
        if time.monotonic() - self._opening.moved_at > self._stall_s:
            self._fail(self._opening, BLOCKED)

    def _fail(self, opening: Opening, trouble: str) -> None:
        with self._lock:
            if not opening.over:
                self._queue.clear()
                opening.over = True
                self._report(trouble)

    def _report(self, trouble: str | None) -> None:
        if trouble and not self.trouble:
            log.info(f"no sound: {trouble}; the captions go on as text")
        elif self.trouble and not trouble:
            log.info("the sound is back")
        self.trouble, self.tried = trouble, True
