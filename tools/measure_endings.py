#!/usr/bin/env python3
"""Ends the program at random moments by each signal, and looks at what is left of it.

    .venv/bin/python tools/measure_endings.py --runs 100

Each run is the demo, spoken and kept in a WAV, its captions as JSON in a file. The moment is drawn
from half as long again as the first caption takes, so start-up is most of it; the sound card is one
that plays at once and, in every second run, one whose player hangs. Looked at are the time from the
signal to the end, the exit code, every process that came of the run, the WAV, the lines of JSON,
and temporary files. A signal that comes before Python has reached the program's first lines is
counted apart: nothing is open then, and the answer is Python's own. Linux alone, as /proc tells
whose children there are.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))

from support.program import Program, wait_until
from support.sound import SoundCard

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Outcome:
    """What came of one run. moment, took: seconds; stage: how far it had come."""

    number: signal.Signals
    moment: float
    took: float
    code: int
    stage: str
    faults: tuple[str, ...]


def marked(mark: str) -> list[int]:
    """The processes that have this in their environment: a run's own and all its descendants."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ended = process.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if mark.encode() in process.joinpath("environ").read_bytes() and not ended:
                found.append(int(process.name))
    return found


def has_begun(process: int) -> bool:
    """True once the program's first lines have run, which take care of SIGHUP last."""
    status = Path(f"/proc/{process}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGHUP - 1) & 1)


def first_caption_s(folder: Path) -> float:
    """How long two programs that start at once take to their first caption."""
    programs = [Program(folder / name) for name in ("one", "two")]
    started = time.monotonic()
    for running in [program.start("--demo", "--wav", "out.wav") for program in programs]:
        running.stdout.wait_for("")
    took = time.monotonic() - started
    for program in programs:
        program.close()
    return took


def faults_of(program: Program, wav: Path, captions: Path, said: str) -> list[str]:
    """What is not as it should be in the files that a run left, and in what it said."""
    faults = []
    if wav.exists():
        try:
            with wave.open(str(wav)) as file:
                if wav.stat().st_size != 44 + 2 * file.getnframes():
                    faults.append("the WAV's header tells another length")
        except (wave.Error, EOFError) as error:
            faults.append(f"the WAV can't be read: {error}")
    for line in captions.read_text("utf-8").splitlines(keepends=True):
        try:
            json.loads(line)
        except ValueError:
            faults.append(f"half a line of JSON: {line!r}")
    if program.left_files():
        faults.append(f"left behind: {[path.name for path in program.left_files()]}")
    faults += [line for line in said.splitlines() if not line.startswith("pete_sounds: ")][:1]
    return faults


def one_run(number: signal.Signals, moment: float, name: int, folder: Path) -> Outcome:
    """Start, signal, look."""
    program = Program(folder / "program")
    hangs = name % 2 == 1
    card = SoundCard(folder / "card", stuck_after=15_000 if hangs else math.inf)
    mark = f"PETE_SOUNDS_RUN={folder.name}"
    program.environment.update(card.environment, **dict([mark.split("=")]))
    wav, captions = program.here / "out.wav", program.here / "out.json"
    with captions.open("wb") as out, (program.here / "said").open("wb") as err:
        process = subprocess.Popen(
            program.command("--demo", "--always", "--json", "--wav", wav), cwd=program.here,
            env=program.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip
        time.sleep(moment)
        asked, begun = time.monotonic(), has_begun(process.pid)
        process.send_signal(number)
        try:
            code = process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        took = time.monotonic() - asked
    left = not wait_until(lambda: not marked(mark), 1)
    said = (program.here / "said").read_text("utf-8", errors="replace")
    faults = faults_of(program, wav, captions, said)
    if left:
        faults.append(f"processes left: {marked(mark)}")
    if took >= 2:
        faults.append(f"took {took:.2f} s")
    if code != 0:
        faults.append(f"exit code {code}")
    stage = "captions" if captions.stat().st_size else "ready" if "ready in" in said else "start"
    if not begun:
        stage = "before the first line"
    return Outcome(number, moment, took, code, stage, tuple(faults))


def report(number: signal.Signals, outcomes: list[Outcome]) -> bool:
    """Print a line for a signal, and one for each fault; True when there was none."""
    begun = [one for one in outcomes if one.stage != "before the first line"]
    wrong = [one for one in begun if one.faults]
    took = sorted(one.took for one in begun)
    print(
        f"{number.name:8} {len(outcomes)} runs: ended in {statistics.median(took):.2f} s at the "
        f"median, {took[-1]:.2f} s at most; codes {dict(Counter(one.code for one in outcomes))}; "
        f"stages {dict(Counter(one.stage for one in outcomes))}; with faults {len(wrong)}",
        flush=True,
    )
    for one in wrong:
        print(f"  at {one.moment:.2f} s ({one.stage}): {'; '.join(one.faults)}", flush=True)
    return not wrong


def main() -> None:
    """Run them all, two at a time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="of each signal (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (%(default)s)")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGHUP):  # a shell's & and nohup have them ignored
        signal.signal(number, signal.SIG_DFL)
    dice = random.Random(options.seed)
    good = True
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        longest = 1.5 * first_caption_s(Path(folder))
        print(f"moments from 0 to {longest:.1f} s", flush=True)
        for number in SIGNALS:
            moments = [dice.uniform(0, longest) for _ in range(options.runs)]
            running = [
                pool.submit(one_run, number, moment, name, Path(folder) / f"{number.name}-{name}")
                for name, moment in enumerate(moments)
            ]
            good &= report(number, [one.result() for one in running])
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
