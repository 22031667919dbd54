"""What is typed while it runs: the real program on a pseudo-terminal, its screen drawn by pyte.

The engine is the small checkpoint, which answers every question with what it sees; what only the
loop decides is shown with stand-ins for engine and voice.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyte
import pytest

import pete_sounds
from pete_sounds import Captions, Frame, Narrator, Request, Voice, VoiceSettings, Watch, request_of
from support.camera import MjpegCamera
from support.drawn_scenes import Scene, Shape, draw
from support.program import Program, children, left_over, wait_until
from support.sound import SoundCard

COLUMNS, ROWS = 80, 40


def picture(colour: str, place: tuple[float, float]) -> np.ndarray:
    return draw(Scene(Shape("circle", colour, *place, radius=0.2)))


FRAME = Frame(np.zeros((2, 2, 3), np.uint8), 0.0, 0.0)
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
        self.drawn = b""  # the very bytes
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
                self.drawn += shown
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

    def wait_for(self, what: str | Callable[[list[str]], Any], timeout: float = 60) -> None:
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
    assert terminal.drawn.count(b"\x1b[K> ") < 15  # not once a key: a screen reader reads it all
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


def test_the_terminal_is_as_it_was_though_all_else_hangs(program: Program) -> None:
    """Where even what opens things keeps the lock, and the end has to do without."""
    code = program.here / "code.py"
    code.write_text(
        "import sys, time, pete_sounds as p\n"
        "p.open_voice = lambda *_: (print('hangs', flush=True), time.sleep(60))\n"
        "p.main(['--demo', '--mute'])\n"
    )
    program.environment["PYTHONPATH"] = str(pete_sounds.PROJECT)
    program.script = code
    terminal = Terminal(program)
    try:
        terminal.wait_for("hangs")
        assert terminal.mode() != terminal.settings
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(4) == 0
        assert terminal.mode() == terminal.settings
    finally:
        terminal.close()


def test_in_the_background_the_terminal_is_left_to_the_shell(
    program: Program, watched: MjpegCamera
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs a shell with job control: bash")
    line = shlex.join(
        program.command("--source", watched.url, "--model", pete_sounds.DEMO, "--mute")
    )
    program.python, program.script = bash, Path("--norc")
    terminal = Terminal(program, "-i")
    try:
        terminal.type(f"PS1='$ '; {line}\r")
        terminal.wait_for(lambda rows: "A red circle on the left." in rows)
        terminal.type("half")
        terminal.wait_for(endswith(["> half"]))
        terminal.type("\x1a")  # Ctrl-Z
        terminal.wait_for("Stopped")
        terminal.type("bg\r")
        watched.show(RIGHT)
        terminal.wait_for("A blue circle on the right.")
        time.sleep(0.3)
        assert count("> half")(terminal.rows()) == 1  # no more of it between the shell's lines
        terminal.type("fg\r")
        terminal.wait_for(endswith(["> half"]))
        assert not terminal.mode()[3] & termios.ECHO
        terminal.type("\x03")
        terminal.wait_for(lambda rows: rows[-1].startswith("$"))
    finally:
        terminal.close()


def test_hush_typed_silences_the_voice_at_once(
    program: Program, watched: MjpegCamera, speech: None, stuck_sound_card: SoundCard
) -> None:
    program.environment.update(stuck_sound_card.environment)
    terminal = Terminal(program, "--source", watched.url, "--model", str(pete_sounds.DEMO))
    try:
        terminal.wait_for("A red circle on the left.")
        groups = children(terminal.process.pid)
        assert wait_until(lambda: any("-1.wav" in run for run in left_over(groups)), 20)
        terminal.type("Hush.\r")
        assert wait_until(lambda: not left_over(groups), 1)
        terminal.type("again\r")  # and it speaks again, when it is asked to
        assert wait_until(lambda: any("-1.wav" in run for run in playing(terminal)), 10)
        assert "started again" not in terminal.text()
    finally:
        terminal.close()


def playing(terminal: Terminal) -> list[str]:
    """The command lines of the voice and what plays it."""
    return left_over(children(terminal.process.pid))


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

    audible = True

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


def watch(
    frames: Frames,
    *lines: str,
    later: list[str] | None = None,
    after_first: list[str] | None = None,
    engine: type[Engine] = Engine,
    log: list[str] | None = None,
) -> list[str]:
    """What is said while these lines wait, these come while the engine speaks, and these behind the
    first caption."""
    typed, log_of_voice = Typed(*lines), Log()
    log_of_voice.said = [] if log is None else log
    model: Any = engine(typed, later or [])
    voice: Any = log_of_voice
    source: Any = frames
    requests: Any = typed

    class Then:
        def write(self, caption: pete_sounds.Caption) -> None:
            typed.lines += after_first or []
            (after_first or []).clear()

    narrator = Narrator(model, voice, [Captions(False), Then()], "Usual")
    Watch(source, narrator, True, None, False, requests=requests).run()
    return log_of_voice.said


def test_questions_are_answered_in_turn_from_what_is_in_view() -> None:
    said = watch(Frames(6, 100), "Who", "Where")
    assert said[:3] == ["Who False 10.", "Where False 10.", "Usual False 10."]


def test_a_question_interrupts_the_caption_in_the_making_but_no_answer() -> None:
    said = watch(Frames(4, 100), later=["Who", "Where"])
    assert said[:2] == ["Who False 10.", "Where False 10."]


def test_the_only_frame_is_described_whatever_is_asked_meanwhile() -> None:
    assert watch(Frames(1, 100), later=["Who"]) == ["Usual False 10.", "Who False 10."]


def test_more_looks_closely_once() -> None:
    said = watch(Frames(5, 100), "more")
    more = [pete_sounds.MORE_PROMPT, f"True {pete_sounds.MORE_TOKENS}."]
    assert said[:4] == ["Looking closely.", *more, "Usual False 10."]


def test_in_the_dark_no_answer_is_made_up() -> None:
    said = watch(Frames(60, 0), "Who")
    assert not any("Who" in sentence for sentence in said[2:])


def test_without_a_picture_that_is_said() -> None:
    said = watch(Frames(4, 100, {3: "The camera is gone.", 2: "gone"}), "Who")
    assert said[0] == "The camera is gone."
    assert "There is no picture just now." in said


def test_quiet_goes_on_in_text_and_speak_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    said = watch(Frames(6, 100), "quiet")
    assert said == ["(hush)"]  # and not a word
    out = capsys.readouterr()
    assert out.out.count("Usual") > 3
    assert "The voice is off." in out.err
    said = watch(Frames(6, 100), "quiet", "Speak!", "quiet.", "SPEAK")
    assert said[:4] == ["(hush)", "The voice is on.", "(hush)", "The voice is on."]


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


def test_what_is_said_again_and_again_leaves_room_for_the_rest_in_a_recap() -> None:
    texts = ["A dog.", *["A cat.", "A hen."] * 30, "Nobody."]
    engine: Any = type("E", (), {"describe": lambda *_: iter([texts.pop(0)])})()
    narrator = Narrator(engine, None, [], "Usual")
    while len(texts) > 1:
        narrator.narrate([FRAME])
    narrator.answer([FRAME], Request("Who"))
    told = [part.strip() for part in narrator.recap().split("0 seconds ago:")]
    assert told == ["", "A dog.", "A cat.", "A hen."]


def test_an_answer_does_not_count_as_a_caption_but_what_enter_asks_for_does() -> None:
    engine: Any = Engine(Typed(), [])
    narrator = Narrator(engine, None, [], "Usual")
    narrator.answer([FRAME], Request("Who"))
    assert narrator.count == 0
    narrator.answer([FRAME], Request())
    assert narrator.count == 1


@pytest.mark.parametrize("line", ["more", "More.", "MORE?", "more!"])
def test_a_command_is_one_in_any_letters_and_with_a_mark_behind(line: str) -> None:
    assert request_of(line) == Request(pete_sounds.MORE_PROMPT, detail=True)


def test_what_looks_like_a_models_own_mark_is_no_mark() -> None:
    said = watch(Frames(3, 100), "Is <image> there")
    assert said[0] == "Is image there False 10."


def test_questions_that_fail_do_not_end_it(capsys: pytest.CaptureFixture[str]) -> None:
    class Fails(Engine):
        def describe(self, clip: Sequence[Frame], prompt: str) -> Iterator[str]:
            if prompt != "Usual":
                raise ValueError("too hard")
            yield from super().describe(clip, prompt)

    said = watch(Frames(9, 100), *"1234", engine=Fails)
    assert said[:4] == ["That can't be answered: ValueError: too hard"] * 4
    assert said[4] == "Usual False 10."


def test_while_the_server_is_away_a_question_is_not_met_with_silence() -> None:
    class Away(Engine):
        def describe(self, clip: Sequence[Frame], prompt: str) -> Iterator[str]:
            raise pete_sounds.EngineAway("does not answer", "it is down")

    log: list[str] = []
    with pytest.raises(pete_sounds.EngineError):
        watch(Frames(9, 100), "Who", "Where", engine=Away, log=log)
    assert log.count("That can't be answered: the server does not answer.") == 2


def test_an_old_picture_is_not_answered_from_while_a_new_one_may_come() -> None:
    class Slow(Frames):
        def newest(self, timeout: float) -> Frame | None:
            frame = super().newest(timeout)
            assert frame is not None
            if self.left == 8:
                return Frame(frame.image, time.monotonic() - 3.0, 1.0)
            return Frame(frame.image, time.monotonic(), 2.0) if self.left < 5 else None

    ages: list[float] = []

    class Notes(Engine):
        def describe(self, clip: Sequence[Frame], prompt: str) -> Iterator[str]:
            ages.append(time.monotonic() - clip[-1].taken)
            yield "A cat."

    watch(Slow(9, 100), later=[], engine=Notes, after_first=["Who"])
    assert ages[0] > 2.9  # the caption
    assert ages[1] < 1.0


def hushed_at(second: bool, rest: bool) -> list[str]:
    """What is spoken of three sentences, where a hush comes behind the first or the second."""
    log = Log()

    def describe(*_: Any) -> Iterator[str]:
        for number, sentence in enumerate(["One. ", "Two. ", "Three. ", "Four."]):
            yield sentence
            if number == second:
                narrator.hush(rest)

    voice: Any = log
    engine: Any = type("E", (), {"describe": describe})()
    narrator = Narrator(engine, voice, [], "Usual")
    narrator.narrate([FRAME])
    log.said.append("next:")
    narrator.narrate([FRAME])
    return log.said


def test_hush_silences_the_rest_of_what_is_being_made_too() -> None:
    for rest in (True, False):
        said = hushed_at(second=True, rest=rest)
        assert said[: said.index("next:")] == ["One.", "(hush)"]
    said = hushed_at(second=False, rest=True)
    assert said[: said.index("next:")] == ["(hush)"]
    # A question typed behind another: nobody has heard of the first one's answer yet.
    said = hushed_at(second=False, rest=False)
    assert said[: said.index("next:")] == ["(hush)", "One.", "Two.", "Three.", "Four."]


# -- too much at once


def test_what_is_typed_in_one_go_is_bounded_and_refused_once(terminal: Terminal) -> None:
    before = terminal.rows().count("A red circle on the left.")
    terminal.type("\r" * 60)
    terminal.type("hush\r")
    terminal.wait_for("there is no voice to switch")
    time.sleep(1)
    assert 1 <= terminal.rows().count("A red circle on the left.") - before <= 4
    terminal.type("".join(f"question {number}\r" for number in range(60)))
    terminal.wait_for("pete_sounds: That is too much at once; some of it was left out.")
    answers = 2 * pete_sounds.Requests.AT_MOST + 2
    terminal.wait_for(lambda rows: rows[-1] == "A red circle on the left.")
    time.sleep(1)
    assert terminal.rows().count("A red circle on the left.") - before <= 4 + answers
    assert count("That is too much")(terminal.rows()) < 8
    terminal.type("q\r")
    assert terminal.process.wait(3) == 0


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
    from support.program import process_table

    group = [pid for pid, _, leader, _ in process_table() if leader == voice._child.pid]
    return group if len(group) > 1 else []


def none_of(processes: list[int]) -> Callable[[], bool]:
    """Whether all of them are gone."""
    from support.program import process_table

    return lambda: not [pid for pid, *_ in process_table() if pid in processes]
