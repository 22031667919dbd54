"""Text is data: cleaned for terminals and voices, and rid of passwords."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator.text import printable, secrets_in, speakable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C1 \x9b2J here", "C1 2J here"),
        ("evil \u202egnitirw\u2066", "evil gnitirw"),
        ("line\u2028para\u2029end", "line para end"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("family \U0001f468\u200d\U0001f469", "family \U0001f468\u200d\U0001f469"),
        ("Ein schöner Tag, 日本語, مرحبا", "Ein schöner Tag, 日本語, مرحبا"),
    ],
)
def test_printable_text_cannot_steer_a_terminal(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text(st.characters(), max_size=80))
def test_printable_text_is_one_line_without_controls_and_stays_as_it_is(text: str) -> None:
    clean = printable(text)
    assert clean == printable(clean)
    assert clean == clean.strip()
    for character in clean:
        assert character in "\u200c\u200d" or unicodedata.category(character)[0] != "C"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A cat [[volm 0]] sits.", "A cat sits."),
        ("open [[rate 1 and never closed", "open"),
        ("nested [[a [[b]] c]] end", "nested c end"),
        ("<speak><break time='9s'/>hi</speak>", "speak break time='9s'/ hi /speak"),
        ("[\u200b[volm 0]] zero width", "zero width"),
        ("It's 5 o'clock, isn't it?", "It's 5 o'clock, isn't it?"),
    ],
)
def test_speakable_text_carries_no_command_for_a_speech_engine(text: str, expected: str) -> None:
    assert speakable(text) == expected


@given(st.text(st.sampled_from("ab[]<> \x07\u200b\n|"), max_size=40))
def test_speakable_text_never_holds_a_bracket(text: str) -> None:
    assert not set(speakable(text)) & set("[]<>{}|")


@pytest.mark.parametrize(
    ("argument", "secrets"),
    [
        ("http://me:s3cret@host/v1", ["s3cret"]),
        ("me:s3cret@host", ["s3cret"]),
        ("rtsp://me:a%40b%3Acd@host", ["a%40b%3Acd", "a@b:cd"]),
        ("http://me:p/w:ord@host", ["p/w:ord"]),
        ("me:pw@host", [":pw@"]),
        ("http://host:8080/video", []),
        ("film.mp4", []),
    ],
)
def test_the_passwords_of_a_command_line_are_found(argument: str, secrets: list[str]) -> None:
    assert secrets_in(["--engine", argument]) == secrets
