"""Narrator and the loop that feeds it: order, honesty about times, faults that cost one frame.

The engine here is a stand-in whose pieces of text come when the test wants them; the real one is
in test_engine.py and test_program.py.
"""

from __future__ import annotations

import errno
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import pete_sounds
from pete_sounds import Captions, Ended, EngineError, Frame, Narrator, Watch

Describe = Callable[[Sequence[Frame], str], Iterator[str]]


class Engine:
    """Stand-in: describes with the function it is given."""

    def __init__(self, describe: Describe) -> None:
        self.describe = describe


class Voice:
    """Stand-in: writes down what it is asked to say."""

    def __init__(self, log: list[str] | None = None, busy_for: int = 0) -> None:
        self.log = [] if log is None else log
        self.busy_for = busy_for

    def say(self, sentence: str, caption: int) -> bool:
        self.log.append(f"said {sentence}")
        return True

    def quiet_in(self) -> float:
        self.busy_for -= 1
        return 5.0 if self.busy_for >= 0 else 0.0


class Frames:
    """Stand-in: as many frames as asked for, all different, none of them waited for."""

    def __init__(self, count: int, news: list[str] | None = None) -> None:
        self.left = count
        self.untold = news or []

    @property
    def ended(self) -> bool:
        return self.left == 0

    def newest(self, timeout: float) -> Frame:
        self.left -= 1
        return frame()

    def news(self) -> list[str]:
        news, self.untold = self.untold, []
        return news


def frame(age: float = 0.0) -> Frame:
    """A grey frame that was taken `age` seconds ago, 7.5 s into its source."""
    return Frame(np.full((48, 64, 3), 128, np.uint8), time.monotonic() - age, 7.5)


def narrator(describe: Describe, voice: Voice | None = None, as_json: bool = False) -> Narrator:
    engine: Any = Engine(describe)
    speaker: Any = voice
    return Narrator(engine, speaker, [Captions(as_json)], "What is there?")


def run_loop(
    describe: Describe,
    frames: int,
    voice: Voice | None = None,
    news: list[str] | None = None,
    **settings: Any,
) -> None:
    source: Any = Frames(frames, news)
    options = {"limit": None, "debug": False, **settings}
    Watch(source, narrator(describe, voice), always=True, **options).run()


def says(text: str) -> Describe:
    return lambda clip, prompt: iter([text])


def test_the_first_sentence_is_spoken_while_the_rest_is_still_generated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log: list[str] = []

    def describe(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        for piece in ("A cat sits. ", "A dog", " runs."):
            log.append(f"generated {piece}")
            yield piece

    narrator(describe, Voice(log)).narrate([frame()])
    assert log.index("said A cat sits.") < log.index("generated  runs.")
    assert log[-1] == "said A dog runs."
    assert capsys.readouterr().out == "A cat sits. A dog runs.\n"


def test_a_caption_as_json_tells_its_times_truly(capsys: pytest.CaptureFixture[str]) -> None:
    def describe(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        time.sleep(0.2)
        yield "One. "
        yield "Two"
        time.sleep(0.2)
        yield " more."

    narrator(describe, Voice(), as_json=True).narrate([frame(age=3)])
    facts = json.loads(capsys.readouterr().out)
    assert facts["caption"] == "One. Two more."
    assert facts["at"] == 7.5
    assert 0.2 <= facts["first_token_s"] < facts["caption_s"] - 0.15
    assert 3.2 <= facts["frame_age_s"] < 3.2 + 0.35
    assert facts["spoken"] is True
    taken = pete_sounds.datetime.fromisoformat(facts["time"])
    assert taken.tzinfo is not None
    assert 3.3 < pete_sounds.datetime.now().timestamp() - taken.timestamp() < 10


def test_without_a_voice_nothing_counts_as_spoken(capsys: pytest.CaptureFixture[str]) -> None:
    narrator(says("A cat."), None, as_json=True).narrate([frame()])
    assert json.loads(capsys.readouterr().out)["spoken"] is False


def test_a_caption_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    narrator(says("A \x1b[2Jred\n\x07 cat\u202e.")).narrate([frame()])
    assert capsys.readouterr().out == "A [2Jred\ncat.\n".replace("\n", " ", 1)


def test_the_prompt_reaches_the_engine() -> None:
    asked = []

    def describe(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        asked.append(prompt)
        return iter(["A cat."])

    narrator(describe).narrate([frame()])
    assert asked == ["What is there?"]


def test_a_fault_costs_its_frame_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    answers: list[str | ValueError] = [ValueError("broken\nframe"), "A cat.", "", "A dog."]

    def describe(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return iter([answer])

    run_loop(describe, frames=4)
    captured = capsys.readouterr()
    assert captured.out == "A cat.\nA dog.\n"
    assert "ValueError: broken" in captured.err.splitlines()[0]
    assert "nothing to say" in captured.err.splitlines()[1]


def failing(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
    raise RuntimeError("out of memory")


def test_faults_in_a_row_end_the_program_as_the_engines_fault() -> None:
    with pytest.raises(EngineError, match=r"3 frames in a row.*out of memory"):
        run_loop(failing, frames=10)


def test_a_fault_on_the_only_frame_is_no_silent_success() -> None:
    with pytest.raises(EngineError, match="out of memory"):
        run_loop(failing, frames=1)


def test_the_limit_ends_the_loop(capsys: pytest.CaptureFixture[str]) -> None:
    run_loop(says("A cat."), frames=10, limit=3)
    assert capsys.readouterr().out.count("A cat.") == 3


def test_no_caption_is_made_while_the_voice_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    voice = Voice(busy_for=5)
    run_loop(says("A cat."), frames=7, voice=voice)
    assert capsys.readouterr().out == "A cat.\n" * 2


def test_news_of_the_source_is_told_and_spoken(capsys: pytest.CaptureFixture[str]) -> None:
    voice = Voice()
    run_loop(says("A cat."), frames=2, voice=voice, news=["The camera is gone.", "It is back."])
    assert voice.log == ["said The camera is gone.", "said It is back.", "said A cat."]
    captured = capsys.readouterr()
    assert captured.err == "pete_sounds: The camera is gone.\npete_sounds: It is back.\n"
    assert captured.out == "A cat.\n" * 2


def test_a_closed_stdout_ends_the_narration(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*arguments: object, **settings: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("builtins.print", closed)
    with pytest.raises(Ended):
        narrator(says("A cat.")).narrate([frame()])


# -- repeats


def spoken_of(texts: list[str], wait: float = 0.0, **settings: Any) -> list[str]:
    """What is spoken of captions that say these texts, one after the other."""
    log: list[str] = []
    told = narrator(lambda clip, prompt: iter([texts.pop(0)]), Voice(log))
    for name, value in settings.items():
        setattr(told, name, value)
    while texts:
        told.narrate([frame()])
        time.sleep(wait)
    return [line.removeprefix("said ") for line in log]


def test_what_the_last_caption_said_is_printed_but_not_spoken_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert spoken_of(["A cat sits.", "A cat sits!", "A dog.", "a cat  sits"]) == [
        "A cat sits.", "A dog.", "a cat sits",
    ]  # fmt: skip
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_of_a_caption_that_repeats_a_part_the_new_part_is_spoken() -> None:
    assert spoken_of(["A cat. It sleeps.", "A cat. It wakes."]) == [
        "A cat.", "It sleeps.", "It wakes.",
    ]  # fmt: skip


def test_after_a_long_silence_it_is_spoken_again() -> None:
    assert spoken_of(["A cat.", "A cat."], wait=0.05, REPEAT_AFTER_S=0.04) == ["A cat.", "A cat."]


def test_a_repeat_is_marked_as_not_spoken(capsys: pytest.CaptureFixture[str]) -> None:
    told = narrator(says("A cat."), Voice(), as_json=True)
    for _ in range(2):
        told.narrate([frame()])
    facts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [fact["spoken"] for fact in facts] == [True, False]


def test_after_an_announcement_the_view_is_worth_a_word_again() -> None:
    log: list[str] = []
    told = narrator(says("A cat."), Voice(log))
    told.narrate([frame()])
    told.announce("The camera is back.")
    told.narrate([frame()])
    assert log == ["said A cat.", "said The camera is back.", "said A cat."]


def test_a_model_that_goes_round_in_circles_is_stopped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pieces = (f"{word} " for word in itertools.cycle(["A cat.", "It sits."]))
    narrator(lambda clip, prompt: pieces).narrate([frame()])
    assert capsys.readouterr().out == "A cat. It sits.\n"


# -- the next caption, while the voice speaks


class TimedVoice(Voice):
    """Stand-in: says how long it goes on speaking."""

    def __init__(self, quiet_in: float) -> None:
        super().__init__()
        self.left = quiet_in

    def quiet_in(self) -> float:
        return self.left


def test_the_next_caption_starts_so_early_that_it_is_ready_when_the_voice_falls_silent() -> None:
    def slowly(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        time.sleep(0.2)
        yield "A cat."

    voice = TimedVoice(0.0)
    told = narrator(slowly, voice)
    told.narrate([frame()])
    voice.left = 1.0
    assert told.busy
    voice.left = 0.15
    assert not told.busy
