"""What is watched becomes captions: as lines and as JSON, aloud and in a WAV, where it belongs.

Most are made by a server that knows three scenes when it is sent one, and so without torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import pytest

from narrator.errors import ExitCode
from narrator.speech.sounds import Sound
from support.camera import MjpegCamera
from support.captions import SCENES, can_say, caption_of_sent, captions_of, is_wav, lengths
from support.drawn_scenes import caption_of, draw
from support.frames import plain
from support.program import Program, ended_well
from support.server import ScriptedServer, describe, say
from support.sound import SoundCard, heard_in, times_of


@pytest.fixture
def server(server: ScriptedServer) -> ScriptedServer:
    """An engine that tells the three scenes from each other."""
    server.answer = describe(caption_of_sent)
    return server


@pytest.fixture
def picture(program: Program) -> str:
    """A picture of the second scene, where the program is started."""
    cv2.imwrite(str(program.here / "picture.png"), draw(SCENES[1]))
    return "picture.png"


def test_what_is_seen_is_said_aloud_and_kept(
    program: Program, mjpeg: MjpegCamera, tiny: Path, speech: None, sound_card: SoundCard
) -> None:
    """With the real engine, from a stream to a sound card."""
    program.environment.update(sound_card.environment)
    mjpeg.show(draw(SCENES[0]))
    running = program.start(
        *("--source", mjpeg.url, "--model", tiny, "--limit", "3", "--json", "--wav", "out.wav")
    )
    for count, scene in enumerate(SCENES, start=1):
        mjpeg.show(draw(scene))
        running.stdout.wait_for("", count)
    result = running.finished()
    ended_well(result)
    captions = captions_of(result.stdout)
    said = [caption["caption"] for caption in captions]
    assert said == [caption_of(scene) for scene in SCENES]
    assert all(caption["spoken"] for caption in captions)
    is_wav(program.here / "out.wav")
    can_say(lengths(program.here / "out.wav"), said)
    # The device is opened for each; sounds are short, and not kept.
    played = sound_card.recordings()
    heard = [sum(end - start for start, end in heard_in(samples)) for samples in played]
    can_say([length for length in heard if length > 0.5], said)
    assert times_of(Sound.READY.samples(1.0), sound_card.played())


def test_a_stream_is_described_and_again_when_it_was_lost(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    mjpeg.show(draw(SCENES[0]))
    running = program.start("--source", mjpeg.url, "--engine", server.url, "--mute")
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
    ended_well(result)
    assert result.stdout.splitlines() == [caption_of(scene) for scene in SCENES]
    assert result.stderr.count("The stream") == 2


def test_a_stream_that_is_not_there_yet_is_waited_for_while_the_model_is_loaded(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    mjpeg.show(draw(SCENES[0]))
    mjpeg.kill()
    running = program.start("--source", mjpeg.url, "--engine", server.url, "--mute")
    running.stderr.wait_for("can't be reached: the connection was refused")
    running.stderr.wait_for("ready in ")
    running.stderr.wait_for("pete_sounds: The stream is not connected yet; trying again.")
    mjpeg.restart()
    assert running.stdout.wait_for("") == caption_of(SCENES[0])
    result = running.end()
    ended_well(result)
    assert result.stderr.splitlines()[-1] == "pete_sounds: The stream is connected."
    assert result.stderr.count("trying again") == 2


def test_one_caption_of_a_stream_that_stays_dark_is_not_waited_for(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    mjpeg.show(plain((3, 3, 3)))
    result = program("--source", mjpeg.url, "--engine", server.url, "--mute", "--once")
    assert result.returncode == ExitCode.SOURCE
    assert not result.stdout
    dark, why = result.stderr.splitlines()[-2:]
    assert dark == "pete_sounds: It is too dark to see."
    assert why == f"{dark} Switch on a light, or take the cover off the lens."
    assert not server.asked()


def test_what_a_model_says_is_printed_plain_and_whole(
    program: Program, server: ScriptedServer, picture: str
) -> None:
    """Without its thoughts and marks, and nothing in it can steer a terminal."""
    server.answer = say(
        "<think>\nA dog?\n</think>\n\n**Caption:** A \x1b[31mred\x07 can\u202e of Dr. Pepper."
        "\r\nAnd \x9b2Ja \udcffstar.\n"
    )
    printed = program("--source", picture, "--engine", server.url, "--mute").stdout
    assert printed == "A [31mred can of Dr. Pepper. And 2Ja star.\n"


# ---------------------------------------------------------------------------------------- the voice


def test_without_a_sound_card_it_goes_on_in_text(
    program: Program, server: ScriptedServer, picture: str, speech: None
) -> None:
    if sys.platform == "darwin":
        pytest.skip("a Mac always has a sound device")
    result = program("--source", picture, "--engine", server.url, "--json")
    ended_well(result)
    assert result.stderr.count("no sound: ") == 1
    assert "the captions go on as text" in result.stderr
    assert [caption["spoken"] for caption in captions_of(result.stdout)] == [False]


def test_an_unknown_voice_is_a_wrong_option(
    program: Program, server: ScriptedServer, picture: str, speech: None
) -> None:
    result = program("--source", picture, "--engine", server.url, "--voice", "nobody's")
    assert result.stderr.splitlines()[-1].startswith("pete_sounds: there is no voice")
    assert (result.returncode, result.stdout) == (ExitCode.USAGE, "")


def test_voices_are_listed(program: Program, speech: None) -> None:
    result = program("--list-voices")
    ended_well(result)
    assert len(result.stdout.splitlines()) > 3
    assert "English" in result.stdout


# ------------------------------------------------------------- where it is written, and whether not


def test_closed_descriptors_are_no_trouble(
    program: Program, server: ScriptedServer, picture: str, speech: None
) -> None:
    """Nor does what would have been written there end up in a file that got its number."""
    arguments = ("--source", picture, "--engine", server.url, "--mute", "--wav", "out.wav")
    result = program.start(*arguments, shell='exec "$@" <&- >&- 2>&-').finished()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    is_wav(program.here / "out.wav")
    assert lengths(program.here / "out.wav")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_told_for_a_wav_and_ends_it_for_captions(
    program: Program, server: ScriptedServer, picture: str, speech: None
) -> None:
    arguments = ("--source", picture, "--engine", server.url, "--mute")
    kept = program(*arguments, "--wav", "/dev/full")
    ended_well(kept)
    assert len(kept.stdout.splitlines()) == 1
    told = "--wav /dev/full: No space left on device; the narration goes on without it"
    assert kept.stderr.count(told) == 1
    lost = program.start(*arguments, shell='"$@" >/dev/full').finished()
    assert "No space left on device" in lost.stderr
    assert lost.returncode not in (0, ExitCode.INTERNAL)


@pytest.mark.parametrize("shows", [True, False], ids=["while much happens", "while nothing does"])
def test_a_reader_that_has_enough_ends_it_quietly(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera, shows: bool
) -> None:
    mjpeg.show(draw(SCENES[0]))
    shell = '{ "$@"; echo $? >status; } | head -1'
    always = ["--always"] if shows else []
    running = program.start(
        "--source", mjpeg.url, "--engine", server.url, "--mute", *always, shell=shell
    )
    result = running.finished()
    ended_well(result)
    assert result.stdout == caption_of(SCENES[0]) + "\n"
    assert (program.here / "status").read_text() == "0\n"
