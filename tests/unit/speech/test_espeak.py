"""EspeakSpeech with the real espeak-ng, in a process of its own as it is used."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import pytest

from narrator.settings import PROJECT
from narrator.speech.audio import play

SCRIPT = """
import os, pathlib, sys
from narrator.speech.espeak import EspeakSpeech
from narrator.speech.voice import VoiceSettings
speech = EspeakSpeech(VoiceSettings(aloud=False), keep=True)
real, calls = speech._wait_for_espeak, []
def wait():
    real()
    calls.append(1)
    if len(calls) == 2:
        open(f"{sys.argv[1]}/1.wav", "w").close()
speech._wait_for_espeak = wait
for number in range(3):
    trouble = speech.speak("A red star.", pathlib.Path(f"{sys.argv[1]}/{number}.wav"), False)
    print(trouble, len(calls), file=sys.stderr)
os._exit(0)
"""


def test_a_sentence_that_comes_out_empty_is_rendered_once_more(
    speech: None, tmp_path: Path
) -> None:
    """Seen once in some hundred sentences: espeak-ng ends at once, and nothing is in the file."""
    if sys.platform != "linux":
        pytest.skip("a Mac has no espeak-ng")
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert result.stderr == "None 1\nNone 3\nNone 4\n"
    for path in tmp_path.glob("*.wav"):
        with wave.open(str(path)) as file:
            assert file.getnframes() > 0.5 * 22050


def test_a_player_complains_in_one_line_or_is_told_to_be_missing() -> None:
    assert play(["true"]) is None
    assert play(["false"]) == "it failed"
    complaint = "echo first >&2; echo 'sh: main:831: no such card' >&2; exit 1"
    assert play(["sh", "-c", complaint]) == "sh: no such card"
    assert play(["/no/such/player"]) == "/no/such/player is not installed (./install.sh says how)"
