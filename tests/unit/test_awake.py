"""The machine is kept awake by the system's tool, which never outlives the program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.awake import STAND_IN, TOOLS, add_tools
from support.program import ROOT, Lines, process_table, wait_until

PROGRAM = """
import sys, time
sys.platform = sys.argv[1]
from narrator.awake import keep_awake
from narrator.process import Shutdown
shutdown = Shutdown(lambda: None)
shutdown.on_signals()
keep_awake(shutdown)
print("awake", flush=True)
time.sleep(60)
"""
REFUSING = {name: "#!/bin/sh\nexit 1" for names in TOOLS.values() for name in names}


class Awake:
    """A process that keeps the machine awake, with these tools first on its PATH."""

    def __init__(self, folder: Path, platform: str, tools: dict[str, str]) -> None:
        self._log = folder / "log"
        add_tools(folder, tools)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, platform],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": f"{folder}:/usr/bin:/bin", "CALLS": str(self._log)},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.printed = Lines(self.process.stdout)
        self.printed.wait_for("awake")
        self._folder = folder

    def started(self, count: int) -> list[str]:
        """The command lines of the tools, once so many have started."""
        assert wait_until(lambda: len(self._lines()) >= count, 20), self._lines()
        return sorted(self._lines())

    def _lines(self) -> list[str]:
        if not self._log.exists():
            return []
        return self._log.read_text().replace(f"{self._folder}/", "").splitlines()

    def tools_gone(self) -> bool:
        """True once none of the tools runs any more."""
        place = str(self._folder)
        return bool(wait_until(lambda: not any(place in row[3] for row in process_table()), 20))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def awake(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Awake]:
    platform = request.param
    made = Awake(tmp_path, platform, dict.fromkeys(TOOLS[platform], STAND_IN))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("awake", "number"), [("darwin", signal.SIGKILL), ("linux", signal.SIGKILL),
                          ("linux", signal.SIGTERM)], indirect=["awake"],
)  # fmt: skip
def test_the_tools_end_with_the_program_however_it_ends(awake: Awake, number: int) -> None:
    platform = "darwin" if "caffeinate" in awake.started(1)[0] else "linux"
    started = [line.split()[0] for line in awake.started(len(TOOLS[platform]))]
    assert started == sorted(TOOLS[platform])
    if platform == "darwin":
        assert awake.started(1) == [f"caffeinate -i -w {awake.process.pid}"]
    os.kill(awake.process.pid, number)
    assert awake.process.wait(20) == (0 if number == signal.SIGTERM else -number)
    assert awake.tools_gone()


@pytest.mark.parametrize(
    ("platform", "tools"),
    [("darwin", {}), ("linux", {}), ("linux", REFUSING), ("freebsd", REFUSING)],
    ids=["darwin", "linux", "refusing", "freebsd"],
)
def test_without_a_tool_that_works_nothing_is_said(
    tmp_path: Path, platform: str, tools: dict[str, str]
) -> None:
    without = Awake(tmp_path, platform, tools)
    without.process.send_signal(signal.SIGTERM)
    assert without.process.wait(20) == 0
    assert without.printed.rest() == "awake\n"
