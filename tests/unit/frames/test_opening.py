"""What a --source names: a camera by number or name, a stream, or a file.

FAKE: a dictionary stands in for the cameras that the system tells of.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import pytest

from narrator.errors import SourceError
from narrator.frames import opening
from narrator.frames.cameras import NAMED
from narrator.frames.files import Film, PlayedFile
from narrator.frames.live import LiveSource
from narrator.frames.opening import SourceKind, open_source, resolve_source, source_kind
from support.camera import MjpegCamera
from support.frames import RED, plain

DESK = {0: "Integrated Camera: Integrated C", 2: "HD Pro Webcam C920", 10: "Dummy video"}


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[int, str]:
    """The cameras that are known, which a test may change."""
    known = dict(DESK)
    monkeypatch.setattr(opening, "known_cameras", lambda: known)
    monkeypatch.chdir(tmp_path)
    return known


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", SourceKind.CAMERA),
        ("12", SourceKind.CAMERA),
        (f"{NAMED}C920", SourceKind.CAMERA),
        ("20250115", SourceKind.FILE),
        ("12.mp4", SourceKind.FILE),
        ("12:30.mp4", SourceKind.FILE),
        ("http:/nearly", SourceKind.FILE),
        ("http://127.0.0.1/video", SourceKind.STREAM),
        ("RTSP://camera.local", SourceKind.STREAM),
    ],
)
def test_a_source_is_told_by_its_form(source: str, kind: SourceKind) -> None:
    assert source_kind(source) is kind


# -------------------------------------------------------------------------------- --source NAME


@pytest.mark.parametrize(
    "source", ["C920", "hd pro webcam c920", "HD Pro Webcam C920", "pro webcam"]
)
def test_a_unique_part_of_a_name_in_any_case_is_the_camera(
    plugged: dict[int, str], source: str
) -> None:
    assert resolve_source(source) == f"{NAMED}HD Pro Webcam C920"


def test_a_whole_name_is_not_ambiguous_even_where_others_contain_it(
    plugged: dict[int, str],
) -> None:
    plugged.update({0: "Cam Two", 1: "Cam"})
    assert resolve_source("cam") == f"{NAMED}Cam"
    assert resolve_source("two") == f"{NAMED}Cam Two"


def test_an_ambiguous_name_is_answered_with_those_that_it_may_be(plugged: dict[int, str]) -> None:
    plugged.clear()
    plugged.update({0: "Cam A", 4: "Cam B", 6: "Other"})
    with pytest.raises(SourceError) as caught:
        resolve_source("cam")
    assert "0 (Cam A), 4 (Cam B); give its number" in str(caught.value)
    assert "Other" not in str(caught.value)


def test_two_cameras_of_one_name_are_told_apart_by_number(plugged: dict[int, str]) -> None:
    plugged.update({4: "Cam", 6: "Cam"})
    with pytest.raises(SourceError, match=r"4 \(Cam\), 6 \(Cam\); give its number"):
        resolve_source("Cam")


def test_numbers_urls_paths_and_existing_files_are_never_taken_for_names(
    plugged: dict[int, str], tmp_path: Path
) -> None:
    for source in ("2", "http://host/C920", "films/C920", "rtsp://C920"):
        assert resolve_source(source) == source
    (tmp_path / "C920").write_bytes(b"")
    (tmp_path / f"{NAMED}C920").write_bytes(b"")
    assert resolve_source("C920") == "C920"
    assert source_kind(resolve_source(f"{NAMED}C920")) is SourceKind.FILE


def test_a_file_may_be_named_by_its_address(plugged: dict[int, str], tmp_path: Path) -> None:
    path = tmp_path / "a red picture#1.png"
    cv2.imwrite(str(path), plain(RED))
    for source in (path.as_uri(), f"FILE://localhost{path.as_uri().removeprefix('file://')}"):
        found = resolve_source(source)
        assert found == str(path)
        open_source(found).close()
    with pytest.raises(SourceError, match=r"/no/such\.mp4 can't be opened"):
        open_source(resolve_source("file:///no/such.mp4"))


def test_what_is_neither_file_nor_camera_is_told_as_both(plugged: dict[int, str]) -> None:
    with pytest.raises(SourceError) as caught:
        resolve_source("Brio")
    assert str(caught.value) == (
        "Brio can't be opened: No such file or directory, and no camera has that name; "
        "--list-cameras shows those that are there"
    )


# -------------------------------------------------------------------------------------- opening it


def test_each_kind_has_its_source(tmp_path: Path, mjpeg: MjpegCamera) -> None:
    path = str(tmp_path / "red.png")
    cv2.imwrite(path, plain(RED))
    for source, every_frame, kind in [
        (path, False, PlayedFile),
        (path, True, Film),
        (mjpeg.url, False, LiveSource),
        (mjpeg.url, True, LiveSource),
    ]:
        with closing(open_source(source, every_frame)) as opened:
            assert type(opened) is kind


def test_a_camera_that_is_not_there_is_named_or_waited_for() -> None:
    with pytest.raises(SourceError, match="camera 99 is not there"):
        open_source("99")
    with closing(open_source("99", waits=True)) as source:
        assert source.messages() == ["The camera is not there yet; trying again."]


@pytest.mark.parametrize("url", ["gopher://hole", "http://:80/", "http://host:port/"])
def test_an_address_that_can_never_show_anything_is_not_waited_for(url: str) -> None:
    with pytest.raises(SourceError):
        open_source(url, waits=True)


def test_what_opencv_refuses_is_a_source_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A picture beyond OpenCV's limit of a gigapixel, for instance."""

    def refuse(source: str, clip_length: int) -> None:
        raise cv2.error("too large")

    monkeypatch.setattr(opening, "open_film", refuse)
    with pytest.raises(SourceError, match="that picture can't be read"):
        open_source("that picture")
