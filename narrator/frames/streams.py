"""Streams: how one is opened, why it shows nothing, and addresses that give a picture at a time.

FFmpeg reads a stream; what it is told of certificates and proxies is in libraries.py. A request of
our own is made only where FFmpeg gets no further.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, unquote, urlsplit

import cv2
import numpy as np

from narrator.errors import SourceError, reason_of
from narrator.frames.opencv import decode, refuse_large
from narrator.libraries import ca_file
from narrator.text import without_password

NO_PICTURE = "shows no picture; is it on, and is the address right?"
NO_ANSWER = "does not answer; is it on, and is the address right?"
PORTS = {"rtsp": 554, "rtsps": 322}
AGAIN_S = 1.0  # from one picture to the next where each has to be asked for
MAX_BYTES = 100 << 20  # of such a picture


def check_address(url: str) -> None:
    """Raise SourceError where there can never be a stream."""
    shown = without_password(url)
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", *PORTS):
            raise SourceError(f"{shown}: only http, https and rtsp streams can be watched")
        if parts.hostname and parts.hostname.encode("idna") and parts.port != 0:
            return
    except ValueError:  # whose own words may be a password
        pass
    raise SourceError(f"{shown} is no address; it should be like http://camera.local/video")


def open_stream(url: str, open_s: float, read_s: float) -> tuple[Any, Callable[[], SourceError]]:
    """Open a stream. open_s, read_s: seconds that opening it, and each read from then on, may take.
    Returns what reads it, and what tells why no picture comes. Raises SourceError."""
    properties = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: int(open_s * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: int(read_s * 1000),
        # Each further thread decodes a picture of its own, which makes all of them one later: with
        # 16 a stream of H.264 at 30 a second came half a second late.
        cv2.CAP_PROP_N_THREADS: 1,
    }
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, list(itertools.chain(*properties.items())))
    refuse_large(capture)
    # JPEGs come as they are: OpenCV would squeeze each into the size of the first.
    if int(capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG"):
        capture.set(cv2.CAP_PROP_FORMAT, -1)

    def problem() -> SourceError:
        return SourceError(f"stream {without_password(url)} {stream_problem(url, open_s)}")

    if not capture.isOpened():
        raise problem()
    return Stream(capture, url, read_s), problem


class Stream:
    """What is used of a cv2.VideoCapture. An address that gives a single picture is asked again
    every second."""

    def __init__(self, capture: Any, url: str, timeout: float) -> None:
        self._capture, self._url, self._timeout = capture, url, timeout
        self.isOpened, self.release = capture.isOpened, capture.release
        self._pictures = 0
        self._is_single = False
        self._due = time.monotonic() + AGAIN_S

    def read(self) -> tuple[bool, Any]:
        if not self._is_single:
            good, image = self._capture.read()
            self._pictures += good
            if good or self._pictures != 1:
                return good, image
        time.sleep(max(0.0, self._due - time.monotonic()))
        self._due = time.monotonic() + AGAIN_S
        image = single_picture(self._url, self._timeout)
        self._is_single = self._is_single or image is not None
        self._pictures = 0  # A stream that broke off after its first picture is not asked again.
        return image is not None, image


def single_picture(url: str, timeout: float) -> np.ndarray | None:
    """The picture at an address: the bytes of a JPEG, shape (1, count), or of any other its pixels;
    None where there is none. Raises SourceError and cv2.error."""
    try:
        with ask(urlsplit(url), timeout) as reply:
            if reply.headers.get_content_maintype() != "image":
                return None
            data = reply.read(MAX_BYTES)
    except (OSError, HTTPException, ValueError):
        return None
    coded = np.frombuffer(data, np.uint8)[None]
    return coded if data.startswith(b"\xff\xd8") else decode(cv2.imdecode, coded)


def stream_problem(url: str, timeout: float) -> str:
    """Why a stream can't be opened, as far as a request tells in so many seconds."""
    found = [NO_ANSWER]
    # A server may send its header so slowly that no time limit of a socket is ever reached.
    asking = threading.Thread(target=lambda: found.append(answer_of(url, timeout)), daemon=True)
    asking.start()
    asking.join(timeout)
    return found[-1]


def answer_of(url: str, timeout: float) -> str:
    """What is wrong with a stream, by what it answers."""
    parts = urlsplit(url)
    try:
        if parts.scheme in PORTS:
            status = rtsp_status(parts, timeout)
        else:
            with ask(parts, timeout) as reply:
                status = reply.status
                if reply.headers.get_content_maintype() == "text":
                    return "is a page to be read, not a stream; it may name the stream's address"
    except HTTPError as error:
        status = error.code
    except (OSError, HTTPException, ValueError, IndexError) as error:
        return reason_for_none(getattr(error, "reason", error))  # of a URLError
    if status in (401, 403):
        return f"wants the right user and password ({status}), as in http://user:password@..."
    return NO_PICTURE if status < 400 else f"is not there, says its server ({status})"


def reason_for_none(error: object) -> str:
    """Why nothing was answered."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"is not trusted: {error.verify_message}; "
            "a certificate of your own is trusted once SSL_CERT_FILE names its file"
        )
    if isinstance(error, socket.gaierror):
        return "has a name that is not known here; is it right, and is the network up?"
    if isinstance(error, ConnectionRefusedError):
        return "is not there: its machine refuses the connection; is it on, on that port?"
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    if isinstance(error, OSError):
        return f"can't be reached: {reason_of(error)}"
    return NO_PICTURE  # It speaks another language.


def ask(parts: SplitResult, timeout: float) -> HTTPResponse:
    """Request an address as FFmpeg does: no proxy is asked, and user and password are told to none
    but the server that was named. Raises OSError, HTTPException, ValueError."""
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    handlers: list[Any] = [
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file())),
    ]
    if parts.username is not None:
        logins = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        logins.add_password(None, url, unquote(parts.username), unquote(parts.password or ""))
        handlers += [
            urllib.request.HTTPDigestAuthHandler(logins),
            urllib.request.HTTPBasicAuthHandler(logins),
        ]
    reply: HTTPResponse = urllib.request.build_opener(*handlers).open(url, timeout=timeout)
    return reply


def rtsp_status(parts: SplitResult, timeout: float) -> int:
    """What an RTSP server answers to somebody without a password. Raises OSError, ValueError,
    IndexError."""
    assert parts.hostname is not None
    port = parts.port or PORTS[parts.scheme]
    with socket.create_connection((parts.hostname, port), timeout) as connection:
        if parts.scheme == "rtsps":
            context = ssl.create_default_context(cafile=ca_file())
            connection = context.wrap_socket(connection, server_hostname=parts.hostname)
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        connection.sendall(f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        return int(connection.recv(1024).split()[1])
