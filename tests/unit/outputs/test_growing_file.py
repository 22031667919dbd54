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


def test_what_is_written_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("what was there before")
    with closing(GrowingFile("--vtt", str(path))) as file:
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
        GrowingFile("--wav", name)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    with closing(GrowingFile("--vtt", str(link))) as file:
        file.write(0, (0, b"text"))
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"text"


@pytest.mark.parametrize("piped", [False, True])
def test_the_standard_output_is_written_where_that_is_a_file(tmp_path: Path, piped: bool) -> None:
    """A pipe can't be corrected afterwards, which is what cues need."""
    code = (
        "import sys; from narrator.outputs.growing_file import GrowingFile\n"
        "print(GrowingFile('--vtt', '/dev/stdout').write(0, (0, b'text')), file=sys.stderr)"
    )
    with open(tmp_path / "out", "wb") as out:
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=PROJECT, check=True, text=True,
            stdout=subprocess.PIPE if piped else out, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert result.stderr == f"{not piped}\n"
    assert (tmp_path / "out").read_bytes() == (b"" if piped else b"text")


def test_a_disk_that_fills_up_keeps_what_was_whole_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit to the size of files stands for the disk: it breaks off in the middle, too."""
    path = tmp_path / "file"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(GrowingFile("--wav", str(path))) as file:
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
    with closing(GrowingFile("--wav", "/dev/full")) as file:
        assert not file.write(0, (0, b"text"))
        assert not file.write(0, (0, b"text"))
    reason = os.strerror(28)
    assert caplog.messages == [f"--wav /dev/full: {reason}; the narration goes on without it"]


def test_a_deleted_folder_is_told_once_and_the_file_written_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with closing(GrowingFile("--vtt", str(folder / "out.vtt"))) as file:
        assert file.write(0, (0, b"text"))
        shutil.rmtree(folder)
        for _ in range(3):
            assert file.write(4, (4, b"more"))
    assert caplog.messages == [
        f"--vtt {folder}/out.vtt was moved or deleted; the narration goes on"
    ]
