"""What it watches for: when there is an alert, when it looks, and what it says about that."""

from __future__ import annotations

import pytest

from narrator.conditions import IN_VIEW, LOOK_EVERY_S, OUT_OF_VIEW, Condition, Conditions
from narrator.settings import MAX_CONDITION_LENGTH, MAX_CONDITIONS

BETWEEN = (IN_VIEW + OUT_OF_VIEW) / 2


@pytest.mark.parametrize(
    ("looks", "told_at"),
    [
        ([IN_VIEW, IN_VIEW], [2]),
        ([1.0, 0.0, 1.0, 1.0], [4]),
        ([1.0, BETWEEN, 1.0, None, 1.0], []),
        ([1.0] * 20, [2]),
        ([1.0, 1.0, OUT_OF_VIEW, OUT_OF_VIEW, 1.0, 1.0], [2, 6]),
        ([1.0, 1.0, 0.0, 1.0, 1.0, 1.0], [2]),  # one that denies it
        ([1.0, 1.0, BETWEEN, None, BETWEEN, 1.0, 1.0], [2]),
        ([1.0, 1.0, 0.0, None, 0.0, 1.0, 1.0], [2]),
    ],
)
def test_it_is_told_after_two_looks_that_agree_and_again_after_two_that_deny_it(
    looks: list[float | None], told_at: list[int]
) -> None:
    condition = Condition("a cat")
    assert [at for at, look in enumerate(looks, 1) if condition.look(look, float(at))] == told_at


def test_a_thing_and_a_sentence_are_asked_for_each_in_its_way() -> None:
    assert Condition("a red circle").question == "Is there a red circle? Answer yes or no."
    assert Condition("somebody at the door").question.startswith("Is there somebody at the door?")
    assert Condition("somebody is at the door").question == (
        "Is it true that somebody is at the door? Answer yes or no."
    )


def test_it_is_looked_for_when_the_scene_changed_and_every_few_seconds() -> None:
    waiting = Conditions(["a cat"])
    assert waiting.due(changed=False, now=10.0)
    waiting.look([0.0], 10.0)
    assert not waiting.due(changed=False, now=10.1)
    assert waiting.due(changed=True, now=10.1)
    assert waiting.due(changed=False, now=10.0 + LOOK_EVERY_S)
    assert waiting.due(changed=False, now=2.0)  # a clip begins anew


def test_a_look_that_found_something_is_followed_by_another_at_once() -> None:
    waiting = Conditions(["a cat", "a dog"])
    assert waiting.look([0.0, 1.0], 10.0) == []
    assert waiting.summary(130.0) == "Watching for: a cat, not seen yet; a dog, seen 2 minutes ago."
    assert waiting.due(changed=False, now=10.1)
    [(alert, probability)] = waiting.look([0.0, 0.9], 10.1)
    assert (alert.text, probability) == ("a dog", 0.9)
    assert not waiting.due(changed=False, now=10.2)
    waiting.look([0.0, 0.0], 10.2)  # the first that denies it
    assert waiting.due(changed=False, now=10.3)


def test_what_it_watches_for_is_bounded_and_each_once() -> None:
    waiting = Conditions(["a cat", "A cat!"])
    assert len(waiting.all) == 1
    assert "Already" in waiting.add("a  cat")
    assert "too long" in waiting.add("a" * (MAX_CONDITION_LENGTH + 1))
    told = [waiting.add(f"number {number}") for number in range(50)]
    assert len(waiting.all) == MAX_CONDITIONS
    assert told[0].startswith("Watching for: number 0.")
    assert told[-1].startswith(f"I can watch for {MAX_CONDITIONS} things at most")
