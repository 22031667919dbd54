"""Streams as captures: what is used of a cv2.VideoCapture, read() and release(). For a child alone.

MJPEG is taken apart here, as cameras send it in many ways: with and without boundaries, lengths and
types. FFmpeg reads all else. An address that gives a single picture is asked again and again.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import av.error
import numpy as np

from narrator.errors import SourceError
from narrator.frames.jpeg import holds_jpegs, take_jpeg
from narrator.frames.streams import ask, stream_problem
from narrator.frames.video import Video
from narrator.libraries import stream_options
from narrator.text import without_password

AGAIN_S = 1.0  # from one picture to the next where each has to be asked for
PATIENCE_S = 1.0  # for a picture within what is sent
MAX_BYTES = 100 << 20  # of a picture


def open_stream(url: str, open_s: float, read_s: float) -> tuple[Any, Callable[[], SourceError]]:
    """Open a stream. open_s, read_s: seconds that opening it, and each read from then on, may take.
    Returns what reads it, and what finds out why no picture comes. Raises SourceError."""

    def problem() -> SourceError:
        return SourceError(f"stream {without_password(url)} {stream_problem(url, open_s)}")

    try:
        if urlsplit(url).scheme.lower().startswith("http"):
            reply = ask(urlsplit(url), open_s)
            kind = reply.headers.get_content_maintype()
            if kind == "image":
                return Snapshots(url, open_s, reply), problem
            if kind == "multipart" or holds_jpegs(reply):
                return Jpegs(reply), problem
            reply.close()
        return VideoStream(Video(url, stream_options(), (open_s, read_s), live=True)), problem
    except (OSError, HTTPException, ValueError, av.error.FFmpegError) as error:
        raise problem() from error


class Jpegs:
    """JPEGs within what is sent, shape (1, count), dtype uint8."""

    def __init__(self, file: Any) -> None:
        self._file, self._data = file, bytearray()
        self.ended = False
        self.release = file.close

    def read(self) -> tuple[bool, Any]:
        started = time.monotonic()
        while (picture := take_jpeg(self._data)) is None:
            try:
                sent = self._file.read1(1 << 20)
            except (OSError, HTTPException, ValueError):
                sent = b""
            self._data += sent
            self.ended = not sent
            late = time.monotonic() - started > PATIENCE_S
            if not sent or late or len(self._data) > MAX_BYTES:
                return False, None
        return True, np.frombuffer(picture, np.uint8)[None]


class Snapshots:
    """An address of one picture: the bytes of a JPEG, as in Jpegs, or any other's pixels. reply: to
    the first request."""

    def __init__(self, url: str, timeout: float, reply: HTTPResponse) -> None:
        self._url, self._timeout, self._reply = url, timeout, reply
        self._due = time.monotonic() + AGAIN_S
        self.release = reply.close

    def read(self) -> tuple[bool, Any]:
        try:
            if self._reply.isclosed():
                time.sleep(max(0.0, self._due - time.monotonic()))
                self._due = time.monotonic() + AGAIN_S
                self._reply = ask(urlsplit(self._url), self._timeout)
            with self._reply as reply:
                image = picture_in(reply)
            return image is not None, image
        except (OSError, HTTPException, ValueError, av.error.FFmpegError):
            return False, None


def picture_in(reply: HTTPResponse) -> np.ndarray | None:
    """The picture that is sent, if it is one. Raises SourceError, OSError, HTTPException and
    FFmpegError."""
    if reply.headers.get_content_maintype() != "image":
        return None
    data = reply.read(MAX_BYTES)
    if data.startswith(b"\xff\xd8"):
        return np.frombuffer(data, np.uint8)[None]
    video = Video(io.BytesIO(data), {})
    return next((video.picture(frame) for frame, _ in video), None)


class VideoStream:
    """What FFmpeg reads: uint8 BGR, or JPEGs as in Jpegs."""

    def __init__(self, video: Video) -> None:
        self._pictures: Iterator[np.ndarray]
        if video.is_jpeg:
            self._pictures = (np.frombuffer(one, np.uint8)[None] for one in video.packets())
        else:
            self._pictures = (video.picture(frame) for frame, _ in video)

    def read(self) -> tuple[bool, Any]:
        image = next(self._pictures, None)
        return image is not None, image

    def release(self) -> None:
        self._pictures = iter(())
