"""Measures SceneGate and Sight on drawn clips, and prints tables. Run it by hand (some minutes):

python tests/measure_scene_gate.py [--seconds 600] [--clips 100] [--quick]
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from filmed import SCENES, STILL, Camera, Happening, Picture, happening

from pete_sounds import Frame, SceneGate

BASE_S = 1000.0  # of the monotonic clock


def let_through(film: Iterable[tuple[float, np.ndarray]], gate: SceneGate) -> Iterator[float]:
    """The seconds at which `gate` lets a frame of `film` through, each described at once."""
    for at, image in film:
        frame = Frame(image, taken=BASE_S + at, at=at)
        if gate.wants(frame):
            gate.described(frame)
            yield at


def captions_while_still(camera: Camera, scene: Picture, seconds: float, seed: int) -> list[float]:
    """When captions come after the first, in a film of `scene` in which nothing happens."""
    return list(let_through(camera.film(lambda at: scene, seconds, seed), SceneGate()))[1:]


def delay(clip: Happening, seed: int) -> tuple[float | None, int]:
    """Seconds from the rest to the caption (below zero: while it still moved; None: never), and
    how many captions came beside it, the first frame's aside."""
    seconds = clip.settled + 3.0
    times = list(let_through(clip.camera.film(clip.scene_at, seconds, seed), SceneGate()))
    after = [at - clip.settled for at in times if at >= clip.begins]
    late = [wait for wait in after if wait >= 0]
    before = [at for at in times if 0 < at < clip.begins]
    return (late[0] if late else None), len(before) + len(after) - bool(late)


def measure_still(seconds: float) -> None:
    """Print captions in a thousand frames, for each condition and scene."""
    each = seconds / len(STILL) / len(SCENES)
    frames = captions = 0
    for number, (name, camera) in enumerate(STILL.items()):
        row = []
        for index, (kind, draw) in enumerate(SCENES.items()):
            scene = draw(np.random.default_rng(100 + number))
            times = captions_while_still(camera, scene, each, seed=7 * number + index)
            count = int(each * camera.fps)
            frames, captions = frames + count, captions + len(times)
            row.append(f"{kind} {len(times)} in {count}")
        print(f"  {name:26} {', '.join(row)}", flush=True)
    print(f"  all: {1000 * captions / frames:.2f} captions per 1000 frames ({frames} frames)")


def measure_happening(clips: int) -> None:
    """Print the share of clips captioned in time, for each thing that can happen and contrast."""
    for what, (label, contrast) in itertools.product(
        ("appears", "slides in", "leaves", "moves"),
        (("low", (18.0, 35.0)), ("high", (45.0, 130.0))),
    ):
        rng = np.random.default_rng(11)
        delays, extra = [], 0
        for number in range(clips):
            clip = happening(what, rng, contrast)
            waited, more = delay(clip, seed=number)
            extra += more
            delays.append(waited if waited is not None else 99.0)
            if waited is None or waited > 0.5:
                print(f"    {what} {label}: {waited} s, {clip.condition}, {clip.contrast:.0f}")
        within = sum(wait <= 0.5 for wait in delays)
        print(
            f"  {what:10} {label:5} {within} of {clips} within 0.5 s, median "
            f"{np.median(delays):.2f} s, {extra} captions more",
            flush=True,
        )


def milliseconds(action: Iterator[object]) -> float:
    """The median time that a step of `action` takes."""
    times = []
    for _ in range(200):
        started = time.perf_counter()
        next(action)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))


def measure_cost() -> None:
    """Print what a frame costs, in milliseconds, at some sizes of the picture."""
    scene = SCENES["room"](np.random.default_rng(3))
    film = [image for _, image in Camera(noise=5).film(lambda at: scene, 1, 1)]
    for width, height in ((640, 480), (640, 360), (854, 480), (1280, 720), (1920, 1080)):
        images = [cv2.resize(image, (width, height)) for image in film]

        def looking(images: list[np.ndarray] = images) -> Iterator[bool]:
            gate = SceneGate()
            for number in itertools.count():
                frame = Frame(images[number % len(images)], BASE_S + number / 15, number / 15)
                yield gate.wants(frame)
                if number == 0:
                    gate.described(frame)

        print(f"  {width}x{height}: {milliseconds(looking()):.2f} ms")


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--only", choices=["still", "happening", "cost"])
    options = parser.parse_args()
    if options.only in (None, "cost"):
        print("cost of the gate, one frame, median")
        measure_cost()
    if options.only in (None, "still"):
        print("nothing happens")
        measure_still(options.seconds)
    if options.only in (None, "happening"):
        print("an object of 2 % of the frame")
        measure_happening(options.clips)


if __name__ == "__main__":
    main()
