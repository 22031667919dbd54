"""Voices that render and play nothing, who takes their sound, and a player that never ends."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from narrator.speech.voice import LIMITS, Voice, VoiceLimits, VoiceSettings

OpenVoice = Callable[..., Voice]


@dataclass
class Sink:
    """An AudioSink that remembers all that it is told."""

    expected: list[tuple[str, str, float]] = field(default_factory=list)
    kept: list[tuple[str, bytes]] = field(default_factory=list)
    lost: list[tuple[str, int, float]] = field(default_factory=list)

    def expect(self, sentence: str, text: str, at: float) -> None:
        self.expected.append((sentence, text, at))

    def keep(self, text: str, samples: bytes) -> None:
        self.kept.append((text, samples))

    def unspoken(self, sentence: str, caption: int, at: float) -> None:
        self.lost.append((sentence, caption, at))

    @property
    def texts(self) -> list[str]:
        return [text for text, _ in self.kept]


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def open_voice(speech: None, sink: Sink) -> Iterator[OpenVoice]:
    """Opens voices that hand what they render to `sink`, and closes them."""
    opened: list[Voice] = []

    def open_voice(limits: VoiceLimits = LIMITS, **settings: Any) -> Voice:
        opened.append(Voice(VoiceSettings(**{"aloud": False, **settings}), sink, limits))
        return opened[-1]

    yield open_voice
    for voice in opened:
        voice.close()


@pytest.fixture(autouse=True)
def _log_what_the_user_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "narrator")


@pytest.fixture
def make_player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Takes lines of shell that stand for aplay from then on; "$real" "$@" plays."""
    if sys.platform != "linux" or (real := shutil.which("aplay")) is None:
        pytest.skip("needs Linux and ALSA's aplay")
    folder = tmp_path / "player"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make_player(lines: str) -> None:
        player = folder / "aplay"
        player.write_text(f"#!/bin/sh\nreal={real}\n{lines}\n")
        player.chmod(0o755)

    return make_player
