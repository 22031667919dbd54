"""MacSpeech against stand-ins for what only a Mac has.

FAKES, all of them: objc, AppKit, Foundation, PyObjCTools, afconvert and afplay. pyttsx3 and its
nsss driver are the real ones, so every line of MacSpeech runs and so does the driver's side. What
a real Mac does with these calls nobody has seen here (KNOWN_ISSUES.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import pytest

from narrator.settings import PROJECT

FAKE_MODULES = {
    "objc": """
import builtins
def python_method(function): return function
super = builtins.super
""",
    "Foundation": """
class NSObject:
    @classmethod
    def alloc(cls): return cls.__new__(cls)
    def init(self): return self
class NSURL:
    @staticmethod
    def fileURLWithPath_(path): return path
class NSDate:
    @staticmethod
    def dateWithTimeIntervalSinceNow_(seconds): return seconds
class NSTimer: pass
NSDefaultRunLoopMode = "default"
class NSRunLoop:
    turns = []  # what happens when the loop is turned next
    @classmethod
    def currentRunLoop(cls): return cls()
    def runUntilDate_(self, date):
        if self.turns: self.turns.pop(0)()
""",
    "AppKit": """
import wave
from Foundation import NSRunLoop
log = []
class NSSpeechSynthesizer:
    @classmethod
    def alloc(cls): return cls()
    @staticmethod
    def availableVoices(): return ["com.apple.voice.Anna"]
    @staticmethod
    def attributesForVoice_(voice):
        return {"VoiceIdentifier": voice, "VoiceName": "Anna", "VoiceLocaleIdentifier": "de_DE"}
    def initWithVoice_(self, voice): return self
    def setDelegate_(self, delegate): self.delegate = delegate
    def setRate_(self, rate): log.append(f"rate {rate}")
    def setVolume_(self, volume): log.append(f"volume {volume}")
    def setVoice_(self, voice): log.append(f"voice {voice}")
    def voice(self): return "com.apple.voice.Alex"
    def rate(self): return 200
    def volume(self): return 1.0
    def stopSpeaking(self): pass
    def startSpeakingString_(self, text):
        log.append(f"say {text}")
        self.finish()
    def startSpeakingString_toURL_(self, text, url):
        log.append(f"save {text}")
        open(url, "wb").write(b"FORM, as AIFF files begin")
        self.finish()
    def finish(self):  # later, from the run loop
        NSRunLoop.turns += [lambda: None, lambda: self.delegate
            .speechSynthesizer_didFinishSpeaking_(self, True)]
""",
    "PyObjCTools/__init__": "",
    "PyObjCTools/AppHelper": """
class PyObjCAppHelperRunLoopStopper: pass
def stopEventLoop(): pass
""",
}

# Convert what "AIFF" there is to a WAV of a tenth of a second; note what is played.
AFCONVERT = """
import pathlib, sys, wave
assert sys.argv[1:7] == ["-f", "WAVE", "-d", "LEI16@22050", "-c", "1"], sys.argv
assert pathlib.Path(sys.argv[7]).read_bytes().startswith(b"FORM")
with wave.open(sys.argv[8], "wb") as file:
    file.setparams((1, 2, 22050, 0, "NONE", ""))
    file.writeframes(bytes(2 * 2205))
"""
AFPLAY = 'basename "$1" >> "$FOLDER/played"'

SCRIPT = """
import json, pathlib, sys, AppKit
from narrator.speech.mac import MacSpeech
from narrator.speech.voice import VoiceSettings
from narrator.speech.voices import set_voice, voices_of
aloud, keep, folder = json.loads(sys.argv[1])
settings = VoiceSettings("anna", 180, 0.5, aloud)
speech = MacSpeech(settings, keep)
voices = voices_of(speech.engine)
set_voice(speech.engine, settings)
troubles = [
    speech.speak(text, pathlib.Path(folder) / f"{text[:3]}.wav", aloud)
    for text in ("One red star.", "Two blue stars.")
]
print(json.dumps({"voices": voices, "troubles": troubles, "log": AppKit.log}))
"""


@pytest.fixture
def mac(tmp_path: Path) -> dict[str, str]:
    """An environment in which the fakes are found first."""
    for name, code in FAKE_MODULES.items():
        path = tmp_path / "modules" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    (tmp_path / "afconvert.py").write_text(AFCONVERT)
    convert = f'exec "{sys.executable}" "{tmp_path}/afconvert.py" "$@"'
    for name, line in {"afconvert": convert, "afplay": AFPLAY}.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
    return {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}/modules",
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "FOLDER": str(tmp_path),
    }


def speak(mac: dict[str, str], aloud: bool, keep: bool) -> dict[str, Any]:
    """What SCRIPT tells."""
    arguments = json.dumps([aloud, keep, mac["FOLDER"]])
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, arguments],
        cwd=PROJECT, env=mac, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    told: dict[str, Any] = json.loads(result.stdout)
    assert told["troubles"] == [None, None]
    return told


def test_sentences_are_said_one_after_another_with_voice_rate_and_volume(
    mac: dict[str, str],
) -> None:
    told = speak(mac, aloud=True, keep=False)
    assert told["voices"] == [["com.apple.voice.Anna", "Anna", "de-DE"]]
    assert "voice com.apple.voice.Anna" in told["log"]
    assert told["log"][-4:] == [
        "rate 180",
        "volume 0.5",
        "say One red star.",
        "say Two blue stars.",
    ]


def test_a_kept_sentence_is_saved_as_aiff_converted_and_played(
    mac: dict[str, str], tmp_path: Path
) -> None:
    speak(mac, aloud=True, keep=True)
    kept = sorted(tmp_path.glob("*.wav"))
    assert [path.name for path in kept] == ["One.wav", "Two.wav"]
    for path in kept:
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnframes()) == (22050, 2205)
    assert (tmp_path / "played").read_text() == "One.wav\nTwo.wav\n"
    assert list(tmp_path.glob("*.aiff")) == []


def test_a_kept_sentence_is_not_played_when_muted(mac: dict[str, str], tmp_path: Path) -> None:
    speak(mac, aloud=False, keep=True)
    assert not (tmp_path / "played").exists()
