"""A child that renders speech (child.py), as its parent sees it: text -> samples."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import miniaudio
import numpy as np

from narrator.child import Child
from narrator.errors import EngineError, UsageError, reason_of
from narrator.settings import SAMPLE_RATE
from narrator.speech.voices import COMMAND, START_TIMEOUT_S, VoiceSettings
from narrator.text import count_words

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How patient a voice is, in seconds, and the command that starts its child."""

    start_timeout_s: float = START_TIMEOUT_S
    render_timeout_s: float = 3.0  # on top of what a sentence takes to be spoken
    stall_s: float = 10.0  # for a sound device, which may have to wake up
    pauses_s: tuple[float, ...] = (0.0, 0.0, 5.0, 10.0, 20.0, 40.0, 60.0)  # after failures in a row
    command: tuple[str, ...] = COMMAND


LIMITS = Limits()


class Synthesizer:
    """Asks one child after the other, as the supervisor provides them. Raises OSError where no
    temporary folder can be made. voice: its name, once it is known. ready: there is a child that
    renders. failures: of children in a row."""

    def __init__(self, settings: VoiceSettings, limits: Limits) -> None:
        self.limits = limits
        self.voice: str | None = None
        self.ready = False
        self.failures = 0
        self._settings = settings
        self._unfinished = False  # The last sentence was not rendered.
        self._folder = tempfile.mkdtemp(prefix="pete_sounds-")

    def begin(self, child: Child) -> None:
        """Prepare a new child. Raises UsageError when there is no such voice, EngineError when
        there is no speech at all, and ChildProcessError for this child alone."""
        first = {"settings": asdict(self._settings), "folder": self._folder}
        answer = self._ask(child, first, self.limits.start_timeout_s)
        if self.voice is None and "usage" in answer:
            raise UsageError(answer["usage"])
        if self.voice is None and "missing" in answer:
            raise EngineError(answer["missing"])
        if not isinstance(voice := answer.get("voice"), str):
            raise ChildProcessError("it did not start properly")
        self.voice, self.ready = voice, True
        if not self._unfinished:
            self.failures = 0

    def render(self, child: Child, text: str) -> bytes:
        """The samples of a text, as AudioSink.keep gets them. Raises ChildProcessError."""
        self._unfinished = True
        needed_s = 60 * count_words(text) / self._settings.rate
        answer = self._ask(child, {"text": text}, self.limits.render_timeout_s + needed_s)
        try:
            format16, path = miniaudio.SampleFormat.SIGNED16, answer["path"]
            sound = miniaudio.decode_file(path, format16, 1, SAMPLE_RATE)  # also AIFF
            os.remove(path)
        except (miniaudio.MiniaudioError, OSError, KeyError) as error:
            raise ChildProcessError(f"it left no sound file: {reason_of(error)}") from error
        self.failures, self._unfinished = 0, False
        return (np.array(sound.samples) * self._settings.volume).astype("<i2").tobytes()

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, child: Child, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Ask, and count failures: on a Mac its own command speaks after two, or one that hangs."""
        began = time.monotonic()
        try:
            answer = child.ask(message, timeout)
            if "trouble" in answer:
                raise ChildProcessError(answer["trouble"])
        except ChildProcessError as error:
            self.failures += 1
            slow = time.monotonic() - began >= timeout
            usual = sys.platform == "darwin" and not self._settings.by_command
            if usual and (slow or self.failures > 1):
                self._settings = replace(self._settings, by_command=True)
                log.info(f"the system's speech failed ({error}); its command `say` takes over")
            raise
        return answer
