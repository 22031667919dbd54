#!/usr/bin/env python3
"""Measures sources for longer than a test may take, and prints a table.

    .venv/bin/python tools/measure_frames.py 2>/dev/null

(stderr is where OpenCV tells of every fault that is caused here.)

What it shows: how long a stream takes to be watched again after its server was killed, stalled or
sent garbage, with what was told, and the threads and descriptors before and after; how old the
newest frame of a 30 a second stream is for a slow reader; and what 200 broken files are answered.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))

from narrator.frames.opening import open_source
from narrator.frames.source import Source
from support.broken_files import answer_to, broken_files
from support.camera import MjpegCamera, as_jpeg, made_at, stamped_picture
from support.frames import reading_threads
from support.program import SCRIPT

FAULTS = {
    "killed": (MjpegCamera.kill, MjpegCamera.restart),
    "stalled": (MjpegCamera.stall, MjpegCamera.come_back),
    "garbage": (MjpegCamera.send_garbage, MjpegCamera.come_back),
}


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(os.listdir("/dev/fd"))


def native_threads() -> int:
    """All threads of this process, those of OpenCV and FFmpeg too; 0 where nobody tells."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 0


def look_on(source: Source, seconds: float, heard: list[str]) -> bool:
    """Look at every frame for some seconds, or until the source is back; True if it is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        source.newest(0.05)
        messages = source.messages()
        heard += messages
        if any(message.endswith("is back.") for message in messages):
            return True
    return False


def measure_outages(times: int) -> None:
    """Kill, stall and send garbage, so many times each, with one source for all of it."""
    camera = MjpegCamera()
    camera.film(lambda: as_jpeg(stamped_picture(320, 240)))
    with contextlib.closing(camera), contextlib.closing(open_source(camera.url)) as source:
        look_on(source, 1, [])
        for name, (break_it, mend_it) in FAULTS.items():
            before = (len(reading_threads()), descriptors(), native_threads())
            resumed, messages = [], Counter[int]()
            for number in range(times):
                heard: list[str] = []
                break_it(camera)
                # Away for 6 to 24 s, so that it comes back at any place in a pause or a try.
                assert not look_on(source, 6 + number * 7 % 19, heard)
                mended_at = time.monotonic()
                mend_it(camera)
                assert look_on(source, 30, heard), f"{name}: never back"
                assert source.newest(5) is not None
                resumed.append(time.monotonic() - mended_at)
                messages[len(heard)] += 1
            look_on(source, 1, [])
            after = (len(reading_threads()), descriptors(), native_threads())
            print(
                f"{name:8} x{times}: resumed in {statistics.median(resumed):.1f} s at the median, "
                f"{max(resumed):.1f} s at most; messages an outage {dict(messages)}; "
                f"threads, descriptors, native threads {before} -> {after}",
                flush=True,
            )


def measure_age(minutes: float) -> None:
    """A reader that takes up to a second between two looks, and the age of what it sees."""
    camera = MjpegCamera(fps=30)
    camera.film(lambda: as_jpeg(stamped_picture()))
    ages = []
    with contextlib.closing(camera), contextlib.closing(open_source(camera.url)) as source:
        deadline = time.monotonic() + minutes * 60
        while time.monotonic() < deadline:
            frame = source.newest(1)
            if frame is not None:
                ages.append(time.monotonic() - made_at(frame.image))
            time.sleep(random.uniform(0, 1))
    ages.sort()
    print(
        f"age of the newest frame, {len(ages)} looks in {minutes:g} minutes: median "
        f"{ages[len(ages) // 2]:.3f} s, 99 % {ages[len(ages) * 99 // 100]:.3f} s, "
        f"most {ages[-1]:.3f} s, above 0.2 s {sum(age > 0.2 for age in ages)}",
        flush=True,
    )


def measure_files(count: int) -> None:
    """Open every broken file in this one process, and look at what it shows."""
    answers: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        files = broken_files(Path(folder), count)
        before = (len(reading_threads()), descriptors())
        for path in files:
            started = time.monotonic()
            answers[answer_to(path)] += 1
            slowest = max(slowest, time.monotonic() - started)
        after = (len(reading_threads()), descriptors())
        print(
            f"{count} broken files: {dict(answers)}, slowest {slowest:.1f} s; "
            f"threads, descriptors {before} -> {after}",
            flush=True,
        )
        measure_program(files[:: max(1, count // 10)])


def measure_program(files: list[Path]) -> None:
    """Those that are refused given to the program itself, which must name them in one line."""
    answers: Counter[str] = Counter()
    for path in files:
        if answer_to(path) == "refused":
            command = [sys.executable, str(SCRIPT), "--source", str(path), "--mute"]
            result = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=60
            )
            answers[f"code {result.returncode}, {len(result.stderr.splitlines())} line"] += 1
    print(f"the program on those that are refused: {dict(answers)}", flush=True)


def main() -> None:
    """Measure, shortest first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=10, help="outages of each kind")
    parser.add_argument("--minutes", type=float, default=3.0, help="of looking at a stream")
    parser.add_argument("--files", type=int, default=200, help="broken files")
    options = parser.parse_args()
    if options.files:
        measure_files(options.files)
    if options.minutes:
        measure_age(options.minutes)
    if options.times:
        measure_outages(options.times)


if __name__ == "__main__":
    main()
