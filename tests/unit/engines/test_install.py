"""The models that ./install.sh makes ready, called by the very line of install.sh."""

from __future__ import annotations

import re

from support.program import ROOT, TINY, Program, copy_program


def test_without_the_hub_it_is_one_line_and_a_code_and_the_demo_is_ready(
    program: Program,
) -> None:
    script = copy_program(program.folder / "a copy")
    folder = script.parent
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "tests").mkdir()
    (folder / "tests" / "tiny_smolvlm2").symlink_to(TINY)
    line = re.search(r"(\.venv/bin/python -c '.*'); then", (ROOT / "install.sh").read_text())
    assert line is not None
    program.here = folder
    running = program.start(shell=line[1])
    result = running.finished(170)
    assert (result.returncode, result.stdout) == (4, "")
    no_hub, *others = result.stderr.splitlines()
    assert no_hub.startswith("pete_sounds: ")
    assert "the next start tries again" in no_hub
    assert all("making the OpenVINO weights of" in line for line in others)
    program.script = script
    started = program("--demo", "--once", "--mute")
    assert started.stdout == "Nothing but a grey wall.\n"
    assert "making" not in started.stderr
