"""Nothing leaves the machine: what the system sees of sockets, and what is printed of secrets."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import MjpegCamera, Program, SoundCard
from drawn_scenes import Scene, Shape, draw

from pete_sounds import ExitCode


@pytest.fixture
def strace(tmp_path: Path) -> list[str]:
    """The start of a command that writes each system call about networks into a file."""
    trace = str(tmp_path / "trace")  # --seccomp-bpf: only these calls are slowed down
    command = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=network", "-o", trace]
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed, which tells what a program connects to")
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace may not be used here")
    return command


@pytest.mark.parametrize("engine", ["torch", "mlx"])
def test_no_socket_is_connected_with_the_model_on_disk(
    program: Program,
    speech: None,
    sound_card: SoundCard,
    strace: list[str],
    tmp_path: Path,
    engine: str,
) -> None:
    """Of the program, its voice, and all that they start. A socket of the machine's own (AF_UNIX)
    may be: that is how sound servers are spoken to."""
    program.environment.update(sound_card.environment)
    arguments = ("--demo", "--limit", "2", "--engine", engine, "--wav", "out.wav")
    command = [*strace, *program.command(*arguments)]
    result = subprocess.run(
        command, cwd=program.here, env=program.environment, check=False, capture_output=True,
        text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2
    trace = (tmp_path / "trace").read_text().splitlines()
    sent = [call for call in trace if re.search(r"\b(connect|send(to|msg|mmsg))\(", call)]
    assert [call for call in sent if "AF_INET" in call or "AF_NETLINK" in call] == []
    opened = [call for call in trace if re.search(r"\bsocket\((?!AF_UNIX)", call)]
    if engine == "torch":
        assert opened == []
    # urllib3, which transformers imports, asks whether there is IPv6 by a socket on ::1.
    assert len(opened) <= 1, opened


@pytest.mark.parametrize("engine", ["torch", "mlx"])
def test_it_narrates_where_there_is_no_network_at_all(
    program: Program, speech: None, sound_card: SoundCard, engine: str
) -> None:
    """In a network of its own that has not even a loopback."""
    if shutil.which("unshare") is None or subprocess.run(
        ["unshare", "-rn", "true"], check=False, capture_output=True
    ).returncode:  # fmt: skip
        pytest.skip("needs Linux's unshare, and leave to use it")
    program.environment.update(sound_card.environment)
    arguments = ("--demo", "--limit", "2", "--engine", engine, "--json", "--wav", "out.wav")
    result = program.start(*arguments, shell='exec unshare -rn "$@"').finished(120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('"spoken": true') == 2


# --------------------------------------------------------------------------------------- secrets


def run_with_secrets(program: Program, *arguments: str | Path) -> str:
    """All that the program prints, which must be something, and no secret."""
    result = program(*arguments, "--debug")
    printed = result.stdout + result.stderr
    assert "s3cret" not in printed
    assert "somebody" not in printed
    assert result.returncode in (ExitCode.USAGE, ExitCode.SOURCE, ExitCode.MODEL)
    return printed


@pytest.mark.parametrize(
    ("address", "has_traceback"),
    [
        ("http://somebody:s3cret@127.0.0.1:9/video?token=s3cret", True),
        ("rtsp://somebody:s3cret@127.0.0.1:9/s?pw=s3cret", True),
        ("ftp://somebody:s3cret@127.0.0.1/", True),
        ("http://somebody:s3cret@[::1", True),
    ],
)
def test_a_password_is_in_nothing_that_is_printed_with_debug_either(
    program: Program, address: str, has_traceback: bool
) -> None:
    printed = run_with_secrets(program, "--source", address)
    assert ("Traceback" in printed) is has_traceback
    run_with_secrets(program, "--source", address, "--limit", "0")
    run_with_secrets(program, address)


def test_a_password_is_not_told_when_the_model_is_wrong_or_the_stream_is_lost(
    program: Program, tiny: Path, mjpeg: MjpegCamera
) -> None:
    mjpeg.show(draw(Scene(Shape("circle", "red", 0.2, 0.5, 0.17))))
    address = f"http://somebody:s3cret@{mjpeg.address}/video?token=s3cret"
    run_with_secrets(program, "--source", address, "--model", "https://somebody:s3cret@hub/m")
    running = program.start("--source", address, "--model", tiny, "--mute", "--debug")
    running.stdout.wait_for("")
    mjpeg.kill()
    running.stderr.wait_for("The stream is gone")
    result = running.end()
    assert "s3cret" not in result.stdout + result.stderr
    assert "somebody" not in result.stdout + result.stderr
