"""Repeats: what was said in the last minute, however it was worded."""

from __future__ import annotations

import pytest

from narrator.repeats import Repeats, are_alike

WALKS = "A man walks across the road."


def after(*captions: str) -> Repeats:
    """What is known after these captions, one a second."""
    repeats = Repeats(after_s=60.0)
    for second, caption in enumerate(captions):
        repeats.spoken(caption, float(second))
        repeats.described([caption])
    return repeats


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (WALKS, "a man walks across the road"),
        (WALKS, "The man is walking across a road."),
        ("Two people are sitting on a bench.", "Two people sit on the bench."),
        ("A boy rides a bike.", "There is a boy riding a bike."),
        ("A girl is running.", "A girl runs."),
        ("The boat passes.", "The boat is passing."),
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
        ("A man walks across the road.", "A woman walks across the road."),
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


def test_while_a_scene_moves_nothing_of_the_last_minute_is_said_again() -> None:
    repeats = after(WALKS, "A red car.", "Nobody is there.")
    repeats.moving = True
    assert repeats.is_repeat("A man is walking across the road.", 59.0)
    assert not repeats.is_repeat("A woman walks across the road.", 59.0)
    assert not repeats.is_repeat(WALKS, 60.5)


def test_a_scene_that_is_again_as_it_was_is_news_once_it_rests() -> None:
    repeats = after("The door is open.", "The door is closed.")
    assert not repeats.is_repeat("The door is open.", 3.0)
    assert repeats.is_repeat("The door is closed.", 3.0)


def test_what_was_not_said_again_is_still_the_last_caption() -> None:
    repeats = after(WALKS)
    repeats.described(["A man is walking across the road."])
    assert repeats.is_repeat(WALKS, 2.0)
    assert not repeats.is_repeat(WALKS, 61.0)


def test_after_forgetting_everything_is_worth_a_word() -> None:
    repeats = after(WALKS)
    repeats.forget()
    assert not repeats.is_repeat(WALKS, 1.0)
