"""The process that renders speech, started by voice.py: text -> a sound file. It plays nothing.

    python -m narrator.speech.child         in the project's folder

Messages (narrator/child.py) come one at a time, and each is answered:
{"list"} with "voices", and "usual", the ID of one; {"settings", "folder"} with the name of the
"voice"; {"text"} with the "path" of its sound file in that folder; {} with {}. Else the answer is
"usage", why an option is to blame, "missing", why there is no speech at all, or "trouble".
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
    parent, speech, folder = Parent(), None, Path()
    while True:
        message, answer = parent.receive(), dict[str, Any]()
        try:
            if "list" in message:
                engine = open_speech(VoiceSettings()).engine
                answer = {"voices": voices_of(engine), "usual": engine.getProperty("voice")}
            elif "settings" in message:
                folder = Path(message["folder"])
                parent.at_end = partial(shutil.rmtree, folder, ignore_errors=True)
                speech = open_speech(VoiceSettings(**message["settings"]))
                answer = {"voice": speech.name}
            elif speech is not None and "text" in message:
                # Where pyttsx3's driver can't write, it waits for ever for the sentence's end.
                if shutil.disk_usage(folder).free < ROOM:
                    raise OSError(f"there is no room left in {folder}")
                answer = {"path": str(speech.render(message["text"], folder / "spoken.wav"))}
        except Exception as error:
            kinds: dict[type[Exception], str] = {UsageError: "usage", EngineError: "missing"}
            answer = {kinds.get(type(error), "trouble"): reason_of(error)}
        parent.send(**answer)


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
