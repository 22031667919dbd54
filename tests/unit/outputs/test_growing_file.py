"""GrowingFile: written in place, whatever it is, and its trouble told once."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from narrator.errors import UsageError
from narrator.outputs.growing_file import GrowingFile
from narrator.settings import PROJECT


@pytest.fixture(autouse=True)
def _log_what_the_user_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "narrator")


def a_file(path: object) -> GrowingFile:
    return GrowingFile("--wav", str(path), ".wav", b"what ")


def test_what_is_written_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("what was there before")
    with closing(a_file(path)) as file:
        assert file.write(0, (0, b"one two"))
        assert path.read_bytes() == b"one two"
        assert file.write(4, (4, b"three"), (0, b"O"))
        assert path.read_bytes() == b"One three"
        assert file.write(3, (3, b""))
        assert path.read_bytes() == b"One"
    assert not file.write(3, (3, b"more"))
    assert path.read_bytes() == b"One"


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
    with closing(a_file(link)) as file:
        file.write(0, (0, b"text"))
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"text"


def test_the_standard_output_is_written_where_that_is_a_file(tmp_path: Path) -> None:
    code = (
        "from narrator.outputs.growing_file import GrowingFile\n"
        "GrowingFile('--vtt', '/dev/stdout', '.vtt', b'').write(0, (0, b'text'))"
    )
    with open(tmp_path / "out", "wb") as out:
        subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, stdout=out)
    assert (tmp_path / "out").read_bytes() == b"text"


@pytest.mark.parametrize("read", [False, True])
def test_a_pipe_is_refused_whether_it_is_read_or_not(tmp_path: Path, read: bool) -> None:
    """It can't be corrected afterwards, which is what headers and cues need."""
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK) if read else None
    with pytest.raises(UsageError, match="it is a pipe; give a file"):
        a_file(tmp_path / "pipe")
    if reading is not None:
        os.close(reading)


def test_what_is_there_stays_until_the_first_write(tmp_path: Path) -> None:
    path = tmp_path / "kept.wav"
    path.write_text("what was there before")
    a_file(path).close()
    assert path.read_text() == "what was there before"
    a_file(tmp_path / "new.wav").close()
    assert not (tmp_path / "new.wav").exists()
    gone = a_file(tmp_path / "gone.wav")
    (tmp_path / "gone.wav").unlink()
    gone.close()


def test_a_file_that_is_none_of_ours_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("My notes.")
    with pytest.raises(UsageError, match="holds something else; give another name"):
        a_file(path)
    assert path.read_text() == "My notes."


def test_an_ending_that_does_not_fit_is_refused_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \.mp3 file is made; name it .*/song\.wav$"):
        a_file(tmp_path / "song.mp3")
    with closing(a_file(tmp_path / "SONG.WAV")), closing(a_file(tmp_path / "song")):
        pass


def test_a_disk_that_fills_up_keeps_what_was_whole_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit to the size of files stands for the disk: it breaks off in the middle, too."""
    path = tmp_path / "file"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(a_file(path)) as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            assert file.write(0, (0, bytes(700)))
            assert not file.write(700, (700, bytes(700)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        # There is room again, but a hole in a narration would tell lies.
        assert not file.write(700, (700, bytes(700)))
    assert path.stat().st_size == 700
    assert caplog.messages == [
        f"--wav {path}: File too large; the narration goes on without it",
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_device_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with closing(a_file("/dev/full")) as file:
        assert not file.write(0, (0, b"text"))
        assert not file.write(0, (0, b"text"))
    reason = os.strerror(28)
    assert caplog.messages == [f"--wav /dev/full: {reason}; the narration goes on without it"]


def test_a_deleted_folder_is_told_once_and_the_file_written_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with closing(a_file(folder / "out.wav")) as file:
        assert file.write(0, (0, b"text"))
        shutil.rmtree(folder)
        for _ in range(3):
            assert file.write(4, (4, b"more"))
    assert caplog.messages == [
        f"--wav {folder}/out.wav was moved or deleted; the narration goes on"
    ]
