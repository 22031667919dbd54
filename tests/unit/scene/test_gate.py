"""SceneGate: quiet while nothing changes, soon awake when something does."""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator.frames.frame import Frame
from narrator.scene.gate import SceneGate
from narrator.scene.thumbnail import Thumbnail
from support.filmed import STILL, Camera, Picture, Thing, happening, room

FPS = 15
NOISY = Camera(fps=FPS, noise=6)


@functools.lru_cache(maxsize=1)
def wall(level: float = 110.0) -> Picture:
    """An empty 640x480 scene: float, BGR, a grey wall with a gradient."""
    gradient = np.linspace(-20, 20, 640, dtype=np.float32)[None, :, None]
    return np.full((480, 640, 3), level, np.float32) + gradient


def with_object(
    scene: Picture, x: float, share: float = 0.02, paint: tuple[float, float, float] = (40, 40, 200)
) -> Picture:
    """The scene with a square, red if no other paint is named, that covers `share` of the frame,
    centred at x, half way down."""
    return Thing(((0.0, x, 240.0),), paint, share).drawn_on(scene, 0.0)


def captions(
    scene_at: Callable[[float], Picture],
    seconds: float,
    camera: Camera = NOISY,
    seed: int = 5,
) -> list[float]:
    """When the gate let a frame through, in seconds, on a film of what is there at each second."""
    gate, times = SceneGate(), []
    for at, image in camera.film(scene_at, seconds, seed):
        seen = Thumbnail.of(Frame(image, taken=1000.0 + at, at=at))
        if gate.has_changed(seen):
            gate.set_reference(seen)
            times.append(at)
    return times


# -- nothing happens


@pytest.mark.parametrize(
    "light",
    [
        lambda at: 110,
        lambda at: 100 + 4 * at,  # drifts
        lambda at: 110 + 8 * np.sin(at * 40),  # flickers
    ],
)
def test_a_still_noisy_scene_is_described_once_in_any_light(
    light: Callable[[float], float],
) -> None:
    assert captions(lambda at: wall(light(at)), 5) == [0.0]


@pytest.mark.parametrize(
    "condition",
    [
        "rolling bands",
        "white balance hunts",
        "codec blocks and flicker",
        "MPEG-4 of half size",
        "focus breathes",
    ],
)
def test_what_a_camera_does_by_itself_is_no_change(condition: str) -> None:
    scene = room(np.random.default_rng(3))
    assert captions(lambda at: scene, 3, camera=STILL[condition]) == [0.0]


def test_hues_that_a_codec_keeps_badly_are_no_change() -> None:
    rng = np.random.default_rng(1)
    key_frames = [rng.uniform(-4.5, 4.5, (8, 10, 1)) * (1.0, 0.0, 0.8) for _ in range(6)]

    def scene(at: float) -> Picture:
        blocks = key_frames[int(at)].astype(np.float32)
        picture: Picture = wall() + cv2.resize(blocks, (640, 480), interpolation=cv2.INTER_NEAREST)
        return picture

    assert captions(scene, 6) == [0.0]


def test_noise_in_blotches_is_no_change() -> None:
    """What a camera's own filter makes of the noise of the night."""
    rng = np.random.default_rng(1)

    def night(at: float) -> Picture:
        blotches = rng.normal(0, 9, (24, 32, 3)).astype(np.float32)
        picture: Picture = wall(60) + cv2.resize(
            blotches, (640, 480), interpolation=cv2.INTER_CUBIC
        )
        return picture

    assert captions(night, 6) == [0.0]


def test_light_that_drifts_on_one_side_only_does_not_add_up() -> None:
    scene = room(np.random.default_rng(3))
    camera = Camera(fps=4, noise=4, slope=0.5)
    assert captions(lambda at: scene, 40, camera=camera) == [0.0]


def dusk(seed: int) -> Picture:
    """A street at dusk: black, but for windows with light in them."""
    rng = np.random.default_rng(seed)
    street = np.full((240, 320, 3), rng.uniform(0, 6), np.float32)
    for _ in range(rng.integers(0, 6)):
        x, y = int(rng.uniform(0, 280)), int(rng.uniform(0, 200))
        street[y : y + 30, x : x + 22] = rng.uniform(80, 255, 3)
    return street


def text(seed: int) -> Picture:
    """Lines of letters, dark on light or light on dark."""
    rng = np.random.default_rng(seed)
    paper, ink = (255.0, 0.0) if seed % 2 else (12.0, 230.0)
    page = np.full((240, 320, 3), paper, np.uint8)
    for y in range(20, 240, int(rng.integers(14, 40))):
        letters = "".join("abcdefghij klmno"[number] for number in rng.integers(0, 16, 30))
        cv2.putText(page, letters, (6, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (ink,) * 3, 1)
    return page.astype(np.float32)


def clutter(seed: int) -> Picture:
    """What a photograph has: things of all sizes, grain, dark corners, highlights that clip."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((240, 320, 3), np.float32)
    for size in (3, 8, 24, 80):
        grain = rng.normal(0, 1, (size * 3 // 4, size, 3)).astype(np.float32)
        picture += cv2.resize(grain, (320, 240), interpolation=cv2.INTER_CUBIC) * 60 / size**0.35
    return np.asarray(np.clip(picture + rng.uniform(40, 200), 0, 255), np.float32)


def noisy(scene: Picture, noise: float, rng: np.random.Generator) -> np.ndarray:
    """A look at a scene. noise: of each pixel, a standard deviation in levels."""
    return np.clip(scene + rng.normal(0, noise, scene.shape), 0, 255).astype(np.uint8)


def looks_new(gate: SceneGate, images: list[np.ndarray], start: float) -> list[int]:
    """Which of these looks, ten a second, are a change; each becomes the reference."""
    changed = []
    for number, image in enumerate(images):
        seen = Thumbnail.of(Frame(image, 1000 + start + number / 10, 0.0))
        if gate.has_changed(seen):
            gate.set_reference(seen)
            changed.append(number)
    return changed


ANY_SCENE = st.builds(
    lambda draw, seed: draw(seed),
    st.sampled_from([dusk, text, clutter]),
    st.integers(0, 2**20),
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(scene=ANY_SCENE, noise=st.floats(0, 8), seed=st.integers(0, 2**20))
def test_whatever_the_picture_a_still_scene_is_described_once(
    scene: Picture, noise: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    gate = SceneGate()
    assert looks_new(gate, [noisy(scene, noise, rng) for _ in range(20)], 0.0) == [0]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    scene=ANY_SCENE,
    noise=st.floats(0, 8),
    x=st.floats(0.1, 0.9),
    y=st.floats(0.1, 0.9),
    seed=st.integers(0, 2**20),
)
def test_whatever_the_picture_an_object_of_two_per_cent_and_twenty_levels_is_a_change(
    scene: Picture, noise: float, x: float, y: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    gate, size = SceneGate(), round((0.02 * 320 * 240) ** 0.5)
    left, top = int(x * 320 - size / 2), int(y * 240 - size / 2)
    there, place = scene.copy(), np.s_[top : top + size, left : left + size]
    if np.ptp(cv2.blur(scene, (20, 20))[place]) > 60:
        return  # The edge of something bright lies there: as much may come of a camera that shakes.
    there[place] += 20 if scene[place].mean() < 128 else -20
    there = np.clip(there, 0, 255)
    if np.abs(there - scene)[place].mean() < 19:
        return  # It is black or white there already.
    looks_new(gate, [noisy(scene, noise, rng) for _ in range(10)], 0.0)
    assert looks_new(gate, [noisy(there, noise, rng) for _ in range(10)], 1.0)


# -- what never rests


def leaves(at: float) -> Picture:
    """A tree in the wind in front of a bright sky, on the right of the picture."""
    scene = np.full((480, 640, 3), 200, np.float32)
    y, x = np.mgrid[0:48, 0:32].astype(np.float32)
    sway = np.sin(x * 1.1 + 2.3 * at + np.sin(y * 0.7 + at)) * np.sin(y * 0.9 - 1.7 * at)
    green = np.array([60.0, 120.0, 70.0], np.float32) + 45 * sway[:, :, None]
    scene[:, 320:] = cv2.resize(green, (320, 480))
    return scene


def test_leaves_that_sway_stop_counting_but_not_a_person_in_front_of_them() -> None:
    def scene(at: float) -> Picture:
        picture = leaves(at)
        if 24 < at < 32:
            picture[140:420, 430:520] = (170, 60, 190)
        return picture

    times = captions(scene, 36, camera=Camera(fps=5, noise=3))
    assert len([at for at in times if at < 24]) <= 3, times
    assert not any(19 < at < 24 for at in times), times
    assert any(24 < at < 27 for at in times), times
    assert any(32 < at < 35 for at in times), times


def test_where_something_rests_again_it_counts_again() -> None:
    def scene(at: float) -> Picture:
        picture = leaves(min(at, 20))
        if at > 38:
            picture[200:290, 430:520] += 30
        return picture

    assert any(at > 38 for at in captions(scene, 41, camera=Camera(fps=5, noise=3)))


def walkers(at: float, *spans: tuple[float, float, float]) -> Picture:
    """A wall with people who walk past it. spans: second, seconds and row of each."""
    scene = wall().copy()
    for begins, takes, row in spans:
        if begins < at < begins + takes:
            x = int(-40 + 720 * (at - begins) / takes)
            cv2.rectangle(scene, (x, int(row)), (x + 40, int(row) + 120), (40, 40, 60), -1)
    return scene


def test_who_comes_while_others_walk_is_described_but_walking_on_is_not() -> None:
    people = ((1, 28, 20), (16, 14, 320))
    times = captions(lambda at: walkers(at, *people), 20, camera=Camera(fps=10, noise=3))
    assert any(16 < at < 19.5 for at in times), times  # the second one
    assert len(times) <= 12  # the first is slow enough to be taken for at rest now and then


# -- something happens


@pytest.mark.parametrize("x", [60, 320])
def test_an_object_of_two_per_cent_is_described_once_within_half_a_second(x: int) -> None:
    times = captions(lambda at: with_object(wall(), x) if at > 2 else wall(), 4)
    assert len(times) == 2
    assert 2 < times[1] <= 2.5


@pytest.mark.parametrize("what", ["slides in", "leaves", "moves"])
def test_whatever_comes_goes_or_moves_is_described_within_half_a_second(what: str) -> None:
    clip = happening(what, np.random.default_rng(4), (18.0, 35.0))
    times = captions(clip.scene_at, clip.settled + 0.6, camera=clip.camera)
    assert times[0] == 0.0
    assert any(-0.25 <= at - clip.settled <= 0.5 for at in times), (clip.condition, times)


def test_an_object_as_bright_as_the_wall_is_seen_by_its_colour() -> None:
    green = (90, 136, 90)  # luma 117
    times = captions(
        lambda at: with_object(wall(120), 345, 0.026, green) if at > 2 else wall(120), 4
    )
    assert len(times) == 2


def test_an_object_that_comes_to_rest_is_described_at_rest() -> None:
    def scene(at: float) -> Picture:
        return with_object(wall(), 60 + 400 * min(max(at - 1, 0), 1))

    times = captions(scene, 5)
    assert len(times) == 2
    assert 2 <= times[1] <= 2.5


def test_an_object_that_creeps_or_fades_in_is_not_taken_for_drift() -> None:
    def creeping(at: float) -> Picture:
        return with_object(wall(), -45 + 8 * at, paint=(60, 60, 60))

    def fading(at: float) -> Picture:
        level = 110 - 1.1 * at
        return with_object(np.full((480, 640, 3), 110, np.float32), 320, paint=(level,) * 3)

    assert len(captions(creeping, 12, camera=Camera(fps=6, noise=6))) >= 2
    assert len(captions(fading, 30, camera=Camera(fps=4, noise=4))) >= 2


def test_a_scene_that_never_rests_is_described_all_the_same() -> None:
    def scene(at: float) -> Picture:
        return with_object(wall(), 320 + 250 * np.sin(at * 2), share=0.05)

    times = captions(scene, 21, Camera(fps=8, noise=6))
    assert 3 <= len(times) <= 6


def test_one_spoiled_frame_is_no_change() -> None:
    def scene(at: float) -> Picture:
        return np.zeros((480, 640, 3), np.float32) if 1.99 < at < 2.01 else wall()

    assert captions(scene, 4) == [0.0]
