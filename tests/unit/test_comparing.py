"""What two descriptions agree on."""

from __future__ import annotations

from narrator.comparing import compared, named

RED = "A red circle on the left."


def test_what_is_named_are_the_words_that_matter() -> None:
    assert named("There is a Red circle, in the image, and a red star.") == [
        "red", "circle", "star",
    ]  # fmt: skip
    assert named("No dog.") == ["no", "dog"]


def test_two_descriptions_are_compared_by_what_they_name() -> None:
    assert compared(RED, "On the left is a red circle. The wall is grey.") == (
        "Yes, a second look agrees: On the left is a red circle. The wall is grey."
    )
    assert compared("A red circle.", "A blue circle.") == (
        "Not quite: both looks name circle, but only the first red. Now: A blue circle."
    )
    assert compared("A cat.", "A dog.") == "No, a second look differs: A dog."
