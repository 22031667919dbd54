"""Repeats: what was said in the last minute, however it was worded."""

from __future__ import annotations

import pytest

from narrator.repeats import Repeats, are_alike

WALKS = "A man walks across the road."


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (WALKS, "a man walks across the road"),
        (WALKS, "The man is walking across a road."),
        ("Two people are sitting on a bench.", "Two people sit on the bench."),
        ("A boy rides a bike.", "There is a boy riding a bike."),
        ("A girl is running.", "A girl runs."),
        ("他在路上走。", "他在路上走"),
    ],
)
def test_nearly_the_same_words_are_alike(one: str, other: str) -> None:
    assert are_alike(one, other)
    assert are_alike(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A red circle on the left.", "A red circle on the right."),
        ("A dog is on the sofa.", "Dogs are on the sofa."),
        ("Two people.", "Three people."),
        ("A dog bites a man.", "A man bites a dog."),
        ("A man walks.", "A man walks a dog."),
        ("There is a king.", "There is a ring."),
        ("It is.", "It was."),
        ("The door is open.", "The door is not open."),
    ],
)
def test_what_differs_in_what_it_says_is_not_alike(one: str, other: str) -> None:
    assert not are_alike(one, other)
    assert not are_alike(other, one)


def test_what_counts_as_a_repeat_while_a_scene_rests_and_while_it_moves() -> None:
    repeats = Repeats(after_s=60.0)
    for second, caption in enumerate(["A red car.", "Nobody is there.", WALKS]):
        repeats.spoken(caption, float(second))
        repeats.described([caption])
    assert repeats.is_repeat(WALKS, 3.0)
    assert not repeats.is_repeat("A red car.", 3.0)  # is again as it was, and rests: that is news
    repeats.described(["A man is walking across the road."])  # and was not said again
    assert repeats.is_repeat(WALKS, 3.0)
    repeats.moving = True
    assert repeats.is_repeat("A red car.", 59.0)
    assert not repeats.is_repeat("A woman walks across the road.", 59.0)
    assert not repeats.is_repeat("A red car.", 61.0)
    repeats.moving = False
    assert not repeats.is_repeat(WALKS, 63.0)
    repeats.forget()
    assert not repeats.is_repeat(WALKS, 3.0)
