"""--bench, as a user starts it; what its figures are is tested in tests/unit."""

from __future__ import annotations

from pathlib import Path

from support.program import Program


def test_it_prints_the_table_and_nothing_else(program: Program, tiny: Path) -> None:
    program.environment["OMP_NUM_THREADS"] = "1"  # on a busy machine two wait for each other
    result = program("--bench", "--model", tiny)
    assert result.returncode == 0, result.stderr
    first, head, *rows, last = result.stdout.splitlines()
    assert f"; {tiny}; loaded in " in first
    assert head.split() == ["one", "tile", "--detail"]
    assert [row[:19].strip() for row in rows] == [
        "first token", "tokens", "whole caption", "captions", "peak memory",
    ]  # fmt: skip
    assert last.endswith("median (least to most) of 9 and 5")
    assert "Traceback" not in result.stderr
