"""A network camera on loopback that can be told what to show and how to fail; stamped pictures."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

STAMP_BITS = 40


class MjpegCamera:
    """A network camera: serves pictures over http, and misbehaves when told to.

    It listens on 127.0.0.1 at a port that was free. Any path, query, user and password will do.
    """

    def __init__(self, fps: float = 15) -> None:
        self._fps = fps
        self._changed = threading.Condition()
        self._mode = "steady"
        self._connections: set[socket.socket] = set()
        self.sent = 0  # pictures, to all who watch
        self.watched = 0  # connections that were opened so far
        self.show(np.full((240, 320, 3), 128, np.uint8))
        self._server = self._listen(0)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Where to watch it."""
        return f"http://{self.address}/video"

    def show(self, image: np.ndarray) -> None:
        """From now on, this is what the camera sees (BGR)."""
        data = as_jpeg(image)
        self.film(lambda: data)

    def film(self, jpeg: Callable[[], bytes]) -> None:
        """From now on, this is asked for each picture that is sent."""
        self._jpeg = jpeg

    def stall(self) -> None:
        """Keep the connections, send nothing more."""
        self._set_mode("stall")

    def hold_up(self) -> None:
        """Send nothing, but all of it at once when it is told to come back."""
        self._set_mode("hold up")

    def drop(self) -> None:
        """Close the connections, and new ones at once."""
        self._set_mode("drop")

    def flap(self) -> None:
        """Close the connections, and new ones behind their second picture."""
        self._set_mode("drop")
        self._set_mode("flap")

    def send_garbage(self) -> None:
        """Bytes that are no picture, in the place of pictures."""
        self._set_mode("garbage")

    def come_back(self) -> None:
        """Behave again."""
        self._set_mode("steady")

    def kill(self) -> None:
        """End the server and every connection: nothing listens at its port any more."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def restart(self) -> None:
        """Listen again, at the same port."""
        self._server = self._listen(self._server.server_port)

    def close(self) -> None:
        """End the server and every connection."""
        self.drop()
        self.kill()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera._connections.add(self.connection)
                camera._serve(self)
                camera._connections.discard(self.connection)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def _set_mode(self, mode: str) -> None:
        with self._changed:
            self._mode = mode
            self._changed.notify_all()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        if self._mode == "drop":
            return
        self.watched += 1
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        request.end_headers()
        with contextlib.suppress(OSError):  # Nobody watches any more.
            self._send_pictures(request)

    def _send_pictures(self, request: BaseHTTPRequestHandler) -> None:
        noise = np.random.default_rng(1)
        due = time.monotonic()
        held_up: list[bytes] = []
        sent = 0
        while True:
            due = max(due + 1 / self._fps, time.monotonic() - 1)
            with self._changed:
                self._changed.wait_for(lambda: self._mode == "drop", due - time.monotonic())
                self._changed.wait_for(lambda: self._mode != "stall")
                if self._mode == "drop" or (self._mode == "flap" and sent >= 2):
                    return
            held_up.append(noise.bytes(20_000) if self._mode == "garbage" else self._jpeg())
            if self._mode == "hold up":
                continue
            for image in held_up:
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                request.wfile.write(b"--picture\r\n" + head.encode() + image + b"\r\n")
            sent += len(held_up)
            self.sent += len(held_up)
            held_up.clear()


def as_jpeg(image: np.ndarray) -> bytes:
    """A picture (BGR) as the bytes of a JPEG."""
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert good
    return bytes(data.tobytes())


def stamped_picture(width: int = 640, height: int = 480) -> np.ndarray:
    """A picture (BGR) that tells when it was made: milliseconds, in squares of 16 pixels that JPEG
    does not harm. No two are the same."""
    image = np.full((height, width, 3), 128, np.uint8)
    made = int(time.monotonic() * 1000)
    bits = [made >> bit & 1 for bit in range(STAMP_BITS)]
    squares = np.kron(np.array(bits, np.uint8).reshape(2, -1) * 255, np.ones((16, 16), np.uint8))
    image[:32, : squares.shape[1]] = squares[:, :, None]
    return image


def made_at(image: np.ndarray) -> float:
    """When a stamped picture was made, seconds on time.monotonic's clock."""
    bits = image[8:32:16, 8 : 8 * STAMP_BITS : 16].mean(axis=2).ravel() > 127
    return sum(1 << place for place, bit in enumerate(bits) if bit) / 1000
