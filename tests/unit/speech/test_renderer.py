"""Renderer: text becomes samples, with the real child and espeak-ng."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest

from narrator.errors import UsageError
from narrator.speech.renderer import Renderer
from narrator.speech.voice import VoiceLimits, VoiceSettings


def test_each_text_becomes_its_own_sound(speech: None) -> None:
    with closing(Renderer(VoiceSettings(rate=450))) as render:
        short, long = render("A red star."), render("Two small dogs sleep on a red chair.")
        assert 4410 < len(short) < len(long)
        assert abs(len(render("A red star.")) - len(short)) < 441
        assert render("") == b""


def test_a_child_that_died_over_a_text_gets_it_once_more(speech: None, tmp_path: Path) -> None:
    tried = tmp_path / "tried"
    first = "read x; echo '{\"trouble\": null}'; read x; exit 1"
    lines = (
        f'[ -e "{tried}" ] && exec "{sys.executable}" -m narrator.speech.child; '
        f'touch "{tried}"; {first}'
    )
    limits = VoiceLimits(command=("sh", "-c", lines))
    with closing(Renderer(VoiceSettings(rate=450), limits)) as render:
        assert len(render("A red star.")) > 4410


def test_without_a_voice_there_is_no_sound() -> None:
    with closing(Renderer(VoiceSettings(), VoiceLimits(command=("false",)))) as render:
        assert render("A red star.") == b""


def test_a_voice_that_does_not_exist_is_refused_before_the_first_text(speech: None) -> None:
    with (
        closing(Renderer(VoiceSettings(voice="nobody"))) as render,
        pytest.raises(UsageError, match="there is no voice 'nobody'"),
    ):
        render("")
