#!/usr/bin/env python3
"""Kills and stops the voice's child again and again while the program narrates, and counts.

    .venv/bin/python tools/measure_voice.py --kills 50 --stops 5

The program watches a stream whose scene changes every quarter of a second, and renders each
sentence into a WAV without playing it: an hour's worth of captions (some 900) in a few minutes.
At random moments the child is killed (SIGKILL), and now and then stopped (SIGSTOP). Printed are the
captions, the sentences in the WAV, the messages, the longest time without a caption, and memory,
descriptors, threads, children and temporary files before and after. Exit code 1 when the narration
did not go on, when a fault was not told once, or when anything leaked. Linux alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import wave
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))

from soak import Sample, sample
from support.camera import MjpegCamera
from support.drawn_scenes import random_scene
from support.program import TINY, Program, Running

SCENE_S = 0.25
KILLED = "pete_sounds: speech failed (ended by itself); it is started again"
STOPPED = "pete_sounds: speech failed (no answer in time); it is started again"


def sentences_heard(path: Path) -> int:
    """How many sentences a WAV holds: there is a quarter of a second of silence between two."""
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(int)
    window = rate // 50
    loud = np.abs(samples[: len(samples) // window * window]).reshape(-1, window).max(axis=1) > 300
    return 1 + int((np.diff(np.flatnonzero(loud)) > 12).sum()) if loud.any() else 0


def show_until(camera: MjpegCamera, scenes: np.random.Generator, until: float) -> None:
    """A new scene every quarter of a second, until this time on the monotonic clock."""
    while time.monotonic() < until:
        camera.show(random_scene(scenes)[0])
        time.sleep(SCENE_S)


def strike(running: Running, number: signal.Signals) -> None:
    """Send a signal to the voice's child, however it is busy just now."""
    for child in running.family():
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)


def narrate(
    camera: MjpegCamera, running: Running, kills: int, stops: int, between: float
) -> tuple[Sample, Sample]:
    """All the kills and stops, spread at random; what the program took before and after."""
    dice, scenes = random.Random(3), np.random.default_rng(3)
    show_until(camera, scenes, time.monotonic() + 10)
    before = sample(running.process.pid)
    strikes = [signal.SIGKILL] * kills + [signal.SIGSTOP] * stops
    dice.shuffle(strikes)
    for number in strikes:
        show_until(camera, scenes, time.monotonic() + dice.uniform(0.6, 1.4) * between)
        strike(running, number)
        if number == signal.SIGSTOP:  # until it is noticed: ten seconds, and what the words take
            show_until(camera, scenes, time.monotonic() + 16)
    show_until(camera, scenes, time.monotonic() + 10)
    return before, sample(running.process.pid)


def measure(kills: int, stops: int, between: float, folder: Path) -> bool:
    """Run and print; True when all is well."""
    program, camera = Program(folder / "program"), MjpegCamera()
    camera.show(random_scene(np.random.default_rng(1))[0])
    wav = folder / "out.wav"
    running = program.start(
        *("--source", camera.url, "--model", TINY, "--always", "--json", "--mute", "--wav", wav)
    )
    try:
        running.stdout.wait_for("")
        before, after = narrate(camera, running, kills, stops, between)
        files = len(list(program.temporary.glob("pete_sounds*/*")))
    finally:
        result = running.end(signal.SIGTERM)
        camera.close()
        program.close()
    captions = [json.loads(line) for line in result.stdout.splitlines()]
    spoken = sum(caption["spoken"] for caption in captions)
    times = [datetime.fromisoformat(caption["time"]).timestamp() for caption in captions]
    silence = max(later - earlier for earlier, later in zip(times, times[1:]))
    told = Counter(result.stderr.splitlines())
    heard = sentences_heard(wav)
    print(
        f"{kills} kills and {stops} stops in {times[-1] - times[0]:.0f} s: {len(captions)} "
        f"captions, {spoken} handed to the voice, {heard} sentences in the WAV; longest time "
        f"without a caption {silence:.1f} s; exit code {result.returncode}"
    )
    print(f"before {before}\nafter  {after}; temporary files {files}")
    for line, count in told.items():
        print(f"{count:4}  {line}")
    lost = told[KILLED] == kills and told[STOPPED] == stops and len(told) == 4
    same = (before.descriptors, before.threads, before.children) == (
        (after.descriptors, after.threads, after.children)
    )
    return lost and same and files <= 3 and silence < 5 and result.returncode == 0


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--stops", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--between", type=float, default=4.0, help="seconds (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = measure(options.kills, options.stops, options.between, Path(folder))
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
