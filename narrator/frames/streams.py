"""Streams: which addresses may be one, how they are asked, and why one shows nothing.

stream_reader.py reads one; FFmpeg's options for certificates and proxies are in libraries.py.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import SplitResult, unquote, urlsplit

from narrator.errors import SourceError, reason_of
from narrator.frames.jpeg import holds_jpegs
from narrator.libraries import ca_file
from narrator.text import without_password

NO_PICTURE = "shows no picture; is it on, and is the address right?"
NO_ANSWER = "does not answer; is it on, and is the address right?"
PORTS = {"rtsp": 554, "rtsps": 322}
Answer = TypeVar("Answer")


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
    raise SourceError(
        f"{shown} is not a valid address; it should look like http://camera.local/video"
    )


def may_be_film(url: str, timeout: float) -> bool:
    """Whether an address sends what may be a film: no picture, and not one after the other."""

    def look() -> bool:
        failed = contextlib.suppress(OSError, HTTPException, ValueError)
        with failed, ask(urlsplit(url), timeout) as reply:
            kind = reply.headers.get_content_type()
            other = kind == "text/html" or kind.startswith(("image/", "multipart/"))
            return not (other or holds_jpegs(reply))
        return False

    return within(timeout, look, False)


def stream_problem(url: str, timeout: float) -> str:
    """Why a stream can't be opened, as far as a request finds out in so many seconds."""
    return within(timeout, lambda: answer_of(url, timeout), NO_ANSWER)


def within(timeout: float, request: Callable[[], Answer], otherwise: Answer) -> Answer:
    """What a request comes to in so many seconds. A server may send its header so slowly that no
    time limit of a socket is ever reached."""
    found = [otherwise]
    asking = threading.Thread(target=lambda: found.append(request()), daemon=True)
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
                    return "is a web page, not a stream; it may show the stream's address"
    except HTTPError as error:
        status = error.code
    except (OSError, HTTPException, ValueError, IndexError) as error:
        return reason_for_none(getattr(error, "reason", error))  # of a URLError
    if status in (401, 403):
        return f"needs the right user and password ({status}), as in http://user:password@..."
    return NO_PICTURE if status < 400 else f"gets an error from its server ({status})"


def reason_for_none(error: object) -> str:
    """Why nothing was answered."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"is not trusted: {error.verify_message}; "
            "a certificate of your own is trusted once SSL_CERT_FILE names its file"
        )
    if isinstance(error, socket.gaierror):
        return "has an unknown host name; is it right, and is the network up?"
    if isinstance(error, ConnectionRefusedError):
        return "can't be reached: the connection was refused; is it on, and is the port right?"
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    if isinstance(error, OSError):
        return f"can't be reached: {reason_of(error)}"
    return NO_PICTURE  # It speaks another language.


def ask(parts: SplitResult, timeout: float) -> HTTPResponse:
    """Request an address as FFmpeg does: no proxy is asked, and user and password are sent to none
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
