"""The keys of the preview, and what the loop does with its window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from narrator.errors import StopRequested
from narrator.frames.frame import Frame
from narrator.outputs.saved_frames import SavedFrames
from support.saved import distance, inside
from support.shown import Shown
from support.stand_ins import FrameSource, Loop


def in_pieces(clip: Sequence[Frame], prompt: str) -> Iterator[str]:
    """The same of every frame, in three pieces."""
    yield from ("A thing. ", "And", " more.")


class Watched(Loop):
    """A source that is watched with a preview, a frame and its caption a turn."""

    def __init__(
        self, keys_at: dict[int, str] | None = None, frames: int = 9, folder: Path | None = None
    ) -> None:
        self.preview = Shown(keys_at=keys_at)
        saved = [] if folder is None else [SavedFrames(str(folder))]
        super().__init__(in_pieces, FrameSource(frames), outputs=[self.preview, *saved])


# pressed() is called 1: before the engine; 2, 3, 4: with its pieces; 5: at the end of the turn


@pytest.mark.parametrize("call", [1, 3])
def test_keys_are_answered_between_the_pieces_of_a_caption(call: int) -> None:
    watched = Watched({call: "q"})
    with pytest.raises(StopRequested):
        watched.turn()
    assert watched.output.texts == []


def test_space_pauses_and_goes_on() -> None:
    watched = Watched({5: " ", 8: " "})
    assert watched.turn() is not None
    left = watched.source.left
    assert watched.turn() is None  # nothing is described while it is paused
    assert watched.source.left == left
    assert watched.preview.marks[0] == ""
    assert set(watched.preview.marks) >= {"looking", "paused"}
    assert watched.preview.marks[-1] == "paused"
    assert watched.preview.caption == "A thing. And more."
    while watched.commands.paused:
        watched.turn()
    assert watched.turn() is not None
    assert watched.speaker.said.index("Paused.") < watched.speaker.said.index("Going on.")
    assert len(watched.output.texts) == 2


def test_s_saves_the_frame_on_show_and_says_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "narrator")
    watched = Watched({2: "s", 5: "s"}, folder=tmp_path)
    frame = watched.turn()
    assert frame is not None
    told = [record.getMessage() for record in caplog.records]
    paths = [Path(message.removeprefix("saved ")) for message in told]
    assert set(paths) < set(tmp_path.iterdir())  # where the caption's own is, too
    # The words under it are another frame's while it is being looked at.
    assert [inside(path)["comment"] for path in paths] == ["", "A thing. And more."]
    assert distance(paths[1], frame.image) < distance(paths[1], np.roll(frame.image, 64, axis=1))


def test_a_frame_of_a_film_is_saved_under_the_time_at_which_it_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched({1: "s"}, folder=tmp_path)
    # Ten hours into the film, whose frames have the film's clock.
    monkeypatch.setattr(watched.source, "now", lambda: 36000.0)
    watched.preview.frame = Frame(np.zeros((48, 64, 3), np.uint8), taken=36000.0, at=36000.0)
    watched.commands.check()
    (path,) = tmp_path.iterdir()
    saved = datetime.strptime(path.stem, "%Y-%m-%dT%H-%M-%S.%f")
    assert abs((datetime.now() - saved).total_seconds()) < 600


def test_a_picture_that_does_not_decode_is_not_shown() -> None:
    preview = Shown()
    preview.show(Frame(np.frombuffer(b"\xff\xd8\xff no picture", np.uint8), 0.0, 0.0))
    assert preview.frame is None
