"""VttFile, read by a parser of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from narrator.outputs.vtt import VttFile
from narrator.settings import PROJECT
from support.cues import cues_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.vtt"


@pytest.fixture
def vtt(path: Path) -> Iterator[VttFile]:
    with closing(VttFile(str(path), "en")) as vtt:
        vtt.begin()
        yield vtt


def test_what_a_cue_says_can_not_be_taken_for_markup(vtt: VttFile, path: Path) -> None:
    vtt.add(3600.0, 3601.5, "<b>Fish & chips</b> --> NOTE")
    vtt.add(360_000.0, 360_001.0, "Much later.")
    text = path.read_text()
    assert text.splitlines()[0] == "WEBVTT Kind: descriptions; Language: en"
    assert "&lt;b&gt;Fish &amp; chips&lt;/b&gt; --&gt; NOTE" in text
    assert "01:00:00.000 --> 01:00:01.500" in text
    assert "100:00:00.000 --> 100:00:01.000" in text


def test_at_any_moment_a_reader_finds_a_valid_file(path: Path) -> None:
    """The writer is killed in the end, in the middle of whatever it does."""
    code = (
        "import itertools, sys; from narrator.outputs.vtt import VttFile\n"
        "vtt = VttFile(sys.argv[1], None)\n"
        "vtt.begin()\n"
        "for n in itertools.count():\n"
        "    vtt.add(n, n + 1, f'Sentence {n}. ' * (1 + n % 3))\n"
    )
    path.touch()
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=PROJECT)
    try:
        while len(path.read_bytes()) < 20_000:
            assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
    assert len(cues_of(path)) > 100
