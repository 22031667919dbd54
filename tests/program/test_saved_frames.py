"""--save: each caption leaves its frame."""

from __future__ import annotations

import re
from datetime import datetime

from narrator.errors import ExitCode
from support.camera import MjpegCamera
from support.captions import SCENES, caption_of_sent, captions_of
from support.drawn_scenes import caption_of, draw
from support.program import Program, ended_well
from support.saved import distance, inside
from support.server import ScriptedServer, describe

NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.jpg")


def test_each_caption_leaves_its_frame_with_caption_and_time(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    server.answer = describe(caption_of_sent)
    program.environment["TZ"] = "Asia/Kolkata"
    folder = program.here / "frames" / "of today"
    mjpeg.show(draw(SCENES[0]))
    running = program.start(
        *("--source", mjpeg.url, "--engine", server.url, "--mute", "--json"),
        *("--limit", "2", "--save", folder),
    )
    running.stdout.wait_for(caption_of(SCENES[0]))
    mjpeg.show(draw(SCENES[1]))
    result = running.finished()
    ended_well(result)
    captions = captions_of(result.stdout)
    assert [caption["caption"] for caption in captions] == [caption_of(s) for s in SCENES[:2]]
    saved = sorted(folder.iterdir())
    assert len(saved) == 2
    for path, caption, scene in zip(saved, captions, SCENES):
        assert NAME.fullmatch(path.name)
        facts = inside(path)
        assert facts["description"] == facts["comment"] == caption["caption"]
        taken = datetime.strptime(facts["taken"], "%Y:%m:%d %H:%M:%S.%f%z")
        assert taken.isoformat(timespec="milliseconds") == caption["time"]
        assert facts["taken"].endswith("+05:30")
        assert f"{taken:%Y-%m-%dT%H-%M-%S}" in path.name
        assert distance(path, draw(scene)) < 6


def test_a_folder_that_can_not_be_is_said_in_one_line(program: Program) -> None:
    (program.here / "taken").write_text("a file")
    result = program("--demo", "--mute", "--save", "taken/below")
    assert result.returncode == ExitCode.USAGE
    assert re.fullmatch(r"pete_sounds: --save \S+ (is a file|can't be written).*\n", result.stderr)
    assert result.stdout == ""
