"""What install.sh says on Linux, over stand-ins for its commands; a Mac's are in tests/mac."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.machine import LINUX, Machine


@pytest.mark.parametrize("tools", [True, False])
def test_what_it_takes_is_said_first_and_what_to_type_last(tmp_path: Path, tools: bool) -> None:
    machine = Machine(tmp_path, LINUX, tools=tools)
    result = machine.type("./install.sh")
    assert result.returncode == 0, result.stdout
    first, second, *_, last = result.stdout.splitlines()
    assert first == "This takes about 5 GB of disk, and 5 minutes at 100 Mbit/s;"
    assert second == "9 GB and 10 minutes where PyTorch's own index can't be reached."
    assert "PyTorch's own index did not serve (no connection)" in result.stdout
    command = last.partition(":")[2].strip()
    assert command == ("python3" if tools else ".venv/bin/python") + " pete_sounds.py"
    assert machine.type(f"{command} --version").stdout.startswith("pete_sounds.py 20")
