#!/usr/bin/env python3
"""Runs the program for long on a stream that changes, stalls, goes away and comes back.

    .venv/bin/python tools/soak.py --minutes 30

Each minute the stream's scene changes several times, and one fault is caused, in turn: the stream
stalls, its server is killed and started again, it sends garbage, the voice's child is killed, and
the child is stopped. A line a minute tells the program's memory, descriptors, threads and children,
and how many captions and messages there were; the last lines compare the end with the second
minute, when everything has been loaded once. Exit code 1 when memory grew by 3 % or more, when
anything else grew, or when a minute passed without a caption.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from measuring import read_options
from support.camera import MjpegCamera
from support.drawn_scenes import random_scene
from support.program import TINY, Program, Running, children
from support.sound import SoundCard


@dataclass(frozen=True)
class Sample:
    """What the program takes from the system. memory: resident, MB."""

    memory: float
    descriptors: int
    threads: int
    children: int


def sample(process: int) -> Sample:
    """Ask /proc, so on Linux alone."""
    proc = Path(f"/proc/{process}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return Sample(
        memory=int(status["VmRSS"].split()[0]) / 1024,
        descriptors=len(list((proc / "fd").iterdir())),
        threads=int(status["Threads"]),
        children=len(children(process)),
    )


def signal_children(running: Running, number: signal.Signals) -> None:
    """Send a signal to the voice's child."""
    for child in running.family():
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)


def faults(
    camera: MjpegCamera, running: Running
) -> list[tuple[str, Callable[[], object], Callable[[], object]]]:
    """Name, what causes it, and what ends it eight seconds later."""
    return [
        ("stall", camera.stall, camera.come_back),
        ("server killed", camera.kill, camera.restart),
        ("garbage", camera.send_garbage, camera.come_back),
        ("voice killed", lambda: signal_children(running, signal.SIGKILL), lambda: None),
        ("voice stopped", lambda: signal_children(running, signal.SIGSTOP), lambda: None),
    ]


def run_a_minute(
    camera: MjpegCamera,
    random: np.random.Generator,
    begin: Callable[[], object],
    end: Callable[[], object],
) -> None:
    """A new scene every four seconds; a fault from second 20 to 28."""
    started = time.monotonic()
    for step in range(15):
        if step == 5:
            begin()
        if step == 7:
            end()
        camera.show(random_scene(random)[0])
        time.sleep(max(0.0, started + (step + 1) * 4 - time.monotonic()))


def soak(minutes: int, folder: Path) -> bool:
    """Run and print; True when nothing grew and no minute was silent."""
    program = Program(folder / "program")
    program.environment.update(SoundCard(folder / "card").environment)
    camera, random = MjpegCamera(), np.random.default_rng(1)
    camera.show(random_scene(random)[0])
    running = program.start("--source", camera.url, "--model", TINY, "--wav", folder / "out.wav")
    samples: list[Sample] = []
    silent = 0
    try:
        running.stdout.wait_for("")
        print("minute  memory  descriptors  threads  children  captions  messages  fault")
        seen = 0
        for minute in range(minutes):
            name, begin, end = faults(camera, running)[minute % 5]
            run_a_minute(camera, random, begin, end)
            samples.append(now := sample(running.process.pid))
            captions, messages = running.stdout.count(), running.stderr.count()
            silent += captions == seen
            seen = captions
            print(
                f"{minute + 1:6}  {now.memory:6.1f}  {now.descriptors:11}  {now.threads:7}  "
                f"{now.children:8}  {captions:8}  {messages:8}  {name}",
                flush=True,
            )
    finally:
        result = running.end(signal.SIGTERM)
        camera.close()
        program.close()
    first, last = samples[min(1, len(samples) - 1)], samples[-1]
    growth = 100 * (last.memory / first.memory - 1)
    print(f"memory {growth:+.1f} %, from {first} to {last}; exit code {result.returncode}")
    print(f"minutes without a caption: {silent}")
    print("messages, each once:", *sorted(set(result.stderr.splitlines())), sep="\n  ")
    same = (first.descriptors, first.children) == (last.descriptors, last.children)
    return growth < 3 and same and last.threads <= first.threads and not silent


def main() -> None:
    options = read_options(__doc__, minutes=30)
    with tempfile.TemporaryDirectory() as folder:
        raise SystemExit(0 if soak(options.minutes, Path(folder)) else 1)


if __name__ == "__main__":
    main()
