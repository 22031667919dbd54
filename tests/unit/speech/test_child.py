"""The child as a process of its own, and its end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from narrator.settings import PROJECT

Child = subprocess.Popen[str]


@pytest.fixture
def child(speech: None) -> Iterator[Child]:
    command = [sys.executable, "-m", "narrator.speech.child"]
    with subprocess.Popen(
        command, cwd=PROJECT, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        yield child
        child.kill()


def ask(child: Child, question: dict[str, Any]) -> dict[str, Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    print(json.dumps(question), file=child.stdin, flush=True)
    answer: dict[str, Any] = json.loads(child.stdout.readline())
    return answer


def order(folder: Path, **settings: Any) -> dict[str, Any]:
    """What the child is told first."""
    folder.mkdir()
    whole = {"voice": None, "rate": 450, "volume": 1.0, "aloud": False, **settings}
    return {"settings": whole, "folder": str(folder), "keep": True, "try": True}


def test_it_goes_with_its_parent_and_removes_the_folder_that_they_shared(
    child: Child, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    assert ask(child, order(folder)) == {"trouble": None}
    answer = ask(child, {"text": "A red star.", "aloud": False})
    assert answer == {"trouble": None, "soon_s": None}  # It was not to be heard.
    assert [path.name for path in folder.iterdir()] == ["spoken.wav"]
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(10) != 0
    assert not folder.exists()
    assert tmp_path.exists()


def test_a_wrong_option_is_told_from_other_trouble(child: Child, tmp_path: Path) -> None:
    answer = ask(child, order(tmp_path / "shared", voice="nobody"))
    assert answer["usage"] is True
    assert "there is no voice 'nobody'" in answer["trouble"]
    assert child.wait(10) == 0


def test_a_folder_that_is_gone_is_told_instead_of_said(child: Child, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    ask(child, order(folder))
    folder.rmdir()
    assert (
        "No such file or directory"
        in ask(child, {"text": "A red star.", "aloud": False})["trouble"]
    )
