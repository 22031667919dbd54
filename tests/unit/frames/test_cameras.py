"""Cameras as the system tells of them.

FAKES: the machine that runs the tests may have no camera and is no Mac. Folders stand in for
Linux's /sys/class/video4linux and /dev, a function for the driver's answer, a script for macOS's
system_profiler, and a class for OpenCV's capture.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from narrator.errors import SourceError
from narrator.frames import cameras
from narrator.frames.cameras import (
    NAMED,
    camera_number,
    camera_problem,
    known_cameras,
    linux_cameras,
    list_cameras,
    open_camera,
)

CAPTURES, METADATA, OUTPUT, MULTIPLANAR = 0x1, 0x00800000, 0x2, 0x1000

# number: (name, capabilities of the device)
DESK = {
    0: ("Integrated Camera: Integrated C", CAPTURES),
    1: ("Integrated Camera: Integrated C", METADATA),
    2: ("HD Pro Webcam C920", CAPTURES),
    3: ("HD Pro Webcam C920", METADATA),
    10: ("Dummy \x1b[31mvideo\n", MULTIPLANAR),
    11: ("Loopback sink", OUTPUT),
}
KNOWN = {0: "Integrated Camera", 2: "HD Pro Webcam C920", 10: "Dummy"}


# --------------------------------------------------------------------------------------- on Linux


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """FAKE: a Linux machine with the devices of DESK, whose driver answers VIDIOC_QUERYCAP."""
    system, devices = tmp_path / "sys", tmp_path / "dev"
    devices.mkdir()
    for number, (name, _) in DESK.items():
        (system / f"video{number}").mkdir(parents=True)
        (system / f"video{number}" / "name").write_text(f"{name}\n")
        (devices / f"video{number}").touch()
    (system / "video-odd").mkdir()

    def ioctl(opened: int, request: int, data: bytes) -> bytes:
        assert (request, len(data)) == (0x80685600, 104)
        device = Path(os.readlink(f"/proc/self/fd/{opened}")).name
        capabilities = DESK[int(device.removeprefix("video"))][1]
        whole = 0x84A00000 | CAPTURES  # of the whole camera: true of its metadata device, too
        return struct.pack("=16s32s32sIII12x", b"", b"", b"", 6, whole, capabilities)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    return system, devices


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_devices_that_do_not_capture_are_no_cameras(desk: tuple[Path, Path]) -> None:
    found = linux_cameras(*desk)
    assert list(found.items()) == [
        (0, "Integrated Camera: Integrated C"),
        (2, "HD Pro Webcam C920"),
        (10, "Dummy [31mvideo"),
    ]


def test_a_camera_that_may_not_be_opened_is_one_and_one_that_is_gone_is_none(
    desk: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def refuse(path: str | Path, *options: int) -> int:
        if "video" not in str(path) or str(path).endswith("name"):
            return real_open(path, *options)
        number = errno.EACCES if str(path).endswith("video0") else errno.ENODEV
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    assert list(linux_cameras(*desk)) == [0]


@pytest.mark.parametrize(
    ("is_there", "allowed", "problem"),
    [
        (True, False, "camera 0 is not allowed: you may not use "),
        (False, True, "camera 0 is not there; --list-cameras shows"),
        (True, True, "camera 0 shows no picture; another program may be using it"),
    ],
)
def test_why_a_camera_shows_nothing_is_told_as_far_as_linux_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool, allowed: bool, problem: str
) -> None:
    """The device is a stand-in, and who may use it too: root may use everything."""
    if is_there:
        (tmp_path / "video0").touch()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "access", lambda *_: allowed)
    assert problem in camera_problem(0, devices=tmp_path)


# --------------------------------------------------------------------------------------- on a Mac

PROFILER = """#!/bin/sh
[ "$*" = "SPCameraDataType -json" ] || exit 64
cat <<'END'
%s
END
"""
ON_A_MAC = {
    "SPCameraDataType": [
        {
            "_name": "FaceTime HD Camera",
            "spcamera_model-id": "FaceTime HD Camera",
            "spcamera_unique-id": "6C707041-05AC-0010-0008-000000000001",
        },
        {
            "_name": "HD Pro Webcam C920",
            "spcamera_model-id": "UVC Camera VendorID_1133 ProductID_2093",
            "spcamera_unique-id": "0x14200000046d082d",
        },
    ]
}


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """FAKE: a Mac whose system_profiler prints what it is given."""

    def answer(text: str) -> None:
        script = tmp_path / "system_profiler"
        script.write_text(PROFILER % text)
        script.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "darwin")
    return answer


def test_a_macs_cameras_are_numbered_by_their_unique_ids_as_opencv_does(
    mac: Callable[[str], None],
) -> None:
    mac(json.dumps(ON_A_MAC))
    assert known_cameras() == {0: "HD Pro Webcam C920", 1: "FaceTime HD Camera"}


@pytest.mark.parametrize("answer", ["", "{}", "[]", '{"SPCameraDataType": [{}]}', "null"])
def test_a_mac_that_tells_nothing_has_no_known_cameras(
    mac: Callable[[str], None], answer: str
) -> None:
    mac(answer)
    assert known_cameras() == {}


def test_without_system_profiler_there_are_no_known_cameras(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert known_cameras() == {}


ALLOWED, DENIED, RESTRICTED, NOT_ASKED = 3, 2, 1, 0  # AVAuthorizationStatus
CAN_ASK = "(Terminal, iTerm2, Warp and VS Code are terminals that can ask for it)"


@pytest.fixture
def permission(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """FAKE: the AVFoundation of a Mac which answers with this AVAuthorizationStatus."""
    framework: Any = ModuleType("AVFoundation")
    framework.AVMediaTypeVideo = "vide"
    framework.AVAuthorizationStatusDenied = DENIED
    framework.AVAuthorizationStatusRestricted = RESTRICTED
    framework.AVAuthorizationStatusNotDetermined = NOT_ASKED
    monkeypatch.setitem(sys.modules, "AVFoundation", framework)

    def answer(status: int) -> None:
        device = SimpleNamespace(authorizationStatusForMediaType_={"vide": status}.__getitem__)
        framework.AVCaptureDevice = device

    yield answer
    sys.modules.pop("narrator.frames.mac_camera", None)


@pytest.mark.parametrize(
    ("status", "name", "problem"),
    [
        (
            DENIED,
            "FaceTime HD Camera",
            "is not allowed; allow it for your terminal in System Settin",
        ),
        (
            RESTRICTED,
            "FaceTime HD Camera",
            "is not allowed on this Mac: Screen Time, or who manages",
        ),
        (NOT_ASKED, "FaceTime HD Camera", f"question by Allow {CAN_ASK}"),
        (ALLOWED, "FaceTime HD Camera", "shows no picture; close other programs that may be using"),
        (ALLOWED, "Ada's iPhone Camera", "is Ada's iPhone Camera (Continuity Camera) and shows no"),
        (ALLOWED, "Ada's iPad Camera", "keep it near and still, with Wi-Fi and Bluetooth on"),
    ],
)
def test_on_a_mac_each_cause_has_a_sentence_of_its_own(
    mac: Callable[[str], None],
    permission: Callable[[int], None],
    status: int,
    name: str,
    problem: str,
) -> None:
    entry = {"_name": name, "spcamera_unique-id": "0x1"}
    mac(json.dumps({"SPCameraDataType": [entry]}))
    permission(status)
    assert "is not there; --list-cameras" in camera_problem(7)
    for opened in (False, True):
        assert problem in camera_problem(0, opened)


# ------------------------------------------------------------------------------- names and listing


class FakeCapture:
    """FAKE: OpenCV's capture of a camera; those in `shows` show a picture of that width."""

    shows: ClassVar[dict[int, int]] = {}
    opened: ClassVar[list[int]] = []

    def __init__(self, number: int) -> None:
        self.number = number
        self.opened.append(number)

    def isOpened(self) -> bool:
        return self.number in self.shows

    def get(self, _: int) -> float:
        return float(self.shows[self.number])

    def read(self) -> tuple[bool, np.ndarray | None]:
        return True, np.zeros((4, 4, 3), np.uint8)

    def release(self) -> None:
        pass


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """FAKE: the cameras of KNOWN, which all show pictures."""
    FakeCapture.shows, FakeCapture.opened = {0: 640, 2: 1920, 10: 320}, []
    found = dict(KNOWN)
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr(cameras, "known_cameras", lambda: found)
    return found


def test_cameras_are_listed_with_number_size_and_name(
    known: dict[int, str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    list_cameras()
    assert capsys.readouterr().out.splitlines() == [
        "0  640x640  Integrated Camera",
        "2  1920x1920  HD Pro Webcam C920",
        "10  320x320  Dummy",
    ]
    assert caplog.messages == []
    assert FakeCapture.opened == [0, 2, 10]


def test_a_camera_that_shows_nothing_is_listed_and_its_problem_told(
    known: dict[int, str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    del FakeCapture.shows[2]
    list_cameras()
    assert "2  no picture  HD Pro Webcam C920" in capsys.readouterr().out.splitlines()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("camera 2 ")


def test_where_the_system_tells_of_no_camera_ten_numbers_are_tried(
    known: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    known.clear()
    list_cameras()
    assert capsys.readouterr().out.splitlines() == ["0  640x640", "2  1920x1920"]
    assert FakeCapture.opened == list(range(10))


def test_that_there_is_no_camera_is_an_error(known: dict[int, str]) -> None:
    known.clear()
    FakeCapture.shows.clear()
    with pytest.raises(SourceError, match="no camera found"):
        list_cameras()


def test_a_camera_that_comes_back_under_another_number_is_found_by_its_name(
    known: dict[int, str],
) -> None:
    source = f"{NAMED}HD Pro Webcam C920"
    assert camera_number(source) == 2
    assert camera_number("2") == 2
    del known[2]
    with pytest.raises(SourceError, match="camera HD Pro Webcam C920 is not there"):
        camera_number(source)
    known[10] = "HD Pro Webcam C920"
    assert camera_number(source) == 10


# ---------------------------------------------------------- a Mac's question whether it is allowed


@pytest.fixture
def mac_that_asks(known: dict[int, str], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """FAKE: a Mac on which camera 0 is shown once its question was answered; those pauses."""
    del FakeCapture.shows[0]
    pauses: list[float] = []

    def answer(seconds: float) -> None:
        pauses.append(seconds)
        FakeCapture.shows[0] = 640

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("time.sleep", answer)
    monkeypatch.delenv("OPENCV_AVFOUNDATION_SKIP_AUTH", raising=False)
    return pauses


def test_on_a_mac_a_camera_is_tried_once_more_while_the_question_is_up(
    mac_that_asks: list[float],
) -> None:
    open_camera("0", 1, 1, answer_s=3.0)
    assert mac_that_asks == [3.0]
    assert FakeCapture.opened == [0, 0]
    assert "OPENCV_AVFOUNDATION_SKIP_AUTH" not in os.environ
    with pytest.raises(SourceError, match="camera 7 is not there"):
        open_camera("7", 1, 1)
    assert mac_that_asks == [3.0]


def test_on_a_mac_another_thread_asks_for_no_camera(
    mac_that_asks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCV_AVFOUNDATION_SKIP_AUTH", "0")  # put back after the test
    FakeCapture.shows[0] = 640
    thread = threading.Thread(target=open_camera, args=("0", 1, 1))
    thread.start()
    thread.join()
    assert FakeCapture.opened == [0]
    assert os.environ["OPENCV_AVFOUNDATION_SKIP_AUTH"] == "1"
