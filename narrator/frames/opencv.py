"""OpenCV's captures: how those of files are opened, and one picture is read.

A capture is a cv2.VideoCapture; a picture has shape (height, width, 3), dtype uint8, order BGR.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from narrator.errors import SourceError, reason_of
from narrator.frames.jpeg import TOO_LARGE
from narrator.frames.pictures import Animation, open_picture
from narrator.libraries import MAX_PIXELS
from narrator.text import without_password


def open_file(source: str) -> tuple[Any, np.ndarray]:
    """Open a file and read its first picture; no capture where it is the only one. Raises
    SourceError, and cv2.error."""
    path = readable_file(source)
    file = open(path, "rb")  # noqa: SIM115 - An Animation keeps it open.
    picture = open_picture(file, source)
    if isinstance(picture, Animation):
        return picture, picture.read()[1]
    file.close()
    if picture is not None:
        return None, picture
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    refuse_large(capture)
    # FFmpeg draws text files (.txt, .nfo) as if a terminal showed them.
    if int(capture.get(cv2.CAP_PROP_FOURCC)) != int.from_bytes(b"ansi", "little"):
        good, image = capture.read()
        if good:
            return capture, image
    raise SourceError(f"{source} is not a picture or video that can be read here, or it is damaged")


def readable_file(source: str) -> str:
    """The absolute path of a file that can be opened. Raises SourceError."""
    shown = without_password(source)
    try:
        # Absolute, as FFmpeg takes the start of "12:30.mp4" for a protocol.
        path = Path(os.path.expanduser(source)).absolute()
        str(path).encode()  # OpenCV crashes on a name that is not Unicode.
        if not stat.S_ISREG(path.stat().st_mode):  # Opening a pipe would wait for its other end.
            what = "a folder" if path.is_dir() else "no ordinary file"
            raise SourceError(f"{shown} is {what}; give a video or a picture")
        with path.open("rb"):
            return str(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte, or no Unicode
        raise SourceError(f"{shown} can't be opened: {reason_of(error)}") from error


def read_picture(capture: Any) -> np.ndarray | None:
    """Read once; None where nothing comes."""
    try:
        good, image = capture.read()
    except cv2.error:
        return None
    return image if good else None


def decode(read: Callable[[Any, int], Any], coded: Any) -> np.ndarray | None:
    """A picture as cv2.imread or imdecode reads it. Raises SourceError, and cv2.error."""
    try:
        picture: np.ndarray | None = read(coded, cv2.IMREAD_COLOR)
        return picture
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in error.err:  # see set_environment()
            raise SourceError(TOO_LARGE) from error
        raise


def refuse_large(capture: Any) -> None:
    """Raise SourceError where the first picture has more pixels than are read."""
    size = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if size > MAX_PIXELS:
        raise SourceError(TOO_LARGE)
