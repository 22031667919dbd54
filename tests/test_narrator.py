"""Narrator and the loop that feeds it: order, honesty about times, faults that cost one frame.

The engine here is a stand-in whose pieces of text come when the test wants them; the real one is
in test_engine.py and test_program.py.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pete_sounds
from pete_sounds import Captions, Ended, EngineError, Frame, Narrator, SceneGate, Sight, watch

Describe = Callable[[np.ndarray, str], Iterator[str]]


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

    @property
    def busy(self) -> bool:
        self.busy_for -= 1
        return self.busy_for >= 0


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
    return Narrator(engine, speaker, Captions(as_json), "What is there?")


def run_loop(
    describe: Describe,
    frames: int,
    voice: Voice | None = None,
    news: list[str] | None = None,
    **settings: Any,
) -> None:
    source: Any = Frames(frames, news)
    options = {"limit": None, "debug": False, **settings}
    watch(source, SceneGate(always=True), Sight(), narrator(describe, voice), **options)


def says(text: str) -> Describe:
    return lambda image, prompt: iter([text])


def test_the_first_sentence_is_spoken_while_the_rest_is_still_generated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log: list[str] = []

    def describe(image: np.ndarray, prompt: str) -> Iterator[str]:
        for piece in ("A cat sits. ", "A dog", " runs."):
            log.append(f"generated {piece}")
            yield piece

    narrator(describe, Voice(log)).narrate(frame())
    assert log.index("said A cat sits.") < log.index("generated  runs.")
    assert log[-1] == "said A dog runs."
    assert capsys.readouterr().out == "A cat sits. A dog runs.\n"


def test_a_caption_as_json_tells_its_times_truly(capsys: pytest.CaptureFixture[str]) -> None:
    def describe(image: np.ndarray, prompt: str) -> Iterator[str]:
        time.sleep(0.2)
        yield "One. "
        yield "Two"
        time.sleep(0.2)
        yield " more."

    narrator(describe, Voice(), as_json=True).narrate(frame(age=3))
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
    narrator(says("A cat."), None, as_json=True).narrate(frame())
    assert json.loads(capsys.readouterr().out)["spoken"] is False


def test_a_caption_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    narrator(says("A \x1b[2Jred\n\x07 cat\u202e.")).narrate(frame())
    assert capsys.readouterr().out == "A [2Jred\ncat.\n".replace("\n", " ", 1)


def test_the_prompt_reaches_the_engine() -> None:
    asked = []

    def describe(image: np.ndarray, prompt: str) -> Iterator[str]:
        asked.append(prompt)
        return iter(["A cat."])

    narrator(describe).narrate(frame())
    assert asked == ["What is there?"]


def test_a_fault_costs_its_frame_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    answers: list[str | ValueError] = [ValueError("broken\nframe"), "A cat.", "", "A dog."]

    def describe(image: np.ndarray, prompt: str) -> Iterator[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return iter([answer])

    run_loop(describe, frames=4)
    captured = capsys.readouterr()
    assert captured.out == "A cat.\nA dog.\n"
    assert "ValueError: broken" in captured.err.splitlines()[0]
    assert "nothing to say" in captured.err.splitlines()[1]


def failing(image: np.ndarray, prompt: str) -> Iterator[str]:
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
    assert voice.log == ["said A cat."] * 2


def test_news_of_the_source_is_told_and_spoken(capsys: pytest.CaptureFixture[str]) -> None:
    voice = Voice()
    run_loop(says("A cat."), frames=2, voice=voice, news=["The camera is gone.", "It is back."])
    assert (
        voice.log
        == [f"said {text}" for text in ("The camera is gone.", "It is back.")] + ["said A cat."] * 2
    )
    captured = capsys.readouterr()
    assert captured.err == "pete_sounds: The camera is gone.\npete_sounds: It is back.\n"
    assert captured.out == "A cat.\n" * 2


def test_a_closed_stdout_ends_the_narration(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*arguments: object, **settings: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("builtins.print", closed)
    with pytest.raises(Ended):
        narrator(says("A cat.")).narrate(frame())
