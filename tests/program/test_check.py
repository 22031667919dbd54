"""--check, as users start it: without a camera, with a stream, aloud, as JSON, interrupted; and the
hint that leads to it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from narrator.errors import ExitCode
from support.camera import MjpegCamera
from support.program import TINY, Program, all_gone, ended_well, wait_until
from support.server import SAID, ScriptedServer, silent
from support.sound import SoundCard
from support.terminal import Terminal

HINT = "--check tries camera, model and voice"
BEGINNING = "pete_sounds: trying camera, model and voice one after the other; Ctrl-C ends it\n"


@pytest.fixture
def no_camera() -> None:
    if any(Path("/dev").glob("video*")) or sys.platform == "darwin":
        pytest.skip("there may be a camera here")


def test_without_a_camera_and_a_sound_card_each_trouble_has_its_line(
    program: Program, tiny: Path, speech: None, no_camera: None
) -> None:
    result = program("--check", "--model", tiny)
    assert result.returncode == ExitCode.SOURCE
    assert result.stderr.startswith(BEGINNING)
    assert "no sound" not in result.stderr  # It has its line.
    camera, model, voice, network = result.stdout.splitlines()
    assert camera.startswith("camera: trouble: camera 0 is not connected; --list-cameras lists")
    assert model.startswith("model: ok: ")
    assert voice.startswith("voice: trouble: no sound: no sound device was found; ")
    assert network.startswith("network: ok: not needed")


def test_the_demo_is_tried_aloud(program: Program, speech: None, sound_card: SoundCard) -> None:
    program.environment.update(sound_card.environment)
    result = program("--check", "--demo", "--no-sounds")
    ended_well(result)
    assert result.stdout.startswith("file: ok: 640 by 480 pixels, bright enough")
    assert 0.1 < sound_card.seconds() / len(result.stdout.split()) < 1.5
    assert not program.left_files()


def test_as_json_it_is_one_object(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    arguments = ("--check", "--json", "--mute", "--engine", server.url, "--source")
    good, bad = program(*arguments, mjpeg.url), program(*arguments, "nosuch.mp4")
    facts = [json.loads(result.stdout) for result in (good, bad)]
    assert [fact["exit_code"] for fact in facts] == [good.returncode, bad.returncode] == [0, 3]
    assert facts[1]["source"]["message"].startswith("nosuch.mp4 can't be opened: No such file")
    assert (good.stderr, bad.stderr) == (BEGINNING, BEGINNING)


def test_a_package_that_is_missing_is_trouble_of_the_model_alone(
    program: Program, tiny: Path, mjpeg: MjpegCamera
) -> None:
    (program.here / "torch.py").write_text("raise ImportError('no torch')\n")
    program.environment["PYTHONPATH"] = str(program.here)
    arguments = ("--check", "--source", mjpeg.url, "--model", tiny, "--mute", "--engine", "torch")
    result = program(*arguments)
    assert result.returncode == ExitCode.ENGINE
    assert "model: trouble: a package can't be used (no torch); run ./install.sh" in result.stdout
    assert "Traceback" not in result.stderr


def test_it_ends_when_asked(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera, speech: None,
    stuck_sound_card: SoundCard,
) -> None:  # fmt: skip
    program.environment.update(stuck_sound_card.environment)
    server.answer = silent()
    running = program.start("--check", "--source", mjpeg.url, "--engine", server.url)
    assert wait_until(server.asked, 30)
    groups = running.family()
    ended_well(running.end(signal.SIGINT))
    assert all_gone(groups)
    assert not program.left_files()


def test_lines_that_nobody_reads_are_no_fault_of_the_program(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    arguments = ("--check", "--source", mjpeg.url, "--engine", server.url, "--mute")
    running = program.start(*arguments, shell='{ "$@"; echo "code $?" >&2; } | true')
    assert running.finished().stderr == f"{BEGINNING}code 0\n"


@pytest.mark.parametrize(
    ("arguments", "shown", "hinted"),
    [
        (["--once"], "camera 0 is not connected", True),
        (["--source", TINY / "demo.mp4"], "no sound: ", True),  # There is no voice.
        (["--source", TINY / "demo.mp4", "--mute", "--once"], SAID, False),
        (["--source", "99", "--demo", "--bench"], "pete_sounds: ", False),  # can't go together
    ],
)
def test_a_person_whose_camera_or_voice_is_missing_is_told_of_it(
    program: Program, server: ScriptedServer, speech: None, no_camera: None,
    arguments: list[str | Path], shown: str, hinted: bool,
) -> None:  # fmt: skip
    terminal = Terminal(program, "--engine", server.url, *arguments)
    try:
        terminal.wait_for(HINT if hinted else shown)
        assert shown in terminal.text()
        if not hinted:
            terminal.process.wait(60)
            assert HINT not in terminal.text()
    finally:
        terminal.close()
