"""Where sentences are rendered to files: without room, and without any folder to put them in."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import wave
from pathlib import Path

import pytest

from narrator.errors import ExitCode
from support.camera import MjpegCamera
from support.captions import SCENES, caption_of_sent
from support.drawn_scenes import draw
from support.program import Program, ended_well, one_line, wait_until
from support.server import ScriptedServer, describe


@pytest.fixture
def own_mounts() -> str:
    """The start of a shell line in which mounts can be made that nobody else sees."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", tempfile.gettempdir()]
    if shutil.which("unshare") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("needs Linux's unshare, and leave to use it")
    return "exec unshare -rm sh -c"


def seconds_in(wav: Path) -> float:
    with wave.open(str(wav)) as file:
        return float(file.getnframes() / file.getframerate())


def test_without_room_to_render_that_is_told_once_and_so_is_its_end(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera, speech: None, own_mounts: str
) -> None:
    shell = (
        f'{own_mounts} \'mount -t tmpfs -o size=200k none "$TMPDIR"; '
        '(until [ -e room ]; do sleep 0.1; done; mount -o remount,size=20m "$TMPDIR"; '
        "touch mounted) & "
        'exec "$@"\' sh "$@"'
    )
    server.answer = describe(caption_of_sent)
    mjpeg.show(draw(SCENES[0]))
    arguments = ("--source", mjpeg.url, "--engine", server.url, "--mute", "--wav", "out.wav")
    running = program.start(*arguments, shell=shell)
    running.stderr.wait_for("no voice: speech failed (there is no room left in ")
    running.stdout.wait_for("")
    mjpeg.show(draw(SCENES[1]))
    running.stdout.wait_for("", 2)
    (program.here / "room").touch()
    assert wait_until((program.here / "mounted").exists, 20)
    mjpeg.show(draw(SCENES[2]))
    running.stderr.wait_for("pete_sounds: the voice is back")
    result = running.end(signal.SIGTERM)
    ended_well(result)
    assert result.stderr.count("no voice") == result.stderr.count("is back") == 1
    assert seconds_in(program.here / "out.wav") > 0.1


def test_without_any_temporary_folder_that_is_told(program: Program, own_mounts: str) -> None:
    """Neither torch nor the voice can do without."""
    folders = {tempfile.gettempdir(), "/tmp", "/var/tmp", "/usr/tmp"}
    mounts = "".join(
        f"mount --rbind {folder} {folder} && mount -o remount,bind,ro {folder} || exit; "
        for folder in sorted(folders)
        if Path(folder).is_dir()
    )
    shell = f'{own_mounts} \'{mounts} exec "$@"\' sh "$@"'
    result = program.start("--demo", "--limit", "2", shell=shell).finished()
    assert "no temporary folder can be written" in one_line(result, ExitCode.ENGINE)


def test_a_temporary_folder_that_is_not_there_is_done_without(
    program: Program, server: ScriptedServer, mjpeg: MjpegCamera, speech: None
) -> None:
    program.environment["TMPDIR"] = "/nosuchfolder"
    mjpeg.show(draw(SCENES[0]))
    arguments = ("--source", mjpeg.url, "--engine", server.url, "--mute", "--wav", "out.wav")
    result = program(*arguments, "--once")
    ended_well(result)
    assert len(result.stderr.splitlines()) == 3, result.stderr  # and nothing of a folder
    assert seconds_in(program.here / "out.wav") > 0.1
