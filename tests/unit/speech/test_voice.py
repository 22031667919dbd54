"""Voice: real pyttsx3 and espeak-ng in the real child process, measured in the sound it renders."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from narrator.speech.renderer import Renderer
from narrator.speech.synthesizer import Limits
from narrator.speech.voice import Voice
from narrator.speech.voices import COMMAND, VoiceSettings
from support.program import children, process_table, wait_until
from support.sound import SoundCard

from .conftest import OpenVoice, Sink, plug_in

SHORT = "A red star."
LONG = "A very large yellow triangle with rounded corners stands at the bottom right of the wall."


def seconds(samples: bytes) -> float:
    return len(samples) / 2 / 22050


def loudness(samples: bytes) -> float:
    """Root mean square of the samples."""
    return float(np.sqrt(np.mean(np.frombuffer(samples, "<i2").astype(float) ** 2)))


def say(voice: Voice, *sentences: str) -> None:
    """Say each sentence as a caption of its own, to its end."""
    for caption, sentence in enumerate(sentences):
        assert voice.say(sentence, caption, 0.0)
        voice.wait_until_quiet()


def speech_children() -> list[int]:
    """The processes of ours that render."""
    ours = children(os.getpid())
    return [pid for pid, _, _, line in process_table() if pid in ours and COMMAND[-1] in line]


def test_a_sentence_takes_as_long_as_its_words_and_nothing_is_printed(
    open_voice: OpenVoice, sink: Sink, capfd: pytest.CaptureFixture[str]
) -> None:
    say(open_voice(), SHORT, LONG)
    assert capfd.readouterr() == ("", "")
    assert sink.texts == [SHORT, LONG]
    short, long = (samples for _, samples in sink.kept)
    assert 0.5 < seconds(short) < 2
    assert 3 * seconds(short) < seconds(long) < 8 * seconds(short)
    assert min(loudness(short), loudness(long)) > 300


def test_all_sentences_of_the_newest_caption_are_heard_and_kept(
    speech: None, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SoundCard(tmp_path / "card", 2.0)
    plug_in(card, monkeypatch)
    with closing(card), closing(Voice(VoiceSettings(), sink)) as voice:
        voice.say(LONG, 0, 0.0)
        assert wait_until(card.seconds, 60)
        for caption in range(1, 4):
            for sentence in ("One.", "Two.", "Three."):
                voice.say(f"{sentence} {caption}", caption, 0.0)
        assert voice.quiet_in(0.0) > 1
        voice.wait_until_quiet()
        assert voice.quiet_in(0.0) == 0
    assert sink.texts == [LONG, "One. 3", "Two. 3", "Three. 3"]


def test_a_hushed_sentence_is_kept_as_far_as_it_was_heard(
    speech: None, sink: Sink, slow_sound_card: SoundCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(slow_sound_card, monkeypatch)
    with closing(Voice(VoiceSettings(), sink)) as voice:
        for sentence in (LONG, SHORT, SHORT):
            voice.say(sentence, 1, 0.0)
        assert wait_until(slow_sound_card.seconds, 60)
        child = speech_children()
        voice.hush()
        voice.wait_until_quiet()
        assert wait_until(lambda: sink.kept, 60)
        assert speech_children() == child
    assert sink.texts == [LONG]
    assert seconds(sink.kept[0][1]) < 2  # of five


def test_commands_for_the_speech_engine_are_not_obeyed_nor_said(
    open_voice: OpenVoice, sink: Sink
) -> None:
    voice = open_voice()
    assert voice.say("[[slnc 5000]]", 0, 0.0) is False
    say(voice, SHORT, "A red [[h@'loU w3:ld]] star.")
    assert sink.texts == [SHORT, SHORT]


def test_who_takes_the_sound_gets_it_while_the_voice_is_muted(
    open_voice: OpenVoice, sink: Sink, plugged_in: SoundCard
) -> None:
    voice = open_voice(aloud=True)
    voice.wait_until_ready()
    voice.mute(True)
    assert not voice.say(SHORT, 1, 0.0)
    voice.wait_until_quiet()
    assert (sink.texts, plugged_in.seconds()) == ([SHORT], 0)
    voice.mute(False)
    assert voice.say(LONG, 2, 0.0)
    voice.wait_until_quiet()
    assert sink.texts == [SHORT, LONG]
    assert plugged_in.seconds() > 2


def test_rate_and_volume_are_obeyed(open_voice: OpenVoice, sink: Sink) -> None:
    for rate, volume in ((120, 1.0), (360, 1.0), (360, 0.2)):
        say(open_voice(rate=rate, volume=volume), LONG)
    slow, quick, low = (samples for _, samples in sink.kept)
    assert seconds(slow) > 2 * seconds(quick)
    assert loudness(low) == pytest.approx(loudness(quick) / 5, rel=0.1)


def test_a_text_is_rendered_that_nobody_hears(speech: None) -> None:
    with closing(Renderer(VoiceSettings(rate=450))) as render:
        short, long = render(SHORT), render("Two small dogs sleep on a red chair.")
        assert 4410 < len(short) < len(long)
        assert abs(len(render(SHORT)) - len(short)) < 441
        assert render("") == b""
    with closing(Renderer(VoiceSettings(), Limits(command=("false",)))) as render:
        assert render(SHORT) == b""


# ------------------------------------------------------------------------ children that fail


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_child_that_ends_or_stops_at_any_moment_is_replaced_and_no_sentence_lost(
    open_voice: OpenVoice, sink: Sink, caplog: pytest.LogCaptureFixture, number: signal.Signals
) -> None:
    voice = open_voice(Limits(render_timeout_s=0.5), rate=450)
    voice.wait_until_ready()
    times = 4
    for each in range(times):
        [child] = speech_children()
        voice.say(SHORT, each, 0.0)
        time.sleep(0.01 * each)
        os.kill(child, number)
        voice.wait_until_quiet()
        assert wait_until(lambda child=child: speech_children() not in ([], [child]), 60)  # type: ignore[misc]
    say(voice, LONG)
    assert sink.texts == [SHORT] * times + [LONG]
    assert caplog.messages == []


def test_a_child_that_never_lives_is_reported_once_and_comes_back(
    open_voice: OpenVoice, sink: Sink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = tmp_path / "there"
    lines = f'test -e "{there}" && exec "{sys.executable}" -m narrator.speech.child'
    voice = open_voice(Limits(pauses_s=(0.0, 0.1), command=("sh", "-c", lines)))
    assert wait_until(lambda: voice.trouble, 60)
    assert voice.say(SHORT, 3, 1.5) is False
    assert (voice.quiet_in(0.0), voice.audible) == (0, False)
    there.touch()
    assert wait_until(lambda: voice.trouble is None, 60)
    say(voice, SHORT)
    assert sink.texts == [SHORT]
    assert caplog.messages == [
        "no voice: speech failed (it ended unexpectedly); the captions go on as text",
        "the voice is back",
    ]


@pytest.mark.parametrize("answer", ['{"path": "/no/such"}', '{"path": "/etc/passwd"}', "{}"])
def test_a_sentence_without_a_sound_file_is_dropped(
    open_voice: OpenVoice, sink: Sink, answer: str
) -> None:
    answers = f"while read x; do case \"$x\" in *text*) echo '{answer}';; *) echo"
    lines = f'{answers} \'{{"voice": "none"}}\';; esac; done'
    voice = open_voice(Limits(command=("sh", "-c", lines)))
    voice.wait_until_ready()
    voice.say(SHORT, 0, 0.0)
    voice.wait_until_quiet()
    assert sink.texts == []


def test_without_a_speech_engine_that_is_told_once(
    open_voice: OpenVoice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # What pyttsx3 does where espeak-ng is missing.
    (tmp_path / "pyttsx3.py").write_text("def init(driver=None): raise RuntimeError('no eSpeak')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    voice = open_voice()
    voice.wait_until_ready()
    assert voice.say(SHORT, 0, 0.0) is False
    assert not voice.audible
    told = "no voice: espeak-ng is not installed (./install.sh says how)"
    assert caplog.messages == [f"{told}; the captions go on as text"]


def test_close_leaves_no_process_no_file_and_no_thread_waiting(
    speech: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    voice = Voice(VoiceSettings(aloud=False))
    voice.wait_until_ready()
    children = speech_children()
    os.kill(children[0], signal.SIGSTOP)
    voice.say(SHORT, 0, 0.0)
    waiting = threading.Thread(target=voice.wait_until_quiet)
    waiting.start()
    voice.close()
    waiting.join(60)
    assert not waiting.is_alive()
    assert wait_until(lambda: not set(speech_children()) & set(children), 60)
    assert list(tmp_path.iterdir()) == []
    assert voice.say(SHORT, 0, 0.0) is False
