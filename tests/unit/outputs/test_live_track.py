"""LiveTrack: sentences at their frames, with a voice's sound or without one."""

from __future__ import annotations

import wave
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from narrator.outputs.live_track import LiveTrack
from narrator.outputs.vtt import VttFile
from narrator.outputs.wav import WavFile
from support.cues import Cue, cues_of

SECOND = np.full(22050, 9000, "<i2").tobytes()  # of sound


@pytest.fixture
def vtt(tmp_path: Path) -> VttFile:
    vtt = VttFile(str(tmp_path / "out.vtt"), None)
    vtt.begin()
    return vtt


def test_what_was_said_is_written_with_its_true_length_at_its_frame(
    vtt: VttFile, tmp_path: Path
) -> None:
    with closing(WavFile(str(tmp_path / "out.wav"))) as wav:
        track = LiveTrack(vtt, wav, rate=60)
        track.expect("[One.]", "One.", 1.0)
        track.expect("Dropped.", "Dropped.", 1.5)
        track.expect("Two.", "Two.", 1.5)
        track.keep("One.", 2 * SECOND)
        track.keep("Two.", 2 * SECOND)
        track.keep("Never expected.", SECOND)
    assert cues_of(tmp_path / "out.vtt") == [Cue(1.0, 3.0, "[One.]"), Cue(3.25, 5.25, "Two.")]
    with wave.open(str(tmp_path / "out.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    starts = np.flatnonzero(np.diff((samples > 0).astype(int)) == 1) / 22050
    assert starts == pytest.approx([1.0, 3.25], abs=0.001)


def test_without_a_voice_the_next_caption_takes_the_place_of_the_last(
    vtt: VttFile, tmp_path: Path
) -> None:
    track = LiveTrack(vtt, None, rate=60)  # A word takes a second.
    assert track.say("One two three.", 0, 1.0) is False
    assert track.say("Four.", 0, 1.0) is False
    assert (track.quiet_in(1.0), track.audible) == (0.0, False)
    track.say("Five six.", 1, 2.0)
    track.unspoken("Seven.", 1, 2.0)
    assert cues_of(tmp_path / "out.vtt") == [
        Cue(1.0, 2.0, "One two three."),
        Cue(2.0, 4.0, "Five six."),
        Cue(4.25, 5.75, "Seven."),
    ]
