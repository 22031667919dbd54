"""A film described by the program: cues and sound at their times, files valid at any moment.

The program, the speech and the WebVTT parser are real.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import wave
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrator.errors import ExitCode
from narrator.scene.picture_check import CLEAR_AGAIN, PictureProblem
from support.camera import MjpegCamera
from support.captions import SCENES, caption_of_sent, is_wav
from support.cues import cues_of
from support.drawn_scenes import Scene, Shape, caption_of, draw
from support.program import Program, ended_well, wait_until
from support.server import ScriptedServer, describe
from support.sound import heard
from support.video import write_video

FPS = 15
WALL = Scene(None, 320, 240)
CIRCLE = replace(WALL, shape=Shape("circle", "red", 0.2, 0.5, 0.17))
SQUARE = replace(WALL, shape=Shape("square", "blue", 0.5, 0.22, 0.17))
STAR = replace(WALL, shape=Shape("star", "yellow", 0.8, 0.78, 0.19))
TRIANGLE = replace(WALL, shape=Shape("triangle", "green", 0.2, 0.2, 0.18))
DARK = PictureProblem.COVERED.value  # what is said where it gets dark at a stroke
# Seconds and scene; None: the lamp is out. Two scenes come and go while a sentence is spoken, and
# the last one is too near to the end for its sentence.
SCRIPT: list[tuple[float, Scene | None]] = [
    (3.0, CIRCLE), (3.0, SQUARE), (3.0, None), (3.6, STAR), (1.2, WALL), (0.4, CIRCLE),
    (0.2, SQUARE), (3.6, TRIANGLE), (1.0, STAR),
]  # fmt: skip
SECONDS = sum(seconds for seconds, _ in SCRIPT)


def seconds_of(path: Path) -> float:
    """The length of a WAV whose header tells no more than there is."""
    with wave.open(str(path)) as file:
        assert path.stat().st_size >= 44 + 2 * file.getnframes()
        return file.getnframes() / file.getframerate()


def pictures() -> Iterator[np.ndarray]:
    """The frames of SCRIPT."""
    for seconds, scene in SCRIPT:
        image = np.full((240, 320, 3), 6, np.uint8) if scene is None else draw(scene)
        yield from [image] * round(seconds * FPS)


def scenes_around(at: float, seconds: float) -> set[str]:
    """The true captions from `at` on for so many seconds."""
    begins, captions = 0.0, set()
    for length, scene in SCRIPT:
        if begins <= at + seconds and begins + length > at:
            captions.add(DARK if scene is None else caption_of(scene))
        begins += length
    return captions


@dataclass
class Described:
    """What became of the film: as narrated, and muted."""

    film: Path
    folder: Path
    result: subprocess.CompletedProcess[str]
    mute: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Described]:
    """The film of SCRIPT, described with sound and without, both at once."""
    program = Program(tmp_path_factory.mktemp("film") / "program")
    film = write_video(program.here / "film.mp4", pictures(), FPS)
    watch = ("--source", film, "--model", tiny)
    try:
        loud = program.start(*watch, "--json", "--vtt", "film.vtt", "--wav", "film.wav")
        mute = program.start(*watch, "--vtt", "mute.vtt", "--mute")
        yield Described(film, program.here, loud.finished(150), mute.finished(150))
    finally:
        program.close()


# ------------------------------------------------------------------------------------- a whole film


def test_each_cue_is_true_at_its_time(speech: None, described: Described) -> None:
    ended_well(described.result)
    cues = cues_of(described.folder / "film.vtt")
    truth = [CIRCLE, SQUARE, None, STAR, WALL, TRIANGLE]
    texts = [DARK if scene is None else caption_of(scene) for scene in truth]
    texts.insert(3, CLEAR_AGAIN)
    assert [cue.text for cue in cues[:7]] == texts
    for cue in cues[:7]:
        if cue.text != CLEAR_AGAIN:
            assert cue.text in scenes_around(cue.start, 0.0), cue
    assert cues[0].start == 0
    # What is new is told at once: within the half second that the gate and the dark need.
    assert cues[1].start - 3.0 < 0.7
    assert cues[2].start - 6.0 < 0.7
    assert cues[-1].end <= SECONDS


def test_what_does_not_fit_before_the_end_is_told(speech: None, described: Described) -> None:
    told = [line for line in described.result.stderr.splitlines() if "as the film ends" in line]
    cues = cues_of(described.folder / "film.vtt")
    assert len(told) == 1
    assert caption_of(STAR) in told[0]
    if "left out" in told[0]:
        assert cues[-1].text == caption_of(TRIANGLE)
    else:
        assert cues[-1].text == caption_of(STAR)
        assert abs(cues[-1].end - SECONDS) < 0.1


def test_the_wav_is_as_long_as_the_film_and_each_sentence_begins_at_its_cue(
    speech: None, described: Described
) -> None:
    wav = described.folder / "film.wav"
    assert abs(seconds_of(wav) - SECONDS) < 1 / FPS
    cues, parts = cues_of(described.folder / "film.vtt"), heard(wav)
    assert len(parts) == len(cues)  # so no two are spoken at once, nor one right after the other
    for cue, (start, end) in zip(cues, parts):
        assert abs(start - cue.start) < 0.05, cue
        assert end <= cue.end + 0.02, cue
        assert 0.12 < (end - start) / len(cue.text.split()) < 0.5, cue


def test_captions_are_printed_as_ever_with_the_films_times(
    speech: None, described: Described
) -> None:
    captions = [json.loads(line) for line in described.result.stdout.splitlines()]
    cues = {cue.start: cue.text for cue in cues_of(described.folder / "film.vtt")}
    for caption in captions[:-1]:
        assert cues[caption["at"]] == caption["caption"]
        assert (caption["frame_age_s"], caption["spoken"]) == (0, True)
    assert "film.vtt is written: 0:19 of film took" in described.result.stderr


def test_without_a_voice_cues_last_as_long_as_their_words(described: Described) -> None:
    ended_well(described.mute)
    cues = cues_of(described.folder / "mute.vtt")
    assert [cue.text for cue in cues[:3]] == [caption_of(CIRCLE), caption_of(SQUARE), DARK]
    assert cues[0].end == pytest.approx(60 * len(cues[0].text.split()) / 200, abs=0.01)
    assert "no voice" not in described.mute.stderr


def test_ctrl_c_leaves_what_was_described(program: Program, speech: None) -> None:
    running = program.start("--demo", "--always", "--vtt", "out.vtt", "--wav", "out.wav")
    running.stdout.wait_for("", count=3)
    result = running.end(signal.SIGINT)
    ended_well(result)
    is_wav(program.here / "out.wav")
    cues = cues_of(program.here / "out.vtt")
    assert len(cues) >= 2
    assert len(heard(program.here / "out.wav")) == len(cues)
    assert re.search(r"^pete_sounds: out.vtt covers the film up to 0:\d\d$", result.stderr, re.M)


def test_files_that_are_there_stay_so_until_the_model_is_found(
    program: Program, described: Described
) -> None:
    kept = [program.here / "film.vtt", program.here / "film.wav"]
    for path in kept:
        shutil.copy(described.folder / path.name, path)
    arguments = ("--source", described.film, "--model", "no/such", "--mute")
    result = program(*arguments, "--vtt", "film.vtt", "--wav", "film.wav")
    assert result.returncode == ExitCode.MODEL
    for path in kept:
        assert path.read_bytes() == (described.folder / path.name).read_bytes()
    program(*arguments, "--vtt", "new.vtt")
    assert not (program.here / "new.vtt").exists()


# ------------------------------------------------------------------------------------- live sources


def test_cues_of_a_live_source_are_refused_with_what_to_do(
    program: Program, mjpeg: MjpegCamera
) -> None:
    result = program("--source", mjpeg.url, "--vtt", "out.vtt", "--mute")
    assert result.returncode == ExitCode.USAGE
    assert re.fullmatch(r"pete_sounds: --vtt is for films; .* --json .*\n", result.stderr)
    assert not (program.here / "out.vtt").exists()


def has_sentences(wav: Path, count: int) -> bool:
    return len(heard(wav)) == count


def test_the_sound_of_a_live_narration_can_be_read_at_any_moment_and_after_a_kill(
    program: Program, mjpeg: MjpegCamera, server: ScriptedServer, speech: None
) -> None:
    server.answer = describe(caption_of_sent)
    mjpeg.show(draw(SCENES[0]))
    watch = ("--source", mjpeg.url, "--engine", server.url, "--mute", "--wav", "out.wav")
    running = program.start(*watch)
    for count, scene in enumerate(SCENES, 1):
        mjpeg.show(draw(scene))
        running.stdout.wait_for(caption_of(scene))
        assert wait_until(functools.partial(has_sentences, program.here / "out.wav", count), 20)
    running.end(signal.SIGKILL)
    assert len(heard(program.here / "out.wav")) == len(SCENES)


# ------------------------------------------------------------------------------------------ slides


@pytest.mark.parametrize(("name", "played"), [("slides.mp4", False), ("slides.webp", True)])
def test_each_slide_is_described(program: Program, tiny: Path, name: str, played: bool) -> None:
    """However few frames a second there are; and played they are seen all the same."""
    scenes, path = [CIRCLE, SQUARE, STAR], program.here / name
    if name.endswith(".mp4"):
        write_video(path, map(draw, scenes), 1 / 3)
    else:
        first, *rest = [Image.fromarray(draw(scene)[:, :, ::-1]) for scene in scenes]
        first.save(path, save_all=True, append_images=rest, duration=3000, lossless=True)
    keep = () if played else ("--vtt", "out.vtt")
    result = program("--source", path, "--model", tiny, "--mute", "--json", *keep)
    ended_well(result)
    captions = [json.loads(line) for line in result.stdout.splitlines()]
    assert [caption["caption"] for caption in captions] == [caption_of(scene) for scene in scenes]
    for number, caption in enumerate(captions):
        assert 0 <= caption["at"] - 3 * number <= (2.9 if played else 0.6)


# ----------------------------------------------------------------------------------- on a terminal


def test_the_bar_shares_no_line_with_captions_and_a_limit_ends_the_files(
    program: Program, speech: None
) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        program.command("--demo", "--limit", "4", "--vtt", "out.vtt", "--wav", "out.wav"),
        cwd=program.here, env={**program.environment, "TERM": "xterm"},
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        with contextlib.suppress(OSError):  # Linux's way to tell the end
            while new := os.read(ours, 4096):
                shown += new
        assert process.wait(10) == 0
    finally:
        process.kill()
        os.close(ours)
    text = shown.decode()
    assert re.search(r"\d+ %\|.*\| \d+ of 68 s", text)
    lines = [line for line in text.split("\r\n") if re.search(r"A red|wall|pete_sounds", line)]
    assert len(lines) >= 6
    captions = []
    for line in lines:  # The bar was wiped, from the start of the line, before it was printed.
        after = re.sub(r"^\x1b\[A", "", line.rsplit("\r", 1)[-1])
        if not after.startswith("pete_sounds: "):
            captions.append(after)
    cues = cues_of(program.here / "out.vtt")
    assert captions == [cue.text for cue in cues]
    assert len(cues) == 4
    assert cues[-1].start < seconds_of(program.here / "out.wav") <= cues[-1].end + 0.1
