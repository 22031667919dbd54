"""Voices with the real child and espeak-ng, and who takes their sound."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from narrator.speech.synthesizer import LIMITS, Limits
from narrator.speech.voice import Voice
from narrator.speech.voices import VoiceSettings
from support.sound import SoundCard

OpenVoice = Callable[..., Voice]


@dataclass
class Sink:
    """An AudioSink that remembers all that it is given."""

    kept: list[tuple[str, bytes]] = field(default_factory=list)

    def keep(self, text: str, samples: bytes) -> None:
        self.kept.append((text, samples))

    @property
    def texts(self) -> list[str]:
        return [text for text, _ in self.kept]


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def open_voice(speech: None, sink: Sink) -> Iterator[OpenVoice]:
    """Opens voices that hand what they render to `sink` and play nothing, and closes them."""
    opened: list[Voice] = []

    def open_voice(limits: Limits = LIMITS, **settings: Any) -> Voice:
        opened.append(Voice(VoiceSettings(**{"aloud": False, **settings}), sink, limits))
        return opened[-1]

    yield open_voice
    for voice in opened:
        voice.close()


@pytest.fixture
def plugged_in(sound_card: SoundCard, monkeypatch: pytest.MonkeyPatch) -> SoundCard:
    """A sound card that this process plays on."""
    return plug_in(sound_card, monkeypatch)


def plug_in(card: SoundCard, monkeypatch: pytest.MonkeyPatch) -> SoundCard:
    for name, value in card.environment.items():
        monkeypatch.setenv(name, value)
    return card


@pytest.fixture(autouse=True)
def _log_what_the_user_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "narrator")
