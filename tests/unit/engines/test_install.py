"""The model that ./install.sh brings, called by the very line of install.sh."""

from __future__ import annotations

import re

from support.program import ROOT, Program, copy_program


def test_without_the_hub_it_is_one_line_and_a_code(program: Program) -> None:
    folder = copy_program(program.folder / "a copy").parent
    (folder / ".venv").symlink_to(ROOT / ".venv")
    line = re.search(r"(\.venv/bin/python -c '.*'); then", (ROOT / "install.sh").read_text())
    assert line is not None
    program.here = folder
    running = program.start(shell=line[1])
    result = running.finished()
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.startswith("pete_sounds: ")
    assert result.stderr.count("\n") == 1
    assert "the next start tries again" in result.stderr
