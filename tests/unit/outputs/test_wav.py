"""WavFile: valid at any moment, each sentence in its place."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from narrator.outputs.wav import WavFile, header, seconds_of, trimmed

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
    assert samples_in(path) == bytes(44100) + SECOND
    wav.put(0.5, SECOND)
    assert samples_in(path) == bytes(44100) + SECOND + SECOND


def test_it_is_filled_with_silence_where_it_is_shorter(wav: WavFile, path: Path) -> None:
    wav.put(0.0, SECOND)
    wav.fill(0.5)
    assert samples_in(path) == SECOND
    wav.fill(1.5)
    assert samples_in(path) == SECOND + bytes(22050)


def test_the_header_counts_no_further_than_it_can() -> None:
    assert header(1 << 33) == header(0xFFFF_FF00)


def test_silence_around_a_sentence_is_trimmed() -> None:
    sound = np.full(22050, 9000, "<i2")
    sound[1000] = 0  # within it
    silence = np.full(22050, 20, "<i2")
    kept = trimmed(np.concatenate([silence, sound, silence]).tobytes())
    assert seconds_of(kept) == pytest.approx(1.02, abs=0.001)
    assert trimmed(bytes(44100)) == bytes(44100)  # --volume 0
    assert trimmed(b"") == b""
