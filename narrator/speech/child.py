"""The process that speaks, started by voice.py: one utterance a line, until its stdin ends.

    python -m narrator.speech.child         in the project's folder

Each line is a JSON object. First comes what _serve() in voice.py sends. The answer has "trouble":
null, or why nothing is heard; where there is no speech at all it has "usage" as well, true when an
option is to blame. From then on {"text", "aloud"} is answered with "trouble" once it was said, and
the WAV file in "folder" holds it; "soon_s" tells in how many seconds it began to be heard, where
that is known. {"hush"}, for a screen reader, has no answer of its own. To {"list"} the answer is
"voices", and "usual", the ID of one.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from narrator.errors import UsageError, reason_of
from narrator.settings import SCREEN_READER
from narrator.speech.audio import SPOKEN
from narrator.speech.voice import VoiceSettings
from narrator.speech.voices import set_voice, voices_of


def main() -> None:
    # Whatever pyttsx3 and its drivers print goes nowhere: the real stdout is for answers alone.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def answer(trouble: str | None, **facts: Any) -> None:
        print(json.dumps({"trouble": trouble, **facts}), file=channel, flush=True)

    order = json.loads(sys.stdin.readline())
    try:
        if "list" in order:
            engine = open_speech(VoiceSettings(), False).engine
            answer(None, voices=voices_of(engine), usual=engine.getProperty("voice"))
            return
        hushes: list[Callable[[], None]] = []
        utterances = listen_to_parent(order["folder"], hushes)
        settings = VoiceSettings(**order["settings"])
        speech = open_speech(settings, order["keep"])
        if settings.voice == SCREEN_READER:
            hushes.append(speech.hush)
        else:
            set_voice(speech.engine, settings)
    except Exception as error:
        answer(reason_of(error), usage=isinstance(error, UsageError))
        return
    path = Path(order["folder"]) / SPOKEN
    answer(speech.silent(path) if order["try"] else None)
    while True:
        asked = utterances.get()
        path.unlink(missing_ok=True)
        try:
            answer(speech.speak(asked["text"], path, asked["aloud"]), soon_s=speech.soon_s)
        except Exception as error:
            answer(reason_of(error))


def open_speech(settings: VoiceSettings, keep: bool) -> Any:
    """The system's own: a MacSpeech or an EspeakSpeech; or a ScreenReaderSpeech. They have the same
    methods, but the last is hushed, and has no engine with voices."""
    if settings.voice == SCREEN_READER:
        from narrator.speech.screen_reader import ScreenReaderSpeech

        return ScreenReaderSpeech(settings)
    if sys.platform == "darwin":
        from narrator.speech.mac import MacSpeech as SystemSpeech
    else:
        from narrator.speech.espeak import EspeakSpeech as SystemSpeech
    return SystemSpeech(settings, keep)


def listen_to_parent(
    folder: str, hushes: list[Callable[[], None]]
) -> queue.SimpleQueue[dict[str, Any]]:
    """Queue what the parent sends; when it is gone, for whatever reason, go too, at once. hushes:
    what silences speech that would go on without this process."""
    utterances: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def hush() -> None:
        with contextlib.suppress(Exception):  # It has nothing to end.
            for each in hushes:
                each()

    def listen() -> None:
        for line in sys.stdin:
            order = json.loads(line)
            if "hush" in order:
                hush()
            else:
                utterances.put(order)
        hush()
        shutil.rmtree(folder, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=listen, daemon=True).start()
    return utterances


if __name__ == "__main__":
    main()
