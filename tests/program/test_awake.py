"""The machine stays awake while it narrates, and only then. More in tests/unit/test_awake.py."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from support.awake import STAND_IN, TOOLS, add_tools
from support.camera import MjpegCamera
from support.program import Program, process_table, wait_until
from support.server import ScriptedServer


@pytest.fixture
def tools(program: Program) -> Path:
    """What the stand-ins on the program's PATH were started with."""
    add_tools(program.folder, dict.fromkeys(TOOLS[sys.platform], STAND_IN))
    program.environment["PATH"] = f"{program.folder}:{program.environment['PATH']}"
    calls = program.folder / "calls"
    calls.touch()
    program.environment["CALLS"] = str(calls)
    return calls


def test_the_machine_is_kept_awake_until_it_ends_even_when_it_is_killed(
    program: Program, tools: Path, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    running = program.start("--engine", server.url, "--mute", mjpeg.url)
    running.stderr.wait_for("ready in")
    assert wait_until(lambda: len(tools.read_text().splitlines()) == len(TOOLS[sys.platform]), 20)
    keeping = f"{program.folder}/{TOOLS[sys.platform][0]} "
    assert any(keeping in command for *_, command in process_table())
    running.process.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not any(keeping in row[3] for row in process_table()), 20)


def test_what_takes_no_time_keeps_nothing_awake(program: Program, tools: Path) -> None:
    program("--list-models")
    assert tools.read_text() == ""
