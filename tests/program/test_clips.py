"""--frames: what moved is said, not only where it is then."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from narrator.errors import ExitCode
from support.drawn_scenes import Scene, Shape, draw
from support.program import TINY, Program
from support.video import write_video

STOPS = ((0.2, 0.5), (0.8, 0.5), (0.8, 0.82))


def red_circle(x: float, y: float) -> np.ndarray:
    return draw(Scene(Shape("circle", "red", x, y, 0.16)))


def film_of_two_movements() -> list[np.ndarray]:
    """A red circle rests on the left, goes to the right, rests, goes down, rests: 15 a second."""
    images = [red_circle(*STOPS[0])] * 30
    for start, end in zip(STOPS, STOPS[1:]):
        images += [red_circle(*place) for place in np.linspace(start, end, 20)]
        images += [red_circle(*end)] * 45
    return images


def test_the_program_says_what_moved(program: Program, tmp_path: Path) -> None:
    film = write_video(tmp_path / "moving.mp4", film_of_two_movements())
    # With --vtt it is described as fast as it goes: what is said does not depend on this machine.
    result = program(
        "--source", film, "--model", TINY, "--frames", "3", "--mute",
        "--vtt", "moving.vtt",
    )  # fmt: skip
    assert result.returncode == ExitCode.OK, result.stderr
    said = result.stdout.splitlines()
    assert said[0] == "A red circle on the left."
    assert "A red circle moving right." in said
    assert "A red circle moving down." in said
    assert said.index("A red circle moving right.") < said.index("A red circle moving down.")
