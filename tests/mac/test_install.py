"""The walk through what install.sh does on a Mac, with stand-ins for a Mac's commands (see
support/machine.py): with and without Apple's command line tools and Homebrew, under Rosetta, on a
Mac that is too old. What it prints last is typed, and has to work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.machine import Machine, says


def installed(machine: Machine, line: str = "./install.sh", folder: Path | None = None) -> str:
    """What the installer prints, when it ends well."""
    result = machine.type(line, folder)
    assert result.returncode == 0, result.stdout
    return result.stdout


def last_command(printed: str, machine: Machine, folder: Path | None = None) -> str:
    """What to type as it is printed last, which starts the program from where it was printed."""
    command = printed.splitlines()[-1].partition(":")[2].strip()
    started = machine.type(f"{command} --version", folder)
    assert started.stdout.startswith("pete_sounds.py 20"), started.stdout
    return command


def test_a_mac_with_nothing_on_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, tools=False)
    printed = installed(machine)
    assert last_command(printed, machine) == ".venv/bin/python pete_sounds.py"
    assert machine.asked("curl") == ["curl https://astral.sh/uv/0.13.9/install.sh"]
    assert machine.asked("dialog") == []  # which macOS's own python3 would open


def test_a_mac_with_homebrew(tmp_path: Path) -> None:
    machine = Machine(tmp_path, homebrew=True)
    printed = installed(machine)
    assert "uv 0.13.9 found from Homebrew." in printed
    assert last_command(printed, machine) == "python3 pete_sounds.py"
    assert "brew install uv" in machine.asked("brew")
    assert "To remove it too: brew uninstall uv" in installed(machine, "./install.sh clean")


def test_a_mac_with_the_command_line_tools_is_left_without_frameworks(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    printed = installed(machine)
    assert last_command(printed, machine) == "python3 pete_sounds.py"
    assert machine.asked("pip") == ["pip"]
    assert machine.asked("curl") == []
    first = printed.splitlines()[0]
    assert re.fullmatch(r"This takes about 3 GB of disk, and \d minutes at 100 Mbit/s\.", first)
    (dry, real) = (line for line in machine.asked("uv") if line.startswith("uv pip install"))
    assert "--excludes .install/excluded" in dry
    assert "--excludes .install/excluded" in real
    assert "pyobjc" in (machine.program / ".install/excluded").read_text().splitlines()


@pytest.mark.parametrize(
    "python3", ["#!/bin/sh\nexit 127", "#!/bin/sh\necho 'Python 3.8' >&2; exit 1"]
)
def test_a_python3_that_can_not_run_it_is_not_named(tmp_path: Path, python3: str) -> None:
    """As pyenv's is where no version is chosen."""
    machine = Machine(tmp_path, tools=False)
    machine.add("opt/homebrew/bin/python3", python3)
    printed = installed(machine)
    assert last_command(printed, machine) == ".venv/bin/python pete_sounds.py"


def test_what_it_prints_last_works_where_it_was_printed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, tools=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    printed = installed(machine, '"../Pete Sounds/install.sh"', elsewhere)
    assert last_command(printed, machine, elsewhere).startswith("cd ")


def test_under_rosetta_it_goes_on_without_and_so_do_its_arguments(tmp_path: Path) -> None:
    machine = Machine(tmp_path, machine="x86_64", translated="1")
    assert installed(machine, "./install.sh clean") == "Nothing to remove.\n"
    printed = installed(machine, "bash install.sh")
    assert "Intel" not in printed
    assert last_command(printed, machine) == "python3 pete_sounds.py"


def test_a_uv_for_intel_is_left_alone(tmp_path: Path) -> None:
    """As an older Homebrew leaves it, which was moved here from an Intel Mac."""
    machine = Machine(tmp_path, machine="x86_64", translated="1")
    machine.add("usr/bin/uv", 'echo "uv 0.13.9 (Homebrew 2026-11-02 x86_64-apple-darwin)"')
    printed = installed(machine)
    assert "The uv on PATH is built for Intel: leaving it alone.\n" in printed
    assert "uv 0.13.9 found in .uv." in printed


def refused(machine: Machine) -> str:
    """The one line of an installer that goes no further."""
    result = machine.type("./install.sh")
    assert result.returncode == 1
    assert result.stdout.startswith("install.sh: ")
    assert result.stdout.count("\n") == 1
    return result.stdout


def test_an_intel_mac_and_an_older_macos_are_told_what_is_needed(tmp_path: Path) -> None:
    for name in ("intel", "old"):
        (tmp_path / name).mkdir()
    intel = Machine(tmp_path / "intel", machine="x86_64", translated="none")
    assert "Apple Silicon needed" in refused(intel)
    old = Machine(tmp_path / "old", version="13.6.9")
    assert "macOS 13.6.9 found, 14 or newer needed" in refused(old)


@pytest.mark.parametrize(("accessible", "progress"), [("0", "drawn"), ("1", "1")])
def test_progress_is_drawn_unless_a_screen_reader_reads(
    tmp_path: Path, accessible: str, progress: str
) -> None:
    machine = Machine(tmp_path)
    machine.environment["ACCESSIBLE"] = accessible
    installed(machine)
    assert {line.rpartition("[")[2] for line in machine.asked("uv")} == {f"progress {progress}]"}


def test_without_network_it_says_so(tmp_path: Path) -> None:
    machine = Machine(tmp_path, tools=False)
    machine.add("usr/bin/curl", says("curl: (6) Could not resolve host: astral.sh", 6))
    result = machine.type("./install.sh")
    assert result.returncode == 1
    assert "uv can't be fetched (no connection)" in result.stdout.splitlines()[-1]
