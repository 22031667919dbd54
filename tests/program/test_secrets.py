"""Passwords and keys are in nothing that the program prints, not even with --debug."""

from __future__ import annotations

import pytest

from narrator.errors import ExitCode
from narrator.settings import SERVER_KEY
from support.camera import MjpegCamera
from support.captions import SCENES
from support.drawn_scenes import draw
from support.program import Program
from support.server import SAID, ScriptedServer, status

ERRORS = (ExitCode.USAGE, ExitCode.SOURCE, ExitCode.MODEL, ExitCode.ENGINE)


def hides(printed: str) -> None:
    """Neither user nor password are told."""
    assert "s3cret" not in printed
    assert "somebody" not in printed


def run_with_secrets(program: Program, *arguments: str) -> str:
    """All that a run prints that fails, which must be something, and no secret."""
    result = program(*arguments, "--debug")
    hides(result.stdout + result.stderr)
    assert result.stderr.startswith("pete_sounds: ")
    assert result.returncode in ERRORS
    return result.stderr


@pytest.mark.parametrize(
    "address",
    ["rtsp://somebody:s3cret@127.0.0.1:9/s?pw=s3cret", "http://somebody:s3cret@[::1"],
)
def test_the_address_of_a_source_is_told_without_its_secrets(
    program: Program, address: str
) -> None:
    assert "Traceback" in run_with_secrets(program, "--source", address)
    assert "--limit" in run_with_secrets(program, "--source", address, "--limit", "0")


@pytest.mark.parametrize(
    "options",
    [
        ["--model", "https://somebody:s3cret@hub/model"],
        ["--engine", "http://somebody:s3cret@127.0.0.1:9/v1?key=s3cret"],
    ],
    ids=["a model", "a server that is not there"],
)
def test_neither_are_those_of_models_and_servers(
    program: Program, mjpeg: MjpegCamera, options: list[str]
) -> None:
    run_with_secrets(program, "--source", mjpeg.url, "--mute", *options)


def test_nothing_is_told_while_it_runs_and_stream_and_server_are_lost(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    program.environment[SERVER_KEY] = "s3cret-key"
    mjpeg.show(draw(SCENES[0]))
    running = program.start(
        *("--source", f"http://somebody:s3cret@{mjpeg.address}/video?token=s3cret"),
        *("--engine", f"http://somebody:s3cret@{server.host}", "--mute", "--debug"),
    )
    assert running.stdout.wait_for("") == SAID
    server.answer = status(307, Location="http://somebody:s3cret@elsewhere/")
    mjpeg.show(draw(SCENES[1]))
    running.stderr.wait_for("trying again")
    mjpeg.kill()
    running.stderr.wait_for("The stream is gone")
    result = running.end()
    assert "frames are sent to http://***@" in result.stderr
    hides(result.stdout + result.stderr)


def test_a_key_that_the_server_repeats_is_told_without_it(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera
) -> None:
    program.environment[SERVER_KEY] = "s3cret-key"
    server.answer = status(
        401, b'{"error": "your key s3cret-key is bad"}', **{"Content-Type": "application/json"}
    )
    told = run_with_secrets(program, "--source", mjpeg.url, "--engine", server.url, "--mute")
    assert "is bad" in told
