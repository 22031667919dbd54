"""The program in a process of its own, as a user runs it, and the processes that it starts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "pete_sounds.py"
TINY = ROOT / "tests" / "tiny_smolvlm2"
NOBODY = "http://127.0.0.1:9"  # the discard port: a Hub that never answers


def ended_well(result: subprocess.CompletedProcess[str]) -> None:
    """The end was a good one, and nothing was said of the program's insides."""
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert all(line.startswith("pete_sounds: ") for line in result.stderr.splitlines())


def one_line(result: subprocess.CompletedProcess[str], code: int) -> str:
    """The one printable line that an error is told in, on stderr and nowhere else."""
    assert result.stdout == ""
    assert result.stderr.startswith("pete_sounds: ")
    assert result.stderr.count("\n") == 1, result.stderr
    line = result.stderr.rstrip("\n")
    assert line.isprintable()
    assert result.returncode == code, line
    return line


def wait_until(condition: Callable[[], Any], timeout: float) -> Any:
    """Ask until the answer is true, for what sends no event; the last answer."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


class Lines:
    """The lines of a pipe as they come, and all of them at the end."""

    def __init__(self, pipe: IO[str]) -> None:
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, part: str, count: int = 1, timeout: float = 60) -> str:
        """Wait for the `count`-th line that has `part` in it, and return it."""

        def found() -> list[str]:
            return [line for line in self._lines if part in line][count - 1 :]

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout)
            assert found(), f"no {part!r} among {self._lines}"
            return found()[0].rstrip("\n")

    def count(self) -> int:
        """How many lines there were so far."""
        with self._changed:
            return len(self._lines)

    def rest(self, timeout: float = 10) -> str:
        """All that was written, once the other end is closed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, timeout), "the pipe is still open"
            return "".join(self._lines)


class Running:
    """The program while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.stdout = Lines(process.stdout)
        self.stderr = Lines(process.stderr)

    def family(self) -> set[int]:
        """The process groups of the children that it has now (each child leads one)."""
        return children(self.process.pid)

    def end(
        self, number: int = signal.SIGTERM, timeout: float = 10
    ) -> subprocess.CompletedProcess[str]:
        """Send a signal, wait for the end, and return what it was."""
        self.process.send_signal(number)
        return self.finished(timeout)

    def finished(self, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Wait for the end, and return what it was."""
        code = self.process.wait(timeout)
        return subprocess.CompletedProcess(
            self.process.args, code, self.stdout.rest(), self.stderr.rest()
        )


def process_table() -> list[tuple[int, int, int, str]]:
    """Process, parent, group and command line of everything that runs; zombies left out."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,pgid=,stat=,args="],
        check=True,
        capture_output=True,
        text=True,
        errors="replace",
    ).stdout
    rows = (line.split(None, 4) for line in listing.splitlines())
    return [
        (int(row[0]), int(row[1]), int(row[2]), row[4])
        for row in rows
        if len(row) == 5 and not row[3].startswith("Z")
    ]


def children(process: int) -> set[int]:
    """The processes that this one has started and that still run."""
    return {pid for pid, parent, *_ in process_table() if parent == process}


def left_over(groups: set[int]) -> list[str]:
    """The command lines of what still runs in these process groups."""
    return [command for _, _, group, command in process_table() if group in groups]


def all_gone(groups: set[int], within: float = 5.0) -> bool:
    """True when nothing of these process groups runs `within` seconds from now."""
    return bool(wait_until(lambda: not left_over(groups), within))


def copy_program(folder: Path) -> Path:
    """Put the script and its parts, but no .venv, into a new folder; returns the script."""
    folder.mkdir()
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "narrator", folder / "narrator", ignore=ignore)
    return Path(shutil.copy(SCRIPT, folder))


@dataclass
class Program:
    """Runs pete_sounds.py in an empty folder, in an environment that knows no network, no sound
    card and no home but its own. Called, it waits for the end; started, it goes on."""

    folder: Path
    script: Path = SCRIPT
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    _running: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("home", "tmp", "here"):
            (self.folder / name).mkdir(parents=True)
        self.here = self.folder / "here"
        self.temporary = self.folder / "tmp"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "ALSA_CONFIG_PATH": os.devnull,
            "HF_ENDPOINT": NOBODY,
        }

    def command(self, *arguments: str | Path) -> list[str]:
        """The command line, for those who start it themselves."""
        return [self.python, str(self.script), *map(str, arguments)]

    def __call__(
        self, *arguments: str | Path, timeout: float = 90, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*arguments),
            check=False,
            cwd=self.here,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            **{"stdin": subprocess.DEVNULL, **options},
        )

    def start(self, *arguments: str | Path, shell: str = 'exec "$@"') -> Running:
        """Start it, perhaps in a shell line of your own in which "$@" stands for it. The fixture
        ends what is still running at the end of the test."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", shell, "sh", *self.command(*arguments)],
            cwd=self.here,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that the shell and all it started can be ended together
        )
        self._running.append(process)
        return Running(process)

    def left_files(self) -> list[Path]:
        """The temporary files of ours that are there; mlx and PulseAudio leave some as well."""
        return list(self.temporary.glob("pete_sounds*"))

    def close(self) -> None:
        """End whatever was started and still runs."""
        for process in self._running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
