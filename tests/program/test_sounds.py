"""Sounds of the whole program, on a stand-in for a sound card."""

from __future__ import annotations

from narrator.speech.sounds import Sound
from support.camera import MjpegCamera
from support.program import Program, wait_until
from support.server import ScriptedServer, json_answer, say
from support.sound import SoundCard, heard_in, times_of
from support.terminal import Terminal


def heard_on(card: SoundCard) -> list[str]:
    """What was heard, in order: the names of sounds, and "speech"; each once in a row."""
    played = card.played()
    found = [(at, sound.name) for sound in Sound for at in times_of(sound.samples(1.0), played)]
    speech = [(start, "speech") for start, end in heard_in(played) if end - start > 0.5]
    names = [name for _, name in sorted(found + speech)]
    return [name for at, name in enumerate(names) if at == 0 or name != names[at - 1]]


def test_what_has_no_words_is_heard(
    program: Program,
    server: ScriptedServer,
    mjpeg: MjpegCamera,
    speech: None,
    sound_card: SoundCard,
) -> None:
    program.environment.update(sound_card.environment)
    models = server.models

    def slow(handler: object) -> None:
        wait_until(lambda: heard_on(sound_card), 20)
        models(handler)  # type: ignore[arg-type]

    server.models = slow
    terminal = Terminal(program, "--source", mjpeg.url, "--engine", server.url)
    try:
        assert wait_until(lambda: "speech" in heard_on(sound_card), 60)
        server.answer = say("It is as red as a fire engine.")  # over half a second
        terminal.type("What colour is it?\r")
        assert wait_until(lambda: heard_on(sound_card)[-2:] == ["ANSWER", "speech"], 60)
        mjpeg.drop()
        assert wait_until(lambda: heard_on(sound_card)[-2:] == ["TROUBLE", "speech"], 60)
    finally:
        terminal.close()
    assert heard_on(sound_card)[:7] == [
        "LOOKING", "READY", "speech", "ANSWER", "speech", "TROUBLE", "speech",
    ]  # fmt: skip


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
    assert heard_on(sound_card) == ["speech"]
