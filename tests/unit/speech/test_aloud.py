"""Figures as a person reads them aloud."""

from __future__ import annotations

import pytest

from narrator.speech.aloud import aloud


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It costs £3.50.", "It costs three pounds, fifty pence."),
        ("$0.99, €20 or £25.00", "ninety-nine cents, twenty euro or twenty-five pounds"),
        ("3/4 of it", "3 quarters of it"),
        ("1 1/2 cups", "1 and 1 half cups"),
        ("12 cm or 1 m.", "12 centimetres or 1 metre."),
        ("2.5kg at 60 km/h", "2.5 kilograms at 60 kilometres per hour"),
        ("from 2026-11-30 on", "from 30 November 2026 on"),
        ("30/11/2026, 11/30/2026", "30 November 2026, 30 November 2026"),
        ("on 30.11.2026", "on 30 November 2026"),
        ("10\u201320 people", "10 to 20 people"),
    ],
)  # fmt: skip
def test_figures_are_read_as_a_person_would(text: str, expected: str) -> None:
    assert aloud(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "3/12/2026", "24/7", "5/3", "192.168.0.1/2", "$1.2 million", "room 3B", "v1/2",
        "2026-13-40", "10-12 cm", "A cat.", "555-3/4", "Der Preis beträgt £3.50 pro Stück",
    ],
)  # fmt: skip
def test_what_may_mean_something_else_stays(text: str) -> None:
    assert aloud(text) == text
