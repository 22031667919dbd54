"""Drawn clips of a still room, filmed the way a cheap camera films: what SceneGate and Sight are
measured on.

`room` draws a scene, `Thing` is an object in it that comes, goes or moves, and `Camera.film` makes
frames of it: the hand shakes, the lens breathes, the light drifts and flickers, the exposure and
the white balance hunt, the sensor is noisy, and a codec leaves its blocks. The conditions are named
in `STILL` (nothing happens) and drawn by `happening` (something does).

Frames are uint8 arrays of shape (height, width, 3) in OpenCV's colour order, BGR; scenes are the
same in float32. Times are seconds. Nothing here knows of any model or gate.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480
Picture = np.ndarray

# ------------------------------------------------------------------------------------------- scenes


def wall(rng: np.random.Generator) -> Picture:
    """A plain wall, brighter on one side."""
    level = rng.uniform(80, 175) + rng.uniform(-4, 4, 3)
    across = np.linspace(-1, 1, WIDTH)[None, :, None] * rng.uniform(-25, 25)
    down = np.linspace(-1, 1, HEIGHT)[:, None, None] * rng.uniform(-20, 20)
    return (level + across + down).astype(np.float32)


def room(rng: np.random.Generator) -> Picture:
    """A furnished room: papered wall, boards, a window that is nearly blown out, a shelf of books,
    pictures, a plant. Much of it is finer than a cell of the gate's grid."""
    scene = np.empty((HEIGHT, WIDTH, 3), np.float32)
    floor = int(rng.uniform(0.6, 0.75) * HEIGHT)
    scene[:floor] = rng.uniform(110, 170) + rng.uniform(-12, 12, 3)
    period = rng.uniform(6, 24)
    scene[:floor] += 9 * np.sin(np.arange(WIDTH) * 2 * math.pi / period)[None, :, None]
    scene[floor:] = rng.uniform(60, 110) + np.array([-20, 0, 18])
    for x in range(0, WIDTH, 37):
        scene[floor:, x : x + 2] *= 0.6
    box(scene, rng, 150, 190, (235, 240, 245), 0.02)  # the window
    for _ in range(3):
        box(scene, rng, 60, 80, tuple(rng.uniform(30, 200, 3)), 0.5)  # pictures
    x, y = int(rng.uniform(0, WIDTH - 170)), int(rng.uniform(20, HEIGHT - 150))
    while x < WIDTH - 170 + 165 and x < WIDTH - 8:  # a shelf
        thick = int(rng.uniform(5, 15))
        tall = int(rng.uniform(70, 120))
        scene[y + 120 - tall : y + 120, x : x + thick] = rng.uniform(20, 210, 3)
        x += thick
        if rng.random() < 0.04:
            break
    grain = rng.normal(0, 1, (HEIGHT // 4, WIDTH // 4, 1)).astype(np.float32)
    plant = cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)[:, :, None]
    spot = np.hypot(*(np.indices((HEIGHT, WIDTH)) - rng.uniform(80, 400, 2)[:, None, None]))
    leaves = (spot < 70)[:, :, None] & (plant > 0)
    scene = np.where(leaves, np.array([50, 110, 60], np.float32) + 30 * plant, scene)
    return cv2.GaussianBlur(np.clip(scene, 0, 250), (0, 0), 0.8)


def carpet(rng: np.random.Generator) -> Picture:
    """Fine texture all over: stripes, checks and speckle."""
    rows, columns = np.indices((HEIGHT, WIDTH)).astype(np.float32)
    scene = rng.uniform(90, 150) + rng.uniform(-15, 15, 3)
    stripes = np.sin(columns * 2 * math.pi / rng.uniform(5, 30) + rows * rng.uniform(0, 0.3))
    checks = np.sign(np.sin(rows * 2 * math.pi / rng.uniform(9, 60)))
    speckle = cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.5)
    texture = 25 * stripes + 15 * checks + 90 * speckle
    return np.clip(scene + texture[:, :, None], 5, 240).astype(np.float32)


def box(
    scene: Picture,
    rng: np.random.Generator,
    width: int,
    height: int,
    paint: tuple[float, ...],
    texture: float,
) -> None:
    """Hang a framed rectangle somewhere into `scene`, in place."""
    x = int(rng.uniform(0, WIDTH - width))
    y = int(rng.uniform(0, HEIGHT - height))
    scene[y : y + height, x : x + width] = 40
    grain = cv2.resize(
        rng.normal(1, texture, (height // 8, width // 8)).astype(np.float32),
        (width - 8, height - 8),
    )
    scene[y + 4 : y + height - 4, x + 4 : x + width - 4] = np.array(paint) * grain[:, :, None]


SCENES: dict[str, Callable[[np.random.Generator], Picture]] = {
    "wall": wall,
    "room": room,
    "carpet": carpet,
}

# ------------------------------------------------------------------------------------------- things


@dataclass(frozen=True)
class Thing:
    """An object of `share` of the frame. `path`: (second, x, y) of its centre in pixels, straight
    between two of them; before the first and after the last it is not there, unless `stays`.
    `paint`: BGR. `aspect`: width over height. `kind`: box or ellipse."""

    path: tuple[tuple[float, float, float], ...]
    paint: tuple[float, float, float]
    share: float = 0.02
    aspect: float = 1.0
    kind: str = "box"
    stays: bool = True

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        area = WIDTH * HEIGHT * self.share * (1.0 if self.kind == "box" else 4 / math.pi)
        return math.sqrt(area * self.aspect), math.sqrt(area / self.aspect)

    def drawn_on(self, scene: Picture, at: float) -> Picture:
        """`scene` with the thing at second `at`; the same array where it is not there."""
        times = [time for time, *_ in self.path]
        if at < times[0] or (at > times[-1] and not self.stays):
            return scene
        x = float(np.interp(at, times, [step[1] for step in self.path]))
        y = float(np.interp(at, times, [step[2] for step in self.path]))
        width, height = self.size
        scene = scene.copy()
        if self.kind == "box":
            corners = [(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)]
            (left, top), (right, bottom) = (
                (max(0, round(right)), max(0, round(down))) for right, down in corners
            )
            scene[top:bottom, left:right] = self.paint
        else:
            axes = (round(width / 2), round(height / 2))
            cv2.ellipse(scene, (round(x), round(y)), axes, 0, 0, 360, self.paint, -1)
        return scene


# ------------------------------------------------------------------------------------------- camera


@dataclass(frozen=True)
class Camera:
    """A camera and the light it films in. All zero: a perfect one.

    noise: standard deviation at mid grey, grey levels; grows with the signal as photons do.
    drift: how much brighter it is after a minute, a fraction; slope: the same, right edge only.
    flicker: depth of a lamp's 100 Hz, a fraction, seen as a beat with the frame rate;
    bands: the same as stripes that roll down the picture (rolling shutter).
    exposure, balance: how far automatic exposure and white balance hunt, fractions.
    shake: how far the picture moves, pixels; breathing: how far the focus hunts, pixels of blur.
    jpeg: quality of each frame, 0 for none; codec: None, "mpeg4" or "blocks" (a key frame each
    second, and in between only the blocks that changed).
    """

    fps: float = 15.0
    noise: float = 2.0
    drift: float = 0.0
    slope: float = 0.0
    flicker: float = 0.0
    bands: float = 0.0
    exposure: float = 0.0
    balance: float = 0.0
    shake: float = 0.0
    breathing: float = 0.0
    jpeg: int = 0
    codec: str | None = None

    def film(
        self, scene_at: Callable[[float], Picture], seconds: float, seed: int
    ) -> Iterator[tuple[float, np.ndarray]]:
        """(second, frame) for each frame of a clip. The same array twice is the same scene."""
        frames = self._sensed(scene_at, seconds, seed)
        if self.codec == "mpeg4":
            frames = through_mpeg4(frames, self.fps)
        elif self.codec == "blocks":
            blocks = Blocks(int(self.fps), self.jpeg or 30)
            frames = (blocks.recoded(frame) for frame in frames)
        elif self.jpeg:
            frames = (recoded_as_jpeg(frame, self.jpeg) for frame in frames)
        for number, frame in enumerate(frames):
            yield number / self.fps, frame

    def _sensed(
        self, scene_at: Callable[[float], Picture], seconds: float, seed: int
    ) -> Iterator[np.ndarray]:
        """The frames before they are coded."""
        rng = np.random.default_rng(seed)
        pool = rng.standard_normal((HEIGHT + 64, WIDTH + 64, 3), np.float32)
        mains = rng.uniform(99.7, 100.3) if rng.random() < 0.5 else rng.uniform(119.7, 120.3)
        phase = rng.uniform(0, 2 * math.pi)
        before: Picture | None = None
        for number in range(int(seconds * self.fps)):
            at = number / self.fps
            seen = self._optics(scene_at(at), at, rng)
            seen = self._light(seen, at, phase, mains)
            y, x = rng.integers(0, 64, 2)
            noise = pool[y : y + HEIGHT, x : x + WIDTH]
            if seen is not before:
                # Read noise and photon noise (Foi et al. 2008, doi:10.1109/TIP.2008.2001399).
                deviation = np.maximum(seen, 0)
                deviation *= np.float32(0.7 / 128)
                deviation += np.float32(0.3)
                cv2.sqrt(deviation, deviation)
                before = seen
            sign = 1 if rng.random() < 0.5 else -1
            noise = cv2.multiply(noise, deviation, scale=sign * self.noise)
            yield cv2.add(seen, noise, dtype=cv2.CV_8U)

    def _optics(self, scene: Picture, at: float, rng: np.random.Generator) -> Picture:
        if self.breathing:
            hunt = 0.5 - 0.5 * math.cos(at * 2.1)
            blur, zoom = self.breathing * hunt, 1 + 0.002 * self.breathing * hunt
            if blur > 0.2:
                scene = cv2.GaussianBlur(scene, (0, 0), blur)
            centre = (WIDTH / 2, HEIGHT / 2)
            turn = cv2.getRotationMatrix2D(centre, 0, zoom)
            scene = cv2.warpAffine(scene, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        if self.shake:
            sway = np.array([math.sin(at * 5.3), math.cos(at * 3.7)]) * 0.6
            right, down = self.shake * np.clip(sway + rng.normal(0, 0.25, 2), -1, 1)
            move = np.array([[1, 0, right], [0, 1, down]])
            scene = cv2.warpAffine(scene, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        return scene

    def _light(self, scene: Picture, at: float, phase: float, mains: float) -> Picture:
        gain: np.ndarray = np.ones((1, 1, 3), np.float32) * (1 + self.drift * at / 60)
        gain = gain * (1 + self.flicker * math.sin(2 * math.pi * mains * at + phase))
        if self.exposure:  # up, over, and back in steps, as a control loop does
            gain = gain * (1 + self.exposure * math.sin(at * 1.7) * math.sin(at * 0.9 + phase))
        if self.balance:
            hunt = self.balance * math.sin(at * 0.8 + phase)
            gain = gain * np.array([1 + hunt, 1, 1 - hunt], np.float32)
        if self.bands:
            rows = np.arange(HEIGHT)[:, None, None] / HEIGHT
            rolling = np.sin(2 * math.pi * (mains * at + 2.7 * rows) + phase)
            gain = gain * (1 + self.bands * rolling).astype(np.float32)
        if self.slope:
            gain = gain * (1 + self.slope * at / 60 * np.linspace(0, 1, WIDTH)[None, :, None])
        if (gain == 1).all():
            return scene
        if gain.size == 3:  # OpenCV's own product is much quicker.
            return cv2.multiply(scene, (*map(float, gain.ravel()), 0.0))
        return (scene * gain).astype(np.float32)


def recoded_as_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    """What is left of `frame` after JPEG."""
    data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


def through_mpeg4(frames: Iterable[np.ndarray], fps: float) -> Iterator[np.ndarray]:
    """The frames after MPEG-4 at half their width and height, so that a block is 32 pixels wide,
    as from a network camera with a thin line."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "clip.mp4")
        size = (WIDTH // 2, HEIGHT // 2)
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        for frame in frames:
            writer.write(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
        writer.release()
        clip = cv2.VideoCapture(path)
        while (read := clip.read())[0]:
            yield cv2.resize(read[1], (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        clip.release()


@dataclass
class Blocks:
    """What a video codec starved of bits does: a coarse key frame each second, and in between only
    those 16x16 blocks anew whose mean is off by more than 3 levels, or that differ a good deal more
    than noise does (conditional replenishment)."""

    key_every: int
    quality: int
    _shown: np.ndarray | None = field(default=None, repr=False)
    _count: int = 0

    def recoded(self, frame: np.ndarray) -> np.ndarray:
        """The frame as the other end sees it."""
        coarse = recoded_as_jpeg(frame, self.quality * 2 // 3)
        if self._shown is None or self._count % self.key_every == 0:
            self._shown = coarse
        else:
            signed = frame.astype(np.float32) - self._shown
            small = (WIDTH // 16, HEIGHT // 16)
            off = np.abs(cv2.resize(signed, small, interpolation=cv2.INTER_AREA)).max(axis=2)
            apart = cv2.resize(np.abs(signed).max(axis=2), small, interpolation=cv2.INTER_AREA)
            new = cv2.resize(
                ((off > 3) | (apart > 1.5 * np.median(apart) + 3)).astype(np.uint8),
                (WIDTH, HEIGHT),
                interpolation=cv2.INTER_NEAREST,
            )
            fine = recoded_as_jpeg(frame, self.quality)
            self._shown = np.where(new[:, :, None] > 0, fine, self._shown)
        self._count += 1
        return self._shown.copy()


# --------------------------------------------------------------------------------- what is measured

STILL: dict[str, Camera] = {
    "noise 2": Camera(noise=2),
    "noise 6": Camera(fps=30, noise=6),
    "noise 12": Camera(noise=12),
    "drift up": Camera(noise=4, drift=0.9),
    "drift down": Camera(noise=4, drift=-0.6),
    "drift of one side": Camera(noise=4, slope=0.5),
    "flicker": Camera(fps=30, noise=4, flicker=0.08),
    "rolling bands": Camera(fps=30, noise=4, bands=0.08),
    "exposure hunts": Camera(noise=4, exposure=0.25),
    "white balance hunts": Camera(noise=4, balance=0.1),
    "JPEG 20": Camera(noise=5, jpeg=20),
    "JPEG 10 and noise": Camera(noise=9, jpeg=10),
    "codec blocks": Camera(noise=5, codec="blocks", jpeg=30),
    "codec blocks and flicker": Camera(fps=30, noise=5, codec="blocks", jpeg=40, flicker=0.05),
    "MPEG-4 of half size": Camera(noise=6, codec="mpeg4"),
    "MPEG-4 and exposure": Camera(noise=6, codec="mpeg4", exposure=0.1),
    "shake half a pixel": Camera(noise=4, shake=0.5),
    "shake a pixel": Camera(fps=30, noise=4, shake=1.0),
    "focus breathes": Camera(noise=4, breathing=1.8),
    "all of it, mildly": Camera(
        fps=30,
        noise=6,
        drift=0.3,
        flicker=0.03,
        bands=0.03,
        exposure=0.1,
        balance=0.04,
        shake=0.4,
        breathing=0.6,
        jpeg=40,
    ),
}

QUIET_S = 2.5  # before something happens in a clip of `happening`


@dataclass(frozen=True)
class Happening:
    """A clip in which something comes, goes or moves. `settled`: the second from which everything
    rests again; `begins`: when the change starts; `contrast`: levels."""

    what: str
    scene: Picture
    thing: Thing
    camera: Camera
    begins: float
    settled: float
    contrast: float
    condition: str

    def scene_at(self, at: float) -> Picture:
        """What is in front of the camera."""
        return self.thing.drawn_on(self.scene, at)


def happening(what: str, rng: np.random.Generator, contrast: tuple[float, float]) -> Happening:
    """A random clip: an object of 2 % of the frame "appears", "slides in", "leaves" or "moves",
    that differs from what it hides by `contrast` levels (from, to) in its strongest colour, seen
    by one of the cameras of STILL, none of which shakes more than half a pixel."""
    scene = SCENES[("wall", "room", "carpet")[rng.integers(3)]](rng)
    condition = list(STILL)[rng.integers(len(STILL))]
    camera = STILL[condition]
    thing = Thing(((0.0, 0.0, 0.0),), (0, 0, 0), aspect=float(rng.choice([0.5, 1.0, 2.0])))
    if rng.random() < 0.4:
        thing = replace(thing, kind="ellipse")
    width, height = thing.size
    rest = (
        rng.uniform(width / 2, WIDTH - width / 2),
        rng.uniform(height / 2, HEIGHT - height / 2),
    )
    begins = QUIET_S + rng.uniform(0, 0.3)
    path: tuple[tuple[float, float, float], ...]
    if what == "slides in":
        settled = begins + rng.uniform(0.4, 1.0)
        side = -width if rest[0] < WIDTH / 2 else WIDTH + width
        path = ((begins, side, rest[1]), (settled, *rest))
    elif what == "moves":
        settled = begins + rng.uniform(0.4, 1.0)
        far = rest[0] + (1.3 * width if rest[0] < WIDTH / 2 else -1.3 * width)
        path = ((0.0, far, rest[1]), (begins, far, rest[1]), (settled, *rest))
    elif what == "leaves":
        settled = begins
        path = ((0.0, *rest), (begins, *rest))
    else:
        settled = begins
        path = ((begins, *rest),)
    thing = replace(thing, path=path, stays=what != "leaves")
    paint, strength = paint_for(thing, scene, rest, rng, contrast)
    return Happening(
        what,
        scene,
        replace(thing, paint=paint),
        camera,
        begins,
        settled,
        strength,
        condition,
    )


def paint_for(
    thing: Thing,
    scene: Picture,
    rest: tuple[float, float],
    rng: np.random.Generator,
    contrast: tuple[float, float],
) -> tuple[tuple[float, float, float], float]:
    """A colour that differs from the mean of what the thing hides by a random contrast, and that
    contrast: the larger half of the time in all colours alike, else in one or two."""
    width, height = thing.size
    left, top = max(0, int(rest[0] - width / 2)), max(0, int(rest[1] - height / 2))
    hidden = scene[top : int(rest[1] + height / 2), left : int(rest[0] + width / 2)]
    mean = hidden.mean(axis=(0, 1))
    strength = rng.uniform(*contrast)
    direction = np.ones(3) if rng.random() < 0.5 else rng.uniform(-1, 1, 3)
    direction = direction / np.abs(direction).max()
    if rng.random() < 0.5:
        direction = -direction
    paint = mean + strength * direction
    if paint.min() < 4 or paint.max() > 250:
        paint = mean - strength * direction
    paint = np.clip(paint, 4, 250)
    reached = float(np.abs(paint - mean).max())
    return (float(paint[0]), float(paint[1]), float(paint[2])), reached
