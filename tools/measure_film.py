#!/usr/bin/env python3
"""Describes a drawn film of two minutes as a user would, and checks what came of it.

    .venv/bin/python tools/measure_film.py

Prints how long the film and its description took, how many cues are true at their times, how far
the sound of each sentence is from its cue, and by how much the WAV is longer than the film.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))

from support.cues import cues_of
from support.drawn_scenes import caption_of, draw, random_layout
from support.program import SCRIPT, TINY
from support.sound import heard
from support.video import write_video

FPS, SECONDS, SIZE = 30, 120, (480, 360)


def scenes() -> Iterator[tuple[float, np.ndarray, str]]:
    """Seconds, picture and true caption, until the film is full."""
    rng = np.random.default_rng(12)
    left = float(SECONDS)
    while left > 0:
        scene = random_layout(rng)
        if (scene.width, scene.height) == SIZE:
            length = min(left, round(rng.uniform(1.5, 6.0) * FPS) / FPS)
            left -= length
            yield length, draw(scene), caption_of(scene)


def main() -> None:
    """Film, describe, measure."""
    script = list(scenes())
    with tempfile.TemporaryDirectory() as folder:
        film, vtt, wav = (Path(folder) / f"film.{kind}" for kind in ("mp4", "vtt", "wav"))
        images = (image for length, image, _ in script for _ in range(round(length * FPS)))
        write_video(film, images, FPS)
        command = [sys.executable, str(SCRIPT), "--source", str(film), "--model", str(TINY)]
        started = time.monotonic()
        subprocess.run([*command, "--vtt", str(vtt), "--wav", str(wav)], check=True)
        took = time.monotonic() - started
        cues, sounds = cues_of(vtt), heard(wav)
        with wave.open(str(wav)) as file:
            longer = file.getnframes() / file.getframerate() - SECONDS
    ends = np.cumsum([length for length, *_ in script])
    truth = [script[int(np.searchsorted(ends, cue.start + 1e-3))][2] for cue in cues]
    true = [cue.text == caption for cue, caption in zip(cues, truth)]
    print(f"{SECONDS} s of film at {FPS} frames a second, {len(script)} scenes, took {took:.1f} s")
    print(f"{len(cues)} cues, {sum(true)} true at their start, {len(sounds)} stretches of sound")
    for cue, caption in zip(cues, truth):
        if cue.text != caption:
            print(f"at {cue.start} s: {cue.text} It was: {caption}")
    if len(cues) == len(sounds):
        off = max(abs(cue.start - start) for cue, (start, _) in zip(cues, sounds))
        print(f"sound begins at most {1000 * off:.0f} ms from its cue")
    print(f"the WAV is {1000 * longer:+.2f} ms longer than the film")


if __name__ == "__main__":
    main()
