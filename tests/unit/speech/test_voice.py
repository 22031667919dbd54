"""Voice: real pyttsx3 and espeak-ng in the real child process, measured in the sound it renders."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from narrator.errors import UsageError
from narrator.speech.voice import LIMITS, Voice, VoiceLimits, VoiceSettings
from support.program import process_table, wait_until
from support.sound import SoundCard

from .conftest import OpenVoice, Sink

SHORT = "A red star."
LONG = "A very large yellow triangle with rounded corners stands at the bottom right of the wall."
STARTED_AGAIN = "speech failed (ended by itself); it is started again"


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


def child_of(voice: Voice) -> int:
    """The process that speaks."""
    assert voice._process is not None
    return voice._process.pid


def is_alive(process: int) -> bool:
    """Whether it runs (a zombie does not)."""
    return any(running == process for running, *_ in process_table())


def test_a_sentence_takes_as_long_as_its_words(open_voice: OpenVoice, sink: Sink) -> None:
    say(open_voice(), SHORT, LONG)
    assert sink.texts == [SHORT, LONG]
    short, long = (samples for _, samples in sink.kept)
    assert 0.5 < seconds(short) < 2
    assert 3 * seconds(short) < seconds(long) < 8 * seconds(short)
    assert min(loudness(short), loudness(long)) > 300


def test_nothing_is_printed_on_our_stdout(
    open_voice: OpenVoice, capfd: pytest.CaptureFixture[str]
) -> None:
    say(open_voice(), SHORT)
    assert capfd.readouterr().out == ""


def test_the_newest_caption_wins_over_those_that_wait(open_voice: OpenVoice, sink: Sink) -> None:
    voice = open_voice()
    voice.wait_until_ready()
    for caption in range(8):
        voice.say(f"{LONG} {caption}.", caption, caption / 2)
    voice.wait_until_quiet()
    assert sink.texts == [f"{LONG} 0.", f"{LONG} 7."]
    assert sink.expected[3] == (f"{LONG} 3.", f"{LONG} 3.", 1.5)


def test_all_sentences_of_one_caption_are_said(open_voice: OpenVoice, sink: Sink) -> None:
    voice = open_voice()
    for sentence in ("One.", "Two.", "Three."):
        voice.say(sentence, 1, 0.0)
    voice.wait_until_quiet()
    assert sink.texts == ["One.", "Two.", "Three."]


def test_commands_for_the_speech_engine_are_not_obeyed_nor_said(
    open_voice: OpenVoice, sink: Sink
) -> None:
    voice = open_voice()
    assert voice.say("[[slnc 5000]]", 0, 0.0) is False
    say(voice, SHORT, "A red [[h@'loU w3:ld]] star.")
    assert sink.texts == [SHORT, SHORT]


def test_who_takes_the_sound_gets_it_while_the_voice_is_muted(
    open_voice: OpenVoice, sink: Sink, sound_card: SoundCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sound_card.environment.items():
        monkeypatch.setenv(name, value)
    voice = open_voice(aloud=True)
    voice.wait_until_ready()
    before = len(sound_card.recordings())  # It tried whether anything can be heard.
    voice.mute(True)
    assert not voice.say("A red star.", 1, 0.0)
    voice.wait_until_quiet()
    assert (sink.texts, len(sound_card.recordings())) == (["A red star."], before)
    voice.mute(False)
    assert voice.say("A blue star.", 2, 0.0)
    voice.wait_until_quiet()
    assert len(sound_card.recordings()) == before + 1


def test_rate_and_volume_are_obeyed(open_voice: OpenVoice, sink: Sink) -> None:
    for rate, volume in ((120, 1.0), (360, 1.0), (360, 0.2)):
        say(open_voice(rate=rate, volume=volume), LONG)
    slow, quick, low = (samples for _, samples in sink.kept)
    assert seconds(slow) > 2 * seconds(quick)
    assert loudness(quick) > 2 * loudness(low)


def test_a_voice_that_does_not_exist_is_a_usage_error(open_voice: OpenVoice) -> None:
    voice = open_voice(voice="nobody's voice")
    with pytest.raises(UsageError, match="--list-voices"):
        voice.wait_until_ready()
    with pytest.raises(UsageError, match="--list-voices"):
        voice.say(SHORT, 0, 0.0)


# ------------------------------------------------------------------------ children that fail


def test_a_child_that_is_killed_again_and_again_is_replaced_and_leaves_nothing(
    open_voice: OpenVoice, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """More often than would give it up, were nothing said in between."""
    voice = open_voice()
    voice.wait_until_ready()
    descriptors, times = len(os.listdir("/dev/fd")), LIMITS.pauses_s.index(5.0) + 2
    for _ in range(times):
        say(voice, SHORT)
        child = child_of(voice)
        os.kill(child, signal.SIGKILL)
        voice.say(LONG, 1, 0.0)  # It is lost with the child, or said by the next.
        assert wait_until(lambda child=child: child_of(voice) != child, 10)  # type: ignore[misc]
        voice.wait_until_quiet()
    say(voice, SHORT)
    assert sink.texts.count(SHORT) == times + 1
    assert len(os.listdir("/dev/fd")) == descriptors
    assert len(os.listdir(voice._folder)) <= 1
    assert caplog.messages == [STARTED_AGAIN] * times


def test_a_child_that_hangs_is_replaced_and_what_it_said_is_dropped(
    open_voice: OpenVoice, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    voice = open_voice(VoiceLimits(wake_timeout_s=0.3), rate=450)
    voice.wait_until_ready()
    first = child_of(voice)
    os.kill(first, signal.SIGSTOP)
    voice.say(SHORT, 0, 0.0)
    voice.wait_until_quiet()
    assert "speech failed (no answer in time); it is started again" in caplog.messages
    assert not is_alive(first)
    assert sink.texts == []


def test_a_child_that_never_lives_is_given_up_with_one_last_line(
    open_voice: OpenVoice, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    voice = open_voice(VoiceLimits(command=("false",)))
    voice.wait_until_ready()
    assert voice.say(SHORT, 3, 1.5) is False
    assert voice.quiet_in(0.0) == 0
    assert sink.lost == [(SHORT, 3, 1.5)]
    reason = "speech failed 3 times (ended by itself)"
    assert voice.trouble == f"no voice: {reason}"
    last = f"no voice: {reason}; the captions go on as text"
    assert caplog.messages == [STARTED_AGAIN, STARTED_AGAIN, last]


@pytest.mark.parametrize(
    "command",
    [
        ("/no/such/program",),
        *(
            ("sh", "-c", f"read x; printf '{answer}\\n'; exec sleep 60")
            for answer in ("nonsense", "3", "[]", "{}", "null", "\\377", '["trouble"]')
        ),
    ],
)
def test_a_child_that_can_not_be_started_or_answers_nonsense_is_given_up(
    open_voice: OpenVoice, caplog: pytest.LogCaptureFixture, command: tuple[str, ...]
) -> None:
    voice = open_voice(VoiceLimits(command=command))
    voice.wait_until_ready()
    assert voice.say(SHORT, 0, 0.0) is False
    assert caplog.messages[-1].startswith("no voice: speech failed 3 times (")
    assert voice._thread.is_alive()


def test_a_voice_that_was_given_up_comes_back(
    open_voice: OpenVoice, sink: Sink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = tmp_path / "there"
    lines = f'test -e "{there}" && exec "{sys.executable}" -m narrator.speech.child'
    limits = VoiceLimits(pauses_s=(0.0, 0.1, 0.2), command=("sh", "-c", lines))
    voice = open_voice(limits)
    assert wait_until(lambda: voice._failures.tries >= 5, 20)
    there.touch()
    assert wait_until(lambda: voice._ready, 20)
    say(voice, SHORT)
    assert sink.texts == [SHORT]
    assert caplog.messages == [
        STARTED_AGAIN,
        "no voice: speech failed 2 times (ended by itself); the captions go on as text",
        "the voice is back",
    ]


def test_a_sink_that_fails_does_not_end_the_voice(
    open_voice: OpenVoice,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    voice = open_voice()
    with monkeypatch.context() as broken:
        broken.setattr(sink, "keep", lambda text, samples: 1 / 0)
        say(voice, SHORT)
    say(voice, LONG)
    assert sink.texts == [LONG]
    assert caplog.messages == ["speech failed (division by zero); it is started again"]


def test_without_a_speech_engine_that_is_told_once(
    open_voice: OpenVoice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # What pyttsx3 does where espeak-ng is missing.
    (tmp_path / "pyttsx3.py").write_text("def init(driver=None): raise RuntimeError('no eSpeak')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    voice = open_voice(aloud=True)
    voice.wait_until_ready()
    assert voice.say(SHORT, 0, 0.0) is False
    assert voice.say(SHORT, 1, 0.0) is False
    assert not voice.audible
    assert len(caplog.messages) == 1
    assert "espeak-ng is not installed" in caplog.messages[0]


# ------------------------------------------------------------------------------------- aloud


def test_a_missing_sound_card_is_told_once_and_so_is_its_return(
    tmp_path: Path,
    speech: None,
    sound_card: SoundCard,
    make_player: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in sound_card.environment.items():
        monkeypatch.setenv(name, value)
    there = tmp_path / "there"
    there.touch()
    make_player(f'[ -e "{there}" ] && exec "$real" "$@"; echo "open error: No device" >&2; exit 1')
    voice = Voice(VoiceSettings())
    try:
        say(voice, SHORT)
        there.unlink()
        for caption in range(1, 4):
            voice.say(SHORT, caption, 0.0)
            voice.wait_until_quiet()
        assert voice.say(SHORT, 4, 0.0) is False
        voice.wait_until_quiet()
        assert voice.trouble == "no sound: open error: No device"
        there.touch()
        voice.say(SHORT, 5, 0.0)
        voice.wait_until_quiet()
        assert voice.trouble is None
    finally:
        voice.close()
    assert caplog.messages == [
        "no sound: open error: No device; the captions go on as text",
        "the sound is back",
    ]


def test_close_hushes_at_once_and_leaves_no_process_and_no_file(
    speech: None, make_player: Callable[[str], None]
) -> None:
    make_player("exec sleep 60")
    voice = Voice(VoiceSettings())
    family = wait_until(partial(family_of, voice), 30)
    started = time.monotonic()
    voice.close()
    assert time.monotonic() - started < 5  # else a minute
    assert wait_until(partial(are_gone, family), 5)
    assert not Path(voice._folder).exists()
    assert voice.say(SHORT, 0, 0.0) is False


# Silence is played at once; then the player takes a minute over each sentence.
ENDLESS = '[ $(wc -c < "$2") -gt 100 ] && exec sleep 60; exit 0'


def test_hush_is_silence_at_once_and_no_failure(
    speech: None, make_player: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    make_player(ENDLESS)
    voice = Voice(VoiceSettings())
    try:
        for _ in range(4):
            voice.say("A sentence that never comes to its end.", 1, 0.0)
            voice.say("Another one.", 1, 0.0)
            family = wait_until(lambda: voice._saying and family_of(voice), 20)
            voice.hush()
            assert wait_until(partial(are_gone, family), 5)
            voice.wait_until_quiet()
            assert voice.quiet_in(0.0) == 0
        assert voice.say("A word.", 2, 0.0)
    finally:
        voice.close()
    assert caplog.messages == []


def family_of(voice: Voice) -> list[int]:
    """The processes of the voice, once its player runs."""
    if voice._process is None:
        return []
    group = [pid for pid, _, leader, _ in process_table() if leader == voice._process.pid]
    return group if len(group) > 1 else []


def are_gone(processes: list[int]) -> bool:
    return not any(map(is_alive, processes))


def test_it_reckons_how_long_it_will_speak(
    speech: None, make_player: Callable[[str], None]
) -> None:
    make_player(ENDLESS)
    voice = Voice(VoiceSettings(rate=200))
    try:
        voice.wait_until_ready()
        assert voice.quiet_in(0.0) == 0
        voice.say(LONG, 0, 0.0)
        at_first = voice.quiet_in(0.0)
        assert 2 < at_first < 8  # 17 words at 200 a minute
        voice.say(LONG, 0, 0.0)
        both = voice.quiet_in(0.0)
        assert both > 1.3 * at_first
        time.sleep(0.3)
        assert voice.quiet_in(0.0) <= both - 0.3
    finally:
        voice.close()


def test_what_was_said_quicker_than_reckoned_makes_the_next_reckoning_shorter(
    open_voice: OpenVoice,
) -> None:
    voice = open_voice()  # renders only, which is much quicker than speech
    voice.wait_until_ready()
    voice.say(LONG, 0, 0.0)
    at_first = voice.quiet_in(0.0)
    voice.wait_until_quiet()
    say(voice, LONG, LONG)
    voice.say(LONG, 9, 0.0)
    assert voice.quiet_in(0.0) < 0.6 * at_first
