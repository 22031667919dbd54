"""--save: the frame of each caption as a JPEG, with its caption and its time inside."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pete_sounds import Caption, ExitCode, Frame, SavedFrames, UsageError
from support.drawn_scenes import Scene, Shape, draw
from support.program import Program

NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.jpg")
TAKEN = datetime(2026, 11, 23, 10, 8, 42, 123456, timezone(timedelta(hours=5, minutes=30)))
PICTURE = draw(Scene(Shape("circle", "red", 0.2, 0.5, 0.17)))


def frame() -> Frame:
    """A frame of a red circle, taken now."""
    return Frame(PICTURE, time.monotonic(), 1.5)


def inside(path: Path) -> dict[str, Any]:
    """What Pillow reads out of a saved frame."""
    with Image.open(path) as picture:
        picture.load()
        exif = picture.getexif()
        details = exif.get_ifd(0x8769)
    comment = details.get(0x9286, b"UNICODE\0")
    assert comment[:8] == b"UNICODE\0"
    assert exif.endian == ">"
    return {
        # Pillow takes the bytes of an ASCII field for Latin-1.
        "description": exif.get(0x010E, "").encode("latin-1").decode(),
        "comment": comment[8:].decode("utf-16-be"),
        "taken": f"{details[0x9003]}.{details[0x9291]}{details[0x9011]}",
    }


# ------------------------------------------------------------------------------- the whole program


def test_each_caption_leaves_its_frame_with_caption_and_time(program: Program) -> None:
    program.environment["TZ"] = "Asia/Kolkata"
    folder = program.here / "frames" / "of today"
    result = program("--demo", "--mute", "--json", "--limit", "2", "--save", folder)
    assert result.returncode == 0, result.stderr
    captions = [json.loads(line) for line in result.stdout.splitlines()]
    saved = sorted(folder.iterdir())
    assert len(saved) == len(captions) == 2
    for path, caption in zip(saved, captions):
        assert NAME.fullmatch(path.name)
        facts = inside(path)
        assert facts["description"] == facts["comment"] == caption["caption"]
        taken = datetime.strptime(facts["taken"], "%Y:%m:%d %H:%M:%S.%f%z")
        assert taken.isoformat(timespec="milliseconds") == caption["time"]
        assert facts["taken"].endswith("+05:30")
        assert f"{taken:%Y-%m-%dT%H-%M-%S}" in path.name
    # The second one shows the red circle on the left that its caption speaks of.
    assert captions[1]["caption"] == "A red circle on the left."
    image = cv2.imread(str(saved[1]))
    assert image is not None
    left, right = np.split(image.astype(int), 2, axis=1)
    assert ((left[:, :, 2] - left[:, :, 0]) > 100).sum() > 1000
    assert ((right[:, :, 2] - right[:, :, 0]) > 100).sum() == 0


@pytest.mark.parametrize("folder", ["taken", "taken/below", "/proc/nowhere"])
def test_a_folder_that_can_not_be_is_said_in_one_line(program: Program, folder: str) -> None:
    (program.here / "taken").write_text("a file")
    result = program("--demo", "--mute", "--save", folder)
    assert result.returncode == ExitCode.USAGE
    assert re.fullmatch(r"pete_sounds: --save \S+ (is a file|can't be written).*\n", result.stderr)
    assert result.stdout == ""


# --------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize(
    "text",
    [
        "A red circle on the left.",
        "Café, ένας κύκλος, круг, 左边有一个红色的圆圈, 😀.",
        "語" * 100_000,
    ],
    ids=["ascii", "unicode", "long"],
)
def test_any_caption_can_be_read_back(tmp_path: Path, text: str) -> None:
    SavedFrames(str(tmp_path)).write(Caption(frame(), TAKEN, text, 0.1, 0.2, 0.3, False))
    (path,) = tmp_path.iterdir()
    assert path.name == "2026-11-23T10-08-42.123.jpg"
    facts = inside(path)
    assert facts["description"] == facts["comment"] == text[: SavedFrames.MOST_LETTERS]
    assert facts["taken"] == "2026:11:23 10:08:42.123+05:30"
    saved = cv2.imread(str(path))
    assert saved is not None
    assert np.abs(saved.astype(int) - PICTURE).mean() < 3


def test_exiftool_reads_the_same(tmp_path: Path) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    text = "Café, круг, 左边, 😀."
    path = SavedFrames(str(tmp_path)).save(frame(), TAKEN, text)
    said = subprocess.run(
        ["exiftool", "-j", "-validate", "-a", "-warning", "-all", str(path)],
        check=True,
        capture_output=True,
    ).stdout
    facts = json.loads(said)[0]
    assert facts["ImageDescription"] == facts["UserComment"] == text
    assert facts["DateTimeOriginal"] == "2026:11:23 10:08:42"
    assert (facts["SubSecTimeOriginal"], facts["OffsetTimeOriginal"]) == (123, "+05:30")


def test_frames_of_one_millisecond_keep_apart(tmp_path: Path) -> None:
    def save() -> None:
        SavedFrames(str(tmp_path)).save(frame(), TAKEN, threading.current_thread().name)

    threads = [threading.Thread(target=save) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {inside(path)["comment"] for path in tmp_path.iterdir()} == {
        thread.name for thread in threads
    }


# ----------------------------------------------------------------------------------------- trouble


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond a kilobyte: the system refuses in the middle of it, as when full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def gone(folder: Path) -> Iterator[None]:
    """The folder is not where it was."""
    folder.rename(folder.with_name("elsewhere"))
    try:
        yield
    finally:
        assert not folder.exists(), "an unplugged disk's folder is not to be made anew"
        folder.with_name("elsewhere").rename(folder)


@pytest.mark.parametrize("trouble", ["full", "gone"])
def test_trouble_is_told_once_each_way_and_harms_nothing(
    tmp_path: Path, trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "frames"
    saved = SavedFrames(str(folder))
    saved.prepare()
    first = saved.save(frame(), TAKEN, "first")
    with full_disk() if trouble == "full" else gone(folder):
        assert saved.save(frame(), TAKEN, "second") is None
        assert saved.save(frame(), TAKEN, "third") is None
    assert capsys.readouterr().err.count("\n") == 1
    last = saved.save(frame(), TAKEN, "last")
    assert capsys.readouterr().err == f"pete_sounds: frames for {folder} are saved again\n"
    assert first is not None
    assert last is not None
    assert sorted(folder.iterdir()) == sorted([first, last])
    assert [inside(path)["comment"] for path in (first, last)] == ["first", "last"]


def test_an_end_in_the_middle_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = SavedFrames(str(tmp_path))
    seen: list[str] = []

    def end(descriptor: int) -> None:
        seen.extend(path.name for path in tmp_path.iterdir())
        saved.close()

    monkeypatch.setattr(os, "fsync", end)
    assert saved.save(frame(), TAKEN, "half") is None
    assert seen == [".2026-11-23T10-08-42.123.jpg.part"]
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_a_folder_is_made_and_tried_and_left_empty(tmp_path: Path) -> None:
    folder = tmp_path / "one" / "two"
    SavedFrames(str(folder)).prepare()
    assert list(folder.iterdir()) == []
    with pytest.raises(UsageError):
        SavedFrames("zero\0byte").prepare()
