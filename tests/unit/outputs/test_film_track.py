"""FilmNarrationTrack: the rules of placing, one by one; a word takes a second."""

from __future__ import annotations

import wave
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from narrator.outputs.film_track import FilmNarrationTrack
from narrator.outputs.vtt import VttFile
from narrator.outputs.wav import WavFile
from support.cues import Cue, cues_of


@pytest.fixture
def vtt(tmp_path: Path) -> VttFile:
    vtt = VttFile(str(tmp_path / "out.vtt"), None)
    vtt.begin()
    return vtt


@pytest.fixture(autouse=True)
def _log_what_the_user_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "narrator")


def placed(
    tmp_path: Path, said: list[tuple[float, int, str]], length: float | None = 60.0
) -> list[Cue]:
    """The cues of a film's sentences (second, caption, text)."""
    path = tmp_path / "out.vtt"
    with closing(VttFile(str(path), None)) as vtt:
        vtt.begin()
        track = FilmNarrationTrack(vtt, None, rate=60, length=length)
        for at, caption, text in said:
            assert track.say(text, caption, at) is False
        track.finish(length, ended=True)
        track.close()
    return cues_of(path)


def test_sentences_follow_each_other_and_none_is_shown_over_the_next_one(tmp_path: Path) -> None:
    cues = placed(tmp_path, [(1.0, 0, "One two."), (1.0, 0, "Six ten.")])
    assert cues == [Cue(1.0, 3.0, "One two."), Cue(3.25, 5.25, "Six ten.")]
    cues = placed(tmp_path, [(1.0, 0, "One."), (1.0, 0, "Two."), (9.0, 1, "Three.")])
    assert cues[:2] == [Cue(1.0, 2.25, "One."), Cue(2.25, 3.75, "Two.")]
    cues = placed(tmp_path, [(0.0, 0, "One two."), (0.0, 0, "Six.")], length=None)  # a picture
    assert cues == [Cue(0.0, 2.0, "One two."), Cue(2.25, 3.75, "Six.")]
    assert placed(tmp_path, [(1.0, 0, "[[slnc 5000]]")]) == []


def test_a_second_sentence_gives_way_to_what_is_new(tmp_path: Path) -> None:
    said = [(1.0, 0, "One two."), (1.0, 0, "Six ten."), (4.0, 1, "New.")]
    cues = placed(tmp_path, said)
    assert [(cue.start, cue.text) for cue in cues] == [(1.0, "One two."), (4.0, "New.")]
    # but not when it is over by then
    said[-1] = (5.5, 1, "New.")
    assert [cue.start for cue in placed(tmp_path, said)] == [1.0, 3.25, 5.5]


@pytest.mark.parametrize(("whole", "free"), [(False, 3.25), (True, 5.5)])
def test_no_caption_is_wanted_before_the_first_sentence_is_over(
    vtt: VttFile, whole: bool, free: float
) -> None:
    track = FilmNarrationTrack(vtt, None, 60, 60.0, whole=whole)
    track.say("One two.", 0, 1.0)
    track.say("Six ten.", 0, 1.0)
    assert track.quiet_in(2.0) == pytest.approx(free - 2.0)


def test_an_announcement_waits_for_its_turn_and_the_old_one_is_dropped(tmp_path: Path) -> None:
    long = "One two three four five six."
    said = [(0.0, 0, long), (1.0, 1, "It is dark."), (5.0, 1, "It is clear.")]
    cues = placed(tmp_path, said)
    assert [(cue.start, cue.text) for cue in cues] == [(0.0, long), (6.25, "It is clear.")]


def test_what_has_no_room_before_the_end_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = "One two three four five."
    assert len(placed(tmp_path, [(1.0, 0, "One two."), (59.0, 1, long)])) == 1
    cues = placed(tmp_path, [(1.0, 0, "One two."), (59.0, 1, "Six ten.")])
    assert cues[-1] == Cue(58.0, 60.0, "Six ten.")
    assert caplog.messages == [
        f"left out, as the film ends: {long}",
        "said 1.0 s early, as the film ends: Six ten.",
    ]


def test_each_sentence_has_the_length_and_the_place_of_its_sound(
    vtt: VttFile, tmp_path: Path
) -> None:
    seconds = {"One.": 2.0, "Two.": 1.5, "": 0.0}
    rendered: list[str] = []

    def render(text: str) -> bytes:
        rendered.append(text)
        sound = np.full(int(22050 * seconds[text]), 9000, "<i2")
        return bytes(2000) + sound.tobytes() + bytes(2000)

    with closing(WavFile(str(tmp_path / "out.wav"))) as wav:
        wav.begin()
        track = FilmNarrationTrack(vtt, wav, 60, 60.0, render)
        track.wait_until_ready()
        assert track.say("One.", 0, 1.0)
        assert track.say("Two.", 1, 5.0)
        track.finish(10.0, ended=True)
    assert rendered == ["", "One.", "Two."]
    one, two = cues_of(tmp_path / "out.vtt")
    assert (one.start, two.start) == (1.0, 5.0)
    assert [one.end, two.end] == pytest.approx([3.01, 6.51], abs=0.02)
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert file.getnframes() == 10 * 22050


def test_an_end_at_any_moment_writes_what_was_held_back_and_nothing_after_it(
    vtt: VttFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    track = FilmNarrationTrack(vtt, None, 60, 60.0)
    track.say("One two.", 0, 1.0)
    track.say("Three.", 1, 9.0)
    track.say("Four.", 1, 9.0)
    track.close()
    assert track.say("Five.", 2, 20.0) is False
    track.quiet_in(30.0)
    assert [cue.text for cue in cues_of(tmp_path / "out.vtt")] == ["One two.", "Three."]
    assert caplog.messages == []
