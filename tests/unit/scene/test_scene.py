"""Scene: what the loop is told of each frame."""

from __future__ import annotations

import numpy as np
import pytest

from narrator.errors import SourceError
from narrator.frames.frame import Frame
from narrator.scene.picture_check import CLEAR_AGAIN, PictureProblem
from narrator.scene.scene import Scene

FPS = 10
ROOM = np.kron(
    np.random.default_rng(1).integers(60, 200, (12, 16, 3), np.uint8),
    np.ones((20, 20, 1), np.uint8),
)
OTHER = np.ascontiguousarray(ROOM[:, ::-1])
DARK = ROOM // 40


def looks(scene: Scene, image: np.ndarray, start: float, seconds: float = 1.0) -> list[str | None]:
    """What is said of an image that is shown for some time; a changed one becomes the reference."""
    said = []
    for number in range(int(seconds * FPS)):
        frame = Frame(image, start + number / FPS, number / FPS)
        said.append(scene.look(frame))
        if scene.changed and scene.readable:
            scene.set_reference(frame)
    return said


def test_a_scene_is_new_once_and_again_when_it_changed() -> None:
    scene = Scene()
    first, second = Frame(ROOM, 0.0, 0.0), Frame(ROOM, 0.1, 0.1)
    assert scene.look(first) is None
    assert scene.changed
    assert scene.readable
    scene.set_reference(first)
    scene.look(second)
    assert not scene.changed
    scene.set_reference(Frame(OTHER, 0.1, 0.1))  # of a frame that was not looked at last
    changed = [scene.look(Frame(ROOM, at / FPS, 0.0)) or scene.changed for at in range(2, 9)]
    assert changed[-1] is True


def test_the_dark_is_announced_when_it_lasts_and_what_comes_after_it_is_compared() -> None:
    scene = Scene()
    assert set(looks(scene, ROOM, 0.0)) == {None}
    said = looks(scene, DARK, 1.0)
    assert said[0] is None  # a dark frame is nothing to talk about, but it is none to describe
    assert [sentence for sentence in said if sentence] == [PictureProblem.DARK.value]
    assert scene.problem is PictureProblem.DARK
    assert not scene.readable
    assert CLEAR_AGAIN in looks(scene, ROOM, 2.0)
    assert scene.readable
    assert not scene.changed  # the same room as before


def test_of_the_last_frame_a_problem_is_told_at_once_unless_it_was() -> None:
    scene = Scene()
    assert scene.look(Frame(DARK, 0.0, 0.0), last=True) == PictureProblem.DARK.value
    assert scene.look(Frame(ROOM, 0.1, 0.1), last=True) is None
    scene = Scene()
    assert PictureProblem.DARK.value in looks(scene, DARK, 1.0)
    assert scene.look(Frame(DARK, 2.0, 2.0), last=True) is None


def test_what_can_not_be_described_for_long_is_given_up_where_nobody_waits() -> None:
    looks(Scene(), DARK, 0.0, 60.0)
    scene = Scene(patience_s=8.0)
    looks(scene, DARK, 0.0, 7.9)
    looks(scene, ROOM, 8.0)  # Somebody came with a light.
    looks(scene, DARK, 9.0, 7.9)
    with pytest.raises(SourceError, match=r"too dark to see\. Switch on a light, or"):
        looks(scene, DARK, 17.0)
