"""Sounds of the whole program, on a stand-in for a sound card that keeps each one by itself."""

from __future__ import annotations

from support.camera import MjpegCamera
from support.program import Program, wait_until
from support.server import ScriptedServer, json_answer, say
from support.sound import SoundCard, loudest_hertz, samples_of
from support.terminal import Terminal


def heard_on(card: SoundCard) -> list[str]:
    """What was heard, in order: sounds by their loudest tone, and sentences."""
    names = {440: "looking", 784: "ready", 988: "answer", 294: "trouble", 1480: "alert"}
    recordings = [samples_of(path) for path in card.recordings()]
    return [
        next(
            (name for hertz, name in names.items() if abs(loudest_hertz(each) - hertz) < 6), "voice"
        )
        if len(each) < 0.5 * 22050
        else "voice"
        for each in recordings
        if each.any()
    ]


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
        assert wait_until(lambda: "voice" in heard_on(sound_card), 30)
        server.answer = say("It is red.")
        terminal.type("What colour is it?\r")
        assert wait_until(lambda: heard_on(sound_card).count("voice") == 2, 30)
        mjpeg.drop()
        assert wait_until(lambda: heard_on(sound_card).count("voice") == 3, 30)
    finally:
        terminal.close()
    assert heard_on(sound_card)[:7] == [
        "looking", "ready", "voice", "answer", "voice", "trouble", "voice",
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
    assert heard_on(sound_card) == ["voice"]
