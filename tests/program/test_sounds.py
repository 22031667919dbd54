"""Sounds of the whole program, on a stand-in for a sound card."""

from __future__ import annotations

import re

from narrator.speech.sounds import Sound
from support.camera import MjpegCamera
from support.program import Program, wait_until
from support.server import ScriptedServer, json_answer, say
from support.sound import SoundCard, times_of
from support.terminal import Terminal


def test_what_has_no_words_has_a_sound(
    program: Program,
    server: ScriptedServer,
    mjpeg: MjpegCamera,
    speech: None,
    sound_card: SoundCard,
) -> None:
    program.environment.update(sound_card.environment)
    models = server.models

    def slow(handler: object) -> None:
        terminal.wait_for("sound: looking")
        models(handler)  # type: ignore[arg-type]

    server.models = slow
    terminal = Terminal(program, "--source", mjpeg.url, "--engine", server.url, "--debug")
    try:
        terminal.wait_for("A red circle on the left.")
        server.answer = say("It is red.")
        terminal.type("What colour is it?\r")
        terminal.wait_for("It is red.")
        mjpeg.drop()
        terminal.wait_for("sound: trouble")
        sounds = re.findall(r"sound: ([a-z]+)", "\n".join(terminal.rows()))
    finally:
        terminal.close()
    assert [name for name in sounds if name != "looking"] == ["ready", "answer", "trouble"]
    assert sound_card.seconds() > 0


def test_without_sounds_a_caption_is_all_that_is_heard(
    program: Program,
    server: ScriptedServer,
    mjpeg: MjpegCamera,
    speech: None,
    sound_card: SoundCard,
) -> None:
    program.environment.update(sound_card.environment)
    server.models = json_answer({"data": [{"id": "small"}]})
    result = program("--source", mjpeg.url, "--engine", server.url, "--once", "--no-sounds")
    assert result.returncode == 0
    assert wait_until(sound_card.seconds, 10)
    assert not any(times_of(sound.samples(1.0), sound_card.played()) for sound in Sound)
