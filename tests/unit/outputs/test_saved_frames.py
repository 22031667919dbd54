"""SavedFrames: files that can be read back, and what happens where they can't be written."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from narrator.errors import UsageError
from narrator.frames.frame import Frame
from narrator.outputs.output import Caption
from narrator.outputs.saved_frames import MAX_CHARACTERS, SavedFrames
from support.drawn_scenes import Scene, Shape, draw
from support.saved import distance, inside

TAKEN = datetime(2026, 11, 23, 10, 8, 42, 123456, timezone(timedelta(hours=5, minutes=30)))
FRAME = Frame(draw(Scene(Shape("circle", "red", 0.2, 0.5, 0.17))), 100.0, 1.5)


def save(folder: Path, text: str) -> Path:
    """The file of a frame that was saved."""
    path = SavedFrames(str(folder)).save(FRAME, TAKEN, text)
    assert path is not None
    return path


@pytest.mark.parametrize(
    "text", ["Café, ένας κύκλος, круг, 左边有一个红色的圆圈, 😀.", "語" * 100_000], ids=len
)
def test_any_caption_can_be_read_back(tmp_path: Path, text: str) -> None:
    SavedFrames(str(tmp_path)).write(Caption(FRAME, TAKEN, text, 0.1, 0.2, 0.3, False))
    (path,) = tmp_path.iterdir()
    assert path.name == "2026-11-23T10-08-42.123.jpg"
    facts = inside(path)
    assert facts["description"] == facts["comment"] == text[:MAX_CHARACTERS]
    assert facts["taken"] == "2026:11:23 10:08:42.123+05:30"
    assert distance(path, FRAME.image) < 3


def test_frames_of_one_millisecond_keep_apart(tmp_path: Path) -> None:
    threads = [threading.Thread(target=save, args=(tmp_path, str(n))) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    saved = sorted(tmp_path.iterdir())  # nor did one write over another's
    assert sorted(inside(path)["comment"] for path in saved) == [str(n) for n in range(10)]
    os.umask(mask := os.umask(0))
    assert all(path.stat().st_mode & 0o777 == 0o666 & ~mask for path in saved)


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
    tmp_path: Path, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "narrator")
    folder = tmp_path / "frames"
    saved = SavedFrames(str(folder))
    saved.prepare()
    assert (first := saved.save(FRAME, TAKEN, "first"))
    with full_disk() if trouble == "full" else gone(folder):
        assert saved.save(FRAME, TAKEN, "second") is None
        assert saved.save(FRAME, TAKEN, "third") is None
    assert (last := saved.save(FRAME, TAKEN, "last"))
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith(f"frames can't be saved in {folder}: ")
    assert told[1:] == [f"frames are saved again in {folder}"]
    assert sorted(folder.iterdir()) == sorted([first, last])
    assert [inside(path)["comment"] for path in (first, last)] == ["first", "last"]


@pytest.mark.parametrize("hangs", [False, True])
def test_an_end_in_the_middle_leaves_a_whole_file_unless_the_disk_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    saved = SavedFrames(str(tmp_path), close_timeout_s=0.05 if hangs else 30)
    written, over = threading.Event(), threading.Event()
    seen: list[str] = []

    def slow_disk(descriptor: int) -> None:
        seen.extend(path.name for path in tmp_path.iterdir())
        written.set()
        over.wait(30)

    monkeypatch.setattr(os, "fsync", slow_disk)
    saving = threading.Thread(target=saved.save, args=(FRAME, TAKEN, "whole"), daemon=True)
    saving.start()
    assert written.wait(10)
    if not hangs:
        threading.Timer(0.1, over.set).start()  # as a rule, while close() waits
    saved.close()
    assert seen == [".2026-11-23T10-08-42.123.jpg.part"]
    if not hangs:
        assert [inside(path)["comment"] for path in tmp_path.iterdir()] == ["whole"]
    over.set()
    saving.join(10)


def test_a_folder_is_made_and_tried_and_left_empty(tmp_path: Path) -> None:
    folder = tmp_path / "one" / "two"
    SavedFrames(str(folder)).prepare()
    assert list(folder.iterdir()) == []
    with pytest.raises(UsageError):
        SavedFrames("zero\0byte").prepare()
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UsageError, match="is a file; give a folder"):
        SavedFrames(str(tmp_path / "taken")).prepare()
