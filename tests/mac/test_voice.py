"""A Mac's voice against stand-ins for what only a Mac has; nobody has run it on a Mac.

objc, AppKit, Foundation and PyObjCTools behave as they were seen to by others: the synthesizer
writes AIFF whatever the file is called (pyttsx3's issue 361), reports its end from the run loop
only, and a second runAndWait of pyttsx3 hangs (issues 22, 138, 403). The voices are those of a Mac
set to German. `say` takes the options of its manual page. pyttsx3 and its nsss driver are the real
ones, and so are the child process, its supervisor and the reading of AIFF.
"""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from narrator.speech.synthesizer import Limits
from narrator.speech.voice import Voice
from narrator.speech.voices import VoiceSettings

MODULES = {
    "sitecustomize": "import sys; sys.platform = 'darwin'",
    "objc": """
import builtins, contextlib
pools = []
def python_method(function): return function
super = builtins.super
@contextlib.contextmanager
def autorelease_pool():
    pools.append(1)
    yield
    pools.pop()
""",
    "Foundation": """
import objc, os, time
class NSObject:
    @classmethod
    def alloc(cls): return cls.__new__(cls)
    def init(self): return self
class NSURL:
    @staticmethod
    def fileURLWithPath_(path): return path
class NSDate:
    @staticmethod
    def dateWithTimeIntervalSinceNow_(seconds): return time.monotonic() + seconds
class NSTimer:
    @staticmethod
    def scheduledTimerWithTimeInterval_target_selector_userInfo_repeats_(*_): time.sleep(600)
NSDefaultRunLoopMode = "default"
class NSRunLoop:
    turns = []  # what happens when the loop is turned next
    @classmethod
    def currentRunLoop(cls): return cls()
    def runMode_beforeDate_(self, mode, date):
        assert objc.pools, "no autorelease pool: it leaks"
        if not self.turns: return False
        self.turns.pop(0)()
        return True
""",
    "AppKit": """
import math, os, struct, time
from Foundation import NSRunLoop
VOICES = {
    "com.apple.voice.compact.de-DE.Anna": ("Anna", "de_DE"),
    "com.apple.speech.synthesis.voice.Albert": ("Albert", "en_US"),
    "com.apple.voice.compact.en-US.Samantha": ("Samantha", "en_US"),
    "com.apple.voice.compact.fr-FR.Thomas": ("Thomas", "fr_FR"),
}
PITCH = {name: 300 + 200 * at for at, name in enumerate(VOICES)}
def aiff(samples, rate):
    data = struct.pack(f">{len(samples)}h", *samples)
    exponent = 16383 + rate.bit_length() - 1
    mantissa = rate << (63 - (rate.bit_length() - 1))
    comm = struct.pack(">hIhHQ", 1, len(samples), 16, exponent, mantissa)
    body = b"COMM" + struct.pack(">I", 18) + comm
    body += b"SSND" + struct.pack(">III", len(data) + 8, 0, 0) + data
    return b"FORM" + struct.pack(">I", len(body) + 4) + b"AIFF" + body
class NSSpeechSynthesizer:
    @classmethod
    def alloc(cls): return cls()
    @staticmethod
    def availableVoices(): return list(VOICES)
    @staticmethod
    def attributesForVoice_(voice):
        name, locale = VOICES[voice]
        return {"VoiceIdentifier": voice, "VoiceName": name, "VoiceLocaleIdentifier": locale}
    def initWithVoice_(self, voice):
        if os.environ.get("NSSS") == "fails": raise RuntimeError("no speech server")
        self.chosen, self.speed, self.loud = voice or next(iter(VOICES)), 180.0, 1.0
        return self
    def setDelegate_(self, delegate): self.delegate = delegate
    def setRate_(self, rate): self.speed = rate
    def setVolume_(self, volume): self.loud = volume
    def setVoice_(self, voice):
        self.chosen, self.speed = voice, 180.0
        return True
    def voice(self): return self.chosen
    def rate(self): return self.speed
    def volume(self): return self.loud
    def stopSpeaking(self): pass
    def startSpeakingString_toURL_(self, text, url):
        if os.environ.get("NSSS") == "hangs": return True
        length = int(44100 * len(text.split()) * 60 / self.speed)
        hertz = PITCH[self.chosen]
        samples = [int(9000 * math.sin(math.tau * hertz * at / 44100)) for at in range(length)]
        with open(url, "wb") as file: file.write(aiff(samples, 44100))
        NSRunLoop.turns += [lambda: None, lambda: self.delegate
            .speechSynthesizer_didFinishSpeaking_(self, True)]
        return True
""",
    "PyObjCTools/__init__": "",
    "PyObjCTools/AppHelper": """
class PyObjCAppHelperRunLoopStopper:
    @classmethod
    def alloc(cls): return cls()
    def shouldRun(self): return True
    @staticmethod
    def addRunLoopStopper_toRunLoop_(*_): pass
def stopEventLoop(): pass
""",
}

# A tone of 900 hertz, and a line of what it was asked.
SAY = """
import math, os, struct, sys, wave
if sys.argv[1:] == ["-v", "?"]:
    print("Albert              en_US    # Hello! My name is Albert.")
    print("Anna                de_DE    # Hallo! Ich hei\\u00dfe Anna.")
    print("Eddy (English (US)) en_US    # Hello! My name is Eddy.")
    print("Samantha            en_US    # Hello! My name is Samantha.")
    sys.exit()
text = sys.stdin.read()
with open(os.environ["SAID"], "a") as log: log.write(f"{sys.argv[1:]} {text}\\n")
arguments = sys.argv[1:]
assert "--data-format=LEI16@22050" in arguments and arguments[-2:] == ["-f", "-"], arguments
with wave.open(arguments[arguments.index("-o") + 1], "wb") as file:
    file.setparams((1, 2, 22050, 0, "NONE", ""))
    tone = [int(9000 * math.sin(math.tau * 900 * at / 22050)) for at in range(22050)]
    file.writeframes(struct.pack("<22050h", *tone))
"""


class Kept:
    """An AudioSink."""

    def __init__(self) -> None:
        self.sentences: list[tuple[str, np.ndarray]] = []

    def keep(self, text: str, samples: bytes) -> None:
        self.sentences.append((text, np.frombuffer(samples, "<i2")))


def hertz(samples: np.ndarray) -> int:
    power = np.abs(np.fft.rfft(samples, 22050))
    return int(power.argmax())


OpenVoice = Callable[..., tuple[Voice, Kept]]


@pytest.fixture
def open_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenVoice]:
    for name, code in MODULES.items():
        path = tmp_path / "modules" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
    (tmp_path / "say.py").write_text(SAY)
    say = tmp_path / "bin" / "say"
    say.parent.mkdir()
    say.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{tmp_path}/say.py" "$@"\n')
    say.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    monkeypatch.setenv("PATH", str(say.parent), prepend=":")
    monkeypatch.setenv("SAID", str(tmp_path / "said"))
    monkeypatch.setattr(sys, "platform", "darwin")
    opened: list[Voice] = []

    def open_voice(limits: Limits = Limits(), **settings: object) -> tuple[Voice, Kept]:  # noqa: B008
        kept = Kept()
        whole = {"aloud": False, **settings}
        opened.append(Voice(VoiceSettings(**whole), kept, limits))  # type: ignore[arg-type]
        opened[-1].wait_until_ready()
        return opened[-1], kept

    yield open_voice
    for voice in opened:
        voice.close()


def say_all(voice: Voice, *sentences: str) -> None:
    for sentence in sentences:
        assert voice.say(sentence, 1, 0.0)
    voice.wait_until_quiet()


def test_sentences_are_rendered_one_after_another_from_aiff_with_rate_and_volume(
    open_voice: OpenVoice,
) -> None:
    voice, kept = open_voice(voice="anna", rate=120, volume=0.5)
    assert voice.name == "Anna"
    say_all(voice, "One red star.", "Two large blue stars.")
    assert [text for text, _ in kept.sentences] == ["One red star.", "Two large blue stars."]
    for (_, samples), words in zip(kept.sentences, (3, 4)):
        assert len(samples) / 22050 == pytest.approx(words / 2, abs=0.01)  # 120 words a minute
        assert np.abs(samples).max() == pytest.approx(4500, rel=0.02)
        assert hertz(samples) == 300


@pytest.mark.parametrize(
    ("settings", "name", "pitch"),
    [
        ({}, "Samantha", 700),
        ({"english": False}, "Anna", 300),
        ({"voice": "fr"}, "Thomas", 900),
    ],
)
def test_english_captions_get_an_english_voice_on_a_mac_set_to_german(
    open_voice: OpenVoice, settings: dict[str, object], name: str, pitch: int
) -> None:
    voice, kept = open_voice(**settings)
    assert voice.name == name
    say_all(voice, "One red star.")
    assert hertz(kept.sentences[0][1]) == pitch


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_where_pyttsx3_fails_twice_or_says_nothing_the_command_say_takes_over(
    open_voice: OpenVoice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    caplog.set_level("INFO", "narrator")
    monkeypatch.setenv("NSSS", how)
    voice, kept = open_voice(Limits(render_timeout_s=0.5), rate=450)
    say_all(voice, "-o One red star.", "Two blue stars.")
    assert [hertz(samples) for _, samples in kept.sentences] == [900, 900]
    assert [text for text, _ in kept.sentences] == ["-o One red star.", "Two blue stars."]
    first, second = (tmp_path / "said").read_text().splitlines()
    assert first.endswith("] -o One red star.")  # read from stdin, not taken for an option
    assert "--rate=450" in second
    assert "--voice=Samantha" in second
    [told] = caplog.messages
    assert told.endswith("; its command `say` takes over")
    assert voice.trouble is None
    assert math.isclose(len(kept.sentences[0][1]), 22050)
