"""How it ends: by a signal at any moment, with its terminal, by itself, killed; never leaving
anything behind.

The engine is a server that keeps it waiting where the test wants it; only what is about importing
torch imports it. Stand-ins for modules, found before the real ones, hang where real ones do not.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.camera import MjpegCamera
from support.captions import SCENES, caption_of_sent, is_wav
from support.drawn_scenes import caption_of, draw
from support.program import (
    TINY,
    Program,
    Running,
    all_gone,
    children,
    ended_well,
    wait_until,
)  # fmt: skip
from support.server import ScriptedServer, describe, say, silent
from support.sound import SoundCard
from support.terminal import Terminal

WITHIN_S = 2.0  # an end comes so soon; a starved machine gets twice as long here


def end_soon(running: Running, number: int) -> None:
    """It ends well, and soon."""
    asked = time.monotonic()
    result = running.end(number)
    assert time.monotonic() - asked < 2 * WITHIN_S
    ended_well(result)


def put_module(program: Program, name: str, code: str) -> Path:
    """Put a stand-in for a module in the way of the real one; the file in which it writes, once it
    runs, the name of its thread."""
    reached = program.here / "reached"
    notice = f"open({str(reached)!r}, 'w').write(threading.current_thread().name)"
    (program.here / f"{name}.py").write_text(f"import threading\n{notice}\n{code}\n")
    program.environment["PYTHONPATH"] = str(program.here)
    return reached


# ----------------------------------------------------------------------------- signals, any moment

Moment = Callable[[Running, ScriptedServer, SoundCard], set[int]]


def connecting(running: Running, server: ScriptedServer, card: SoundCard) -> set[int]:
    """The voice has been started, the engine is being opened."""
    assert wait_until(lambda: server.requests, 30)
    return set(wait_until(running.family, 30))


def captioning(running: Running, server: ScriptedServer, card: SoundCard) -> set[int]:
    """The engine is at work on the first frame."""
    assert wait_until(server.asked, 30)
    return running.family()


def speaking(running: Running, server: ScriptedServer, card: SoundCard) -> set[int]:
    """The first sentence is being played, on a device that blocks."""
    running.stdout.wait_for("")
    assert wait_until(lambda: len(card.played()) >= card.stuck_after, 20)
    return running.family()


@pytest.fixture
def held_up(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera, stuck_sound_card: SoundCard,
) -> Callable[[Moment], tuple[Running, set[int]]]:  # fmt: skip
    """Starts the program and lets it come as far as this moment, where it stays; with the process
    groups that it has there."""

    def start(moment: Moment) -> tuple[Running, set[int]]:
        program.environment.update(stuck_sound_card.environment)
        mjpeg.show(draw(SCENES[0]))
        if moment is connecting:
            server.models = silent()
        if moment is captioning:
            server.answer = silent()
        running = program.start(
            "--source", mjpeg.url, "--engine", server.url, "--always", "--wav", "out.wav"
        )
        groups = moment(running, server, stuck_sound_card)
        assert groups
        return running, groups

    return start


@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGINT, connecting), (signal.SIGTERM, captioning), (signal.SIGHUP, speaking)],
)
def test_a_signal_ends_it_soon_and_leaves_nothing_behind(
    program: Program, speech: None, held_up: Callable[[Moment], tuple[Running, set[int]]],
    number: signal.Signals, moment: Moment,
) -> None:  # fmt: skip
    running, groups = held_up(moment)
    end_soon(running, number)
    if moment is connecting:  # Nothing was ready, so nothing was begun.
        assert not (program.here / "out.wav").exists()
    else:
        is_wav(program.here / "out.wav")
    assert all_gone(groups)
    assert not program.left_files()


def test_a_signal_ends_it_while_torch_is_imported(program: Program, speech: None) -> None:
    running = program.start("--demo", "--engine", "torch")
    groups = set(wait_until(running.family, 30))  # its voice, which is started meanwhile
    assert groups
    asked = time.monotonic()
    ended_well(running.end(signal.SIGINT))
    # The import keeps Python's lock for long, see KNOWN_ISSUES.
    assert time.monotonic() - asked < 4 * WITHIN_S
    assert all_gone(groups)
    assert not program.left_files()


def test_a_signal_ends_the_start_up_quietly(program: Program) -> None:
    """While Python still imports what the command line needs."""
    reached = put_module(program, "argparse", "import time\ntime.sleep(60)")
    running = program.start("--demo")
    assert wait_until(reached.exists, 20)
    result = running.end(signal.SIGHUP)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_ctrl_c_is_quiet_while_it_changes_over_to_its_own_python(program: Program) -> None:
    """Between the script under one Python and the same under .venv's, where Python itself would
    answer with a traceback."""
    other = Path(sys.base_prefix) / "bin" / "python3"
    if not other.exists():
        pytest.skip("there is no Python beside .venv's")
    program.python = str(other)
    started = program.here / "started"
    (program.here / "sitecustomize.py").write_text(  # Python runs it before the script.
        "import os, signal\n"
        "if 'PETE_SOUNDS_VENV' in os.environ:\n"
        f"    open({str(started)!r}, 'w')\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    program.environment["PYTHONPATH"] = str(program.here)
    result = program.start("--demo", "--mute").finished()
    assert started.exists()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("module", "number", "arguments"),
    [
        ("pyttsx3", signal.SIGINT, ["--list-voices"]),
        ("torch", signal.SIGTERM, ["--bench", "--engine", "torch", "--model", TINY]),
    ],
    ids=["listing", "measuring"],
)
def test_listing_and_measuring_end_when_asked(
    program: Program, module: str, number: signal.Signals, arguments: list[str | Path]
) -> None:
    reached = put_module(program, module, "import time\ntime.sleep(60)")
    running = program.start(*arguments)
    assert wait_until(reached.exists, 20)
    started = running.family()
    end_soon(running, number)
    assert running.stdout.rest() == running.stderr.rest() == ""
    assert all_gone(started)


@pytest.mark.parametrize(
    "meanwhile",
    [
        "while True: weakref.ref(set(), lambda _: time.sleep(0.01))",
        "a, b = open(__file__), open(__file__); fcntl.flock(a, 2); fcntl.flock(b, 2)",
    ],
    ids=["is in callbacks of weak references", "waits in the system"],
)
def test_an_end_does_not_depend_on_what_the_main_thread_does(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera, meanwhile: str
) -> None:
    reached = put_module(program, "cv2", f"import fcntl, time, weakref\n{meanwhile}")
    running = program.start("--source", mjpeg.url, "--engine", server.url, "--mute")
    assert wait_until(reached.exists, 20)
    assert wait_until(reached.read_text, 20) == "MainThread"
    end_soon(running, signal.SIGTERM)


# ---------------------------------------------------------------------------------- other ways out


def test_when_it_is_killed_its_voice_falls_silent(
    program: Program, speech: None, held_up: Callable[[Moment], tuple[Running, set[int]]]
) -> None:
    running, groups = held_up(speaking)
    assert running.end(signal.SIGKILL).returncode == -signal.SIGKILL
    assert all_gone(groups)
    assert wait_until(lambda: not program.left_files(), 5)


def test_its_end_by_itself_leaves_nothing_behind(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera, speech: None,
    sound_card: SoundCard,
) -> None:  # fmt: skip
    program.environment.update(sound_card.environment)
    server.answer = say(pause_s=0.1)
    running = program.start("--source", mjpeg.url, "--engine", server.url, "--once")
    groups = captioning(running, server, sound_card)
    assert groups
    ended_well(running.finished())
    assert all_gone(groups)
    assert not program.left_files()


def test_a_program_started_with_nohup_outlives_the_terminal(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    server.answer = describe(caption_of_sent)
    mjpeg.show(draw(SCENES[0]))
    arguments = ("--source", mjpeg.url, "--engine", server.url, "--mute")
    running = program.start(*arguments, shell='trap "" HUP; exec "$@"')
    running.stdout.wait_for("")
    running.process.send_signal(signal.SIGHUP)
    mjpeg.show(draw(SCENES[2]))
    assert running.stdout.wait_for("", 2) == caption_of(SCENES[2])
    ended_well(running.end(signal.SIGTERM))


def test_a_window_that_is_closed_ends_it(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera, speech: None,
    stuck_sound_card: SoundCard,
) -> None:  # fmt: skip
    program.environment.update(stuck_sound_card.environment)
    terminal = Terminal(program, "--source", mjpeg.url, "--engine", server.url)
    try:
        terminal.wait_for("A red circle on the left.")
        groups = children(terminal.process.pid)
        assert groups
        terminal.close_window()
        assert terminal.process.wait(2 * WITHIN_S) == 0
    finally:
        terminal.close()
    assert b"Traceback" not in terminal.drawn
    assert all_gone(groups)
    assert not program.left_files()
