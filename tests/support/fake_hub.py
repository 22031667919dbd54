"""A Hugging Face Hub on loopback that serves one folder as one repository, as far as downloads go.

The real Hub can't be reached from a test. huggingface_hub's own client talks to this one through
HF_ENDPOINT, so the code that fetches and checks weights runs whole.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(ThreadingHTTPServer):
    """Serves `folder` as `repository`, at one commit; everything asked for is in `paths`."""

    daemon_threads = True

    def __init__(self, folder: Path, repository: str, commit: str = COMMIT) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.repository = repository
        self.commit = commit
        self.listed_hashes: dict[str, str] = {}  # by file, in the place of the true ones
        self.is_gated = False
        self.cut_after: int | None = None  # bytes of a weight file, then the connection drops
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        """What HF_ENDPOINT must be."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def weights_sha256(self) -> str:
        """The true SHA-256 of its weight file."""
        return sha256_of(self.folder / "model.safetensors")

    def listing(self) -> dict[str, object]:
        """What the Hub's API says of the repository, with the SHA-256 of its weight files."""
        siblings: list[dict[str, object]] = []
        for file in sorted(self.folder.iterdir()):
            entry: dict[str, object] = {"rfilename": file.name, "size": file.stat().st_size}
            if file.suffix == ".safetensors":
                sha256 = self.listed_hashes.get(file.name, sha256_of(file))
                entry["lfs"] = {"sha256": sha256, "size": entry["size"], "pointerSize": 134}
            siblings.append(entry)
        return {"id": self.repository, "modelId": self.repository, "sha": self.commit,
                "siblings": siblings, "tags": [], "private": False}  # fmt: skip


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashes_of(file, file.stat().st_mtime_ns)[0]


def git_sha1_of(file: Path) -> str:
    """The SHA-1 that git knows a file's content by, in hexadecimal."""
    return hashes_of(file, file.stat().st_mtime_ns)[1]


@functools.cache
def hashes_of(file: Path, _changed: int) -> tuple[str, str]:
    """Both, kept: they are asked for often, and files may be large."""
    content = file.read_bytes()
    git = hashlib.sha1(f"blob {len(content)}\0".encode())
    git.update(content)
    return hashlib.sha256(content).hexdigest(), git.hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        self.server.paths.append(f"{self.command} {path}")
        repository = self.server.repository
        if self.server.is_gated:
            self._refuse(403, "GatedRepo")
        elif path.startswith(f"/api/models/{repository}/tree/"):
            self._send_tree(body)
        elif f"{path}/".startswith(f"/api/models/{repository}/"):
            self._send(json.dumps(self.server.listing()).encode(), body)
        elif path.startswith(f"/{repository}/resolve/"):
            self._send_file(self.server.folder / path.rsplit("/", 1)[1], body)
        else:
            self._refuse(404, "RepoNotFound")

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_tree(self, body: bool) -> None:
        listing = self.server.listing()["siblings"]
        assert isinstance(listing, list)
        tree = []
        for entry in listing:
            item = {"type": "file", "path": entry["rfilename"], "size": entry["size"]}
            item["oid"] = self.server.listed_hashes.get(
                entry["rfilename"], git_sha1_of(self.server.folder / entry["rfilename"])
            )
            if "lfs" in entry:
                item["lfs"] = {"oid": entry["lfs"]["sha256"], **entry["lfs"]}
            tree.append(item)
        self._send(json.dumps(tree).encode(), body)

    def _send_file(self, file: Path, body: bool) -> None:
        extra = {"ETag": f'"{sha256_of(file)}"', "X-Repo-Commit": self.server.commit}
        size, cut = file.stat().st_size, self.server.cut_after
        with file.open("rb") as content:
            if file.suffix == ".safetensors" and cut is not None and body:
                self._send(content.read(cut), body, extra, length=size)
                self.close_connection = True
            else:
                self._send(content, body, extra, length=size)

    def _send(
        self,
        content: bytes | io.BufferedReader,
        body: bool,
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        self.send_response(200)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(source.read()) if length is None else length))
        self.end_headers()
        source.seek(0)
        if body:
            with contextlib.suppress(OSError):
                shutil.copyfileobj(source, self.wfile)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@contextlib.contextmanager
def fake_hub(folder: Path, repository: str, commit: str = COMMIT) -> Iterator[FakeHub]:
    """A running FakeHub."""
    hub = FakeHub(folder, repository, commit)
    hub.listing()  # Hashes of large files take longer than a client waits.
    thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
