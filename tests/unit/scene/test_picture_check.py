"""PictureCheck: says once why nothing can be seen, and when that is over; silent about all else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import pytest

from narrator.frames.frame import Frame
from narrator.scene.picture_check import CLEAR_AGAIN, PictureCheck, PictureProblem
from narrator.scene.thumbnail import Thumbnail
from support.drawn_scenes import random_scene
from support.filmed import STILL, WIDTH, Camera, Picture, carpet, room, wall

FPS = 15
NOISY = Camera(fps=FPS, noise=5)
SceneAt = Callable[[float], Picture]


def furnished() -> Picture:
    """A room in good light."""
    return room(np.random.default_rng(3))


def said(
    film: Iterable[tuple[float, np.ndarray]], check: PictureCheck | None = None
) -> list[tuple[float, str]]:
    """What the check says of a film, and when."""
    check = check or PictureCheck()
    sentences = []
    for at, image in film:
        sentence = check.look(Thumbnail.of(Frame(image, taken=1000.0 + at, at=at)))
        if sentence is not None:
            sentences.append((round(at, 2), sentence))
    return sentences


def film(
    scene_at: SceneAt, seconds: float, camera: Camera = NOISY
) -> Iterator[tuple[float, np.ndarray]]:
    """(second, frame) of a film of what is there at each second."""
    return camera.film(scene_at, seconds, seed=2)


def between(start: float, end: float, usual: Picture, other: Picture) -> SceneAt:
    """A scene that is `other` from second `start` to `end`."""
    return lambda at: other if start <= at < end else usual


# -- what can be seen


@pytest.mark.parametrize(
    ("scene", "condition"),
    [(wall, "noise 12"), (room, "exposure hunts"), (carpet, "JPEG 20"), (room, "focus breathes")],
)
def test_nothing_is_said_of_a_picture_that_can_be_seen(
    scene: Callable[[np.random.Generator], Picture], condition: str
) -> None:
    picture = scene(np.random.default_rng(4))
    check = PictureCheck()
    assert said(film(lambda at: picture, 1.5, STILL[condition]), check) == []
    assert check.readable


def test_nothing_is_said_of_drawn_scenes() -> None:
    rng = np.random.default_rng(6)
    scenes = [random_scene(rng)[0] for _ in range(30)]
    assert said((second * 2.0 + held, image) for second, image in enumerate(scenes)
                for held in (0.0, 0.9, 1.6)) == []  # fmt: skip


def test_a_dim_room_can_be_seen_while_there_is_contrast_in_it() -> None:
    assert said(film(lambda at: furnished() * 0.1, 2)) == []


# -- what can't


def red_hand(glow: float) -> Picture:
    """What is left of the light behind a hand."""
    red = np.array([0.5, 0.6, 1.3], np.float32) * np.linspace(0.8, 1.2, WIDTH)[None, :, None]
    return np.asarray((furnished() * 0 + glow) * red, np.float32)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (lambda: furnished() * np.float32(0.04), PictureProblem.DARK),  # a lamp goes out
        (lambda: red_hand(2.0), PictureProblem.COVERED),
        (lambda: red_hand(45.0), PictureProblem.COVERED),
        (lambda: furnished() * 3 + 150, PictureProblem.BRIGHT),
        (lambda: cv2.GaussianBlur(furnished(), (0, 0), 18), PictureProblem.BLURRED),
    ],
    ids=["lamp", "dark hand", "bright hand", "blown out", "out of focus"],
)
def test_what_is_wrong_is_told_soon_and_its_end_too(
    other: Callable[[], Picture], problem: PictureProblem
) -> None:
    times = said(film(between(1, 3.5, furnished(), other()), 5))
    assert [sentence for _, sentence in times] == [problem.value, CLEAR_AGAIN]
    assert 1.0 <= times[0][0] <= 2.2
    assert 3.5 <= times[1][0] <= 4.5


def test_dusk_that_wavers_is_told_once() -> None:
    levels = np.full((480, 640, 3), 1, np.float32)
    sentences = said(film(lambda at: levels * (26 if int(at) % 2 == 0 else 34), 6))
    assert [sentence for _, sentence in sentences] == [PictureProblem.DARK.value]


def test_a_wall_that_is_left_when_something_goes_is_no_cover() -> None:
    bare = wall(np.random.default_rng(1))
    assert said(film(lambda at: furnished() if at < 2 else bare * 0.7, 5)) == []


@pytest.mark.parametrize("paint", [(0, 0, 255), (0, 255, 255), (160, 160, 160)])
def test_what_has_contrast_can_be_described_on_pure_white(paint: tuple[int, int, int]) -> None:
    white = np.full((480, 640, 3), 255, np.uint8)
    drawn = cv2.circle(white.copy(), (200, 240), 18, paint, -1)
    text = cv2.putText(white.copy(), "Room 3B, Tuesday", (60, 100), 0, 0.7, (0, 0, 0), 1)
    for image, problem in ((white, PictureProblem.BRIGHT), (drawn, None), (text, None)):
        check = PictureCheck()
        check.look(Thumbnail.of(Frame(image, 0.0, 0.0)), last=True)
        assert check.problem is problem


def test_what_is_to_be_read_may_be_white_but_not_dark() -> None:
    blown, dark = furnished() * 3 + 150, furnished() * 0.01
    told = said(film(between(1, 3, blown, dark), 5), PictureCheck(light_only=True))
    assert [sentence for _, sentence in told] == [PictureProblem.DARK.value, CLEAR_AGAIN]


def test_a_lens_that_searches_for_its_focus_is_not_told() -> None:
    blurred = cv2.GaussianBlur(furnished(), (0, 0), 18)
    assert said(film(between(1, 1.7, furnished(), blurred), 4)) == []


def test_a_strip_is_looked_at_like_any_picture() -> None:
    for shape in ((20_000, 1, 3), (1, 20_000, 3), (4000, 3, 3)):
        strip = np.full(shape, 128, np.uint8)
        assert PictureCheck().look(Thumbnail.of(Frame(strip, 0.0, 0.0)), last=True) is None
