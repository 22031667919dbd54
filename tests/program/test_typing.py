"""What is typed while it runs: the real program on a pseudo-terminal, its screen drawn by pyte.

The engine is a server that says on which side it sees a circle, and repeats what it is asked.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from narrator.commands import TYPED
from narrator.settings import DEFAULT_PROMPT
from support.camera import MjpegCamera
from support.drawn_scenes import Scene, Shape, draw
from support.program import TINY, Program, children, wait_until
from support.server import Request, ScriptedServer, describe, silent
from support.sound import SoundCard
from support.terminal import Terminal, count, ends_with

LEFT = draw(Scene(Shape("circle", "red", 0.18, 0.5, 0.2)))
RIGHT = draw(Scene(Shape("circle", "blue", 0.82, 0.5, 0.2)))
SEEN_LEFT, SEEN_RIGHT = "A red circle on the left.", "A blue circle on the right."


def caption_or_answer(request: Request) -> str:
    """What is seen, and what was asked of it."""
    blue, _, red = request.pictures()[0].mean(axis=(0, 1))
    seen = SEEN_LEFT if red > blue else SEEN_RIGHT
    return seen if request.prompt() == DEFAULT_PROMPT else f"{request.prompt()} {seen}"


Open = Callable[..., Terminal]


@pytest.fixture
def open_terminal(program: Program, server: ScriptedServer, mjpeg: MjpegCamera) -> Iterator[Open]:
    """Starts the program on a terminal, where it watches a camera."""
    mjpeg.show(LEFT)
    server.answer = describe(caption_or_answer)
    opened = []

    def start(*arguments: str, **options: Any) -> Terminal:
        watched = ("--source", mjpeg.url, "--engine", server.url)
        opened.append(Terminal(program, *watched, *arguments, **options))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


@pytest.fixture
def terminal(open_terminal: Open) -> Terminal:
    """The program on a terminal, behind its first caption."""
    made = open_terminal("--mute")
    made.wait_for(SEEN_LEFT)
    return made


def exactly(row: str, times: int) -> Callable[[list[str]], bool]:
    """Whether there are so many of this row."""
    return lambda rows: rows.count(row) == times


def test_a_session_at_the_terminal(terminal: Terminal, mjpeg: MjpegCamera) -> None:
    terminal.wait_for("type a question and Enter, or ? to hear what else you can type")
    terminal.type("\r")  # now, though nothing changed
    terminal.wait_for(exactly(SEEN_LEFT, 2))
    terminal.type("What is there?\r")
    terminal.wait_for(exactly(f"What is there? {SEEN_LEFT}", 1))
    assert "> What is there?" in terminal.rows()
    terminal.type("again\r")
    terminal.wait_for(f"pete_sounds: What is there? {SEEN_LEFT}")
    terminal.type("hush\rQUIET\r")
    terminal.wait_for(lambda rows: count("no voice: --mute was given")(rows) == 2)
    terminal.type("?\r")
    for command in TYPED:
        terminal.wait_for(exactly(f"pete_sounds: {', '.join(command.names)}: {command.help}", 1))
    terminal.type("What did I miss?\r")
    terminal.wait_for(f" ago: {SEEN_LEFT}")
    terminal.type("more\r")
    terminal.wait_for("Looking closely.")
    terminal.wait_for("Describe everything that you see in detail.")
    # A caption that comes while a line is typed leaves it whole, below.
    terminal.type("is anybody")
    terminal.wait_for("> is anybody")
    mjpeg.show(RIGHT)
    terminal.wait_for(ends_with(SEEN_RIGHT, "> is anybody"))
    terminal.type(" there\r")
    terminal.wait_for(exactly(f"Is anybody there? {SEEN_RIGHT}", 1))
    assert "> is anybody there" in terminal.rows()
    terminal.type("q\r")
    assert terminal.process.wait(10) == 0
    assert terminal.mode() == terminal.settings
    assert "Traceback" not in terminal.text()


def test_a_question_stands_above_its_answer_once(
    terminal: Terminal, server: ScriptedServer
) -> None:
    terminal.type("What is there?\r")
    terminal.wait_for(ends_with("> What is there?", f"What is there? {SEEN_LEFT}"))
    all_typed = threading.Event()

    def look(request: Request) -> str:
        all_typed.wait(20)
        return caption_or_answer(request)

    server.answer = describe(look)
    terminal.type("Who is it?\rWhere is it?\r")
    terminal.wait_for("> Where is it?")
    all_typed.set()
    terminal.wait_for(  # Here it would not be plain which question was answered.
        ends_with(
            "> Where is it?", "pete_sounds: > Who is it?", f"Who is it? {SEEN_LEFT}",
            "pete_sounds: > Where is it?", f"Where is it? {SEEN_LEFT}",
        )
    )  # fmt: skip


def test_of_what_is_typed_while_a_film_is_described_q_is_heeded(
    program: Program, server: ScriptedServer
) -> None:
    server.answer = silent(b"")
    film = ("--source", str(TINY / "demo.mp4"), "--vtt", "out.vtt", "--mute")
    terminal = Terminal(program, *film, "--engine", server.url)
    try:
        terminal.wait_for("ready in")
        terminal.type("more\rq\r")
        assert terminal.process.wait(10) == 0
        assert terminal.mode() == terminal.settings
    finally:
        terminal.close()


def test_a_pause_lasts_until_it_is_told_to_go_on(
    terminal: Terminal, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    terminal.type("pause\r")
    terminal.wait_for("> pause")
    terminal.type("Who is there?\r")
    terminal.wait_for("Paused. I'll answer after you type go on.")
    asked = len(server.asked())
    mjpeg.show(RIGHT)
    sent = mjpeg.sent
    assert wait_until(lambda: mjpeg.sent > sent + 15, 20)  # a second of it
    assert len(server.asked()) == asked
    terminal.type("go on\r")
    terminal.wait_for(f"Who is there? {SEEN_RIGHT}")


def test_a_line_can_be_corrected_and_never_takes_two_rows(terminal: Terminal) -> None:
    for keys, shown in (
        ("what iz\x7fs", "> what is"),
        (" this\x17that", "> what is that"),
        ("\x1b[5~\x1bOP\x07", "> what is that"),  # page up, F1, bell: nothing
        ("\x1b[D\x7fu\x1b[3~\x1b[H\x1b[C\x1b[3~o", "> woat is thu"),
        ("\x1b[F\x15what is that", "> what is that"),
        ("\x15Wo ist die T\u00fcr", "> Wo ist die T\u00fcr"),
    ):
        terminal.type(keys)
        terminal.wait_for(ends_with(shown))
    assert terminal.drawn.count(b"\x1b[K> ") < 15  # not once a key: a screen reader reads it all
    before = len(terminal.rows())
    terminal.type(" 0123456789" * 12)
    terminal.wait_for(lambda rows: rows[-1].endswith("0123456789 0123456789"))
    assert len(terminal.rows()) == before
    terminal.type("\x15\u732b\u5728\u54ea\u91cc")
    terminal.wait_for(lambda rows: rows[-1].startswith("> \u732b"))
    terminal.type("\x7f\x7f")
    terminal.wait_for(lambda rows: "\u54ea" not in rows[-1])


def test_a_caption_leaves_the_cursor_where_it_was_in_the_line(
    terminal: Terminal, mjpeg: MjpegCamera
) -> None:
    terminal.type("what is it\x1b[D\x1b[D\x1b[D")
    terminal.wait_for(lambda rows: terminal.cursor() == len("> what is"))
    mjpeg.show(RIGHT)
    terminal.wait_for(ends_with(SEEN_RIGHT, "> what is it"))
    terminal.wait_for(lambda rows: terminal.cursor() == len("> what is"))
    terminal.type("\x04\x04\x04\r\x1b[A")
    terminal.wait_for(ends_with("> what is", f"What is? {SEEN_RIGHT}", "> what is"))


def test_a_line_fits_a_window_that_is_made_narrower_while_a_caption_is_made(
    terminal: Terminal, mjpeg: MjpegCamera, server: ScriptedServer
) -> None:
    resized = threading.Event()

    def look(request: Request) -> str:
        resized.wait(20)
        return caption_or_answer(request)

    server.answer = describe(look)
    terminal.type("is there anybody at the door of the house")
    terminal.wait_for("> is there anybody at the door of the house")
    mjpeg.show(RIGHT)
    terminal.resize(20)
    resized.set()
    terminal.wait_for(ends_with("A blue circle on the", " right.", "> oor of the house"))
    terminal.type("\r")  # It did not fit, so it stands above its answer as a whole.
    whole = "pete_sounds: > is there anybody at the door of the house"
    terminal.wait_for(whole)
    terminal.wait_for(lambda rows: rows[-1].endswith("the right."))


def test_lines_that_are_pasted_wait_for_enter(terminal: Terminal, server: ScriptedServer) -> None:
    assert b"\x1b[?2004h" in terminal.drawn  # what asks a terminal to mark what is pasted
    asked = len(server.asked())
    terminal.type("\x1b[200~Is there\n a door\r\nq\n\x1b[201~")
    terminal.wait_for(lambda rows: rows[-1].startswith("> Is there"))
    assert len(server.asked()) == asked
    terminal.type("\r")
    terminal.wait_for(f"Is there a door q? {SEEN_LEFT}")
    terminal.type("\x04")
    assert terminal.process.wait(10) == 0
    assert wait_until(lambda: terminal.drawn.rstrip().endswith(b"\x1b[?2004l"), 10)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM while all else hangs"])
def test_the_terminal_is_as_it_was_whatever_ends_the_program(
    open_terminal: Open, server: ScriptedServer, how: str
) -> None:
    if "hangs" in how:
        server.models = silent()
    terminal = open_terminal("--mute")
    assert wait_until(lambda: terminal.mode() != terminal.settings, 30)
    terminal.type("half a line")
    terminal.wait_for("> half a line")
    if how == "Ctrl-C":
        terminal.type("\x03")
    else:
        terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(10) == 0
    assert terminal.mode() == terminal.settings


def test_in_the_background_the_terminal_is_left_to_the_shell(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs a shell with job control: bash")
    mjpeg.show(LEFT)
    server.answer = describe(caption_or_answer)
    line = shlex.join(program.command("--source", mjpeg.url, "--engine", server.url, "--mute"))
    program.python, program.script = bash, Path("--norc")
    terminal = Terminal(program, "-i")
    try:
        terminal.type(f"PS1='$ '; {line}\r")
        terminal.wait_for(lambda rows: SEEN_LEFT in rows)
        terminal.type("half")
        terminal.wait_for(ends_with("> half"))
        terminal.type("\x1a")  # Ctrl-Z
        terminal.wait_for("Stopped")
        terminal.type("bg\r")
        mjpeg.show(RIGHT)
        terminal.wait_for(SEEN_RIGHT)
        sent = mjpeg.sent
        assert wait_until(lambda: mjpeg.sent > sent + 5, 20)  # the third of a second
        assert count("> half")(terminal.rows()) == 1  # no more of it between the shell's lines
        terminal.type("fg\r")
        terminal.wait_for(ends_with("> half"))
        assert not terminal.mode()[3] & termios.ECHO
        terminal.type("\x03")
        terminal.wait_for(lambda rows: rows[-1].startswith("$"))
    finally:
        terminal.close()


def test_hush_typed_silences_the_voice_at_once(
    program: Program, open_terminal: Open, speech: None, slow_sound_card: SoundCard
) -> None:
    program.environment.update(slow_sound_card.environment)
    terminal = open_terminal("--no-sounds", "--rate", "80")
    terminal.wait_for(SEEN_LEFT)
    assert wait_until(slow_sound_card.seconds, 30)
    voice = children(terminal.process.pid)
    terminal.type("Hush.\r")
    assert wait_until(lambda: time.monotonic() - slow_sound_card.sound_at > 3, 30)
    assert (heard := slow_sound_card.seconds()) < 1  # The sentence takes three.
    terminal.type("again\r")  # and it speaks again, when it is asked to
    assert wait_until(lambda: slow_sound_card.seconds() > heard, 30)
    assert children(terminal.process.pid) == voice  # Nothing was replaced.


def test_captions_go_to_a_pipe_untouched_while_one_types(open_terminal: Open) -> None:
    terminal = open_terminal("--mute", "--json", stdout=subprocess.PIPE)
    stdout = terminal.process.stdout
    assert stdout is not None
    assert "question" not in json.loads(stdout.readline())
    terminal.type("What is there?\r")
    facts = json.loads(stdout.readline())
    assert facts["caption"] == f"What is there? {SEEN_LEFT}"
    assert facts["question"] == "What is there?"
    terminal.type("q\r")
    assert terminal.process.wait(10) == 0
    assert stdout.read() == b""


def test_where_nothing_may_be_drawn_again_the_terminal_hands_over_whole_lines(
    open_terminal: Open, program: Program
) -> None:
    program.environment["ACCESSIBLE"] = "1"
    terminal = open_terminal("--mute")
    terminal.wait_for(SEEN_LEFT)
    assert terminal.mode() == terminal.settings
    terminal.type("what?\r")
    terminal.wait_for(f"What? {SEEN_LEFT}")
    terminal.type("\x04")
    assert terminal.process.wait(10) == 0
    assert "\x1b" not in terminal.drawn.decode()


def test_without_a_terminal_nothing_is_read(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"q\n")
    arguments = ("--source", mjpeg.url, "--engine", server.url, "--mute", "--once")
    result = program(*arguments, stdin=reading)
    assert result.returncode == 0
    assert os.read(reading, 10) == b"q\n"
    os.close(reading)
    os.close(writing)


def test_what_is_typed_in_one_go_is_bounded(terminal: Terminal, server: ScriptedServer) -> None:
    """Enter held down is one wish; of sixty questions some are answered, and that is told."""
    all_typed = threading.Event()

    def look(request: Request) -> str:
        all_typed.wait(20)
        return caption_or_answer(request)

    server.answer = describe(look)
    before = len(server.asked())
    terminal.type("\r" * 60)
    assert wait_until(lambda: len(server.asked()) > before, 20)
    terminal.type("".join(f"question {number}\r" for number in range(60)))
    terminal.wait_for(lambda rows: "question 59" in rows[-1])
    all_typed.set()
    terminal.wait_for("at once")

    def comes_last() -> bool:
        terminal.type("the last\r")
        return f"The last? {SEEN_LEFT}" in terminal.rows()

    assert wait_until(comes_last, 60)
    answered = [row for row in terminal.rows() if row.startswith("Question")]
    assert 1 <= len(answered) <= 20
    assert count("at once")(terminal.rows()) <= 4
