"""GrowingFile: written in place, whatever it is; trouble is reported once."""

from __future__ import annotations

import os
import resource
from contextlib import closing
from pathlib import Path

import pytest

from narrator.errors import UsageError
from narrator.outputs.growing_file import GrowingFile


@pytest.fixture(autouse=True)
def _log_what_the_user_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "narrator")


def a_file(path: object) -> GrowingFile:
    return GrowingFile("--wav", str(path), ".wav", b"what ")


def begun(path: object) -> GrowingFile:
    file = a_file(path)
    file.begin()
    return file


def test_what_is_written_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("what was there before")
    with closing(begun(path)) as file:
        assert path.read_bytes() == b""
        file.write(b"one two")
        assert path.read_bytes() == b"one two"
        file.seek(0)
        file.write(b"O")
        file.seek(7)
        file.write(b" three")
        assert path.read_bytes() == b"One two three"
    file.write(b"more")
    assert path.read_bytes() == b"One two three"


@pytest.mark.parametrize("name", ["no/such/folder", ".", "a\0b"])
def test_what_can_not_be_opened_is_a_usage_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^--wav .* can't be written: "):
        a_file(name)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    with closing(begun(link)) as file:
        file.write(b"text")
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"text"


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """It can't be corrected afterwards, which is what headers and cues need."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="it is a pipe; give a file"):
        a_file(tmp_path / "pipe")


def test_what_is_there_stays_until_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "kept.wav"
    path.write_text("what was there before")
    with closing(a_file(path)) as file:
        file.write(b"text")
    assert path.read_text() == "what was there before"
    a_file(tmp_path / "new.wav").close()
    assert not (tmp_path / "new.wav").exists()


def test_an_ending_that_does_not_fit_is_refused_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mp3 files are not supported; use .*/song\.wav$"):
        a_file(tmp_path / "song.mp3")
    with closing(a_file(tmp_path / "SONG.WAV")), closing(a_file(tmp_path / "song")):
        pass


def test_a_disk_that_fills_up_keeps_what_was_whole_and_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit to the size of files stands for the disk: it breaks off in the middle, too."""
    path = tmp_path / "file"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(begun(path)) as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            file.write(bytes(700))
            file.write(bytes(700))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        file.write(bytes(700))  # There is room again, but a narration with a hole would tell lies.
        file.seek(0)
        file.write(b"header")
    assert path.read_bytes() == bytes(700)
    assert caplog.messages == [f"--wav {path}: File too large; the narration goes on without it"]
