"""HTTP servers on loopback that answer every request as a test tells them to."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


def page(status: int, kind: str = "text/plain", body: bytes = b"", **headers: str) -> Answer:
    """The same answer to every request."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        length = {"Content-Length": str(len(body))} if body else {}
        fixed = {"Content-Type": kind, "Connection": "close", **length}
        for name, value in {**headers, **fixed}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def files_of(folder: Path) -> Answer:
    """The files of a folder."""
    return lambda request: page(200, "", (folder / request.path[1:]).read_bytes())(request)


@contextmanager
def served(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Host and port of a server, with TLS where there is a context."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that left
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
