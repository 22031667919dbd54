"""Cameras: which the system tells of, how one is opened, and why it shows nothing."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from narrator import libraries
from narrator.errors import SourceError
from narrator.frames.opencv import first_picture
from narrator.text import printable

log = logging.getLogger(__name__)

NAMED = "camera:"  # before the whole name of a camera that is looked up whenever it is opened
DEVICES = Path("/dev")
VIDEO4LINUX = Path("/sys/class/video4linux")  # a folder for each video device of Linux
ANSWER_S = 5.0  # for the question whether the camera may be used


def known_cameras() -> dict[int, str]:
    """OpenCV's number and the name of each camera that the system tells of."""
    return mac_cameras() if sys.platform == "darwin" else linux_cameras()


def mac_cameras() -> dict[int, str]:
    """OpenCV numbers a Mac's cameras in the order of their unique IDs (startCaptureDevice in its
    cap_avfoundation_mac.mm, since 4.7), which system_profiler tells beside their names."""
    command = ["system_profiler", "SPCameraDataType", "-json"]
    try:
        listed = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True
        )
        entries = json.loads(listed.stdout)["SPCameraDataType"]
        pairs = [(str(entry["spcamera_unique-id"]), str(entry["_name"])) for entry in entries]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return {}
    return {number: printable(name) for number, (_, name) in enumerate(sorted(pairs))}


def linux_cameras(listed: Path = VIDEO4LINUX, devices: Path = DEVICES) -> dict[int, str]:
    """Video devices that can show pictures. Most cameras have a second one, for metadata alone."""
    cameras = {}
    for folder in listed.glob("video*"):
        with contextlib.suppress(OSError, ValueError):  # ValueError: no number
            number = int(folder.name.removeprefix("video"))
            if can_capture(devices / folder.name):
                cameras[number] = printable((folder / "name").read_text("utf-8", "replace"))
    return dict(sorted(cameras.items()))


def can_capture(device: Path) -> bool:
    """Ask a device of Video4Linux (VIDIOC_QUERYCAP) whether it captures video. One that may not be
    opened is taken for a camera, so that its problem can be told. Raises OSError."""
    try:
        opened = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except PermissionError:
        return True
    try:
        answer = fcntl.ioctl(opened, 0x80685600, bytes(104))
    finally:
        os.close(opened)
    # struct v4l2_capability: 80 bytes of names, version, capabilities, and those of this node.
    capabilities = struct.unpack_from("=I", answer, 88)[0]
    return bool(capabilities & (0x1 | 0x1000))  # V4L2_CAP_VIDEO_CAPTURE, ..._MPLANE


def camera_number(source: str) -> int:
    """OpenCV's number of a camera, now: a name may have got another one. Raises SourceError."""
    if not source.startswith(NAMED):
        return int(source)
    name = source.removeprefix(NAMED)
    for number, known in known_cameras().items():
        if known == name:
            return number
    raise SourceError(f"camera {name} is not there; --list-cameras shows what there is")


def camera_name(source: str) -> str:
    """What a camera is called: its name where the system tells one, else its number."""
    number = camera_number(source)
    return known_cameras().get(number, f"camera {number}")


def open_camera(
    source: str, open_s: float, read_s: float, answer_s: float = ANSWER_S
) -> tuple[Any, np.ndarray]:
    """Open a camera, by number or name, and wait up to open_s seconds for its first picture; how
    long a read may wait is up to its driver (but see libraries.py). Raises SourceError.

    On a Mac OpenCV asks on the main thread whether it may be used, and does not wait for the
    answer; answer_s seconds later it is tried once more. On other threads it can't ask.
    """
    number = camera_number(source)
    asks = sys.platform == "darwin" and threading.current_thread() is threading.main_thread()
    if not asks:
        libraries.ask_for_no_camera()
    capture = cv2.VideoCapture(number)
    if asks and not capture.isOpened() and number in known_cameras():
        time.sleep(answer_s)
        capture = cv2.VideoCapture(number)
    opened = capture.isOpened()
    return capture, first_picture(capture, open_s, lambda: camera_problem(number, opened))


def camera_problem(number: int, opened: bool = False, devices: Path = DEVICES) -> str:
    """Why a camera shows nothing, as far as the system tells."""
    device = devices / f"video{number}"
    hint = "--list-cameras shows what there is, --source takes a video too"
    known = known_cameras() if sys.platform == "darwin" else {}
    if sys.platform == "darwin" and (opened or number in known):
        from narrator.frames.mac_camera import mac_problem

        problem = mac_problem(known.get(number, ""))
    elif sys.platform == "darwin" or not device.exists():
        problem = f"is not there; {hint}"
    elif not os.access(device, os.R_OK | os.W_OK):
        group = "on most systems those in the group video may"
        problem = f"is not allowed: you may not use {device} ({group})"
    else:
        problem = f"shows no picture; another program may be using it; {hint}"
    return f"camera {number} {problem}"


def list_cameras() -> None:
    """Print number, picture size and name of each camera. Raises SourceError if there is none."""
    known = known_cameras()
    # Where the system tells of none, they may still be there: in some containers, for instance.
    sizes = {number: picture_size(number) for number in known or range(10)}
    if not known and not any(sizes.values()):
        raise SourceError("no camera found; --source takes a video, a picture or a stream too")
    for number, size in sizes.items():
        if known and size is None:
            log.info(camera_problem(number))
        if known or size is not None:
            print(f"{number}  {size or 'no picture'}  {known.get(number, '')}".rstrip())


def picture_size(number: int) -> str | None:
    """Width and height of a camera's pictures; None when it can't be opened."""
    capture = cv2.VideoCapture(number)  # released when this returns
    if not capture.isOpened():
        return None
    names = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    return "x".join(str(int(capture.get(name))) for name in names)
