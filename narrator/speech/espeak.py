"""espeak-ng through pyttsx3."""

from __future__ import annotations

import contextlib
import wave
from pathlib import Path

import pyttsx3

from narrator.errors import EngineError
from narrator.speech.voices import VoiceSettings, set_voice


class EspeakSpeech:
    """Raises EngineError without espeak-ng, and UsageError as set_voice() does."""

    def __init__(self, settings: VoiceSettings) -> None:
        try:
            self.engine = pyttsx3.init("espeak")
        except RuntimeError as error:
            raise EngineError("espeak-ng is not installed (./install.sh says how)") from error
        from pyttsx3.drivers import _espeak  # which can't be imported without it

        self._wait_for_espeak = _espeak.Synchronize
        self._rate = settings.rate
        self.name = set_voice(self.engine, settings)
        self.engine.setProperty("rate", settings.rate)

    def render(self, text: str, path: Path) -> Path:
        """Save the sound of a text, once more where it comes out empty. Raises OSError."""
        if self._save(text, path) or self._save(text, path):
            return path
        raise OSError("espeak-ng gave no sound")

    def _save(self, text: str, path: Path) -> bool:
        # Set again: once in many starts espeak-ng's own thread loses the first setting.
        self.engine.setProperty("rate", self._rate)
        self.engine.save_to_file(text, str(path))
        self.engine.runAndWait()
        # The driver returns while espeak-ng still renders on a thread of its own, and says
        # "finished" while that thread has not: what it still does can undo the next sentence.
        self._wait_for_espeak()
        with contextlib.suppress(OSError, EOFError, wave.Error), wave.open(str(path)) as sound:
            return bool(sound.getnframes())
        return False
