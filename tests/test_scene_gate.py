"""SceneGate: quiet while nothing changes, soon awake when something does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pete_sounds import Frame, SceneGate

FPS = 15
Picture = np.ndarray


def wall(level: float = 110.0) -> Picture:
    """An empty 640x480 scene: float, BGR, a grey wall with a gradient."""
    gradient = np.linspace(-20, 20, 640)[None, :, None]
    return np.full((480, 640, 3), level) + gradient


def with_object(scene: Picture, x: int, y: int = 240, share: float = 0.02) -> Picture:
    """The scene with a red square that covers `share` of the frame, centred at x, y."""
    half = int((640 * 480 * share) ** 0.5 / 2)
    scene = scene.copy()
    scene[max(0, y - half) : y + half, max(0, x - half) : max(0, x + half)] = (40, 40, 200)
    return scene


def noisy(scene: Picture, rng: np.random.Generator, sigma: float = 6.0) -> np.ndarray:
    """What a sensor makes of it: uint8, with noise of `sigma` grey levels."""
    return np.clip(scene + rng.normal(0, sigma, scene.shape), 0, 255).astype(np.uint8)


def captions(scene_at: Callable[[float], Picture], seconds: float, gate: SceneGate) -> list[float]:
    """When the gate let a frame through, in seconds, on a noisy film at FPS."""
    rng = np.random.default_rng(5)
    times = []
    for number in range(int(seconds * FPS)):
        at = number / FPS
        frame = Frame(noisy(scene_at(at), rng), taken=1000.0 + at, at=at)
        if gate.wants(frame):
            gate.described(frame)
            times.append(at)
    return times


def test_the_first_frame_is_described_and_a_still_noisy_scene_never_again() -> None:
    assert captions(lambda at: wall(), 10, SceneGate()) == [0.0]


def test_light_that_drifts_slowly_is_no_news() -> None:
    assert captions(lambda at: wall(100 + 4 * at), 10, SceneGate()) == [0.0]


def test_light_that_flickers_is_no_news() -> None:
    assert captions(lambda at: wall(110 + 8 * np.sin(at * 40)), 6, SceneGate()) == [0.0]


@pytest.mark.parametrize("x", [60, 320, 560])
def test_an_object_of_two_per_cent_is_described_once_within_a_second(x: int) -> None:
    times = captions(lambda at: with_object(wall(), x) if at > 2 else wall(), 6, SceneGate())
    assert len(times) == 2
    assert 2 < times[1] < 3


def test_an_object_as_bright_as_the_wall_is_seen_by_its_colour() -> None:
    def scene(at: float) -> Picture:
        picture = wall(120)
        if at > 2:
            picture[200:290, 300:390] = (90, 136, 90)  # luma 117
        return picture

    assert len(captions(scene, 5, SceneGate())) == 2


def test_an_object_that_goes_is_news_too() -> None:
    times = captions(lambda at: with_object(wall(), 320) if at < 2 else wall(), 5, SceneGate())
    assert len(times) == 2


def test_an_object_that_comes_to_rest_is_described_at_rest() -> None:
    def scene(at: float) -> Picture:
        return with_object(wall(), int(60 + 400 * min(max(at - 1, 0), 1)))

    times = captions(scene, 5, SceneGate())
    assert len(times) == 2
    assert 2 <= times[1] < 2.8


def test_a_scene_that_never_rests_is_described_all_the_same() -> None:
    def scene(at: float) -> Picture:
        return with_object(wall(), int(320 + 250 * np.sin(at * 2)), share=0.05)

    times = captions(scene, 9, SceneGate())
    assert 4 <= len(times) <= 8


def test_always_lets_everything_through() -> None:
    assert len(captions(lambda at: wall(), 2, SceneGate(always=True))) == 2 * FPS


def test_a_frame_of_another_size_can_be_compared() -> None:
    gate = SceneGate()
    gate.described(Frame(np.zeros((480, 640, 3), np.uint8), 0.0, 0.0))
    assert gate.wants(Frame(np.zeros((90, 160, 3), np.uint8), 1.0, 1.0)) is False
