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
from support.cues import Cue, cues_of


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


def test_what_comes_later_takes_the_place_of_what_was_there(vtt: VttFile, path: Path) -> None:
    vtt.add(0.0, 2.0, "One.")
    assert cues_of(path) == [Cue(0.0, 2.0, "One.")]  # valid before it is closed
    vtt.add(2.0, 4.0, "Two.")
    vtt.add(4.5, 6.0, "A longer one, that never comes.")
    vtt.add(3.0, 5.0, "New.")
    cues = [Cue(0.0, 2.0, "One."), Cue(2.0, 3.0, "Two."), Cue(3.0, 5.0, "New.")]
    assert cues_of(path) == cues
    vtt.add(3.0, 3.0, "Newer.")
    assert cues_of(path) == [*cues[:2], Cue(3.0, 3.001, "Newer.")]


def test_a_cue_that_is_cut_short_across_the_hundredth_hour_stays_valid(
    vtt: VttFile, path: Path
) -> None:
    vtt.add(359_998.0, 360_001.0, "One.")
    vtt.add(359_999.0, 360_001.0, "Two.")
    assert [cue.end for cue in cues_of(path)] == [359_999.0, 360_001.0]


def test_at_any_moment_a_reader_finds_a_valid_file(path: Path) -> None:
    """The writer is killed in the end, in the middle of whatever it does."""
    code = (
        "import itertools, sys; from narrator.outputs.vtt import VttFile\n"
        "vtt = VttFile(sys.argv[1], None)\n"
        "vtt.begin()\n"
        "for n in itertools.count():\n"
        "    vtt.add(n, n + 2, f'Sentence {n}. ' * (1 + n % 3))\n"
        "    if n % 5 == 0: vtt.add(n - 0.5, n + 1.5, 'Corrected.')\n"
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
