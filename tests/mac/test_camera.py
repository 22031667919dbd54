"""A Mac's camera: permission that is pending, given, refused; which camera is taken; one that is
plugged in again. FAKE: the Mac, see capture_child/sitecustomize.py; the capture child is real."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from narrator.frames.cameras import NAMED
from narrator.frames.live import ASKING
from narrator.frames.opening import list_cameras, open_source
from narrator.frames.source import Source
from support.frames import heard, next_frame
from support.program import Program
from support.server import ScriptedServer

PENDING, RESTRICTED, DENIED, ALLOWED = range(4)
FAKE = Path(__file__).parent / "capture_child"
BUILT_IN, EXTERNAL = "AVCaptureDeviceTypeBuiltInWideAngleCamera", "AVCaptureDeviceTypeExternal"
# Unique ID, name, type, is it a phone, and the level that its pictures show.
IPHONE = ["1A2B-phone", "Ada's iPhone Camera", "AVCaptureDeviceTypeContinuityCamera", True, 200]
FACETIME = ["6C707041-05AC", "FaceTime HD Camera", BUILT_IN, False, 100]
C920 = ["0x14200000046d082d", "HD Pro Webcam C920", EXTERNAL, False, 50]


class Mac:
    def __init__(self, folder: Path) -> None:
        self._file = folder / "mac.json"
        self.environment = {"PYTHONPATH": str(FAKE), "FAKE_MAC": str(self._file)}
        self._state: dict[str, Any] = {}
        self.set(status=ALLOWED, cameras=[FACETIME])

    def set(self, **state: int | Sequence[list[Any]]) -> None:
        self._state.update(state)
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self._state))
        new.rename(self._file)

    @property
    def asked(self) -> int:
        """How often the user was asked for permission."""
        file = Path(f"{self._file}.asked")
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mac:
    made = Mac(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENCV_AVFOUNDATION_SKIP_AUTH", "1")  # as libraries.py sets it
    return made


def level_of(source: Source) -> int:
    """Which camera it is."""
    return round(float(next_frame(source).image.mean()) / 50) * 50


# ------------------------------------------------------------------------------------- permission


def test_once_waits_for_the_answer_too(mac: Mac, program: Program, server: ScriptedServer) -> None:
    """The whole program, of which the capture child alone thinks that it is on a Mac."""
    program.environment.update(mac.environment)
    arguments = ("--source", "0", "--once", "--mute", "--engine", server.url)
    mac.set(status=PENDING)
    running = program.start(*arguments)
    running.stderr.wait_for(ASKING)
    running.stderr.wait_for("ready in")
    assert mac.asked == 1
    mac.set(status=ALLOWED)
    result = running.finished()
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 1)
    assert all(line.startswith("pete_sounds: ") for line in result.stderr.splitlines())
    mac.set(status=PENDING)
    running = program.start(*arguments)
    running.stderr.wait_for(ASKING)
    mac.set(status=DENIED)
    result = running.finished()
    assert result.returncode == 3
    assert "System Settings > Privacy & Security > Camera" in result.stderr
    mac.set(status=RESTRICTED)
    result = program(*arguments)
    assert result.returncode == 3
    assert "Screen Time" in result.stderr.splitlines()[-1]
    assert mac.asked == 2  # It is not asked again where cameras are forbidden.


# ------------------------------------------------------------------------------- which one is taken


@pytest.mark.parametrize(
    ("cameras", "level"),
    [([C920, IPHONE, FACETIME], 50), ([IPHONE, C920, FACETIME], 100), ([IPHONE], 200)],
    ids=["the system's", "not the system's phone", "only a phone"],
)
def test_the_camera_that_is_taken_by_itself_is_the_systems_and_no_phone(
    mac: Mac, cameras: list[Any], level: int
) -> None:
    mac.set(cameras=cameras)
    with closing(open_source(NAMED)) as source:
        assert level_of(source) == level


def test_cameras_are_numbered_and_named_as_opencv_numbers_them(
    mac: Mac, capsys: pytest.CaptureFixture[str]
) -> None:
    mac.set(cameras=[FACETIME, IPHONE, C920])
    list_cameras()
    assert capsys.readouterr().out.splitlines() == [
        "0  640x480  HD Pro Webcam C920",
        "1  640x480  Ada's iPhone Camera",
        "2  640x480  FaceTime HD Camera",
    ]
    for source, level in (("1", 200), (f"{NAMED}facetime", 100)):
        with closing(open_source(source)) as opened:
            assert level_of(opened) == level


# ------------------------------------------------------------------------------ unplugged, and back


def test_a_camera_that_is_plugged_in_again_is_found_and_no_other_is_shown(mac: Mac) -> None:
    mac.set(cameras=[C920, FACETIME])
    with closing(open_source(f"{NAMED}C920")) as source:
        assert level_of(source) == 50
        mac.set(cameras=[FACETIME])
        assert heard(source, "trying") == ["The camera is gone; trying to get it back."]
        assert not any(source.newest(0.1) for _ in range(8))
        mac.set(cameras=[FACETIME, C920])
        assert heard(source, "back.") == ["The camera is back."]
        assert level_of(source) == 50
