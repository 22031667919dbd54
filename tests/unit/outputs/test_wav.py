"""WavFile: valid at any moment, each sentence in its place."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from narrator.errors import UsageError
from narrator.outputs.wav import MAX_SAMPLES, WavFile, seconds_of, trimmed
from narrator.settings import PROJECT
from support.program import wait_until

SECOND = b"\1\2" * 22050


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.wav"


@pytest.fixture
def wav(path: Path) -> Iterator[WavFile]:
    with closing(WavFile(str(path))) as wav:
        wav.begin()
        yield wav


def samples_in(path: Path) -> bytes:
    """What a reader finds in a file that ends where its header says."""
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 2, 22050)
        assert path.stat().st_size == 44 + 2 * file.getnframes()
        return file.readframes(file.getnframes())


def test_sentences_follow_each_other_and_the_file_is_valid_after_each(
    wav: WavFile, path: Path
) -> None:
    assert samples_in(path) == b""
    wav.keep("One.", SECOND)
    assert samples_in(path) == SECOND
    wav.keep("Two.", SECOND)
    assert samples_in(path) == SECOND + bytes(2 * int(0.25 * 22050)) + SECOND


def test_a_sound_is_put_at_its_second_or_after_what_is_there(wav: WavFile, path: Path) -> None:
    wav.put(1.0, SECOND)
    wav.put(0.5, SECOND)
    wav.fill(0.5)
    assert samples_in(path) == bytes(44100) + SECOND + SECOND
    wav.fill(3.5)
    assert samples_in(path) == bytes(44100) + SECOND + SECOND + bytes(22050)


def test_at_any_moment_a_reader_finds_a_valid_file(path: Path) -> None:
    """The writer is killed in the end, in the middle of whatever it does."""
    code = (
        "import sys, time; from narrator.outputs.wav import WavFile\n"
        "wav = WavFile(sys.argv[1])\n"
        "wav.begin()\n"
        "for _ in range(2000): wav.keep('One.', b'\\1\\2' * 5000); time.sleep(0.001)\n"
        "time.sleep(60)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=PROJECT)
    try:
        assert wait_until(lambda: path.exists() and path.stat().st_size > 200_000, 30)
        for _ in range(100):
            assert writer.poll() is None
            frames = whole_frames_in(path)
    finally:
        writer.kill()
        writer.wait()
    assert whole_frames_in(path) >= frames > 90_000


def whole_frames_in(path: Path) -> int:
    """How many frames the header of a file that is being written tells of; all are there."""
    with wave.open(str(path)) as file:
        frames = file.getnframes()
        assert len(file.readframes(frames)) == 2 * frames
    return frames


def test_another_programs_sound_is_not_overwritten(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 44100, 0, "NONE", ""))
        file.writeframes(bytes(4000))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="already holds something else; give another name"):
        WavFile(str(path))
    assert path.read_bytes() == before


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac's files are not sparse by default")
def test_it_ends_where_its_header_can_count_no_further(
    wav: WavFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def skip(file: int, data: bytes, at: int) -> int:
        """Leave a hole for long silence."""
        if len(data) < 2_000_000:
            return pwrite(file, data, at)
        os.truncate(file, max(at + len(data), os.fstat(file).st_size))
        return len(data)

    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", skip)
    wav.fill(MAX_SAMPLES / 22050 - 1)
    for _ in range(3):
        wav.keep("One.", SECOND)
    wav.fill(1e9)
    with wave.open(str(path)) as file:
        assert file.getnframes() == MAX_SAMPLES


def test_silence_around_a_sentence_is_trimmed() -> None:
    sound = np.full(22050, 9000, "<i2")
    sound[1000] = 0  # within it
    silence = np.full(22050, 20, "<i2")
    kept = trimmed(np.concatenate([silence, sound, silence]).tobytes())
    assert seconds_of(kept) == pytest.approx(1.02, abs=0.001)
    assert trimmed(bytes(44100)) == bytes(44100)  # --volume 0
    assert trimmed(b"") == b""
