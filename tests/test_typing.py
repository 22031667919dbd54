"""What is typed while it runs: the real program on a pseudo-terminal, its screen drawn by pyte.

The engine is the small checkpoint, which answers every question with what it sees; what only the
loop decides is shown with stand-ins for engine and voice.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyte
import pytest
from conftest import MjpegCamera, Program, wait_until
from drawn_scenes import Scene, Shape, draw

import pete_sounds
from pete_sounds import Captions, Frame, Narrator, Request, Voice, VoiceSettings, Watch

COLUMNS, ROWS = 80, 40


def picture(colour: str, place: tuple[float, float]) -> np.ndarray:
    return draw(Scene(Shape("circle", colour, *place, radius=0.2)))


LEFT, RIGHT = picture("red", (0.18, 0.5)), picture("blue", (0.82, 0.5))


class Terminal:
    """A pseudo-terminal with the program on it, and what its screen shows."""

    def __init__(self, program: Program, *arguments: str, **streams: Any) -> None:
        self._ours, theirs = os.openpty()
        self.settings = termios.tcgetattr(theirs)
        self._theirs = theirs
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, np.array([ROWS, COLUMNS, 0, 0], "H").tobytes())
        self._screen = pyte.HistoryScreen(COLUMNS, ROWS, history=1000)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        program.environment["TERM"] = "xterm"
        places = {"stdin": theirs, "stdout": theirs, "stderr": theirs, **streams}
        self.process = subprocess.Popen(
            program.command(*arguments), cwd=program.here, env=program.environment,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            **places,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                shown = os.read(self._ours, 4096)
            except OSError:
                return
            with self._lock:
                self._stream.feed(shown)

    def rows(self) -> list[str]:
        """Every row that is not empty, those that were scrolled away too."""
        with self._lock:
            old = ["".join(row[x].data for x in range(COLUMNS)) for row in self._screen.history.top]
            rows = [row.rstrip() for row in (*old, *self._screen.display)]
        return [row for row in rows if row]

    def text(self) -> str:
        """What is on the screen as one text: wrapped rows are joined."""
        return "".join(self.rows())

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, what: str | Callable[[list[str]], Any], timeout: float = 20) -> None:
        def found() -> Any:
            return what in self.text() if isinstance(what, str) else what(self.rows())

        assert wait_until(found, timeout), "\n".join(self.rows())

    def mode(self) -> list[Any]:
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def watched() -> Iterator[MjpegCamera]:
    camera = MjpegCamera()
    camera.show(LEFT)
    yield camera
    camera.close()


@pytest.fixture
def terminal(program: Program, watched: MjpegCamera) -> Iterator[Terminal]:
    made = Terminal(program, "--source", watched.url, "--model", str(pete_sounds.DEMO), "--mute")
    made.wait_for("A red circle on the left.")
    yield made
    made.close()


def count(part: str) -> Callable[[list[str]], int]:
    return lambda rows: sum(part in row for row in rows)


def endswith(last: list[str]) -> Callable[[list[str]], bool]:
    return lambda rows: rows[-len(last) :] == last


def test_a_session_at_the_terminal(terminal: Terminal, watched: MjpegCamera) -> None:
    terminal.wait_for("type a question and Enter, or ? to hear what else you can type")
    terminal.type("\r")  # now, though nothing changed
    terminal.wait_for(lambda rows: rows.count("A red circle on the left.") == 2)
    terminal.type("What is there?\r")
    terminal.wait_for(lambda rows: rows.count("A red circle on the left.") == 3)
    assert "> What is there?" in terminal.rows()
    terminal.type("again\r")
    terminal.wait_for("pete_sounds: A red circle on the left.")
    terminal.type("hush\rQUIET\r")
    terminal.wait_for(lambda rows: count("there is no voice to switch")(rows) == 2)
    terminal.type("?\r")
    terminal.wait_for("Enter: describe now. Any other line: a question about the picture.")
    terminal.type("What did I miss?\r")
    terminal.wait_for(" ago: A red circle on the left.")
    terminal.type("more\r")
    terminal.wait_for("Looking closely.")
    # A caption that comes while a line is typed leaves it whole, below.
    terminal.type("is anybody")
    terminal.wait_for("> is anybody")
    watched.show(RIGHT)
    terminal.wait_for(endswith(["A blue circle on the right.", "> is anybody"]))
    terminal.type(" there\r")
    terminal.wait_for(lambda rows: rows.count("A blue circle on the right.") == 2)
    assert "> is anybody there" in terminal.rows()
    terminal.type("q\r")
    assert terminal.process.wait(3) == 0
    assert terminal.mode() == terminal.settings
    assert "Traceback" not in terminal.text()


def test_a_line_can_be_mended_and_never_takes_two_rows(terminal: Terminal) -> None:
    for keys, shown in (
        ("what iz\x7fs", "> what is"),
        (" this\x17that", "> what is that"),
        ("\x1b[D\x1b[3~\x1bOP\x07", "> what is that"),  # arrow, delete, F1, bell: nothing
        ("\x15Wo ist die T\u00fcr", "> Wo ist die T\u00fcr"),
    ):
        terminal.type(keys)
        terminal.wait_for(endswith([shown]))
    before = len(terminal.rows())
    terminal.type(" 0123456789" * 12)
    terminal.wait_for(lambda rows: rows[-1].endswith("0123456789 0123456789"))
    assert len(terminal.rows()) == before
    terminal.type("\x15\u732b\u5728\u54ea\u91cc")
    terminal.wait_for(lambda rows: rows[-1].startswith("> \u732b"))
    terminal.type("\x7f\x7f")
    terminal.wait_for(lambda rows: "\u54ea" not in rows[-1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_terminal_is_as_it_was_whatever_ends_the_program(
    terminal: Terminal, number: int
) -> None:
    terminal.type("half a line")
    terminal.wait_for("> half a line")
    assert terminal.mode() != terminal.settings
    if number == signal.SIGINT:
        terminal.type("\x03")
    else:
        terminal.process.send_signal(number)
    assert terminal.process.wait(3) == 0
    assert terminal.mode() == terminal.settings


def test_captions_go_to_a_pipe_untouched_while_one_types(
    program: Program, watched: MjpegCamera
) -> None:
    terminal = Terminal(
        program, "--source", watched.url, "--model", str(pete_sounds.DEMO), "--mute", "--json",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        stdout = terminal.process.stdout
        assert stdout is not None
        assert "question" not in json.loads(stdout.readline())
        terminal.type("What is there?\r")
        facts = json.loads(stdout.readline())
        assert facts["caption"] == "A red circle on the left."
        assert facts["question"] == "What is there?"
        terminal.type("q\r")
        assert terminal.process.wait(3) == 0
        assert stdout.read() == b""
    finally:
        terminal.close()


def test_without_a_terminal_nothing_is_read(program: Program) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"q\n")
    subprocess.run(
        program.command("--demo", "--mute", "--limit", "1"), check=True, cwd=program.here,
        env=program.environment, stdin=reading, capture_output=True, timeout=60,
    )  # fmt: skip
    assert os.read(reading, 10) == b"q\n"
    os.close(reading)
    os.close(writing)


# -- what the loop decides


class Typed:
    """Stand-in: lines that are typed when the test says so."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)

    def next(self) -> str | None:
        return self.lines.pop(0) if self.lines else None


class Log:
    """Stand-in for a voice: writes down what it is asked for."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str, caption: int) -> bool:
        self.said.append(sentence)
        return True

    def hush(self) -> None:
        self.said.append("(hush)")

    def quiet_in(self) -> float:
        return 0.0


class Engine:
    """Stand-in: says what it was asked, word by word."""

    detail, max_tokens = False, 10

    def __init__(self, typed: Typed, later: list[str]) -> None:
        self.typed, self.later = typed, later

    def describe(self, clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        for piece in (prompt, f" {self.detail}", f" {self.max_tokens}."):
            yield piece
            if self.later:
                self.typed.lines.append(self.later.pop(0))


class Frames:
    """Stand-in: frames of one grey."""

    def __init__(self, count: int, grey: int, news: dict[int, str] | None = None) -> None:
        self.left, self.grey, self.untold = count, grey, news or {}

    @property
    def ended(self) -> bool:
        return self.left <= 0

    def newest(self, timeout: float) -> Frame | None:
        self.left -= 1
        if self.left in self.untold:
            return None
        rng = np.random.default_rng(self.left)
        image = rng.integers(0, 40, (48, 64, 3), np.uint8) + np.uint8(self.grey)
        return Frame(np.kron(image, np.ones((8, 8, 1), np.uint8)), time.monotonic(), 0.0)

    def news(self) -> list[str]:
        return [self.untold[self.left]] if self.left in self.untold else []


def watch(frames: Frames, *lines: str, later: list[str] | None = None) -> list[str]:
    """What is said while these lines wait, and these come while the engine speaks."""
    typed, log = Typed(*lines), Log()
    engine: Any = Engine(typed, later or [])
    voice: Any = log
    source: Any = frames
    requests: Any = typed
    narrator = Narrator(engine, voice, [Captions(False)], "Usual")
    Watch(source, narrator, True, None, False, requests=requests).run()
    return log.said


def test_questions_are_answered_in_turn_from_what_is_in_view() -> None:
    said = watch(Frames(6, 100), "Who", "Where")
    assert said[:4] == ["(hush)", "Who False 10.", "(hush)", "Where False 10."]


def test_a_question_interrupts_the_caption_in_the_making_but_no_answer() -> None:
    said = watch(Frames(4, 100), later=["Who", "Where"])
    assert said[:4] == ["(hush)", "Who False 10.", "(hush)", "Where False 10."]


def test_more_looks_closely_once() -> None:
    said = watch(Frames(5, 100), "more")
    more = [pete_sounds.MORE_PROMPT, f"True {pete_sounds.MORE_TOKENS}."]
    assert said[:5] == ["(hush)", "Looking closely.", *more, "Usual False 10."]


def test_in_the_dark_no_answer_is_made_up() -> None:
    said = watch(Frames(60, 0), "Who")
    assert not any("Who" in sentence for sentence in said[2:])


def test_without_a_picture_that_is_said() -> None:
    said = watch(Frames(4, 100, {3: "The camera is gone.", 2: "gone"}), "Who")
    assert said[0] == "The camera is gone."
    assert "There is no picture just now." in said


def test_quiet_goes_on_in_text_and_speak_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    said = watch(Frames(6, 100), "quiet")
    assert said == ["(hush)"]
    out = capsys.readouterr()
    assert out.out.count("Usual") > 3
    assert "The voice is off." in out.err
    said = watch(Frames(6, 100), "quiet", "speak")
    assert said[:3] == ["(hush)", "(hush)", "The voice is on."]


def test_a_recap_folds_repeats_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    texts = ["Old.", "A cat.", "A cat.", "A dog."]
    engine: Any = type("E", (), {"describe": lambda *_: iter([texts.pop(0)])})()
    narrator = Narrator(engine, None, [], "Usual")
    monkeypatch.setattr(pete_sounds.time, "monotonic", lambda: now[0])
    assert narrator.recap() == "Nothing was said in the last ten minutes."
    for now[0] in (0.0, 600.0, 610.0, 689.0):
        narrator.narrate([Frame(np.zeros((2, 2, 3), np.uint8), now[0], 0.0)])
    now[0] = 720.0
    assert narrator.recap() == "2 minutes ago: A cat. 31 seconds ago: A dog."


def test_an_answer_does_not_count_as_a_caption() -> None:
    engine: Any = Engine(Typed(), [])
    narrator = Narrator(engine, None, [], "Usual")
    narrator.answer([Frame(np.zeros((2, 2, 3), np.uint8), 0.0, 0.0)], Request("Who"))
    assert narrator.count == 0


# -- the voice


def test_hush_is_silence_at_once_and_no_death(
    speech: None, stuck_sound_card: Any, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, value in stuck_sound_card.environment.items():
        monkeypatch.setenv(name, value)
    voice = Voice(VoiceSettings())
    try:
        for _ in range(Voice.DEATHS_IN_A_ROW + 1):
            voice.wait_until_ready()
            voice.say("A sentence that never comes to its end on this card.", 1)
            voice.say("Another one.", 1)
            assert wait_until(lambda: voice._speaking and voice._ready, 10)
            player = wait_until(lambda: player_of(voice), 10)
            voice.hush()
            assert wait_until(none_of(player), 0.3)
            assert wait_until(lambda: not voice.busy and voice._ready, 10)
        assert voice.say("A word.", 2)
    finally:
        voice.close()
    assert capsys.readouterr().err == ""


def player_of(voice: Voice) -> list[int]:
    """The processes of the voice, when its player runs."""
    from conftest import process_table

    group = [pid for pid, _, leader, _ in process_table() if leader == voice._child.pid]
    return group if len(group) > 1 else []


def none_of(processes: list[int]) -> Callable[[], bool]:
    """Whether all of them are gone."""
    from conftest import process_table

    return lambda: not [pid for pid, *_ in process_table() if pid in processes]
