"""Cameras: found, named, opened, lost and found again, on a webcam that fails in every way it can.

FAKE: the webcam is a library that stands between the capture child and the kernel; OpenCV's own
code for Video4Linux runs on it (tests/support/v4l2_camera.c). What a Mac does is in tests/mac.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from narrator.errors import SourceError
from narrator.frames.cameras import NAMED, linux_cameras
from narrator.frames.live import CAMERA_LIMITS, LiveSource
from narrator.frames.opening import list_cameras, open_source
from support.frames import heard, next_frame
from support.program import wait_until
from support.webcam import Webcam, scene_of

CAPTURES, METADATA, OUTPUT, MULTIPLANAR = 0x1, 0x00800000, 0x2, 0x1000

# number: (name, capabilities of the device, the device that it is one of)
DESK = {
    0: ("Integrated Camera: Integrated C", CAPTURES, "usb1"),
    1: ("Integrated Camera: Integrated C", METADATA, "usb1"),
    2: ("HD Pro Webcam C920", CAPTURES, "usb2"),
    3: ("HD Pro Webcam C920", CAPTURES, "usb2"),  # its H.264
    4: ("HD Pro Webcam C920", CAPTURES, "usb3"),
    10: ("Dummy \x1b[31mvideo\n", MULTIPLANAR, ""),
    11: ("Loopback sink", OUTPUT, ""),
}


# ------------------------------------------------------------------------ which cameras there are


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """FAKE: a Linux machine with the devices of DESK, whose driver answers VIDIOC_QUERYCAP."""
    system, devices = tmp_path / "sys", tmp_path / "dev"
    devices.mkdir()
    for number, (name, _, device) in DESK.items():
        folder = system / f"video{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (devices / f"video{number}").touch()
        if device:
            (tmp_path / device).mkdir(exist_ok=True)
            (folder / "device").symlink_to(tmp_path / device)
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
def test_each_camera_is_listed_once_and_what_captures_nothing_is_none(
    desk: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [camera[:2] for camera in linux_cameras(*desk)] == [
        (0, "Integrated Camera: Integrated C"),
        (2, "HD Pro Webcam C920"),
        (4, "HD Pro Webcam C920"),
        (10, "Dummy [31mvideo"),
    ]
    real_open = os.open

    def refuse(path: str | Path, *options: int) -> int:
        if "video" not in str(path) or str(path).endswith("name"):
            return real_open(path, *options)
        denied = str(path).endswith(("video0", "video1"))
        number = errno.EACCES if denied else errno.ENODEV
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)  # What may not be opened is a camera all the same.
    assert [camera.number for camera in linux_cameras(*desk)] == [0]


def test_cameras_are_listed_with_number_size_and_name(
    webcam: Webcam, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "narrator")
    webcam.show(
        "0 plugged Laptop", "1 metadata Laptop", "2 busy Door", "3 denied C920", "4 denied C920"
    )
    list_cameras()
    assert capsys.readouterr().out.splitlines() == [
        "0  1920x1080  Laptop",
        "2  no picture  Door",
        "3  no picture  C920",
    ]
    assert caplog.messages == [
        "camera 2 (Door) is in use by another program; close it",
        "camera 3 (C920) can't be opened: permission denied; "
        "/dev/video3 is for the group video: join it",
    ]
    webcam.show()
    with pytest.raises(SourceError, match="no camera found"):
        list_cameras()


# ------------------------------------------------------------------------------- which one is meant


def shown_by(source: str) -> int | None:
    """The scene that a camera shows, which tells it from others."""
    with closing(open_source(source)) as opened:
        return scene_of(next_frame(opened).image)


def test_a_camera_is_named_by_number_device_link_name_or_part_of_its_name(
    webcam: Webcam, tmp_path: Path
) -> None:
    webcam.show("0 plugged:0 HD Webcam C920", "3 plugged:1 HD Webcam", "4 plugged:1 Brio")
    (tmp_path / "door").symlink_to("/dev/video3")
    assert shown_by("/dev/video0") == 0
    assert shown_by(f"{NAMED}hd webcam") == shown_by(str(tmp_path / "door")) == 1
    with pytest.raises(SourceError, match=r"matches several cameras: 0 \(HD Webcam C920\), 3"):
        open_source(f"{NAMED}webc", waits=True)
    with pytest.raises(SourceError, match="no file and no camera is called Nikon; --list"):
        open_source(f"{NAMED}Nikon")


def test_a_camera_that_comes_back_under_another_number_is_found_by_its_name(webcam: Webcam) -> None:
    webcam.show("0 plugged:0 Cam One", "2 plugged:1 Cam Two")
    with closing(open_source(f"{NAMED}one")) as source:
        assert scene_of(next_frame(source).image) == 0
        webcam.show("2 plugged:1 Someone's Cam")  # which has that in it, too
        assert heard(source, "trying") == ["The camera is gone; trying to get it back."]
        assert not any(source.newest(0.1) for _ in range(20))
        webcam.show("0 plugged:1 Someone's Cam", "2 plugged:0 Cam One")
        assert heard(source, "back.") == ["The camera is back."]
        assert scene_of(next_frame(source).image) == 0


# ---------------------------------------------------------------------------------- what it shows


def test_a_camera_is_read_in_full_size_and_its_jpegs_are_decoded_when_they_are_used(
    webcam: Webcam,
) -> None:
    webcam.show("0 plugged:1 C920")
    with closing(open_source("0", clip_length=2)) as source:
        frame = next_frame(source)
        assert frame.picture.ndim == 1
        assert frame.small.shape == (270, 480, 3)
        assert frame.rgb(512).size == (960, 540)  # enough for a model's tile, before all of it
        assert frame.image.shape == (1080, 1920, 3)
        assert scene_of(frame.image) == scene_of(frame.small) == 1
        assert getattr(source, "name", "") == "C920"


NOT_YET = {
    "": "The camera is not connected yet; trying again.",
    "0 busy C920": "The camera is in use by another program; trying again.",
    "0 denied C920": "The camera can't be opened: permission denied; trying again.",
    "0 nospace C920": "The camera sends no picture; trying again.",
    "0 garbage C920": "The camera sends no picture; trying again.",
}
QUICK = replace(CAMERA_LIMITS, open_s=1.5, stall_s=1.0, pauses_s=(0.1,), noisy_pictures=20)


@pytest.mark.parametrize("mode", NOT_YET)
def test_a_camera_that_shows_nothing_yet_is_told_of_and_no_other_one_is_taken(
    webcam: Webcam, mode: str
) -> None:
    webcam.show(mode, "2 plugged:1 Laptop")
    named = f"{NAMED}C920" if mode in ("", "0 busy C920") else "0"
    with closing(LiveSource("camera", named, 1, QUICK, waits=True)) as live:
        assert live.messages() == [NOT_YET[mode]]
        assert not any(live.newest(0.1) for _ in range(5))
        assert live.messages() == []
        webcam.show("0 plugged:0 C920", "2 plugged:1 Laptop")
        assert heard(live, "is connected") == ["The camera is connected."]
        assert scene_of(next_frame(live).image) == 0


LOST = {
    "": "is gone",
    "0 stall C920": "sends no picture",
    "0 corrupt C920": "sends no picture",
    "0 frozen C920": "sends the same picture over and over",
}


@pytest.mark.parametrize("mode", LOST)
def test_a_camera_that_fails_is_told_once_and_nothing_but_its_own_pictures_are_shown(
    webcam: Webcam, mode: str
) -> None:
    """Broken JPEGs are not shown: OpenCV decodes them, and shows what lay in its memory."""
    webcam.show("0 plugged:0 C920", "2 plugged:1 Laptop")
    with closing(LiveSource("camera", "0", 1, QUICK)) as live:
        for _ in range(25 if "frozen" in mode else 3):
            next_frame(live)
        webcam.show(mode, "2 plugged:1 Laptop")
        shown: list[int | None] = []

        def look() -> list[str]:
            frame = live.newest(0.05)
            shown.extend([] if frame is None else [scene_of(frame.image)])
            return live.messages()

        assert wait_until(look, 20) == [f"The camera {LOST[mode]}; trying to get it back."]
        assert not any(look() for _ in range(10))
        assert set(shown) <= {0}
        webcam.show("0 plugged:0 C920", "2 plugged:1 Laptop")
        assert heard(live, "back.") == ["The camera is back."]
        assert scene_of(next_frame(live).image) == 0
