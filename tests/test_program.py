"""The whole program as a user runs it: what it says, where it says it, and how it ends."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
import wave
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import pete_sounds
from pete_sounds import ExitCode
from support.camera import MjpegCamera
from support.drawn_scenes import Scene, Shape, caption_of, draw
from support.program import (
    ROOT,
    Program,
    Running,
    all_gone,
    children,
    left_over,
    wait_until,
)
from support.sound import SoundCard
from support.video import DemoClip, write_video

FIELDS = {"time", "at", "caption", "first_token_s", "caption_s", "frame_age_s", "spoken"}
FPS = 15
SCENES = [
    Scene(Shape("circle", "red", 0.2, 0.5, 0.17)),
    Scene(Shape("square", "blue", 0.5, 0.22, 0.17)),
    Scene(Shape("star", "yellow", 0.8, 0.78, 0.19)),
]


def no_traceback(result: subprocess.CompletedProcess[str]) -> None:
    """The end was a good one, and nothing was said of the program's insides."""
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert all(line.startswith("pete_sounds: ") for line in result.stderr.splitlines())


def lines_of_json(output: str) -> list[dict[str, Any]]:
    """The captions of --json, which have to have the contract's fields and sound values."""
    captions = [json.loads(line) for line in output.splitlines()]
    for caption in captions:
        assert set(caption) == FIELDS
        assert datetime.fromisoformat(caption["time"]).tzinfo is not None
        assert caption["at"] >= 0
        assert 0 < caption["first_token_s"] <= caption["caption_s"] < 60
        assert 0 < caption["frame_age_s"] < 60
        assert caption["frame_age_s"] >= caption["first_token_s"] - 0.01
        assert type(caption["spoken"]) is bool
        assert caption["caption"].isprintable()
    return captions


def stretches(path: Path) -> list[float]:
    """The lengths of what is heard between silences of a fifth of a second or more, seconds."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(int)
    blocks = samples[: len(samples) // (rate // 50) * (rate // 50)].reshape(-1, rate // 50)
    loud = np.flatnonzero(np.abs(blocks).max(axis=1) > 300)
    heard = np.split(loud, np.flatnonzero(np.diff(loud) > 10) + 1)
    return [(part[-1] + 1 - part[0]) / 50 for part in heard if len(part)]


def says(lengths: list[float], captions: list[str]) -> None:
    """These stretches of sound can be these sentences, each as long as its words need."""
    assert len(lengths) == len(captions), (lengths, captions)
    for length, caption in zip(lengths, captions):
        assert 0.12 < length / len(caption.split()) < 0.5, caption


def is_wav(path: Path) -> None:
    """A whole WAV: its header tells the length that the file has."""
    with wave.open(str(path)) as file:
        assert path.stat().st_size == 44 + 2 * file.getnframes()


# ---------------------------------------------------------------------------------------- the demo


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str], Path]]:
    """The demo's first five captions as text, then as JSON and WAV. Both run at once: the clip's
    own clock sets the pace."""
    first = Program(tmp_path_factory.mktemp("text") / "program")
    second = Program(tmp_path_factory.mktemp("json") / "program")
    wav = second.here / "out.wav"
    try:
        text = first.start("--demo", "--mute", "--limit", "5")
        as_json = second.start("--demo", "--mute", "--json", "--limit", "5", "--wav", wav)
        yield text.finished(90), as_json.finished(90), wav
    finally:
        first.close()
        second.close()


def test_the_demo_says_five_true_sentences_in_order(demo: Any, demo_clip: DemoClip) -> None:
    text, as_json, _ = demo
    no_traceback(text)
    captions = text.stdout.splitlines()
    assert len(captions) == 5
    truth = [caption for *_, caption in demo_clip.rests]
    assert set(captions) <= set(truth)
    assert captions == [caption["caption"] for caption in lines_of_json(as_json.stdout)]


def test_each_caption_of_the_demo_is_true_at_its_time(demo: Any, demo_clip: DemoClip) -> None:
    no_traceback(demo[1])
    captions = lines_of_json(demo[1].stdout)
    assert len(captions) == 5
    resting = 0
    for caption in captions:
        truth = demo_clip.true_at(caption["at"])
        assert caption["caption"] in truth, caption
        resting += len(truth) == 1
    assert resting >= 3  # The others are of the walls between, which last half a second.


def test_the_times_of_captions_are_those_of_their_frames(demo: Any) -> None:
    captions = lines_of_json(demo[1].stdout)
    ats = [caption["at"] for caption in captions]
    assert ats[0] == 0
    assert ats == sorted(set(ats))
    began = [
        datetime.fromisoformat(caption["time"]).timestamp() - at
        for at, caption in zip(ats, captions)
    ]
    assert max(began) - min(began) < 0.5
    assert abs(time.time() - began[0]) < 300


def test_each_sentence_of_the_demo_is_heard_in_the_wav(speech: None, demo: Any) -> None:
    captions = [caption["caption"] for caption in lines_of_json(demo[1].stdout)]
    is_wav(demo[2])
    says(stretches(demo[2]), captions)


def test_captions_alone_go_to_stdout_and_the_rest_to_stderr(demo: Any) -> None:
    assert re.fullmatch(
        r"(pete_sounds: making the .*\n)?"
        r"pete_sounds: engine: (torch|mlx) on .* \((no Apple GPU here|Apple Silicon)\)\n"
        r"pete_sounds: ready in \d+\.\d s; Ctrl-C ends it\n",
        demo[0].stderr,
    )


# ------------------------------------------------------------------------------ from other sources


@pytest.fixture
def three_scenes(tmp_path: Path) -> Path:
    """A video of the three scenes, each for two and a half seconds."""
    images = [draw(scene) for scene in SCENES for _ in range(int(2.5 * FPS))]
    return write_video(tmp_path / "three scenes.mp4", images, FPS)


def test_a_video_is_narrated_aloud_and_kept(
    program: Program, tiny: Path, three_scenes: Path, speech: None, sound_card: SoundCard
) -> None:
    program.environment.update(sound_card.environment)
    wav = program.here / "out.wav"
    result = program(
        *("--source", three_scenes, "--model", tiny, "--limit", "3", "--json", "--wav", wav)
    )
    no_traceback(result)
    captions = lines_of_json(result.stdout)
    said = [caption["caption"] for caption in captions]
    assert said == [caption_of(scene) for scene in SCENES]
    assert all(caption["spoken"] for caption in captions)
    says(stretches(wav), said)
    # The card was opened once, in silence, to find out whether it is there; then once a sentence.
    heard = [sum(stretches(recording)) for recording in sound_card.recordings()]
    says([length for length in heard if length], said)


def test_a_picture_is_described_once(program: Program, tiny: Path) -> None:
    cv2.imwrite(str(program.here / "picture.png"), draw(SCENES[1]))
    result = program("--source", "picture.png", "--model", tiny, "--mute", "--once")
    no_traceback(result)
    assert result.stdout == caption_of(SCENES[1]) + "\n"


def test_a_stream_is_narrated_and_again_when_it_was_lost(
    program: Program, tiny: Path, mjpeg: MjpegCamera
) -> None:
    mjpeg.show(draw(SCENES[0]))
    url = f"http://somebody:s3cret@{mjpeg.address}/video"
    running = program.start("--source", url, "--model", tiny, "--mute")
    *before, after = SCENES
    for count, scene in enumerate(before, start=1):
        mjpeg.show(draw(scene))
        assert running.stdout.wait_for("", count) == caption_of(scene)
    mjpeg.kill()
    running.stderr.wait_for("pete_sounds: The stream is gone; trying to get it back.")
    mjpeg.show(draw(after))
    mjpeg.restart()
    running.stderr.wait_for("pete_sounds: The stream is back.")
    assert running.stdout.wait_for("", len(SCENES)) == caption_of(after)
    result = running.end()
    assert result.returncode == ExitCode.OK
    assert result.stdout.splitlines() == [caption_of(scene) for scene in SCENES]
    assert result.stderr.count("The stream") == 2
    assert "s3cret" not in result.stderr


def test_a_still_scene_is_described_once_or_always_where_asked(
    program: Program, tiny: Path
) -> None:
    video = write_video(program.here / "still.avi", [draw(SCENES[0])] * FPS * 2, FPS, "MJPG")
    quiet = program.start("--source", video, "--model", tiny, "--mute")
    always = program.start("--source", video, "--model", tiny, "--mute", "--always")
    for running, fewest, most in ((quiet, 1, 1), (always, 2, 30)):
        result = running.finished()
        no_traceback(result)
        assert fewest <= len(result.stdout.splitlines()) <= most
        assert len(set(result.stdout.splitlines())) == 1


def test_without_a_sound_card_it_goes_on_in_text(
    program: Program, tiny: Path, speech: None
) -> None:
    if sys.platform == "darwin":
        pytest.skip("a Mac always has a sound device")
    cv2.imwrite(str(program.here / "picture.png"), draw(SCENES[1]))
    result = program("--source", "picture.png", "--model", tiny, "--json")
    no_traceback(result)
    assert result.stderr.count("no sound: ") == 1
    assert "the captions go on as text" in result.stderr
    assert [caption["spoken"] for caption in lines_of_json(result.stdout)] == [False]


def test_an_unknown_voice_is_a_wrong_option(program: Program, speech: None) -> None:
    result = program("--demo", "--voice", "nobody's")
    assert result.stderr.splitlines()[-1].startswith("pete_sounds: there is no voice")
    assert (result.returncode, result.stdout) == (ExitCode.USAGE, "")


def test_voices_are_listed(program: Program, speech: None) -> None:
    result = program("--list-voices")
    no_traceback(result)
    assert len(result.stdout.splitlines()) > 3
    assert "English" in result.stdout


# --------------------------------------------------------------------------- stdin, stdout, stderr


def test_a_reader_that_has_enough_ends_it_quietly(program: Program) -> None:
    shell = '{ "$@"; echo $? >status; } | head -1'
    result = program.start("--demo", "--mute", "--always", shell=shell).finished(30)
    no_traceback(result)
    assert len(result.stdout.splitlines()) == 1
    assert (program.here / "status").read_text() == "0\n"


def test_a_reader_that_goes_away_while_nothing_changes_ends_it_too(
    program: Program, tiny: Path, mjpeg: MjpegCamera
) -> None:
    shell = '{ "$@"; echo $? >status; } | head -1'
    arguments = ("--source", mjpeg.url, "--model", tiny, "--mute")
    result = program.start(*arguments, shell=shell).finished(30)
    no_traceback(result)
    assert len(result.stdout.splitlines()) == 1
    assert (program.here / "status").read_text() == "0\n"


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_no_trouble(
    program: Program, tiny: Path, speech: None, closed: str
) -> None:
    """Nor does what would have been written there end up in a file that got its number."""
    cv2.imwrite(str(program.here / "picture.png"), draw(SCENES[0]))
    arguments = ("--source", "picture.png", "--model", tiny, "--mute", "--wav", "out.wav")
    result = program.start(*arguments, shell=f'exec "$@" {closed}').finished()
    no_traceback(result)
    assert (result.stdout == "") is (" >&-" in closed)
    assert (result.stderr == "") is ("2>&-" in closed)
    is_wav(program.here / "out.wav")
    assert stretches(program.here / "out.wav")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_told_for_a_wav_and_ends_it_for_captions(
    program: Program, tiny: Path, speech: None
) -> None:
    cv2.imwrite(str(program.here / "picture.png"), draw(SCENES[0]))
    arguments = ("--source", "picture.png", "--model", tiny, "--mute")
    kept = program.start(*arguments, "--wav", "/dev/full")
    lost = program.start(*arguments, shell='"$@" >/dev/full')
    result = kept.finished()
    no_traceback(result)
    assert len(result.stdout.splitlines()) == 1
    told = "--wav /dev/full: No space left on device; the narration goes on without it"
    assert result.stderr.count(told) == 1
    result = lost.finished()
    assert "No space left on device" in result.stderr
    assert result.returncode not in (0, ExitCode.INTERNAL)


def test_what_a_model_says_can_not_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """No prompt makes the small model say such things, so something else says them here."""

    class Rude:
        def describe(self, *_: Any) -> Iterable[str]:
            yield from ("A \x1b[31mred\x07", " cir\u202ecle.\r\nAnd", " \x9b2Ja \udcffstar.\n")

    frame = pete_sounds.Frame(draw(SCENES[0]), time.monotonic(), 0.0)
    for as_json in (False, True):
        captions = pete_sounds.Captions(as_json)
        pete_sounds.Narrator(Rude(), None, [captions], "What?").narrate([frame])  # type: ignore[arg-type]
        printed = capsys.readouterr().out
        assert printed.count("\n") == 1
        caption = json.loads(printed)["caption"] if as_json else printed[:-1]
        assert caption == "A [31mred circle. And 2Ja star."


# ----------------------------------------------------------------------------------------- endings


def loading(running: Running) -> set[int]:
    """The voice has been started, the engine is being imported."""
    return set(wait_until(running.family, 30))


def captioning(running: Running) -> set[int]:
    """The engine is at work on the first frame."""
    running.stderr.wait_for("ready in")
    return running.family()


def speaking(running: Running) -> set[int]:
    """The first sentence is being played."""
    running.stdout.wait_for("")
    groups = running.family()
    assert wait_until(lambda: any("-1.wav" in command for command in left_over(groups)), 20)
    return groups


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, loading),
        (signal.SIGINT, captioning),
        (signal.SIGINT, speaking),
        (signal.SIGTERM, loading),
        (signal.SIGTERM, speaking),
        (signal.SIGHUP, captioning),
        (signal.SIGHUP, speaking),
    ],
)
def test_a_signal_ends_it_soon_and_leaves_nothing_behind(
    program: Program,
    speech: None,
    stuck_sound_card: SoundCard,
    number: signal.Signals,
    moment: Callable[[Running], set[int]],
) -> None:
    program.environment.update(stuck_sound_card.environment)
    wav = program.here / "out.wav"
    running = program.start("--demo", "--always", "--wav", wav)
    groups = moment(running)
    assert groups
    asked = time.monotonic()
    result = running.end(number)
    assert time.monotonic() - asked < 3
    no_traceback(result)
    is_wav(wav)
    assert all_gone(groups)
    assert not program.left_files()


def test_on_a_terminal_q_and_enter_end_it(program: Program) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        program.command("--demo", "--mute"), env=program.environment, cwd=program.here,
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        os.write(ours, b"what?\n")
        time.sleep(0.3)
        assert process.poll() is None
        os.write(ours, b"q\n")
        _, said = process.communicate(timeout=3)
        assert process.returncode == 0
        assert "Traceback" not in said
    finally:
        process.kill()
        os.close(ours)


@pytest.mark.parametrize(
    "meanwhile",
    [
        "while True:\n  try:\n   while True: time.sleep(0.1)\n  except BaseException: pass",
        "while True: weakref.ref(set(), lambda _: time.sleep(0.01))",
        "a, b = open(__file__), open(__file__); fcntl.flock(a, 2); fcntl.flock(b, 2)",
    ],
    ids=["swallows every exception", "is in callbacks of weak references", "waits in the system"],
)
def test_an_end_does_not_depend_on_what_the_main_thread_does(
    program: Program, meanwhile: str
) -> None:
    code = program.here / "code.py"
    code.write_text(f"""
import fcntl, os, signal, sys, threading, time, weakref
import pete_sounds as p
def main_thread(*_):
    print(time.monotonic() + 0.3, flush=True)
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM]).start()
    exec({meanwhile!r})
p.find_weights = main_thread
p.main(["--demo", "--mute"])
""")
    program.environment["PYTHONPATH"] = str(ROOT)
    result = subprocess.run(
        [sys.executable, code],
        check=False,
        env=program.environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert time.monotonic() - float(result.stdout) < 3


@pytest.mark.parametrize("moment", [captioning, speaking])
def test_when_it_is_killed_its_voice_falls_silent(
    program: Program,
    speech: None,
    stuck_sound_card: SoundCard,
    moment: Callable[[Running], set[int]],
) -> None:
    program.environment.update(stuck_sound_card.environment)
    running = program.start("--demo")
    groups = moment(running)
    assert groups
    assert running.end(signal.SIGKILL).returncode == -signal.SIGKILL
    assert all_gone(groups)
    assert wait_until(lambda: not program.left_files(), 1)


def test_its_end_by_itself_leaves_nothing_behind(
    program: Program, tiny: Path, speech: None, sound_card: SoundCard
) -> None:
    program.environment.update(sound_card.environment)
    running = program.start("--demo", "--once")
    groups = loading(running)
    assert groups
    no_traceback(running.finished())
    assert all_gone(groups)
    assert not program.left_files()


def test_a_program_started_with_nohup_outlives_the_terminal(
    program: Program, mjpeg: MjpegCamera, tiny: Path
) -> None:
    arguments = ("--source", mjpeg.url, "--model", tiny, "--mute")
    running = program.start(*arguments, shell='trap "" HUP; exec "$@"')
    running.stdout.wait_for("")
    running.process.send_signal(signal.SIGHUP)
    mjpeg.show(draw(SCENES[2]))
    running.stdout.wait_for("", 2)
    no_traceback(running.end(signal.SIGTERM))


def on_terminal(program: Program, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the program on a pseudo-terminal of its own; the process, and our end of the line."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        program.command(*arguments),
        cwd=program.here,
        env=program.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    return process, ours


def read_terminal(ours: int, until: bytes) -> bytes:
    """What the terminal shows, until this comes or the program has let go of it."""
    shown = b""
    while until not in shown:
        try:
            new = os.read(ours, 4096)
        except OSError:  # Linux's way to tell the end.
            new = b""
        if not new:
            break
        shown += new
    return shown


@pytest.mark.parametrize("how", ["Ctrl-C", "closed window"])
def test_a_terminal_ends_it(
    program: Program, speech: None, stuck_sound_card: SoundCard, how: str
) -> None:
    program.environment.update(stuck_sound_card.environment)
    process, ours = on_terminal(program, "--demo")
    try:
        shown = read_terminal(ours, b"Ctrl-C ends it\r\n") + read_terminal(ours, b"\r\n")
        assert b"ready in" in shown
        groups = children(process.pid)
        if how == "Ctrl-C":
            os.write(ours, b"\x03")
            shown += read_terminal(ours, b"no such words")
        os.close(ours)
        assert process.wait(3) == 0
    finally:
        process.kill()
        process.wait()
    assert b"Traceback" not in shown
    assert all_gone(groups)
    assert not program.left_files()
