"""What models generate becomes plain text and whole sentences, in pieces of whatever size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator.wording import Cleaner, Sentences, sentences_in


def said(text: str, size: int = 1000, cut: bool = False) -> list[str]:
    """The sentences of a text that comes in pieces of this many characters."""
    cleaner, sentences = Cleaner(), Sentences()
    found: list[str] = []
    for at in range(0, len(text), size):
        found += sentences.add(cleaner.add(text[at : at + size]))
        if sentences.looping:
            break
    return [*found, *sentences.add(cleaner.add("", ended=True)), *sentences.end(cut)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A can of Dr. Pepper on a table", ["A can of Dr. Pepper on a table"]),
        ("A man in a U.S.", ["A man in a U.S."]),
        ("There is a cat. It is on the sofa", ["There is a cat.", "It is on the sofa"]),
        ("1. A red circle\n2. A grey wall", ["1. A red circle", "2. A grey wall"]),
        (
            "A man in a U.S. Army uniform is at St. Mary's at 5 p.m. today. He waves.",
            ["A man in a U.S. Army uniform is at St. Mary's at 5 p.m. today.", "He waves."],
        ),
        (
            "J. R. R. Tolkien's book, e.g. on No. 5 vs. a lamp. It is 3.5 m wide.",
            ["J. R. R. Tolkien's book, e.g. on No. 5 vs. a lamp.", "It is 3.5 m wide."],
        ),
        ('He says "stop." Then he goes.', ['He says "stop."', "Then he goes."]),
        ("What? No! Wait... what is it?", ["What?", "No!", "Wait... what is it?"]),
        ("这是一只猫。它在沙发上。", ["这是一只猫。", "它在沙发上。"]),
        (" \n ", []),
    ],
)  # fmt: skip
def test_what_a_model_ended_by_itself_is_whole_and_cut_into_sentences(
    text: str, expected: list[str]
) -> None:
    for size in (1, 7, 1000):
        assert said(text, size) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Whole. And then it was cut o", ["Whole."]),
        ("Whole. And whole again.", ["Whole.", "And whole again."]),
        ("cut off before it was who", ["cut off before it was who"]),
        ("A list\n1. A ci", ["A list", "1. A ci"]),  # of which no sentence is whole
    ],
)
def test_only_what_the_limit_cut_loses_its_broken_rest(text: str, expected: list[str]) -> None:
    assert said(text, 3, cut=True) == expected


def test_a_sentence_is_handed_out_as_soon_as_the_next_one_begins() -> None:
    cleaner, sentences = Cleaner(), Sentences()
    found = [sentences.add(cleaner.add(piece)) for piece in ("A cat sits", ".", " A", " dog")]
    assert found == [[], [], ["A cat sits."], []]
    assert sentences_in("A cat. A dog.\nTwo ") == ["A cat. ", "A dog.\n", "Two "]
    assert sentences_in("A cat.\n") == ["A cat.\n", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A triangle triangle triangle triangle triangle.", ["A triangle"]),
        ("A cat. A red circle, a red circle, a RED circle and so on.", ["A cat."]),
        ("A red circle, a red circle, a RED circle and so on.", ["A red circle"]),
        ("Left, right; left - right / left right left", ["Left, right"]),
        ("A cat, a cat, a catalogue.", ["A cat, a cat, a catalogue."]),
        ("no no no", ["no"]),
    ],
)
def test_a_phrase_that_is_repeated_three_times_ends_it(text: str, expected: list[str]) -> None:
    for size in (1, 3, 100):
        assert said(text, size) == expected


THOUGHTS = [
    "<think>\nHmm, a dog.\n</think>\n\nA cat. It sits.",
    "<think></think>A cat. It sits.",
    "◁think▷A dog.◁/think▷A cat. It sits.",
    "[THINK]A dog.[/THINK] A cat. It sits.",
    "<|channel|>analysis<|message|>A dog.<|end|><|start|>assistant<|channel|>final<|message|>"
    "A cat. It sits.<|return|>",
    "<|channel>thought\nA dog.<channel|>A cat. It sits.",
    "A cat. <think>A dog.</think>It sits.",
]


@pytest.mark.parametrize("text", THOUGHTS)
def test_thoughts_are_not_said(text: str) -> None:
    for size in (1, 2, 5, 1000):
        assert said(text, size) == ["A cat.", "It sits."]


def test_a_model_that_only_thinks_is_known_for_it() -> None:
    for text in ("<think>" + "A dog. " * 99, "<think>A dog.</think>"):
        cleaner = Cleaner()
        assert "".join(cleaner.add(character) for character in text).strip() == ""
        assert cleaner.add("", ended=True).strip() == ""
        assert cleaner.thought


@pytest.mark.parametrize(
    "text",
    [
        "A cat.<end_of_utterance>", "A cat.<|im_end|>", "A cat.</s>", "A cat.<eos>", "<s>A cat.",
        "A cat.<end_of_turn>\n", "A cat.<|eot_id|>", "A cat.<\uff5cend\u2581of\u2581text\uff5c>",
        "<|im_start|>assistant\nA cat.<|im_end|>", "<image>A cat.", "[/INST] A cat.",
        "Assistant: A cat.", "Caption: A cat.", "**Caption:** A cat.", "ASSISTANT:  \nA cat.",
        "### Answer: A cat.", "A **cat**.", "A *cat*.", "_A cat_.", "__A__ `cat`.", "# A cat.",
        "- A cat.", "* A cat.", "> A cat.", "```\nA cat.\n```", "```text\nA cat.\n```",
        "---\nA cat.",
        "A [cat](https://example.com/c(a)t?x=1).", "![A cat.](data:image/png;base64,AAAA)",
        "<b>A</b> cat.<br>", "A ~~cat~~.", "A&nbsp;cat.", "***A cat.***", "| A | cat. |\n|---|---|",
    ],
)  # fmt: skip
def test_marks_of_models_and_markdown_become_plain_text(text: str) -> None:
    for size in (1, 2, 3, 1000):
        assert [" ".join(one.split()) for one in said(text, size)] == ["A cat."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://www.example.com/a/b?x=1. It is", "See example.com. It is"),
        ("At www.example.org/x, or <http://a.bc/d>", "At example.org, or a.bc"),
        ("5 * 6 is 30 and 5 < 6 and snake_case", "5 * 6 is 30 and 5 < 6 and snake_case"),
        ("A score of 3-2: #1 & more", "A score of 3-2: #1 & more"),
        ("A sign: [EXIT] (left)", "A sign: [EXIT] (left)"),
        ("The answer: it says Caption: no", "The answer: it says Caption: no"),
    ],
)
def test_what_is_no_markup_stays(text: str, expected: str) -> None:
    for size in (1, 2, 3, 1000):
        assert " ".join(said(text, size)) == expected


@given(st.text(st.sampled_from("aB. <>|*_`[]()/:!\n#-\\&;"), max_size=60))
def test_no_text_is_said_twice_or_made_up(text: str) -> None:
    letters = "".join(filter(str.isalpha, "".join(said(text, 1))))
    rest = iter(text)
    assert all(letter in rest for letter in letters)
