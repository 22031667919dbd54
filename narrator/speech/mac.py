"""The Mac's own speech (NSSpeechSynthesizer) through pyttsx3's nsss driver.

pyttsx3's runAndWait hangs or refuses after its first use there (its issues 22, 138, 403), so its
loop is started once, as an external one, and the run loop is turned from here. To keep the sound it
is saved, as AIFF whatever the file is called (issue 361), converted and played. No one has run this
on a Mac yet; see KNOWN_ISSUES.md.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyttsx3
from Foundation import NSDate, NSRunLoop

from narrator.settings import SAMPLE_RATE
from narrator.speech.audio import play
from narrator.speech.voice import VoiceSettings

CONVERT = ("afconvert", "-f", "WAVE", "-d", f"LEI16@{SAMPLE_RATE}", "-c", "1")


class MacSpeech:
    soon_s = None  # Nothing tells when a sentence begins to be heard.

    def __init__(self, settings: VoiceSettings, keep: bool) -> None:
        self.engine = pyttsx3.init("nsss")
        self._keep = keep
        self._finished = False
        self.engine.connect("finished-utterance", self._on_finished)
        self.engine.startLoop(False)
        self.engine.iterate()

    def silent(self, path: Path) -> str | None:
        return None  # A Mac always has a sound device.

    def speak(self, text: str, path: Path, aloud: bool) -> str | None:
        """Say a sentence to its end; to keep it, with its WAV file at `path`. Returns what went
        wrong, or None."""
        self._finished = False
        if not self._keep:
            self.engine.say(text)
            self._wait()
            return None
        aiff = path.with_suffix(".aiff")
        self.engine.save_to_file(text, str(aiff))
        self._wait()
        trouble = play([*CONVERT, str(aiff), str(path)])
        aiff.unlink(missing_ok=True)
        if trouble is None and aloud:
            trouble = play(["afplay", str(path)])
        return trouble

    def _on_finished(self, **_: Any) -> None:
        self._finished = True

    def _wait(self) -> None:
        while not self._finished:
            soon = NSDate.dateWithTimeIntervalSinceNow_(0.05)
            NSRunLoop.currentRunLoop().runUntilDate_(soon)
            time.sleep(0.005)
