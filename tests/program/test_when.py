"""--when: silent until what it watches for is in view, on a stream, in a film, and as it is typed.

The engine is a server that is asked for the word, and knows three scenes.
"""

from __future__ import annotations

import json

import pytest

from narrator.settings import DEFAULT_PROMPT
from support.camera import MjpegCamera
from support.captions import FIELDS, SCENES, caption_of_sent
from support.cues import cues_of
from support.drawn_scenes import caption_of, draw
from support.program import Program, ended_well, wait_until
from support.saved import inside
from support.server import Request, ScriptedServer, describe
from support.terminal import Terminal
from support.video import write_video

CIRCLE, SQUARE, STAR = SCENES


def caption_or_word(request: Request) -> str:
    """The caption, or yes where what is asked for is in it."""
    seen = caption_of_sent(request)
    asked = request.prompt()
    if asked == DEFAULT_PROMPT:
        return seen
    return "Yes." if asked.split("?")[0].removeprefix("Is there ") in seen.lower() else "No."


@pytest.fixture
def server(server: ScriptedServer) -> ScriptedServer:
    server.answer = describe(caption_or_word)
    return server


def test_nothing_is_printed_until_it_is_in_view(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    mjpeg.show(draw(CIRCLE))
    running = program.start(
        *("--source", mjpeg.url, "--engine", server.url, "--mute", "--json", "--limit", "2"),
        *("--when", "a yellow star", "--when", "a blue square.", "--save", "kept"),
    )
    running.stderr.wait_for("watching for: a blue square")
    assert wait_until(lambda: len(server.asked()) >= 2, 30)
    mjpeg.show(draw(STAR))
    running.stdout.wait_for(caption_of(STAR))
    mjpeg.show(draw(SQUARE))
    result = running.finished()
    ended_well(result)
    alerts = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["when"], one["caption"], one["probability"]) for one in alerts] == [
        ("a yellow star", caption_of(STAR), 1.0),
        ("a blue square", caption_of(SQUARE), 1.0),
    ]
    assert all(set(alert) == FIELDS | {"when", "probability"} for alert in alerts)
    kept = sorted((program.here / "kept").iterdir())
    assert [inside(path)["description"] for path in kept] == [
        f"A yellow star: {caption_of(STAR)}", f"A blue square: {caption_of(SQUARE)}",
    ]  # fmt: skip


def test_the_cues_of_a_film_are_its_alerts(program: Program, server: ScriptedServer) -> None:
    pictures = [draw(scene) for scene in (CIRCLE, STAR, CIRCLE, STAR) for _ in range(15 * 4)]
    write_video(program.here / "film.mp4", pictures, 15)
    result = program(
        *("--source", "film.mp4", "--engine", server.url, "--mute", "--vtt", "out.vtt"),
        *("--when", "a yellow star"),
    )
    ended_well(result)
    assert result.stdout.splitlines() == [f"A yellow star: {caption_of(STAR)}"] * 2
    cues = cues_of(program.here / "out.vtt")
    assert [cue.text for cue in cues] == ["A yellow star.", caption_of(STAR)] * 2
    assert [int(cue.start) for cue in cues[::2]] == [4, 12]


def test_it_is_typed_listed_and_dropped(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    mjpeg.show(draw(CIRCLE))
    terminal = Terminal(program, "--source", mjpeg.url, "--engine", server.url, "--mute")
    try:
        terminal.wait_for(caption_of(CIRCLE))
        terminal.type("when a blue square\r")
        terminal.wait_for("Watching for: a blue square.")
        mjpeg.show(draw(SQUARE))
        terminal.wait_for(f"A blue square: {caption_of(SQUARE)}")
        terminal.type("when\r")
        terminal.wait_for("a blue square, seen ")
        terminal.type("forget\r")
        terminal.wait_for("Alerts cleared.")
        mjpeg.show(draw(STAR))
        terminal.wait_for(lambda rows: caption_of(STAR) in rows)
    finally:
        terminal.close()
