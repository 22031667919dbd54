"""The loop and the captioner: a fault costs one frame, an engine that is away is tried again, and
what is asked comes first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from narrator.backoff import Backoff
from narrator.captioning import MORE_TOKENS
from narrator.commands import MORE_PROMPT
from narrator.errors import EngineError, EngineUnavailable, StopRequested
from narrator.frames.frame import Frame
from narrator.speech.sounds import Sound
from support.stand_ins import Describe, FrameSource, Loop, OutputLog, SpeakerLog


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is told to the user."""
    with caplog.at_level("INFO", "narrator"):
        yield caplog


def says(text: str) -> Describe:
    return lambda clip, prompt: iter([text])


def echo(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
    """Says what it was asked."""
    yield prompt if prompt.endswith((".", "?")) else f"{prompt}."


def failing(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
    raise RuntimeError("the device is lost")


def test_a_fault_costs_its_frame_and_is_told(logged: pytest.LogCaptureFixture) -> None:
    answers: list[str | ValueError] = [ValueError("broken\nframe"), "A cat.", "", "A dog."]

    def describe(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return iter([answer])

    loop = Loop(describe, FrameSource(4)).run()
    assert loop.output.texts == ["A cat.", "A dog."]
    assert [record.getMessage() for record in logged.records] == [
        "a frame could not be described: broken",
        "a frame could not be described: the model had nothing to say",
    ]


def test_faults_in_a_row_end_the_program_as_the_engines_fault() -> None:
    with pytest.raises(EngineError, match=r"3 frames in a row.*the device is lost"):
        Loop(failing, FrameSource(10)).run()
    with pytest.raises(EngineError, match="the device is lost"):  # no silent success
        Loop(failing, FrameSource(1)).run()


@pytest.mark.parametrize(
    ("settings", "captions"),
    [({}, 7), ({"every": 3600}, 1), ({"limit": 3}, 3), ({"speaker": SpeakerLog(busy_for=5)}, 2)],
)
def test_the_options_and_the_voice_space_and_bound_captions(
    settings: dict[str, Any], captions: int
) -> None:
    assert len(Loop(says("A cat."), FrameSource(7), **settings).run().output.texts) == captions


def test_what_the_source_has_to_tell_is_told_and_spoken(logged: pytest.LogCaptureFixture) -> None:
    source = FrameSource(4, messages={3: "The camera is gone.", 2: "The camera is back."})
    loop = Loop(says("A cat."), source, "Who is it").run()
    messages = ["The camera is gone.", "The camera is back."]
    assert loop.speaker.said == [
        *messages, "No picture right now.", "A cat.",
    ]  # fmt: skip
    assert [record.getMessage() for record in logged.records if "camera" in record.msg] == messages


# -- an engine that is away


def test_an_engine_that_is_away_is_told_once_waited_for_and_told_to_be_back() -> None:
    tries = [0]

    def describe(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        tries[0] += 1
        if tries[0] in (2, 3, 4):
            raise EngineUnavailable("does not answer", "it is down")
        yield "A cat."

    speaker, waits = SpeakerLog(), []
    loop = Loop(describe, FrameSource(20), speaker=speaker, backoff=Backoff([0.0]))
    for _ in range(4):  # At the second and the third turn, and when it is asked, it is away.
        loop.turn()
        loop.captioner.next_frame()
        waits.append(speaker.looked_for)
        if len(waits) == 2:
            loop.answer("Who is it")
    assert waits == [False, True, True, False]
    assert speaker.sounds == [Sound.TROUBLE, Sound.ANSWER]
    assert speaker.said == [
        "A cat.", "The server does not answer; trying again.",
        "I can't answer that: the server does not answer.", "A cat.", "The server is back.",
    ]  # fmt: skip


def test_a_film_whose_server_went_away_notices_that_nobody_reads_stdout() -> None:
    class Read(OutputLog):
        away = False

        def show(self, frame: Frame | None) -> None:
            if self.away:
                raise StopRequested

    output = Read()

    def away(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        output.away = True
        raise EngineUnavailable("does not answer", "it is down")

    source = FrameSource(9)
    source.is_film = True
    with pytest.raises(StopRequested):
        Loop(away, source, outputs=[output], backoff=Backoff([30.0])).run()


# -- what is asked about what was said


def test_sure_compares_a_closer_look_with_what_was_said() -> None:
    def describe(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        return iter(["A black cat sleeps." if prompt == MORE_PROMPT else "A black cat."])

    loop = Loop(describe, FrameSource(9))
    loop.turn()
    loop.answer("sure")
    assert loop.speaker.said[1:] == ["Yes, a second look agrees: A black cat sleeps."]
    first, second = loop.engine.asked
    assert (first.prompt, second.prompt) == ("Usual", MORE_PROMPT)
    assert first.clip[-1].image.shape[:2] == (384, 512)
    assert second.clip[-1].image.shape[:2] == (336, 448)
    assert loop.output.texts == ["A black cat."]  # what was said last is still that
    loop.answer("Who is it", "sure")
    assert [query.prompt for query in loop.engine.asked[2:]] == ["Who is it?"] * 2


def test_a_question_is_a_sentence_and_one_that_begins_with_and_carries_the_one_before() -> None:
    loop = Loop(lambda clip, prompt: iter([prompt.upper()]), FrameSource(9))
    loop.answer("what is on the left", "And is it <large>?", "Why?", "Android?", "more")
    first = ("What is on the left?", "WHAT IS ON THE LEFT?")
    assert [(query.prompt, query.before) for query in loop.engine.asked] == [
        ("What is on the left?", None), ("And is it  large ?", first), ("Why?", None),
        ("Android?", None), (MORE_PROMPT, None),
    ]  # fmt: skip
    assert loop.output.captions[0].question == "what is on the left"


# -- what it watches for


def watching(likely: list[float], *lines: str, **settings: Any) -> Loop:
    """A loop that watches for a red cat, and finds it so likely, a frame a time."""
    source = FrameSource(len(likely))
    loop = Loop(says("A red cat on a mat."), source, *lines, **settings)
    loop.engine.likely = lambda question: likely[len(likely) - 1 - source.left]
    loop.commands.conditions.add("a red cat")
    return loop


def test_nothing_is_said_until_what_is_waited_for_was_seen_twice() -> None:
    loop = watching([0.0, 0.0, 1.0, 0.9, 1.0, 1.0, 0.0, 0.0]).run()
    assert loop.speaker.said == ["A red cat.", "A red cat on a mat."]
    assert watching([1.0]).run().output.texts == ["A red cat on a mat."]  # the only frame
    [caption] = loop.output.captions
    assert caption.alert == ("a red cat", 0.9)
    assert caption.line == "A red cat: A red cat on a mat."
    assert loop.speaker.sounds.count(Sound.ALERT) == 1
    assert loop.narrator.history.latest == caption.line


def test_an_alert_is_not_held_back_by_the_voice_and_counts_for_the_limit() -> None:
    loop = watching([1.0] * 9, speaker=SpeakerLog(busy_for=99), limit=1).run()
    assert loop.output.texts == ["A red cat on a mat."]
    assert loop.source.left > 0


def test_a_question_does_not_take_an_alert_back() -> None:
    later = ["Who is it"]
    loop = watching([1.0] * 3)

    def describe(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        loop.typed.lines += later
        later.clear()
        yield from ("A red cat", " on a mat.")

    loop.engine.saying = describe
    loop.run()
    assert loop.output.captions[0].alert is not None
    assert loop.output.captions[1].question == "Who is it"


# -- what is asked


def test_a_question_interrupts_the_caption_in_the_making_but_no_answer() -> None:
    later = ["Who is it", "Where is it"]

    def describe(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        for piece in (prompt, " "):
            yield piece
            if later:
                loop.typed.lines.append(later.pop(0))

    loop = Loop(describe, FrameSource(5))
    loop.run()
    assert loop.speaker.said[:2] == ["Who is it?", "Where is it?"]


def test_the_only_frame_is_described_whatever_is_asked_meanwhile() -> None:
    loop = Loop(echo, FrameSource(1), "Who is it").run()
    assert loop.output.texts == ["Usual.", "Who is it?"]


def test_more_looks_closely_once() -> None:
    loop = Loop(echo, FrameSource(5), "more").run()
    assert loop.speaker.said[:3] == ["Looking closely.", MORE_PROMPT, "Usual."]
    asked = [(query.prompt, query.max_tokens, query.detail) for query in loop.engine.asked]
    assert (MORE_PROMPT, MORE_TOKENS, True) in asked
    assert asked[-1] == ("Usual", 10, False)
    assert loop.speaker.sounds == []


def test_in_the_dark_no_answer_is_made_up_and_nothing_looked_for() -> None:
    loop = Loop(echo, FrameSource(9, dark=True), "Who is it")
    loop.engine.likely = lambda question: 1.0
    loop.commands.conditions.add("a cat")
    loop.run()
    assert loop.output.texts == []
    assert set(loop.speaker.said) == {"It is too dark to see."}


def test_questions_that_fail_do_not_end_it() -> None:
    def fails(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        if prompt != "Usual":
            raise ValueError("too hard")
        yield "A cat."

    loop = Loop(fails, FrameSource(9), *"1234").run()
    assert loop.speaker.said[:4] == ["I can't answer that: too hard"] * 4
    assert loop.speaker.said[4] == "A cat."
    assert loop.speaker.sounds[:2] == [Sound.ANSWER, Sound.TROUBLE]


def test_an_old_picture_is_not_answered_from_while_a_new_one_may_come() -> None:
    class Slow(FrameSource):
        def newest(self, timeout: float) -> Frame | None:
            frame = super().newest(timeout)
            assert frame is not None
            if self.left == 8:
                return Frame(frame.image, time.monotonic() - 3.0, 1.0)
            return Frame(frame.image, time.monotonic(), 2.0) if self.left < 5 else None

    ages: list[float] = []
    later = ["Who is it"]

    def describe(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        ages.append(time.monotonic() - clip[-1].taken)
        yield "A cat."

    def then() -> None:
        loop.typed.lines += later
        later.clear()

    loop = Loop(describe, Slow(9), then=then)
    loop.run()
    assert ages[0] > 2.9  # the caption
    assert ages[1] < 1.0


# -- what is heard beside the words


def test_a_lost_source_is_trouble_and_a_wait_but_not_in_a_pause() -> None:
    source = FrameSource(9, messages={8: "The camera is gone.", 7: "The camera is back."})
    loop = Loop(says("A cat."), source)
    source.lost = True
    loop.captioner.next_frame()
    assert (loop.speaker.sounds, loop.speaker.looked_for) == ([Sound.TROUBLE], True)
    loop.commands.pause(True)
    loop.captioner.next_frame()
    assert not loop.speaker.looked_for
    loop.commands.pause(False)
    source.lost = False
    loop.captioner.next_frame()
    assert (loop.speaker.sounds, loop.speaker.looked_for) == ([Sound.TROUBLE], False)
