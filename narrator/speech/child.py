"""The process that renders speech, started by renderer.py: text -> a sound file. It plays nothing.

    python -m narrator.speech.child         in the project's folder

Messages (narrator/child.py) come one at a time, and each is answered:
{"list": true} with "voices", and "usual", the ID of one; {"settings", "folder"} with the name of
the "voice"; {"text"} with the "path" of its sound file in that folder; {} with {}. Else the answer
is "usage", why an option is to blame, "missing", why there is no speech at all, or "trouble".
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from narrator.child import Parent
from narrator.errors import EngineError, UsageError, reason_of
from narrator.speech.voices import VoiceSettings, voices_of

ROOM = 4_000_000  # bytes: a caption of some 60 words, spoken slowly


def main() -> None:
    parent = Parent()
    server = Server(parent)
    while True:
        try:
            parent.send(**server.answer(parent.receive()))
        except UsageError as error:
            parent.send(usage=str(error))
        except EngineError as error:
            parent.send(missing=str(error))
        except Exception as error:
            parent.send(trouble=reason_of(error))


class Server:
    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._speech: Any = None
        self._folder = Path()

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if "list" in message:
            engine = open_speech(VoiceSettings()).engine
            return {"voices": voices_of(engine), "usual": engine.getProperty("voice")}
        if "settings" in message:
            self._folder = Path(message["folder"])
            self._parent.at_end = partial(shutil.rmtree, self._folder, ignore_errors=True)
            self._speech = open_speech(VoiceSettings(**message["settings"]))
            return {"voice": self._speech.name}
        return {"path": str(self._render(message["text"]))} if "text" in message else {}

    def _render(self, text: str) -> Path:
        # Where pyttsx3's driver can't write, it waits for ever for the end of the sentence.
        if shutil.disk_usage(self._folder).free < ROOM:
            raise OSError(f"there is no room left in {self._folder}")
        path: Path = self._speech.render(text, self._folder / "spoken.wav")
        return path


def open_speech(settings: VoiceSettings) -> Any:
    """The system's own: an EspeakSpeech, MacSpeech or SayCommand. Raises UsageError for a --voice
    that does not exist, and EngineError where there is no speech."""
    if sys.platform != "darwin":
        from narrator.speech.espeak import EspeakSpeech

        return EspeakSpeech(settings)
    from narrator.speech import mac

    return mac.SayCommand(settings) if settings.by_command else mac.MacSpeech(settings)


if __name__ == "__main__":
    main()
