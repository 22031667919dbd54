"""The voice that is a screen reader's, in the real child, against a stand-in for prismatoid.

FAKE: the module prism, which writes down what it is told. The real one was tried by hand with
speech-dispatcher; with Orca and VoiceOver by nobody (KNOWN_ISSUES.md).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from narrator.speech.voice import Voice, VoiceSettings
from support.program import wait_until

PRISM = """
import os
class PrismError(Exception): pass
class Reader:
    def note(self, what):
        if os.path.exists(os.environ["FOLDER"] + "/gone"): raise PrismError("Backend not available")
        with open(os.environ["FOLDER"] + "/told", "a") as file: print(what, file=file)
    def output(self, text, interrupt=False): self.note(text)
    def stop(self): self.note("(stop)")
class Context:
    def create_best(self):
        if os.path.exists(os.environ["FOLDER"] + "/none"): raise ValueError("Invalid backend")
        return Reader()
"""
SLOWLY = VoiceSettings("screenreader", rate=80)
LONG = "A sentence that takes a quarter of a minute, as slowly as it is said here, if not more."


@pytest.fixture
def prism(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the stand-in, which is found first."""
    (tmp_path / "prism.py").write_text(PRISM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("FOLDER", str(tmp_path))
    return tmp_path


def told(folder: Path) -> list[str]:
    path = folder / "told"
    return path.read_text().splitlines() if path.exists() else []


def opened(request: pytest.FixtureRequest, settings: VoiceSettings) -> Voice:
    voice = Voice(settings)
    request.addfinalizer(voice.close)
    voice.wait_until_ready()
    return voice


def test_it_is_told_each_sentence_and_hushed_without_being_started_anew(
    prism: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    voice = opened(request, SLOWLY)
    process = voice._process
    assert voice.say(LONG, 1, 0.0)
    assert wait_until(lambda: told(prism) == [LONG], 20)
    assert voice.quiet_in(0.0) > 5
    voice.hush()
    voice.wait_until_quiet()
    voice.say("Next.", 2, 0.0)
    assert wait_until(lambda: told(prism) == [LONG, "(stop)", "Next."], 20)
    assert voice._process is process
    assert caplog.messages == []


@pytest.mark.parametrize("how", [Voice.close, lambda voice: voice._process.stdin.close()])
def test_it_is_silenced_at_the_end_whatever_the_end_is(
    prism: Path, request: pytest.FixtureRequest, how: Callable[[Voice], None]
) -> None:
    voice = opened(request, SLOWLY)
    voice.say(LONG, 1, 0.0)
    assert wait_until(lambda: told(prism), 20)
    how(voice)
    assert wait_until(lambda: told(prism) == [LONG, "(stop)"], 5)


def test_one_that_went_away_is_told_once_and_so_is_its_return(
    prism: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    voice = opened(request, VoiceSettings("screenreader", rate=450))
    (prism / "gone").touch()
    for _ in range(2):
        voice.say("Unheard.", 1, 0.0)
        voice.wait_until_quiet()
    (prism / "gone").unlink()
    voice.say("Heard.", 1, 0.0)
    voice.wait_until_quiet()
    assert told(prism) == ["Heard."]
    assert caplog.messages == [
        "no sound: Backend not available; the captions go on as text",
        "the sound is back",
    ]


def test_without_a_screen_reader_the_captions_go_on(
    prism: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    (prism / "none").touch()
    assert not opened(request, SLOWLY).say("Unheard.", 1, 0.0)
    (prism / "none").unlink()
    (prism / "prism.py").write_text("raise ImportError")
    assert not opened(request, SLOWLY).say("Unheard.", 1, 0.0)
    assert caplog.messages == [
        "no voice: no screen reader was found (Invalid backend); the captions go on as text",
        "no voice: prismatoid is not installed (README.md says how); the captions go on as text",
    ]
