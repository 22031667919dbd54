"""Voice: real pyttsx3 and espeak-ng in the real child process, measured in the WAV it fills.

A Mac's speech is a stand-in here, and says so; see test_voice_mac.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pete_sounds
from pete_sounds import PeteError, Voice, VoiceSettings, WavFile
from support.program import process_table, wait_until
from support.sound import SoundCard

SHORT = "A red star."
LONG = "A very large yellow triangle with rounded corners stands at the bottom right of the wall."

OpenVoice = Callable[..., Voice]


@pytest.fixture
def wav(tmp_path: Path) -> Iterator[WavFile]:
    wav = WavFile(str(tmp_path / "out.wav"))
    yield wav
    wav.close()


@pytest.fixture
def open_voice(wav: WavFile) -> Iterator[OpenVoice]:
    """Opens voices that render into `wav` and play nothing, and closes them."""
    opened = []

    def open_voice(**settings: object) -> Voice:
        voice = Voice(VoiceSettings(**{"aloud": False, "keep": True, **settings}), wav)  # type: ignore[arg-type]
        opened.append(voice)
        return voice

    yield open_voice
    for voice in opened:
        voice.close()


def samples(path: Path) -> np.ndarray:
    """The WAV's samples, shape (n,), dtype int16."""
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 2, 22050)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def seconds(path: Path) -> float:
    return len(samples(path)) / 22050


def loudness(path: Path) -> float:
    """Root mean square of the samples."""
    return float(np.sqrt(np.mean(samples(path).astype(float) ** 2)))


def stretches(path: Path, pause_s: float) -> int:
    """How many stretches of sound there are between silences of at least pause_s."""
    window = 22050 // 50
    sound = samples(path).astype(float)
    windows = sound[: len(sound) // window * window].reshape(-1, window)
    loud = np.flatnonzero(np.abs(windows).max(axis=1) > 300)
    return 1 + int((np.diff(loud) > pause_s * 50).sum()) if len(loud) else 0


def say_and_wait(voice: Voice, *sentences: str) -> None:
    """Say each sentence as a caption of its own, to its end."""
    for caption, sentence in enumerate(sentences):
        assert voice.say(sentence, caption)
        voice.wait_until_quiet()


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    return any(running == pid for running, *_ in process_table())


def test_each_sentence_is_heard_in_the_wav_and_takes_as_long_as_its_words(
    open_voice: OpenVoice, tmp_path: Path
) -> None:
    voice = open_voice()
    say_and_wait(voice, SHORT)
    short = seconds(tmp_path / "out.wav")
    say_and_wait(voice, LONG)
    both = seconds(tmp_path / "out.wav")
    assert 0.5 < short < 2
    assert 3 * short < both - short < 8 * short
    say_and_wait(voice, SHORT)
    assert stretches(tmp_path / "out.wav", pause_s=0.2) == 3


def test_the_wav_is_valid_before_it_is_closed(open_voice: OpenVoice, tmp_path: Path) -> None:
    assert seconds(tmp_path / "out.wav") == 0
    say_and_wait(open_voice(), SHORT)
    assert loudness(tmp_path / "out.wav") > 300


def test_nothing_is_printed_on_our_stdout(
    open_voice: OpenVoice, capfd: pytest.CaptureFixture[str]
) -> None:
    say_and_wait(open_voice(), SHORT, SHORT)
    assert capfd.readouterr().out == ""


def test_the_newest_caption_wins_over_those_that_wait(
    open_voice: OpenVoice, tmp_path: Path
) -> None:
    voice = open_voice()
    voice.wait_until_ready()
    for caption in range(8):
        voice.say(LONG, caption)
    voice.wait_until_quiet()
    assert stretches(tmp_path / "out.wav", pause_s=0.24) == 2


def test_all_sentences_of_one_caption_are_said(open_voice: OpenVoice, tmp_path: Path) -> None:
    voice = open_voice()
    for _ in range(4):
        voice.say(SHORT, caption=1)
    voice.wait_until_quiet()
    assert stretches(tmp_path / "out.wav", pause_s=0.24) == 4


def test_commands_for_the_speech_engine_are_not_obeyed_nor_said(
    open_voice: OpenVoice, tmp_path: Path
) -> None:
    voice = open_voice()
    assert voice.say("[[slnc 5000]]", 0) is False
    say_and_wait(voice, SHORT)
    plain = seconds(tmp_path / "out.wav")
    say_and_wait(voice, "A red [[h@'loU w3:ld]] star.")
    assert seconds(tmp_path / "out.wav") - plain < 1.5 * plain


def test_rate_and_volume_are_obeyed(tmp_path: Path) -> None:
    measured = {}
    for rate, volume in ((120, 1.0), (360, 1.0), (360, 0.2)):
        path = tmp_path / f"{rate}-{volume}.wav"
        wav = WavFile(str(path))
        voice = Voice(VoiceSettings(None, rate, volume, aloud=False, keep=True), wav)
        say_and_wait(voice, LONG)
        voice.close()
        wav.close()
        measured[rate, volume] = seconds(path), loudness(path)
    assert measured[120, 1.0][0] > 2 * measured[360, 1.0][0]
    assert measured[360, 1.0][1] > 2 * measured[360, 0.2][1]


def test_a_voice_is_chosen_by_id_or_name(open_voice: OpenVoice, tmp_path: Path) -> None:
    spoken = []
    for name in ("gmw/de", "German", "gmw/en"):
        before = seconds(tmp_path / "out.wav")
        say_and_wait(open_voice(voice=name), LONG)
        spoken.append(round(seconds(tmp_path / "out.wav") - before - 0.25, 2))
    assert spoken[0] == pytest.approx(spoken[1], abs=0.26)
    assert spoken[2] != pytest.approx(spoken[1], abs=0.01)


def test_a_voice_that_does_not_exist_is_a_usage_error(open_voice: OpenVoice) -> None:
    voice = open_voice(voice="nobody's voice")
    with pytest.raises(PeteError, match="--list-voices") as caught:
        voice.wait_until_ready()
    assert caught.value.exit_code is pete_sounds.ExitCode.USAGE


def test_a_child_that_is_killed_is_replaced_and_what_it_said_is_dropped(
    open_voice: OpenVoice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voice = open_voice()
    voice.wait_until_ready()
    os.kill(voice._child.pid, signal.SIGKILL)
    voice.say(LONG, 0)
    voice.wait_until_quiet()
    say_and_wait(voice, SHORT)
    assert 0.5 < seconds(tmp_path / "out.wav") < 2.5
    assert "ended by itself; it is started again" in capsys.readouterr().err


def test_a_child_that_hangs_is_replaced(
    open_voice: OpenVoice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Voice, "WAKE_WITHIN_S", 0.3)
    voice = open_voice(rate=450)
    voice.wait_until_ready()
    first = voice._child.pid
    os.kill(first, signal.SIGSTOP)
    voice.say(SHORT, 0)
    voice.wait_until_quiet()
    monkeypatch.undo()
    assert not alive(first)
    say_and_wait(voice, SHORT)
    assert loudness(tmp_path / "out.wav") > 300
    assert "did not answer in time" in capsys.readouterr().err


def test_a_child_that_never_lives_is_given_up_with_one_last_line(
    open_voice: OpenVoice,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pete_sounds, "speech_command", lambda: ["false"])
    voice = open_voice()
    voice.wait_until_ready()
    assert not voice.busy
    assert voice.say(SHORT, 0) is False
    assert capsys.readouterr().err.splitlines()[-1].endswith("the captions go on as text")


def test_without_a_speech_engine_that_is_told_once(
    open_voice: OpenVoice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # What pyttsx3 does where espeak-ng is missing.
    (tmp_path / "pyttsx3.py").write_text("def init(driver=None): raise RuntimeError('no eSpeak')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    voice = open_voice()
    voice.wait_until_ready()
    assert voice.say(SHORT, 0) is False
    assert voice.say(SHORT, 1) is False
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "espeak-ng is not installed" in told[0]


def test_a_missing_sound_card_is_told_once_and_so_is_its_return(
    tmp_path: Path,
    sound_card: SoundCard,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in sound_card.environment.items():
        monkeypatch.setenv(name, value)
    there = tmp_path / "there"
    there.touch()
    player = tmp_path / "aplay"
    player.write_text(
        "#!/bin/sh\n"
        f"[ -e {there} ] && exec /usr/bin/aplay \"$@\"\n"
        "echo 'audio open error: No such device' >&2; exit 1\n"
    )  # fmt: skip
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    voice = Voice(VoiceSettings())
    try:
        assert voice.say(SHORT, 0) is True
        voice.wait_until_quiet()
        there.unlink()
        for caption in range(1, 4):
            voice.say(SHORT, caption)
            voice.wait_until_quiet()
        assert voice.say(SHORT, 4) is False
        voice.wait_until_quiet()
        there.touch()
        voice.say(SHORT, 5)
        voice.wait_until_quiet()
    finally:
        voice.close()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert "no sound: audio open error: No such device" in told[0]
    assert "the sound is back" in told[1]


def test_close_hushes_at_once_and_leaves_no_process_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A player that takes a minute over each sentence, and tells its number.
    player = tmp_path / "aplay"
    player.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/players\nexec sleep 60\n")
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    voice = Voice(VoiceSettings())
    assert wait_until(
        lambda: (tmp_path / "players").exists() and (tmp_path / "players").read_text(), 30
    )
    processes = [voice._child.pid, int((tmp_path / "players").read_text())]
    assert all(alive(process) for process in processes)
    started = time.monotonic()
    voice.close()
    assert time.monotonic() - started < 1.5
    assert wait_until(lambda: not any(alive(process) for process in processes), 1)
    assert not Path(voice._folder).exists()


def test_a_wav_on_a_full_disk_is_told_once_and_the_narration_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wav = WavFile("/dev/full")
    voice = Voice(VoiceSettings(aloud=False, keep=True), wav)
    try:
        say_and_wait(voice, SHORT, SHORT)
    finally:
        voice.close()
        wav.close()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "No space left on device" in told[0]


def test_a_wav_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(PeteError, match="can't be written") as caught:
        WavFile(str(tmp_path / "no" / "such" / "folder.wav"))
    assert caught.value.exit_code is pete_sounds.ExitCode.USAGE


def test_list_voices_prints_id_name_and_language() -> None:
    listed = subprocess.run(
        [pete_sounds.sys.executable, str(pete_sounds.PROJECT / "pete_sounds.py"), "--list-voices"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert [
        line for line in listed.stdout.splitlines() if line.split("  ")[::2] == ["gmw/de", "de"]
    ]
    assert listed.stderr == ""


def test_it_reckons_how_long_it_will_speak_and_learns_its_own_pace(
    speech: None, stuck_sound_card: SoundCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stuck_sound_card.environment.items():
        monkeypatch.setenv(name, value)
    voice = Voice(VoiceSettings(rate=200))
    try:
        voice.wait_until_ready()
        assert voice.quiet_in() == 0
        voice.say(LONG, 0)
        at_first = voice.quiet_in()
        assert 3 < at_first < 8  # 17 words at 200 a minute
        voice.say(LONG, 0)
        assert voice.quiet_in() > 1.5 * at_first
        time.sleep(0.5)
        assert voice.quiet_in() < 2 * at_first - 0.4
    finally:
        voice.close()


def test_what_was_said_quicker_than_reckoned_makes_the_next_reckoning_shorter(
    open_voice: OpenVoice,
) -> None:
    voice = open_voice()  # renders only, which is much quicker than speech
    voice.wait_until_ready()
    voice.say(LONG, 0)
    at_first = voice.quiet_in()
    voice.wait_until_quiet()
    say_and_wait(voice, LONG, LONG)
    voice.say(LONG, 9)
    assert voice.quiet_in() < 0.6 * at_first


def test_a_sentence_that_comes_out_empty_is_rendered_once_more(tmp_path: Path) -> None:
    """Seen once in some hundred sentences: espeak-ng ends at once, and nothing is in the file."""
    if sys.platform != "linux":
        pytest.skip("a Mac has no espeak-ng")
    script = (
        "import os, sys, pete_sounds as p\n"
        "settings = {'folder': sys.argv[1], 'aloud': False, 'keep': True, 'voice': None,\n"
        "            'rate': 200, 'volume': 1.0}\n"
        "speech = p.EspeakSpeech(settings)\n"
        "real, calls = speech._wait_for_espeak, []\n"
        "def wait():\n"
        "    real()\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2:\n"
        "        open(f'{sys.argv[1]}/{os.getpid()}-2.wav', 'w').close()\n"
        "speech._wait_for_espeak = wait\n"
        "for _ in range(3):\n"
        "    trouble = speech.speak('A red star.', lambda event, path: None)\n"
        "    print(trouble, len(calls), file=sys.stderr)\n"
        "os._exit(0)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=pete_sounds.PROJECT,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert result.stderr == "None 1\nNone 3\nNone 4\n"
    assert [seconds(path) > 0.5 for path in tmp_path.glob("*.wav")] == [True] * 3
