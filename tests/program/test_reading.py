"""--read, and read that is typed: the text in view, word for word, as a user has it read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import wave

import cv2
import pytest

from support.camera import MjpegCamera
from support.pages import ALICE, SAID_OF_ALICE, page
from support.program import Program, ended_well
from support.server import SAID, ScriptedServer
from support.terminal import Terminal, count
from support.video import write_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="drawn for rapidocr")
SIGN = page(["EXIT", "Gate 14B"], 40)


@pytest.fixture
def picture(program: Program) -> str:
    cv2.imwrite(str(program.here / "page.png"), page(ALICE))
    return "page.png"


def read(program: Program, *arguments: str) -> subprocess.CompletedProcess[str]:
    result = program("--read", "--mute", *arguments)
    ended_well(result)
    return result


def read_once(program: Program, *arguments: str) -> subprocess.CompletedProcess[str]:
    return read(program, "--once", *arguments)


def test_a_picture_is_read_without_a_model_or_a_network(program: Program, picture: str) -> None:
    result = read_once(program, "--source", picture, "--json")
    told = json.loads(result.stdout)
    assert told["caption"] == " ".join(SAID_OF_ALICE)
    assert [line["text"] for line in told["text"]] == list(ALICE)
    tops = [line["box"][1] for line in told["text"]]
    assert tops == sorted(tops)
    assert "engine: rapidocr with OpenVINO (to read text)" in result.stderr
    assert not (program.here / ".hf_cache").exists()


def test_drawn_commands_reach_neither_the_terminal_nor_the_voice(
    program: Program, speech: None
) -> None:
    """The brackets that speech engines obey are printed as they stand, and are not spoken."""
    plain, drawn = "Tea is ready.", "Tea is [[slnc 9000]] ready."
    frames = []
    for number, text in enumerate((plain, drawn)):
        cv2.imwrite(str(program.here / f"{number}.png"), page([text]))
        arguments = ("--source", f"{number}.png", "--wav", f"{number}.wav")
        assert read_once(program, *arguments).stdout == f"{text}\n"
        with wave.open(str(program.here / f"{number}.wav")) as file:
            frames.append(file.getnframes())
    assert frames[1] == frames[0]


def test_a_sign_that_stays_is_read_once_and_a_change_of_a_letter_is_read(
    program: Program, mjpeg: MjpegCamera
) -> None:
    mjpeg.show(SIGN)
    terminal = Terminal(program, "--read", "--source", mjpeg.url, "--mute")
    terminal.wait_for("EXIT Gate 14B")
    terminal.type("What colour is it?\n")
    terminal.wait_for("With --read there is no model to answer that.")
    mjpeg.show(page(["EXIT", "Gate 15B"], 40))
    terminal.wait_for("EXIT Gate 15B")
    terminal.type("q\n")
    assert terminal.process.wait(10) == 0
    assert count("Gate")(terminal.rows()) == 2
    terminal.close()


def test_the_slides_of_a_film_become_cues_in_no_language_that_is_known(program: Program) -> None:
    slides = [
        page([line], 36) for line in ("Tee oder Kaffee? Ja bitte.", "Nicht alle Tage. Danke.")
    ]
    size = max(slide.shape[1] for slide in slides), 120
    shown = [cv2.resize(slide, size) for slide in slides for _ in range(30)]
    write_video(program.here / "slides.mp4", shown, fps=10)
    result = read(program, "--source", "slides.mp4", "--vtt", "out.vtt")
    assert result.stdout == "Tee oder Kaffee? Ja bitte.\nNicht alle Tage. Danke.\n"
    written = (program.here / "out.vtt").read_text()
    assert "Language" not in written
    assert re.findall(r"^00:00:0(\d).*\n(.*)", written, re.MULTILINE)[::2] == [
        ("0", "Tee oder Kaffee?"), ("3", "Nicht alle Tage."),
    ]  # fmt: skip


def test_read_is_typed_while_a_page_is_described(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    mjpeg.show(SIGN)
    terminal = Terminal(program, "--source", mjpeg.url, "--engine", server.url, "--mute")
    terminal.wait_for(SAID)
    terminal.type("read\n")
    terminal.wait_for("EXIT Gate 14B")
    assert len(server.asked()) == 1
    terminal.type("q\n")
    terminal.close()
