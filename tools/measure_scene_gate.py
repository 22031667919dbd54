"""Measures SceneGate and PictureCheck on drawn clips, and prints tables; takes fifteen minutes.

    .venv/bin/python tools/measure_scene_gate.py --only cost        or still, or happening

Nothing happens: ten minutes of film in all the conditions of filmed.STILL. Something does: clips in
which an object of 2 % of the frame appears, slides in, leaves or moves, in one of those conditions,
with low or high contrast; it counts as captioned in time when a frame was let through no more than
half a second after the object came to rest (or a quarter before: it crept by then).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from measuring import read_options
from narrator.frames.frame import Frame
from narrator.scene.gate import SceneGate
from narrator.scene.picture_check import PictureCheck
from narrator.scene.thumbnail import Thumbnail
from support.filmed import SCENES, STILL, Camera, Happening, happening

BASE_S = 1000.0  # of the monotonic clock
IN_TIME_S = 0.5
AT_REST_S = 0.25  # an object so near to its rest barely moves
TAIL_S = 1.0
CONTRASTS = {"low": (18.0, 35.0), "high": (45.0, 130.0)}  # levels


@dataclass
class Watched:
    """What became of a film. times: seconds of the frames let through, each described at once.
    said: what the picture check said."""

    frames: int = 0
    times: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def watched(film: Iterator[tuple[float, np.ndarray]]) -> Watched:
    """Show a film to a gate and a picture check."""
    gate, check, result = SceneGate(), PictureCheck(), Watched()
    for at, image in film:
        seen = Thumbnail.of(Frame(image, taken=BASE_S + at, at=at))
        result.frames += 1
        sentence = check.look(seen)
        if sentence is not None:
            result.said.append(sentence)
        if gate.has_changed(seen):
            gate.set_reference(seen)
            result.times.append(at)
    return result


def measure_still(seconds: float) -> None:
    """Print captions after the first, for each condition and scene."""
    each = seconds / len(STILL) / len(SCENES)
    frames = captions = sentences = 0
    for number, (name, camera) in enumerate(STILL.items()):
        row = []
        for index, (kind, draw) in enumerate(SCENES.items()):
            scene = draw(np.random.default_rng(100 + number))
            seed = 7 * number + index
            result = watched(camera.film(lambda at: scene, each, seed))  # noqa: B023
            extra = len(result.times) - 1
            frames, captions = frames + result.frames, captions + extra
            sentences += len(result.said)
            row.append(f"{kind} {extra} in {result.frames}")
        print(f"  {name:26} {', '.join(row)}", flush=True)
    print(
        f"  all: {captions} captions in {frames} frames, {1000 * captions / frames:.2f} in a "
        f"thousand; the picture check said {sentences} sentences"
    )


def measure_happening(clips: int) -> None:
    """Print how many clips are captioned in time, for each thing that can happen and contrast."""
    for what, label in itertools.product(("appears", "slides in", "leaves", "moves"), CONTRASTS):
        rng = np.random.default_rng(11)
        waits, extra, sentences = [], 0, 0
        for number in range(clips):
            clip = happening(what, rng, CONTRASTS[label])
            film = clip.camera.film(clip.scene_at, clip.settled + TAIL_S, seed=number)
            result = watched(film)
            wait, more = waited(clip, result.times)
            waits.append(wait)
            extra += more
            sentences += len(result.said)
            if wait > IN_TIME_S:
                print(f"    {what}, {label}: {wait} s, {clip.condition}, {clip.contrast:.0f}")
        in_time = sum(wait <= IN_TIME_S for wait in waits)
        print(
            f"  {what:10} {label:5} {in_time} of {clips} in time, median {np.median(waits):.2f} s, "
            f"{extra} captions too many, {sentences} sentences of the check",
            flush=True,
        )


def waited(clip: Happening, times: list[float]) -> tuple[float, int]:
    """Seconds from the rest to the caption (infinite where there is none), and how many captions
    came beside it and the first frame's."""
    waits = [at - clip.settled for at in times if at >= clip.begins]
    at_rest = [wait for wait in waits if wait >= -AT_REST_S]
    return (at_rest[0] if at_rest else float("inf")), len(times) - 1 - bool(at_rest)


def measure_cost() -> None:
    """Print what a look at a frame costs, in milliseconds, at some sizes of the picture."""
    scene = SCENES["room"](np.random.default_rng(3))
    film = [image for _, image in Camera(noise=5).film(lambda at: scene, 1, 1)]
    for width, height in ((640, 480), (640, 360), (854, 480), (1280, 720), (1920, 1080)):
        images = [cv2.resize(image, (width, height)) for image in film]
        gate, both = (median_ms(looks(images, check)) for check in (None, PictureCheck()))
        print(
            f"  {width}x{height}: the gate {gate:.2f} ms, with the check {both:.2f} ms", flush=True
        )


def looks(images: list[np.ndarray], check: PictureCheck | None) -> Iterator[bool]:
    """Look at one image after the other, for ever."""
    gate = SceneGate()
    for number in itertools.count():
        frame = Frame(images[number % len(images)], BASE_S + number / 15, number / 15)
        seen = Thumbnail.of(frame)
        if check is not None:
            check.look(seen)
        yield gate.has_changed(seen)
        if number == 0:
            gate.set_reference(seen)


def median_ms(steps: Iterator[object], count: int = 300) -> float:
    """The median time that a step takes, in milliseconds."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        next(steps)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))


def main() -> None:
    """Measure what is asked for."""
    options = read_options(__doc__, seconds=600.0, clips=100, only="all")
    cv2.setNumThreads(1)
    if options.only in ("all", "cost"):
        print("what a look costs (median, one core)")
        measure_cost()
    if options.only in ("all", "still"):
        print("nothing happens: captions after the first")
        measure_still(options.seconds)
    if options.only in ("all", "happening"):
        print("something of 2 % of the frame happens")
        measure_happening(options.clips)


if __name__ == "__main__":
    main()
