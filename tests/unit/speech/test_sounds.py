"""Sounds: as they are written, and played by the real aplay between the real voice's sentences."""

from __future__ import annotations

import sys
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from narrator.speech.sounds import Sound, SoundLimits, write
from narrator.speech.voice import LIMITS, Voice, VoiceSettings
from support.program import wait_until
from support.sound import SoundCard, loudest_hertz, samples_of

from .conftest import Sink

ALOUD = VoiceSettings(sounds=True)


def test_they_differ_in_what_is_heard_and_none_is_louder_than_speech(tmp_path: Path) -> None:
    heard = set()
    for sound in Sound:
        write(sound, 1.0, tmp_path / sound.name)
        samples = samples_of(tmp_path / sound.name)
        assert 0.05 < len(samples) / 22050 < 0.4
        assert 0.25 < np.abs(samples).max() / 32768 < 0.31
        heard.add(loudest_hertz(samples))
    assert len(heard) == len(Sound)
    gaps = np.diff(sorted(heard)) / sorted(heard)[:-1]
    assert gaps.min() > 0.12  # two semitones


def test_they_follow_the_volume(tmp_path: Path) -> None:
    write(Sound.ALERT, 0.5, tmp_path / "low.wav")
    write(Sound.ALERT, 0.0, tmp_path / "none.wav")
    assert np.abs(samples_of(tmp_path / "low.wav")).max() < 0.16 * 32768
    assert not samples_of(tmp_path / "none.wav").any()


class Card:
    """What was played on a sound card, as the player's own log tells it."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"

    def lines(self) -> list[str]:
        """begin and end of each file in turn, but of the silence that a voice tries first."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return lines[lines.index("end spoken.wav") + 1 :] if "end spoken.wav" in lines else []

    def played(self) -> list[str]:
        return [line.split()[1] for line in self.lines() if line.startswith("begin")]


@pytest.fixture
def card(
    tmp_path: Path,
    speech: None,
    sound_card: SoundCard,
    make_player: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Card:
    """Plays in real time, as ALSA's stand-in for a card does not."""
    for name, value in sound_card.environment.items():
        monkeypatch.setenv(name, value)
    log = tmp_path / "log"
    make_player(
        f'name=$(basename "$2"); echo "begin $name" >> "{log}"; "$real" "$@" || exit\n'
        'sleep $(awk "BEGIN { print $(wc -c < "$2") / 44100 }")\n'
        f'echo "end $name" >> "{log}"'
    )
    return Card(tmp_path)


@pytest.fixture
def open_voice(sink: Sink) -> Iterator[Callable[..., Voice]]:
    opened: list[Voice] = []

    def open_voice(settings: VoiceSettings = ALOUD, **limits: float) -> Voice:
        sounds = SoundLimits(**limits)  # type: ignore[arg-type]
        opened.append(Voice(settings, sink, replace(LIMITS, sounds=sounds)))
        opened[-1].wait_until_ready()
        return opened[-1]

    yield open_voice
    for voice in opened:
        voice.close()


def test_a_sound_is_heard_between_two_sentences_and_never_over_one(
    open_voice: Callable[..., Voice], card: Card, sink: Sink
) -> None:
    voice = open_voice()
    voice.say("One red star.", 1, 0.0)
    voice.say("Two blue stars.", 1, 0.0)
    assert wait_until(lambda: "begin spoken.wav" in card.lines(), 20)
    voice.play(Sound.ALERT)
    voice.wait_until_quiet()
    voice.play(Sound.READY)
    voice.say("Three.", 2, 0.0)
    voice.wait_until_quiet()
    names = ["spoken.wav", "alert.wav", "spoken.wav", "ready.wav", "spoken.wav"]
    assert card.lines() == [f"{when} {name}" for name in names for when in ("begin", "end")]
    assert sink.texts == ["One red star.", "Two blue stars.", "Three."]


def test_what_would_come_too_late_is_left_out(open_voice: Callable[..., Voice], card: Card) -> None:
    voice = open_voice(VoiceSettings(rate=80, sounds=True))
    voice.say("This sentence takes far longer than a second.", 1, 0.0)
    assert wait_until(lambda: "begin spoken.wav" in card.lines(), 20)
    voice.play(Sound.ANSWER)
    voice.wait_until_quiet()
    voice.say("Two.", 1, 0.0)
    voice.wait_until_quiet()
    assert card.played() == ["spoken.wav", "spoken.wav"]


def test_while_something_is_waited_for_that_is_heard_again_and_again(
    open_voice: Callable[..., Voice], card: Card
) -> None:
    voice = open_voice(looking_after_s=0.3, looking_every_s=0.1)
    voice.looking(True)
    assert wait_until(lambda: len(card.played()) >= 3, 20)
    assert set(card.played()) == {"looking.wav"}
    voice.hush()
    assert wait_until(
        lambda: len(card.lines()) in (2 * len(card.played()), 2 * len(card.played()) - 1), 5
    )
    voice.say("A word.", 1, 0.0)
    voice.wait_until_quiet()
    count = len(card.played())
    assert wait_until(lambda: len(card.played()) > count, 20)  # as there was a word
    voice.looking(False)
    voice.wait_until_quiet()
    count = len(card.played())
    voice.say("And another.", 2, 0.0)
    voice.wait_until_quiet()
    assert card.played()[count:] == ["spoken.wav"]


def test_hush_silences_a_sound_at_once(
    speech: None,
    open_voice: Callable[..., Voice],
    make_player: Callable[[str], None],
    tmp_path: Path,
) -> None:
    begun = tmp_path / "begun"
    make_player(f'case "$2" in *spoken.wav) exit;; esac; touch "{begun}"; exec sleep 600')
    voice = open_voice(play_timeout_s=600.0)
    voice.play(Sound.READY)
    assert wait_until(begun.exists, 20)
    voice.hush()
    voice.say("A word.", 1, 0.0)
    voice.wait_until_quiet()  # would take ten minutes


def test_behind_a_hush_a_sound_does_not_wait_for_the_voice_to_start_anew(
    speech: None, sink: Sink, card: Card, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    child = f'"{sys.executable}" -m narrator.speech.child'
    command = ("sh", "-c", f'[ -e "{once}" ] && exec sleep 60; touch "{once}"; exec {child}')
    voice = Voice(ALOUD, sink, replace(LIMITS, command=command))
    try:
        voice.wait_until_ready()
        voice.say("A sentence that will be cut off before it ends.", 1, 0.0)
        assert wait_until(card.played, 20)
        voice.hush()
        voice.play(Sound.ANSWER)
        assert wait_until(lambda: "end answer.wav" in card.lines(), 20)
        assert card.lines() == ["begin spoken.wav", "begin answer.wav", "end answer.wav"]
    finally:
        voice.close()


def test_a_voice_that_starts_anew_leaves_the_sound_device_to_the_sound(
    open_voice: Callable[..., Voice], card: Card
) -> None:
    voice = open_voice()
    voice.say("A sentence that will be cut off before it ends.", 1, 0.0)
    assert wait_until(card.played, 20)
    child = voice._process
    voice.hush()
    voice.play(Sound.TROUBLE)
    assert wait_until(lambda: voice._process is not child and voice._ready, 20)
    assert wait_until(lambda: "end trouble.wav" in card.lines(), 20)
    assert card.played() == ["spoken.wav", "trouble.wav"]


@pytest.mark.parametrize(
    "settings", [VoiceSettings(), VoiceSettings(sounds=True, aloud=False)], ids=["off", "unheard"]
)
def test_where_they_are_not_wanted_none_is_heard(
    open_voice: Callable[..., Voice], card: Card, settings: VoiceSettings
) -> None:
    voice = open_voice(settings)
    voice.play(Sound.READY)
    voice.looking(True)
    voice.say("A word.", 1, 0.0)
    voice.wait_until_quiet()
    assert set(card.played()) <= {"spoken.wav"}


def test_a_muted_voice_plays_none(open_voice: Callable[..., Voice], card: Card) -> None:
    voice = open_voice()
    voice.mute(True)
    voice.play(Sound.ALERT)
    voice.mute(False)
    voice.say("A word.", 1, 0.0)
    voice.wait_until_quiet()
    assert card.played() == ["spoken.wav"]


def test_a_sound_device_that_fails_is_told_once_and_not_tried_again_before_it_speaks(
    speech: None,
    open_voice: Callable[..., Voice],
    make_player: Callable[[str], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried = tmp_path / "tried"
    make_player(
        f'case "$2" in *spoken.wav) exit;; esac; echo . >> "{tried}"; echo gone >&2; exit 1'
    )
    voice = open_voice()
    for _ in range(2):
        voice.play(Sound.TROUBLE)
        voice.wait_until_quiet()
    assert tried.read_text() == ".\n"
    voice.say("A word.", 1, 0.0)
    voice.wait_until_quiet()
    voice.play(Sound.TROUBLE)
    voice.wait_until_quiet()
    assert tried.read_text() == ".\n.\n"
    told = "no sound: gone; the captions go on as text"
    assert caplog.messages == [told, "the sound is back", told]


def test_a_player_that_hangs_is_ended_and_speech_goes_on(
    speech: None,
    open_voice: Callable[..., Voice],
    make_player: Callable[[str], None],
    sink: Sink,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_player('case "$2" in *spoken.wav) exit;; esac; exec sleep 60')
    voice = open_voice(play_timeout_s=0.3)
    voice.play(Sound.TROUBLE)
    voice.say("A word.", 1, 0.0)
    voice.wait_until_quiet()
    assert sink.texts == ["A word."]
    assert caplog.messages[0].startswith("no sound: aplay does not come to an end")


def test_on_a_mac_afplay_gets_the_file(
    speech: None,
    sink: Sink,
    make_player: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A FAKE afplay, as only a Mac has it: that it takes a file's name alone is all that is known
    here."""
    make_player("exit 0")
    folder = tmp_path / "mac"
    folder.mkdir()
    player = folder / "afplay"
    player.write_text(f'#!/bin/sh\ncp "$1" "{tmp_path}/$#.wav"\n')
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{tmp_path / 'player'}:/usr/bin:/bin")
    voice = Voice(ALOUD, sink, replace(LIMITS, sounds=SoundLimits(player=("afplay",))))
    voice.wait_until_ready()
    voice.play(Sound.READY)
    voice.wait_until_quiet()
    voice.close()
    with wave.open(str(tmp_path / "1.wav")) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (22050, 2, 1)
