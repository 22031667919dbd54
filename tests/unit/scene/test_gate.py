"""SceneGate: quiet while nothing changes, soon awake when something does."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from narrator.frames.frame import Frame
from narrator.scene.gate import SceneGate
from narrator.scene.thumbnail import Thumbnail
from support.filmed import STILL, Camera, Picture, Thing, carpet, happening, room

FPS = 15
NOISY = Camera(fps=FPS, noise=6)


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


def test_the_first_frame_is_described_and_a_still_noisy_scene_never_again() -> None:
    assert captions(lambda at: wall(), 6) == [0.0]


def test_light_that_drifts_slowly_is_no_change() -> None:
    assert captions(lambda at: wall(100 + 4 * at), 8) == [0.0]


def test_light_that_flickers_is_no_change() -> None:
    assert captions(lambda at: wall(110 + 8 * np.sin(at * 40)), 4) == [0.0]


@pytest.mark.parametrize(
    "condition",
    [
        "rolling bands",
        "exposure hunts",
        "white balance hunts",
        "codec blocks and flicker",
        "MPEG-4 of half size",
        "focus breathes",
    ],
)
def test_what_a_camera_does_by_itself_is_no_change(condition: str) -> None:
    scene = room(np.random.default_rng(3))
    assert captions(lambda at: scene, 3, camera=STILL[condition]) == [0.0]


def test_fine_texture_in_a_shaking_hand_is_no_change() -> None:
    scene = carpet(np.random.default_rng(2))
    assert captions(lambda at: scene, 3, camera=STILL["shake a pixel"]) == [0.0]


def test_a_window_that_is_blown_out_as_the_exposure_hunts_is_no_change() -> None:
    scene = room(np.random.default_rng(108))
    assert captions(lambda at: scene, 8, camera=STILL["exposure hunts"], seed=57) == [0.0]


def test_edges_in_a_hand_that_trembles_are_no_change() -> None:
    scene = room(np.random.default_rng(3))
    assert captions(lambda at: scene, 3, camera=Camera(fps=FPS, noise=4, shake=2.5)) == [0.0]


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


# -- something happens


@pytest.mark.parametrize("x", [60, 320, 560])
def test_an_object_of_two_per_cent_is_described_once_within_half_a_second(x: int) -> None:
    times = captions(lambda at: with_object(wall(), x) if at > 2 else wall(), 4)
    assert len(times) == 2
    assert 2 < times[1] <= 2.5


@pytest.mark.parametrize("what", ["slides in", "leaves", "moves"])
@pytest.mark.parametrize("contrast", [(18.0, 35.0), (45.0, 130.0)])
def test_whatever_comes_goes_or_moves_is_described_within_half_a_second(
    what: str, contrast: tuple[float, float]
) -> None:
    clip = happening(what, np.random.default_rng(4), contrast)
    times = captions(clip.scene_at, clip.settled + 0.6, camera=clip.camera)
    assert times[0] == 0.0
    assert any(-0.25 <= at - clip.settled <= 0.5 for at in times), (clip.condition, times)


def test_an_object_as_bright_as_the_wall_is_seen_by_its_colour() -> None:
    green = (90, 136, 90)  # luma 117
    times = captions(
        lambda at: with_object(wall(120), 345, 0.026, green) if at > 2 else wall(120), 4
    )
    assert len(times) == 2


def test_an_object_that_goes_is_a_change_too() -> None:
    assert len(captions(lambda at: with_object(wall(), 320) if at < 2 else wall(), 5)) == 2


def test_an_object_that_comes_to_rest_is_described_at_rest() -> None:
    def scene(at: float) -> Picture:
        return with_object(wall(), 60 + 400 * min(max(at - 1, 0), 1))

    times = captions(scene, 5)
    assert len(times) == 2
    assert 2 <= times[1] <= 2.5


def test_an_object_that_creeps_in_is_not_taken_for_drift() -> None:
    dark = (60, 60, 60)
    times = captions(lambda at: with_object(wall(), -45 + 8 * at, paint=dark), 12)
    assert len(times) >= 2


def test_an_object_that_fades_in_is_not_taken_for_drift() -> None:
    def scene(at: float) -> Picture:
        level = 110 - 1.1 * at
        return with_object(np.full((480, 640, 3), 110, np.float32), 320, paint=(level,) * 3)

    assert len(captions(scene, 30, camera=Camera(fps=4, noise=4))) >= 2


def test_a_scene_that_never_rests_is_described_all_the_same() -> None:
    def scene(at: float) -> Picture:
        return with_object(wall(), 320 + 250 * np.sin(at * 2), share=0.05)

    times = captions(scene, 9)
    assert 4 <= len(times) <= 8


def test_one_spoiled_frame_is_no_change() -> None:
    def scene(at: float) -> Picture:
        return np.zeros((480, 640, 3), np.float32) if 1.99 < at < 2.01 else wall()

    assert captions(scene, 4) == [0.0]


def test_a_lamp_that_goes_out_is_a_change() -> None:
    assert len(captions(lambda at: wall() * (1.0 if at < 2 else 0.4), 4)) == 2


def test_a_large_object_comes_and_goes_in_two_captions() -> None:
    scene = room(np.random.default_rng(8))

    def visited(at: float) -> Picture:
        return with_object(scene, 300, 0.4, (50, 60, 90)) if 2 < at < 4 else scene

    times = captions(visited, 6, camera=Camera(fps=FPS, noise=5, exposure=0.08))
    assert [round(at) for at in times] == [0, 2, 4]


# -- besides


def test_a_frame_of_another_size_can_be_compared() -> None:
    gate = SceneGate()
    gate.set_reference(Thumbnail.of(Frame(np.zeros((480, 640, 3), np.uint8), 0.0, 0.0)))
    small = Thumbnail.of(Frame(np.zeros((90, 160, 3), np.uint8), 1.0, 1.0))
    assert gate.has_changed(small) is False


def test_a_clock_that_runs_backwards_does_no_harm() -> None:
    times = (5.0, 4.0, 4.005, 1.0, 1.2, 1.4)
    images = [np.full((48, 64, 3), 100 + 20 * (number % 2), np.uint8) for number in range(6)]
    gate = SceneGate()
    gate.set_reference(Thumbnail.of(Frame(images[0], 6.0, 0.0)))
    for image, taken in zip(images, times):
        gate.has_changed(Thumbnail.of(Frame(image, taken, 0.0)))
