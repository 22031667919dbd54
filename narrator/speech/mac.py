"""A Mac's own speech: NSSpeechSynthesizer through pyttsx3's nsss driver; and, where that fails, the
system's command `say`. No one has run this on a Mac yet; see KNOWN_ISSUES.md.
"""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

from narrator.settings import SAMPLE_RATE
from narrator.speech.voices import VoiceEntry, VoiceSettings, choose_voice, language_tag, set_voice


class MacSpeech:
    """pyttsx3's runAndWait hangs or refuses after its first use there (its issues 22, 138, 403), so
    its loop is started once, as an external one, and the run loop is turned from here."""

    def __init__(self, settings: VoiceSettings) -> None:
        import pyttsx3

        self.engine = pyttsx3.init("nsss")
        self._finished = False
        self.engine.connect("finished-utterance", self._on_finished)
        self.engine.startLoop(False)
        self.engine.iterate()
        self.name = set_voice(self.engine, settings)
        self.engine.setProperty("rate", settings.rate)

    def render(self, text: str, path: Path) -> Path:
        """Save the sound of a text: as AIFF, whatever the file is called (pyttsx3's issue 361)."""
        import objc
        from Foundation import NSDate, NSDefaultRunLoopMode, NSRunLoop

        self._finished = False
        self.engine.save_to_file(text, str(path := path.with_suffix(".aiff")))
        while not self._finished:
            with objc.autorelease_pool():
                soon = NSDate.dateWithTimeIntervalSinceNow_(0.05)
                NSRunLoop.currentRunLoop().runMode_beforeDate_(NSDefaultRunLoopMode, soon)
            time.sleep(0.002)  # It returns at once where there is nothing to wait for.
        return path

    def _on_finished(self, **_: Any) -> None:
        self._finished = True


class SayCommand:
    """The command say, without AppKit and pyttsx3."""

    def __init__(self, settings: VoiceSettings) -> None:
        listed = subprocess.run(
            ["say", "-v", "?"], capture_output=True, text=True, errors="replace", check=False
        ).stdout
        found = re.findall(r"^(.+?)\s+([a-z]{2,3}[_-]\w+)\s+#", listed, re.MULTILINE)
        voices: list[VoiceEntry] = [(name, name, language_tag(tag)) for name, tag in found]
        # A voice that AppKit knows by its ID is com.apple.voice.compact.en-US.Samantha or alike.
        wanted = settings.voice and settings.voice.rpartition(".")[2]
        self.name = choose_voice(wanted, settings.english, voices, "")
        self._command = ["say", f"--data-format=LEI16@{SAMPLE_RATE}", f"--rate={settings.rate}"]
        self._command += [f"--voice={self.name}"] if self.name else []

    def render(self, text: str, path: Path) -> Path:
        """Save the sound of a text, which it reads from stdin, as it may begin with a dash."""
        command = [*self._command, "-o", str(path), "-f", "-"]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        if done.returncode:
            raise OSError(f"say: {done.stderr.decode('utf-8', 'replace').strip()}")
        return path
