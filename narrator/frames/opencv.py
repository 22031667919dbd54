"""Cameras, read by OpenCV: for the capture child alone, and not for that of a stream (video.py)."""

from __future__ import annotations

from typing import Any

import cv2

from narrator.frames import cameras
from narrator.frames.cameras import Camera, NoPicture, camera_problem

BEST = (1920, 1080)  # width and height that are asked for, as text is read from them
MJPG = cv2.VideoWriter.fourcc(*"MJPG")


def open_camera(camera: Camera) -> Any:
    """Open a camera as a cv2.VideoCapture, whose pictures are BGR, or the bytes of JPEGs, shape
    (1, count). The backend is named: without, OpenCV would go on to FFmpeg's list of cameras, and
    open another one. Raises NoPicture."""
    if cameras.ON_A_MAC:
        capture = cv2.VideoCapture(camera.number, cv2.CAP_AVFOUNDATION)
    else:
        width, height = BEST
        wanted = {
            cv2.CAP_PROP_FOURCC: MJPG,
            cv2.CAP_PROP_FRAME_WIDTH: width,
            cv2.CAP_PROP_FRAME_HEIGHT: height,
            cv2.CAP_PROP_CONVERT_RGB: 0,
        }
        parameters = [int(one) for pair in wanted.items() for one in pair]
        capture = cv2.VideoCapture(camera.number, cv2.CAP_V4L2, parameters)
        if capture.isOpened() and int(capture.get(cv2.CAP_PROP_FOURCC)) != MJPG:
            capture.release()  # What comes as it is has few pictures a second at that size.
            capture = cv2.VideoCapture(camera.number, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise camera_problem(camera)
    return capture


def listed_cameras() -> list[tuple[int, str, str | None, str]]:
    """Number, name, size and problem of each camera; where the system lists none, as in some
    containers, of those among the first ten that can be opened."""
    known = cameras.known_cameras()
    found: list[tuple[int, str, str | None, str]] = []
    for camera in known or [Camera(number, "", "") for number in range(10)]:
        try:
            capture = open_camera(camera)
        except NoPicture as error:
            if known:
                found.append((camera.number, camera.name, None, str(error)))
            continue
        sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        size = "x".join(str(int(capture.get(side))) for side in sides)
        capture.release()
        found.append((camera.number, camera.name, size, ""))
    return found
