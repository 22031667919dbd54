"""Nothing leaves the machine: what the system sees of sockets while the whole program runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import pytest

from support.pages import page
from support.program import Program
from support.sound import SoundCard


def works(command: list[str]) -> bool:
    """True where such a command can be run here."""
    return shutil.which(command[0]) is not None and not (
        subprocess.run([*command, "true"], check=False, capture_output=True).returncode
    )


@pytest.mark.parametrize("engine", ["openvino", "mlx", "rapidocr"])
def test_no_socket_is_connected_with_the_model_on_disk(
    program: Program, speech: None, sound_card: SoundCard, tmp_path: Path, engine: str
) -> None:
    """By the program, its voice, and all that they start, in a network of its own that has not
    even a loopback. A socket inside the machine (AF_UNIX) is how sound servers are spoken to."""
    trace = tmp_path / "trace"  # --seccomp-bpf: only these calls are slowed down
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=network", "-o", str(trace)]
    wrapped = [*(unshare if works(unshare := ["unshare", "-rn"]) else [])]
    wrapped += strace if works([*wrapped, *strace]) else []
    if not wrapped:
        pytest.skip("needs Linux's strace or unshare, and leave to use it")
    program.environment.update(sound_card.environment)
    seen = ("--demo", "--engine", engine)
    if engine == "rapidocr":
        cv2.imwrite(str(program.here / "page.png"), page(["EXIT"]))
        seen = ("--read", "--source", "page.png")
    command = [*wrapped, *program.command(*seen, "--once", "--json", "--wav", "out.wav")]
    result = subprocess.run(
        command, cwd=program.here, env=program.environment, check=False, capture_output=True,
        text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["spoken"] is True
    if not trace.exists():
        return
    calls = trace.read_text().splitlines()
    sent = [call for call in calls if re.search(r"\b(connect|send(to|msg|mmsg))\(", call)]
    assert [call for call in sent if "AF_INET" in call or "AF_NETLINK" in call] == []
    opened = [call for call in calls if re.search(r"\bsocket\((?!AF_UNIX)", call)]
    # urllib3, which mlx-vlm's packages and rapidocr import, asks by a socket on ::1 for IPv6.
    assert len(opened) <= (engine != "openvino"), opened
