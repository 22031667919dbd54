"""Stand-ins for the parts around the narration, for tests of what the loop alone decides.

The real engine, voice and sources have tests of their own in tests/unit, and the whole program in
tests/program.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from narrator.backoff import Backoff
from narrator.engines.engine import Piece, Query
from narrator.frames.frame import Frame
from narrator.options import Options, parse_options
from narrator.outputs.output import Caption, Output
from narrator.session import wire
from narrator.speech.sounds import Sound
from narrator.speech.speaker import Speaker
from narrator.typed import NothingTyped

Describe = Callable[[Sequence[Frame], str], Iterator[str]]


def a_frame(age: float = 0.0) -> Frame:
    """A grey frame that was taken `age` seconds ago, 7.5 s into its source."""
    return Frame(np.full((48, 64, 3), 128, np.uint8), time.monotonic() - age, 7.5)


def as_pieces(texts: Iterable[str], probability: float | None = None) -> Iterator[Piece]:
    """What an engine gives for these pieces of text."""
    return (Piece(text, probability) for text in texts)


class SpeakerLog(Speaker):
    """In the place of a voice: writes down what it is asked to say; busy as often as told."""

    audible = True
    trouble: str | None = None

    def __init__(self, log: list[str] | None = None, busy_for: int = 0) -> None:
        self.said = [] if log is None else log
        self.busy_for = busy_for
        self.muted = self.looked_for = False
        self.sounds: list[Sound] = []

    def say(self, sentence: str, caption: int, at: float) -> bool:
        if not self.muted:
            self.said.append(sentence)
        return not self.muted

    def play(self, sound: Sound) -> None:
        self.sounds.append(sound)

    def looking(self, on: bool) -> None:
        self.looked_for = on

    def mute(self, muted: bool) -> None:
        self.muted = muted

    def quiet_in(self, at: float) -> float:
        self.busy_for -= 1
        return 5.0 if self.busy_for >= 0 else 0.0

    def hush(self) -> None:
        self.said.append("(hush)")


class OutputLog(Output):
    """In the place of an output: keeps the captions, and calls `then` after each."""

    def __init__(self, then: Callable[[], Any] = lambda: None) -> None:
        self.captions: list[Caption] = []
        self._then = then

    @property
    def texts(self) -> list[str]:
        return [caption.text for caption in self.captions]

    def write(self, caption: Caption) -> None:
        self.captions.append(caption)
        self._then()


class FrameSource:
    """In the place of a source: as many noisy frames as asked for, none of them waited for.

    dark: too dark to see anything. messages: by how many frames are left then, in whose place
    they come.
    """

    is_film = lost = paused = False
    at = 7.5

    def __init__(
        self, count: int, dark: bool = False, messages: dict[int, str] | None = None
    ) -> None:
        self.left = count
        self._levels = (0, 4) if dark else (100, 140)
        self._messages = messages or {}

    @property
    def ended(self) -> bool:
        return self.left <= 0

    def now(self) -> float:
        return time.monotonic()

    def newest(self, timeout: float) -> Frame | None:
        self.left -= 1
        if self.left in self._messages:
            return None
        random = np.random.default_rng(self.left)
        image = random.integers(*self._levels, (48, 64, 3), np.uint8)
        return Frame(np.kron(image, np.ones((8, 8, 1), np.uint8)), time.monotonic(), 0.0)

    def peek(self) -> Frame | None:
        return None

    def messages(self) -> list[str]:
        return [self._messages[self.left]] if self.left in self._messages else []

    def clip_to(self, frame: Frame) -> list[Frame]:
        return [frame]

    def forget_clip(self) -> None:
        """There is none."""

    def pause(self, paused: bool) -> None:
        self.paused = paused

    def close(self) -> None:
        """Nothing is open."""


class SayingEngine:
    """In the place of an engine: describes with the function it is given."""

    label = "stand-in"

    def __init__(self, saying: Describe) -> None:
        self.saying = saying
        self.asked: list[Query] = []
        self.probability: float | None = None  # of each piece
        self.likely: Callable[[str], float | None] = lambda question: None

    def describe(self, query: Query) -> Iterator[Piece]:
        self.asked.append(query)
        return as_pieces(self.saying(query.clip, query.prompt), self.probability)

    def likelihoods(self, query: Query, questions: Sequence[str]) -> list[float | None]:
        return [self.likely(question) for question in questions]


class Typed(NothingTyped):
    """In the place of a terminal: lines that are typed when the test says so."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)

    def take(self) -> tuple[list[str], bool]:
        lines, self.lines = self.lines, []
        return lines, False


class Loop:
    """The loop of pete_sounds.py over stand-ins, which work together as in a session."""

    def __init__(
        self,
        describe: Describe,
        source: FrameSource,
        *lines: str,
        speaker: SpeakerLog | None = None,
        outputs: Sequence[Output] = (),
        backoff: Backoff | None = None,
        then: Callable[[], Any] = lambda: None,
        **options: Any,
    ) -> None:
        self.engine, self.source = SayingEngine(describe), source
        self.output, self.typed = OutputLog(then), Typed(*lines)
        self.speaker = speaker or SpeakerLog()
        self.narrator, self.commands, self.captioner = wire(
            some_options(**{"always": True, **options}),
            source,
            self.speaker,
            self.engine,
            [self.output, *outputs],
            self.typed,
            backoff,
        )

    def run(self) -> Loop:
        """Run it to its end."""
        from pete_sounds import watch

        watch(self.captioner, self.commands)
        return self

    def turn(self) -> Frame | None:
        """One turn of the loop, whatever is in view."""
        frame = self.captioner.next_frame()
        if frame is not None and self.captioner.wants(frame):
            self.captioner.caption(frame)
        self.answer()
        return frame

    def answer(self, *lines: str) -> None:
        """Have these lines typed one by one, and all done that each asks for."""
        for typed in [[line] for line in lines] or [[]]:
            self.typed.lines += typed
            for request in self.commands.requests():
                self.captioner.answer(request)


def some_options(**changes: Any) -> Options:
    """The default options with the prompt "Usual" and captions of at most 10 tokens."""
    return replace(parse_options(["--prompt", "Usual", "--max-tokens", "10"]), **changes)
