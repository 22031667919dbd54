"""How sure a sentence is, what a second look makes of it, and how two looks are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from narrator.doubt import CANT_TELL, Sentence, compared, named, perhaps, rated, weighed
from narrator.engines.engine import Piece

RED = "A red circle on the left."


def rated_of(*pieces: tuple[str, float | None]) -> list[Sentence]:
    return list(rated(Piece(*piece) for piece in pieces))


def test_a_sentence_is_as_sure_as_its_least_likely_word_that_names_something() -> None:
    assert rated_of(
        ("A", 0.3), (" red", 0.9), (" cir", 0.8), ("cle", 0.5), (" on", 0.2), (" the", 0.9),
        (" left", 0.7), (".", 0.1), (" A", 0.1), (" dog", 0.6), (".", 0.9),
    ) == [
        Sentence("A red circle on the left.", 0.8 * 0.5),  # circle has two tokens
        Sentence("A dog.", 0.6),
    ]  # fmt: skip


def test_a_character_that_takes_several_tokens_has_the_probability_of_all() -> None:
    [sentence] = rated_of(("A", 0.9), (" ", 1.0), ("", 0.5), ("\U0001f408", 0.5), (".", 1.0))
    assert sentence.confidence == 0.9  # an emoji is no word
    [sentence] = rated_of(("", 0.5), ("\u732b", 0.5))
    assert sentence.confidence == 0.25


def test_a_sentence_that_names_nothing_is_as_sure_as_its_words() -> None:
    assert rated_of(("It", 0.8), (" is", 0.6), (".", 1.0)) == [Sentence("It is.", 0.6)]
    assert rated_of(("...", 0.5)) == [Sentence("...", 1.0)]


def test_an_engine_that_can_not_tell_leaves_the_confidence_open() -> None:
    assert rated_of(("A", None), (" cat.", None)) == [Sentence("A cat.", None)]


def test_a_sure_sentence_is_handed_on_before_the_next_piece_is_asked_for() -> None:
    asked = []

    def pieces() -> Iterator[Piece]:
        for text in ("One cat.", " Two", " dogs."):
            asked.append(text)
            yield Piece(text, 0.99)

    sentences = weighed(rated(pieces()), never)
    assert next(sentences).text == "One cat."
    assert asked == ["One cat.", " Two"]


def never() -> str:
    raise AssertionError("it was asked again")


def again(text: str) -> Callable[[], str]:
    """A second look that says this, and may be had once."""
    answers = [text]
    return lambda: answers.pop()


def weighed_of(
    confidence: float | None, look_again: Callable[[], str] | None, text: str = RED
) -> list[tuple[str, bool]]:
    said = weighed([Sentence(text, confidence)], look_again, sure=0.9, unsure=0.4)
    return [(sentence.text, sentence.hedged) for sentence in said]


@pytest.mark.parametrize("confidence", [0.9, 1.0, None])
def test_what_is_sure_or_can_not_be_told_is_not_asked_again(confidence: float | None) -> None:
    assert weighed_of(confidence, never) == [(RED, False)]


def test_doubt_alone_hedges_nothing() -> None:
    assert weighed_of(0.5, again("On the left there is a large red circle.")) == [(RED, False)]
    assert weighed_of(0.5, None) == [(RED, False)]


def test_what_is_unlikely_is_hedged_even_where_a_second_look_agrees() -> None:
    assert weighed_of(0.39, again(RED)) == [("Perhaps a red circle on the left.", True)]
    assert weighed_of(0.41, again(RED)) == [(RED, False)]
    assert weighed_of(0.39, again("Perhaps."), "It is.") == [("Perhaps it is.", True)]
    assert weighed_of(0.39, again("A blue star.")) == [(CANT_TELL, True)]


def test_what_a_second_look_names_otherwise_is_hedged() -> None:
    hedged = [("Perhaps a red circle on the left.", True)]
    assert weighed_of(0.5, again("A blue circle on the left.")) == hedged
    assert weighed_of(0.5, again("A red circle.")) == hedged


def test_two_looks_with_nothing_in_common_tell_nothing() -> None:
    assert weighed_of(0.5, again("A green star at the top.")) == [(CANT_TELL, True)]


def test_from_a_doubtful_sentence_on_all_wait_for_one_second_look() -> None:
    said = [Sentence("A dog.", 1.0), Sentence("A cat.", 0.5), Sentence("A cow.", 1.0)]
    assert [one.text for one in weighed(said, again("A dog and a cow."), sure=0.9)] == [
        "A dog.", CANT_TELL, "A cow.",
    ]  # fmt: skip


def test_yes_against_no_is_nothing_in_common() -> None:
    assert weighed_of(0.5, again("No."), "Yes.") == [(CANT_TELL, True)]


@pytest.mark.parametrize(
    ("text", "hedged"),
    [
        ("A cat.", "Perhaps a cat."),
        ("I see a cat.", "Perhaps I see a cat."),
        ("TV sets.", "Perhaps TV sets."),
        ("\u00c9toile.", "Perhaps \u00e9toile."),
        ("2 cats.", "Perhaps 2 cats."),
    ],
)
def test_a_hedged_sentence_goes_on_in_small_letters(text: str, hedged: str) -> None:
    assert perhaps(text) == hedged


def test_what_is_named_are_the_words_that_matter() -> None:
    assert named("There is a Red circle, in the image, and a red star.") == [
        "red", "circle", "star",
    ]  # fmt: skip
    assert named("No dog.") == ["no", "dog"]


def test_two_looks_are_compared_by_what_they_name() -> None:
    assert compared(RED, "On the left is a red circle. The wall is grey.") == (
        "Yes: a second look names the same, red, circle, left."
    )
    assert compared("Perhaps a red circle.", "A blue circle.") == (
        "Not quite: both looks name circle; only the first one red. This time: A blue circle."
    )
    assert compared("A cat.", "A dog.") == (
        "No: nothing agrees; only the first one cat. This time: A dog."
    )
