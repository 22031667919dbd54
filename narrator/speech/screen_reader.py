"""The user's own screen reader through prismatoid, which is not installed with the rest: VoiceOver
on a Mac, Orca, or speech-dispatcher alone. Speech is in its own voice, and braille where it has it.

None of them tells when it has said a sentence, so that is reckoned. What was handed over is said
even when this process is gone; hush() alone ends it.
"""

from __future__ import annotations

import threading
from pathlib import Path

from narrator.errors import EngineError, reason_of
from narrator.speech.voice import VoiceSettings
from narrator.text import count_words


class ScreenReaderSpeech:
    soon_s = None

    def __init__(self, settings: VoiceSettings) -> None:
        """Raises EngineError where there is no screen reader, or nothing to reach it with."""
        try:
            import prism
        except ImportError as error:
            raise EngineError("prismatoid is not installed (README.md says how)") from error
        try:
            self._prism = prism.Context()
            self._reader = self._prism.create_best()
        except (prism.PrismError, ValueError, RuntimeError) as error:
            raise EngineError(f"no screen reader was found ({reason_of(error)})") from error
        self._rate = settings.rate
        self._hushed = threading.Event()

    def silent(self, path: Path) -> str | None:
        return None

    def speak(self, text: str, path: Path, aloud: bool) -> str | None:
        """Hand a sentence over, and wait for as long as it may take, or until hush()."""
        self._hushed.clear()
        if aloud:
            self._reader.output(text)
            self._hushed.wait(60 * count_words(text) / self._rate)
        return None

    def hush(self) -> None:
        """Silence it at once; from any thread."""
        self._reader.stop()
        self._hushed.set()
