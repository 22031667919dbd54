"""espeak-ng through pyttsx3: rendered to a file, then played by aplay.

pyttsx3's espeak driver would play by itself, but hides whether that worked, and leaves its
temporary file where it was when it is ended.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import wave
from pathlib import Path

import pyttsx3

from narrator.errors import EngineError
from narrator.speech.audio import WAV_FORMAT, play
from narrator.speech.voice import VoiceSettings

ROOM = 4_000_000  # bytes: a caption of some 60 words, spoken slowly


class EspeakSpeech:
    def __init__(self, settings: VoiceSettings, keep: bool) -> None:
        """keep: each WAV file is kept, anyway. Raises EngineError without espeak-ng."""
        try:
            self.engine = pyttsx3.init("espeak")
        except RuntimeError as error:
            raise EngineError("espeak-ng is not installed (./install.sh says how)") from error
        from pyttsx3.drivers import _espeak  # which can't be imported without it

        self._wait_for_espeak = _espeak.Synchronize
        self._settings = settings
        self.soon_s: float | None = None  # from the sentence to its sound, the last time

    def silent(self, path: Path) -> str | None:
        """Why nothing can be heard, or None: play a sample of silence to find out."""
        if (trouble := no_room(path.parent)) or not self._settings.aloud:
            return trouble
        with wave.open(str(path), "wb") as silence:
            silence.setparams(WAV_FORMAT)
            silence.writeframes(bytes(2))
        return play(["aplay", "-q", str(path)])

    def speak(self, text: str, path: Path, aloud: bool) -> str | None:
        """Say a sentence to its end, its WAV file at `path`. Returns what went wrong, or None."""
        if trouble := no_room(path.parent):
            return trouble
        asked_at = time.monotonic()
        if not self._render(text, path) and not self._render(text, path):
            return "espeak-ng gave no sound"
        if not aloud:
            return None

        def began(_: object) -> None:
            self.soon_s = time.monotonic() - asked_at

        return play(["aplay", "-q", str(path)], began)

    def _render(self, text: str, path: Path) -> bool:
        """False when there is nothing in the WAV file."""
        # Set anew each time: once in many starts espeak-ng's own thread loses the first setting.
        self.engine.setProperty("rate", self._settings.rate)
        self.engine.setProperty("volume", self._settings.volume)
        self.engine.save_to_file(text, str(path))
        self.engine.runAndWait()
        # The driver returns while espeak-ng still renders on a thread of its own, and says
        # "finished" while that thread has not: what it still does can undo the next sentence.
        self._wait_for_espeak()
        with contextlib.suppress(OSError, EOFError, wave.Error), wave.open(str(path)) as sound:
            return bool(sound.getnframes())
        return False


def no_room(folder: Path) -> str | None:
    """Why a sentence can't be rendered, or None. Where the driver fails to write its file, it waits
    for ever for the end of a sentence that it has given up."""
    return None if shutil.disk_usage(folder).free >= ROOM else f"there is no room left in {folder}"
