"""What is typed and what it does, where it needs no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from narrator.commands import BY_NAME, MORE_PROMPT, TYPED, Request
from narrator.frames.frame import Frame
from narrator.typed import command_of
from support.stand_ins import FrameSource, Loop, a_frame


def echo(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
    yield prompt


def asked_by(*lines: str) -> list[Request]:
    """What the model is asked when these lines are typed."""
    return list(Loop(echo, FrameSource(9), *lines).commands.requests())


def said_after(*lines: str, loop: Loop | None = None) -> list[str]:
    """What is said when these lines are typed."""
    loop = loop or Loop(echo, FrameSource(9))
    loop.typed.lines += lines
    loop.commands.check()
    return loop.speaker.said


@pytest.mark.parametrize(
    ("line", "name"),
    [(" MORE? ", "more"), ("Mute.", "quiet"), ("resume", "go on"), ("?", "help")],
)
def test_a_command_is_one_in_any_letters_and_under_the_names_that_people_give_it(
    line: str, name: str
) -> None:
    assert BY_NAME[command_of(line)] is BY_NAME[name]
    assert asked_by(line) == ([Request(MORE_PROMPT, detail=True)] if name == "more" else [])


@pytest.mark.parametrize(
    "line",
    ["Who", "Where is the door", "more people?", "When is it full?", "Tell me what you see"],
)
def test_anything_else_is_a_question_though_it_begins_as_a_command_does(line: str) -> None:
    assert asked_by("", line) == [Request(), Request(line)]


def test_the_same_question_waits_once_and_not_too_many_wait() -> None:
    assert asked_by(*["Who is it"] * 5) == [Request("Who is it")]
    assert len(asked_by(*[f"Is it number {n}" for n in range(40)])) == 8


@pytest.mark.parametrize("line", ["moer", "what did I mis"])
def test_a_near_miss_is_asked_back_and_is_a_question_when_it_is_typed_again(line: str) -> None:
    assert said_after(line)[0].startswith("Did you mean ")
    assert asked_by(line) == []
    assert asked_by(line, line) == [Request(line)]


def test_quiet_goes_on_in_text_and_speak_ends_it() -> None:
    loop = Loop(echo, FrameSource(6), "quiet").run()
    assert loop.speaker.said == ["(hush)"]  # and not a word
    assert len(loop.output.texts) > 3
    said = Loop(echo, FrameSource(6), "quiet", "Speak!", "quiet.", "SPEAK").run().speaker.said
    assert said[:4] == ["(hush)", "The voice is on.", "(hush)", "The voice is on."]


def test_a_pause_lets_questions_wait_and_go_on_answers_them() -> None:
    loop = Loop(echo, FrameSource(9))
    assert said_after("pause", "Who is it", loop=loop) == [
        "Paused.", "Paused. I'll answer after you type go on.",
    ]  # fmt: skip
    assert loop.commands.paused
    assert loop.source.paused
    assert not loop.commands.asked
    left = loop.source.left
    assert loop.captioner.next_frame() is None
    assert loop.source.left == left
    said_after("go on", loop=loop)
    assert loop.speaker.said[-1] == "Going on."
    assert not loop.source.paused
    assert list(loop.commands.requests()) == [Request("Who is it")]


def test_when_with_words_behind_it_watches_for_them_and_forget_drops_them() -> None:
    loop = Loop(echo, FrameSource(9))
    assert said_after("when A red <circle>.", "When somebody is there", "when", loop=loop) == [
        "Watching for: A red circle. I'll say nothing else until you type forget.",
        "Watching for: somebody is there. I'll say nothing else until you type forget.",
        "Watching for: A red circle, not seen yet; somebody is there, not seen yet.",
    ]
    assert said_after("forget", "when?", loop=loop)[3:] == [
        "Alerts cleared. Describing changes again.", "Not watching for anything.",
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["Tell me when there's a dog.", "WHEN a dog"])
def test_an_alert_can_be_asked_for_as_people_say_it(line: str) -> None:
    assert said_after(line) == ["Watching for: a dog. I'll say nothing else until you type forget."]
    assert asked_by(line) == []


def test_read_asks_for_the_text_and_sure_of_a_text_for_it_once_more() -> None:
    assert asked_by("Read.") == [Request("read", read=True)]
    loop = Loop(echo, FrameSource(9), "sure")
    with loop.narrator.caption(a_frame(), "read", asked=True) as caption:
        caption.read("Exit.")
    assert list(loop.commands.requests()) == [Request("read", read=True)]


def test_help_is_a_line_a_command_on_the_screen_and_the_most_used_are_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", "narrator"):
        (said,) = said_after("?")
    listed = [record.getMessage() for record in caplog.records]
    assert len(listed) == 1 + len(TYPED)
    assert all(len(f"pete_sounds: {line}") <= 80 for line in listed)
    for command, line in zip(TYPED, listed[1:]):
        assert line.startswith(", ".join(command.names) + ": ")
    assert all(name in said for name in ("Enter", "More", "Again", "Hush", "Q:"))
    assert len(said.split()) < 40


def test_status_says_what_it_is_doing() -> None:
    loop = Loop(echo, FrameSource(9))
    loop.turn()
    assert said_after("status", loop=loop)[-1] == (
        "Describing changes. The voice is on. 1 caption so far."
    )
    loop.speaker.trouble = "no sound: no sound device was found"
    assert "The voice is on, but there is no sound: no" in said_after("status", loop=loop)[-1]
    loop.source.lost = True
    assert "Waiting for the source to come back." in said_after("status", loop=loop)[-1]
