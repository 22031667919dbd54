"""Sounds: what they are like, and when a voice plays them."""

from __future__ import annotations

import numpy as np
import pytest

from narrator.speech.sounds import Sound
from narrator.speech.synthesizer import Limits
from support.program import wait_until
from support.sound import SoundCard, loudest_hertz, times_of

from .conftest import OpenVoice


def test_they_differ_in_what_is_heard_and_none_is_louder_than_speech() -> None:
    heard = set()
    for sound in Sound:
        samples = np.frombuffer(sound.samples(1.0), "<i2").astype(int)
        assert 0.05 < len(samples) / 22050 < 0.4
        assert 0.25 < np.abs(samples).max() / 32768 < 0.31
        half = np.frombuffer(sound.samples(0.5), "<i2").astype(int)
        assert np.abs(half).max() < 0.16 * 32768
        heard.add(loudest_hertz(samples))
    assert len(heard) == len(Sound)
    gaps = np.diff(sorted(heard)) / sorted(heard)[:-1]
    assert gaps.min() > 0.12  # two semitones


def count(sound: Sound, card: SoundCard) -> int:
    assert wait_until(lambda: not card.is_open, 60)
    return len(times_of(sound.samples(1.0), card.played()))


def test_no_sound_waits_for_a_voice_that_starts(
    open_voice: OpenVoice, plugged_in: SoundCard
) -> None:
    voice = open_voice(Limits(command=("sleep", "60")), aloud=True, sounds=True)
    voice.play(Sound.ANSWER)
    assert wait_until(lambda: count(Sound.ANSWER, plugged_in) == 1, 20)


def test_while_something_is_waited_for_that_is_heard_until_a_hush(
    open_voice: OpenVoice, plugged_in: SoundCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("narrator.speech.voice.LOOKING_AFTER_S", 0.1)
    monkeypatch.setattr("narrator.speech.voice.LOOKING_EVERY_S", 0.1)
    voice = open_voice(aloud=True, sounds=True)
    voice.wait_until_ready()
    voice.looking(True)
    assert wait_until(lambda: count(Sound.LOOKING, plugged_in) >= 2, 20)
    voice.hush()
    voice.say("A word.", 1, 0.0)
    voice.wait_until_quiet()
    before = count(Sound.LOOKING, plugged_in)
    assert wait_until(lambda: count(Sound.LOOKING, plugged_in) > before, 20)  # after a word again
    voice.looking(False)
    voice.hush()
    before = count(Sound.LOOKING, plugged_in)
    voice.say("Another word.", 1, 0.0)
    voice.wait_until_quiet()
    assert count(Sound.LOOKING, plugged_in) == before


@pytest.mark.parametrize("how", ["off", "unheard", "muted"])
def test_where_they_are_not_wanted_none_is_heard(
    open_voice: OpenVoice, plugged_in: SoundCard, how: str
) -> None:
    voice = open_voice(sounds=how != "off", aloud=how != "unheard")
    voice.mute(how == "muted")
    voice.play(Sound.READY)
    voice.mute(False)
    voice.say("A word.", 1, 0.0)
    voice.wait_until_quiet()
    assert count(Sound.READY, plugged_in) == 0
