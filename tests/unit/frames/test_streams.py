"""Streams: opened, or told apart by what is wrong; certificates, proxies, one picture at a time."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from narrator.errors import SourceError
from narrator.frames.live import LiveLimits, LiveSource
from narrator.frames.stream_reader import open_stream
from narrator.frames.streams import (
    answer_of,
    check_address,
    reason_for_none,
)
from support.answers import Answer, page, served
from support.camera import MjpegCamera, as_jpeg
from support.frames import GREEN, RED, brightening, is_colour, next_frame, number_of, plain
from support.program import wait_until


def complaint(url: str) -> str:
    with pytest.raises(SourceError) as caught:
        open_stream(url, 2, 1)
    return str(caught.value)


# ------------------------------------------------------------------------------- what is wrong

WRONG = {
    "none": (page(404), "gets an error from its server (404)"),
    "forbidden": (page(403), "needs the right user and password (403)"),
    "page": (page(200, "text/html", b"<html>hello</html>"), "is a web page, not a stream"),
    "elsewhere": (page(302, Location="/?token=s3cret"), "shows no picture; is it on"),
    "nonsense": (page(200, "video/mp4", b"nonsense"), "shows no picture; is it on"),
}


@pytest.mark.parametrize(("answer", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_stream_is_told_apart(answer: Answer, told: str) -> None:
    with served(answer) as address:
        line = complaint(f"http://{address}/video")
    assert line.startswith(f"stream http://{address}/video {told}")
    assert "s3cret" not in line


def test_that_nothing_listens_and_that_a_host_is_unknown_is_told() -> None:
    for url in ("http://127.0.0.1:9/video", "rtsp://127.0.0.1:9/video"):
        assert f"stream {url} can't be reached: the connection was refused" in complaint(url)
    # FAKE: which hosts are not known depends on the network here.
    assert "unknown host name" in reason_for_none(socket.gaierror(-2, "unknown"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"RTSP/1.0 401 Unauthorized\r\n\r\n", "needs the right user and password (401)"),
        (b"SSH-2.0-OpenSSH\r\n", "shows no picture"),
    ],
)
def test_what_an_rtsp_server_answers_is_told(answer: bytes, told: str) -> None:
    asked: list[bytes] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            asked.append(connection.recv(1024))
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        url = f"rtsp://me:s3cret@127.0.0.1:{listening.getsockname()[1]}/video"
        assert told in answer_of(url, 5)
    assert b"s3cret" not in asked[0]


@pytest.mark.parametrize("fault", ["stall", "send_garbage"])
def test_a_stream_without_a_picture_is_not_waited_for_long(mjpeg: MjpegCamera, fault: str) -> None:
    getattr(mjpeg, fault)()
    with pytest.raises(SourceError, match="shows no picture; is it on"):
        LiveSource("stream", mjpeg.url, 1, LiveLimits(open_s=1.0))


# ------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://host/video", "only http, https and rtsp streams"),
        ("concat://a|b", "only http, https and rtsp streams"),
        ("http:///video", "is not a valid address"),
        ("http://a..b/", "is not a valid address"),
        ("http://h:0/", "is not a valid address"),
        ("http://me:s3/c@h", "is not a valid address"),
    ],
)
def test_what_can_be_no_stream_is_refused(url: str, told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        check_address(url)
    assert "s3" not in str(caught.value)


def test_addresses_of_all_forms_pass() -> None:
    for place in ("camera.local", "10.0.0.7:8080", "me:s3cret@[::1]:554", "Küche.local", "H"):
        check_address(f"RTSP://{place}/video?channel=1")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/video?user=me&pwd=s3cret",
        "http://me:s3cret@127.0.0.1:9/video?token=s3cret#s3cret",
        "rtsp://me:s3cret@127.0.0.1:9/video?s3cret",
    ],
)
def test_passwords_are_masked_when_a_stream_can_not_be_opened(url: str) -> None:
    line = complaint(url)
    assert "s3cret" not in line
    assert "127.0.0.1" in line


# ------------------------------------------------------------------------- one picture at a time


def test_an_address_of_one_picture_is_asked_again_every_second() -> None:
    pictures = brightening(30)

    def answer(request: BaseHTTPRequestHandler) -> None:
        page(200, "image/jpeg", as_jpeg(next(pictures)))(request)

    with served(answer) as address:
        started = time.monotonic()
        with closing(LiveSource("stream", f"http://{address}/snapshot.jpg")) as source:
            assert [number_of(next_frame(source)) for _ in range(3)] == [0, 1, 2]
            assert source.messages() == []
    assert time.monotonic() - started > 1.9


def test_user_and_password_are_told_to_the_server_that_was_named_alone() -> None:
    heard: list[str | None] = []

    def elsewhere(request: BaseHTTPRequestHandler) -> None:
        heard.append(request.headers["Authorization"])
        page(200, "image/jpeg", as_jpeg(plain(RED)))(request)

    with served(elsewhere) as other:

        def guarded(request: BaseHTTPRequestHandler) -> None:
            if request.headers["Authorization"] == "Basic bWU6czNjcmV0":
                page(302, Location=f"http://{other}/")(request)
            else:
                page(401, WWW_Authenticate='Basic realm="camera"')(request)

        with served(guarded) as address:
            capture, _ = open_stream(f"http://me:s3cret@{address}/", 5, 5)
            assert capture.read()[0]
    assert heard == [None]


# --------------------------------------------------------------------- certificates and proxies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    file = tmp_path_factory.mktemp("a certificate") / "camera.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=camera -addext"
    files = ["-keyout", str(file), "-out", str(file.with_suffix(".crt"))]
    command_line = [*command.split(), "subjectAltName=IP:127.0.0.1", *files]
    subprocess.run(command_line, check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + file.with_suffix(".crt").read_bytes())
    return file


def test_an_https_stream_is_watched_only_where_its_certificate_is_trusted(
    certificate: Path, mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    mjpeg.show(plain(GREEN))

    def watch(trusted: Path | None, host: str = "127.0.0.1") -> str:
        if trusted is not None:
            monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        return f"https://{host}:{address.rpartition(':')[2]}/video"

    with served(mjpeg._serve, context) as address:
        assert "is not trusted: self-signed certificate; a certificate of your own" in complaint(
            watch(None)
        )
        capture, _ = open_stream(watch(certificate), 5, 5)
        capture.release()
        assert "is not trusted: Hostname mismatch" in complaint(watch(certificate, "localhost"))


def test_no_proxy_of_the_environment_is_asked(
    mjpeg: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def proxy(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        page(502)(request)

    with served(proxy) as address:
        monkeypatch.setenv("http_proxy", f"http://{address}")
        monkeypatch.delenv("no_proxy", raising=False)
        open_stream(mjpeg.url, 5, 5)[0].release()
        assert "the connection was refused" in complaint("http://127.0.0.1:9/video")
    assert asked == []


# --------------------------------------------------------------------- streams that come later


def test_a_stream_that_is_not_there_yet_is_waited_for(
    mjpeg: MjpegCamera, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    mjpeg.kill()
    mjpeg.show(plain(GREEN))
    with closing(LiveSource("stream", mjpeg.url, waits=True)) as source:
        assert "the connection was refused; is it on, and is the port right?; trying" in caplog.text
        assert source.newest(0.7) is None
        assert source.messages() == ["The stream is not connected yet; trying again."]
        mjpeg.restart()
        frame = wait_until(lambda: source.newest(0.1), 20)
        assert is_colour(frame, GREEN)
        assert frame.at == 0.0
        assert source.messages() == ["The stream is connected."]
    assert caplog.text.count("trying again") == 1
