"""Voices by ID, name and language, and the list of them; the listed ones are espeak-ng's."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from narrator.errors import EngineError, UsageError
from narrator.speech.renderer import Renderer
from narrator.speech.voices import (
    VoiceSettings,
    choose_voice,
    find_voice,
    language_tag,
    list_voices,
)


@pytest.mark.parametrize(
    ("told", "tag"),
    [
        ("en_US", "en-US"), (b"\x05en-gb", "en-GB"), ("zh_Hans_CN", "zh-Hans-CN"),
        ("en-gb-x-rp", "en-GB-x-rp"), ("en-029", "en-029"), (None, "none"), ("", ""),
    ],
)  # fmt: skip
def test_languages_are_written_as_tags(told: Any, tag: str) -> None:
    assert language_tag(told) == tag


VOICES = [
    ("com.apple.Albert", "Albert", "en-US"),
    ("com.apple.Amelie", "Amélie", "fr-CA"),
    ("com.apple.Anna", "Anna", "de-DE"),
    ("com.apple.Daniel", "Daniel", "en-GB"),
    ("com.apple.Samantha", "Samantha", "en-US"),
    ("com.apple.Thomas", "Thomas", "fr-FR"),
    ("de-DE", "Odd", "it-IT"),
]


ESPEAK = [
    ("gmw/en-029", "English (Caribbean)", "en-029"),
    ("gmw/en", "English (Great Britain)", "en-GB"),
    ("gmw/en-us", "English (America)", "en-US"),
    ("sit/cmn", "Chinese (Mandarin, latin as English)", "cmn"),
    ("sit/yue", "Chinese (Cantonese)", "yue"),
    ("gmq/nb", "Norwegian Bokm\u00e5l", "nb"),
]


@pytest.mark.parametrize(
    ("wanted", "voices", "voice"),
    [
        ("COM.APPLE.ANNA", VOICES, "com.apple.Anna"),  # an ID
        ("de-DE", VOICES, "de-DE"),  # an ID before a language
        ("am\u00e9lie", VOICES, "com.apple.Amelie"),  # a name
        ("en_gb", VOICES, "com.apple.Daniel"),  # a language
        ("en-US", VOICES, "com.apple.Samantha"),  # of two the system's own
        ("fr", VOICES, "com.apple.Thomas"),  # of two the one of France
        ("English", ESPEAK, "gmw/en"),
        ("en", ESPEAK, "gmw/en"),
        ("zh", ESPEAK, "sit/cmn"),
        ("english (america)", ESPEAK, "gmw/en-us"),
        ("Chinese", ESPEAK, "sit/cmn"),
    ],
)
def test_an_id_goes_before_a_name_before_a_language_by_its_tag_or_english_name(
    wanted: str, voices: list[tuple[str, str, str]], voice: str
) -> None:
    assert find_voice(wanted, voices, "com.apple.Samantha") == voice


@pytest.mark.parametrize("wanted", ["en-", "en-AU", "Ann", "german"])
def test_what_no_voice_has_is_refused(wanted: str) -> None:
    with pytest.raises(UsageError, match="--list-voices shows them"):
        find_voice(wanted, VOICES, "com.apple.Samantha")


def test_a_language_sounds_like_its_voice_and_not_like_english(speech: None) -> None:
    seconds = []  # The German one is a quarter slower at it.
    for voice in ("German", "en-GB"):
        with closing(Renderer(VoiceSettings(voice, rate=450))) as render:
            seconds.append(len(render("Two small dogs sleep on a red chair.")) / 44100)
    assert seconds[0] == pytest.approx(1.02, abs=0.05)
    assert seconds[1] < 0.9


class Opening:
    """Shutdown.opening, and the end that closes what was opened."""

    def __init__(self) -> None:
        self.opened = ExitStack()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[ExitStack]:
        yield self.opened


def test_voices_are_listed_with_the_tags_of_their_languages(
    speech: None, capfd: pytest.CaptureFixture[str]
) -> None:
    list_voices(Opening())
    printed, errors = capfd.readouterr()
    rows = [line.split("  ") for line in printed.splitlines()]
    assert ["gmw/en", "English (Great Britain)", "en-GB"] in rows
    assert ["gmw/de", "German", "de"] in rows
    assert errors == ""


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("exit 1", r"speech failed \(it ended unexpectedly\)"),
        ("read x; echo nonsense", r"speech failed \(it sent an invalid reply\)"),
        ('read x; echo \'{"missing": "no eSpeak"}\'', "no eSpeak"),
        ("read x; echo '{\"voices\": []}'", "none is installed"),
    ],
)
def test_where_there_is_no_voice_the_reason_is_told(lines: str, reason: str) -> None:
    with pytest.raises(EngineError, match=f"no voice found: {reason}"):
        list_voices(Opening(), ("sh", "-c", lines))


def test_on_a_mac_without_a_voice_it_is_told_where_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FAKE: the platform, and a child that finds none."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EngineError, match="get one in System Settings > Accessibility > Spoken"):
        list_voices(Opening(), ("sh", "-c", "read x; echo '{\"voices\": []}'"))


@pytest.mark.parametrize(
    ("wanted", "english", "usual", "voice"),
    [
        (None, True, "com.apple.Anna", "com.apple.Albert"),
        (None, True, "com.apple.Daniel", "com.apple.Daniel"),
        (None, False, "com.apple.Anna", "com.apple.Anna"),
        ("fr", True, "com.apple.Anna", "com.apple.Thomas"),
    ],
)
def test_english_is_spoken_by_an_english_voice_unless_another_is_wanted(
    wanted: str | None, english: bool, usual: str, voice: str
) -> None:
    assert choose_voice(wanted, english, VOICES, usual) == voice
    assert choose_voice(None, True, VOICES[1:3], usual) == usual  # where there is none
