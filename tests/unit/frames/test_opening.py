"""What a --source names: a camera by number or name, a stream, or a file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import pytest

from narrator.errors import SourceError
from narrator.frames.cameras import NAMED
from narrator.frames.opening import SourceKind, open_source, resolve_source, source_kind
from support.frames import RED, plain


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", SourceKind.CAMERA),
        (f"{NAMED}C920", SourceKind.CAMERA),
        ("/dev/video7", SourceKind.CAMERA),
        ("/dev/v4l/by-id/usb-C920", SourceKind.CAMERA),
        ("/dev/null", SourceKind.FILE),
        ("/dev/video", SourceKind.FILE),
        ("20250115", SourceKind.FILE),
        ("12:30.mp4", SourceKind.FILE),
        ("a\0b", SourceKind.FILE),
        ("http:/nearly", SourceKind.FILE),
        ("RTSP://camera.local", SourceKind.STREAM),
    ],
)
def test_a_source_is_told_by_its_form(source: str, kind: SourceKind) -> None:
    assert source_kind(source) is kind


# -------------------------------------------------------------------------------- --source NAME


def test_what_can_be_nothing_else_is_a_cameras_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for source in ("C920", "hd pro webcam", "Brio 4.5"):
        assert resolve_source(source) == f"{NAMED}{source}"
    for source in ("2", "/dev/video0", "http://host/C920", "films/C920", "rtsp://C920", NAMED):
        assert resolve_source(source) == source
    (tmp_path / "C920").write_bytes(b"")
    (tmp_path / f"{NAMED}C920").write_bytes(b"")
    assert resolve_source("C920") == "C920"
    assert source_kind(resolve_source(f"{NAMED}C920")) is SourceKind.FILE


def test_a_file_may_be_named_by_its_address(tmp_path: Path) -> None:
    path = tmp_path / "a red picture#1.png"
    cv2.imwrite(str(path), plain(RED))
    for source in (path.as_uri(), f"FILE://localhost{path.as_uri().removeprefix('file://')}"):
        found = resolve_source(source)
        assert found == str(path)
        open_source(found).close()
    for missing in ("file:///no/such.mp4", "nosuch.mp4", "photo.HEIC", "a\0b"):
        with pytest.raises(SourceError, match="can't be opened"):
            open_source(resolve_source(missing))


# -------------------------------------------------------------------------------------- opening it


def test_a_camera_that_is_not_there_is_named_or_waited_for() -> None:
    with pytest.raises(SourceError, match="camera 99 is not connected"):
        open_source("99")
    with closing(open_source("99", waits=True)) as source:
        assert source.messages() == ["The camera is not connected yet; trying again."]


def test_an_address_that_can_never_show_anything_is_not_waited_for() -> None:
    with pytest.raises(SourceError):
        open_source("http://host:port/", waits=True)
