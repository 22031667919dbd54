"""Cameras: which ones the system lists, how one is opened, and why it shows nothing.

All but is_camera() is for the capture child alone: a driver may hang, and macOS asks the user.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import struct
import sys
from pathlib import Path
from typing import NamedTuple

from narrator.errors import SourceError
from narrator.text import printable

NAMED = "camera:"  # before the name of a camera, or a part of it; alone: the system's own
ON_A_MAC = sys.platform == "darwin"
DEVICES = Path("/dev")
VIDEO4LINUX = Path("/sys/class/video4linux")  # a folder for each video device of Linux
DEVICE = re.compile(r"/dev/video([0-9]{1,4})")
BY_ID = "/dev/v4l/"  # links to the devices, by names that stay; they are gone with the camera
HINT = "--list-cameras lists the cameras, --source also takes a video"

# _IOR and _IOWR of linux/videodev2.h
QUERYCAP, REQBUFS = 0x80685600, 0xC0145608
CAPTURE, CAPTURE_MPLANE = 0x1, 0x1000  # V4L2_CAP_VIDEO_CAPTURE...


class Camera(NamedTuple):
    """number: OpenCV's. identity: stays the same when it is plugged in again."""

    number: int
    name: str
    identity: str


class NoPicture(SourceError):
    """spoken: what is wrong, behind "The camera"; None where it is not connected. final: it will
    not change by itself."""

    def __init__(self, message: str, spoken: str | None = None, final: bool = False) -> None:
        super().__init__(message)
        self.spoken, self.final = spoken, final


def is_camera(source: str) -> bool:
    """Whether this names a camera: a number, NAMED, a device of Linux, or a link to one."""
    if re.fullmatch(r"[0-9]{1,4}", source) or source.startswith((NAMED, BY_ID)):
        return True
    with contextlib.suppress(OSError, ValueError):  # ValueError: a zero byte
        return DEVICE.fullmatch(os.path.realpath(source)) is not None
    return False


def known_cameras() -> list[Camera]:
    """The cameras that the system lists, by their numbers."""
    if not ON_A_MAC:
        return linux_cameras()
    from narrator.frames.mac_camera import mac_cameras

    return [Camera(number, *pair) for number, pair in enumerate(mac_cameras())]


def linux_cameras(listed: Path = VIDEO4LINUX, devices: Path = DEVICES) -> list[Camera]:
    """Video devices that can show pictures, one for each camera: most have others beside it, for
    metadata, or for the same pictures in another format."""
    cameras: dict[str, Camera] = {}
    folders = [one for one in listed.glob("video*") if one.name[5:].isdecimal()]
    for folder in sorted(folders, key=lambda one: int(one.name[5:])):
        with contextlib.suppress(OSError):
            captures = can_capture(devices / folder.name)
            name = printable((folder / "name").read_text("utf-8", "replace"))
            # Of one that may not be opened nothing shows whether it captures.
            apart = folder.name if captures else name
            same = folder / "device"
            camera = os.path.realpath(same) if same.exists() else apart
            if captures is not False and camera not in cameras:
                cameras[camera] = Camera(int(folder.name[5:]), name, name)
    return list(cameras.values())


def can_capture(device: Path) -> bool | None:
    """Ask a device of Video4Linux whether it captures video; None where it may not be opened.
    Raises OSError."""
    try:
        opened = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except PermissionError:
        return None
    try:
        answer = fcntl.ioctl(opened, QUERYCAP, bytes(104))
    finally:
        os.close(opened)
    # struct v4l2_capability: 80 bytes of names, version, capabilities, and those of this node.
    return bool(struct.unpack_from("=I", answer, 88)[0] & (CAPTURE | CAPTURE_MPLANE))


def find_camera(source: str, identity: str | None = None) -> Camera:
    """The camera that is named, now: it may have got another number. identity: of the one that it
    was before, and no other will do. Raises NoPicture."""
    known = known_cameras()
    if not source.startswith(NAMED):
        device = DEVICE.fullmatch(os.path.realpath(source))
        if device is None and not source.isdecimal():
            raise NoPicture(f"{source} is not connected; {HINT}")
        number = int(device[1] if device else source)
        named = [one for one in known if one.number == number]
        return named[0] if named else Camera(number, "", "")
    name = source.removeprefix(NAMED)
    if identity is not None:
        found = [one for one in known if one.identity == identity]
    elif not name:
        found = default_camera(known)
    else:
        found = [one for one in known if name.casefold() in one.name.casefold()]
        found = [one for one in found if name.casefold() == one.name.casefold()] or found
    if not found:
        missing = f"no file and no camera is called {name}" if name else "no camera is connected"
        raise NoPicture(f"{missing}; {HINT}")
    if len(found) > 1 and identity is None:
        several = ", ".join(f"{one.number} ({one.name})" for one in found)
        raise NoPicture(
            f"--source {name} matches several cameras: {several}; give a number", final=True
        )
    return found[0]


def default_camera(known: list[Camera]) -> list[Camera]:
    """The one that is taken where none is named: number 0, on a Mac the system's own."""
    if not ON_A_MAC:
        return [next((one for one in known if one.number == 0), Camera(0, "", ""))]
    from narrator.frames.mac_camera import default_identity

    wanted = default_identity()
    return [one for one in known if one.identity == wanted]


def camera_problem(camera: Camera, opened: bool = False, devices: Path = DEVICES) -> NoPicture:
    """Why a camera shows nothing, as far as the system says. opened: it could be opened."""
    name = f"camera {camera.number}" + (f" ({camera.name})" if camera.name else "")
    if ON_A_MAC:
        from narrator.frames.mac_camera import mac_problem

        problem = mac_problem(camera.name) if camera.name else None
        return NoPicture(f"{name} {problem or 'is not connected; ' + HINT}", problem)
    device = devices / f"video{camera.number}"
    if not device.exists():
        return NoPicture(f"{name} is not connected; {HINT}")
    spoken, hint = "sends no picture", "unplug it and plug it in again, or try another port"
    with contextlib.suppress(OSError):
        trouble = 0 if opened else why_refused(device)
        if trouble == errno.EBUSY:
            spoken, hint = "is in use by another program", "close it"
        elif trouble == errno.EACCES:
            spoken, hint = (
                "can't be opened: permission denied",
                f"{device} is for the group video: join it",
            )
    return NoPicture(f"{name} {spoken}; {hint}", spoken)


def why_refused(device: Path) -> int:
    """The system's number of the error with which a device is refused; 0 for none."""
    try:
        opened = os.open(device, os.O_RDWR | os.O_NONBLOCK)
        try:  # struct v4l2_requestbuffers: one buffer of V4L2_BUF_TYPE_VIDEO_CAPTURE, mapped
            fcntl.ioctl(opened, REQBUFS, struct.pack("=5I", 1, 1, 1, 0, 0))
        finally:
            os.close(opened)
    except OSError as error:
        return error.errno or 0
    return 0
