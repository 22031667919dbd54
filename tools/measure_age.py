#!/usr/bin/env python3
"""Measures how old what is said is, end to end: a quick stream and an engine that is slow.

    .venv/bin/python tools/random_checkpoint.py smolvlm2-256m FOLDER
    .venv/bin/python tools/measure_age.py FOLDER --minutes 5

The program itself watches a stream of 30 pictures a second on loopback with --always, and describes
them with the model in FOLDER: one of random weights will do, of SmolVLM2-256M's size (over a second
a caption on two cores). Once with text alone, once with each sentence rendered into a WAV. A
caption's frame_age_s may exceed its own caption_s by 0.2 s: what is described is what was newest
when the work began. Exit code 1 when one does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))

from support.camera import MjpegCamera, as_jpeg, stamped_picture
from support.program import Program

ALLOWED_S = 0.2


def measure(model: Path, minutes: float, folder: Path, voice: bool, detail: bool) -> bool:
    """Watch for so long, print a line; True when no caption was too old."""
    program, camera = Program(folder / "program"), MjpegCamera(fps=30)
    camera.film(lambda: as_jpeg(stamped_picture()))
    if "OMP_NUM_THREADS" in os.environ:  # on a machine that others use, too
        program.environment["OMP_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
    arguments = ["--source", camera.url, "--engine", "torch", "--always", "--json", "--mute"]
    arguments += ["--model", str(model.absolute())]
    arguments += ["--wav", str(folder / "out.wav")] if voice else []
    running = program.start(*arguments, *(["--detail"] if detail else []))
    try:
        running.stderr.wait_for("ready in", timeout=120)
        sent, started = camera.sent, time.monotonic()
        time.sleep(minutes * 60)
        fps = (camera.sent - sent) / (time.monotonic() - started)
    finally:
        result = running.end(signal.SIGTERM)
        camera.close()
        program.close()
    captions = [json.loads(line) for line in result.stdout.splitlines()]
    excess = [caption["frame_age_s"] - caption["caption_s"] for caption in captions]
    print(
        f"{'rendered into a WAV' if voice else 'text alone':20} {minutes:g} minutes of "
        f"{fps:.1f} pictures a second: {len(captions)} captions of "
        f"{statistics.median(caption['caption_s'] for caption in captions):.2f} s at the median; "
        f"frame_age_s at most {max(caption['frame_age_s'] for caption in captions):.2f} s, and "
        f"at most {max(excess):+.3f} s from its caption's own time; beyond {ALLOWED_S} s: "
        f"{sum(one > ALLOWED_S for one in excess)}; spoken "
        f"{sum(caption['spoken'] for caption in captions)}; exit code {result.returncode}",
        flush=True,
    )
    return bool(captions) and max(excess) <= ALLOWED_S and result.returncode == 0


def main() -> None:
    """Measure without and with the voice."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, metavar="FOLDER", help="of a checkpoint")
    parser.add_argument("--minutes", type=float, default=5.0, help="each (default: %(default)s)")
    parser.add_argument("--detail", action="store_true", help="in tiles: ten times slower")
    options = parser.parse_args()
    good = True
    for voice in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            good &= measure(options.model, options.minutes, Path(folder), voice, options.detail)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
