"""Preview: when its window is drawn, and what it is drawn with. The real window is tried in
tests/program/test_preview.py."""

from __future__ import annotations

import os
import sys
import time
import types
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from narrator.errors import UsageError
from narrator.frames.frame import Frame
from narrator.outputs.drawing import draw_preview
from narrator.outputs.output import Caption
from narrator.outputs.preview import Preview, check_display
from support.drawn_scenes import Scene, Shape, draw
from support.shown import Shown

RED = draw(Scene(Shape("circle", "red", 0.2, 0.5, 0.17)))
BLUE = draw(Scene(Shape("square", "blue", 0.5, 0.22, 0.17)))


def frame(image: np.ndarray = RED) -> Frame:
    return Frame(image, time.monotonic(), 0.0)


def caption(of: Frame, text: str) -> Caption:
    return Caption(of, datetime.now().astimezone(), text, 0.1, 1.5, 0.3, False)


def test_frame_caption_marks_and_notes_are_drawn() -> None:
    preview, one = Shown(speaking=True), frame()

    def shows(caption: str, seconds: float | None, label: str, *marks: str) -> bool:
        drawn = draw_preview(RED, caption, seconds, label, ["speaking", *marks])
        return bool((preview.pictures[-1] == drawn).all())

    preview.show(one)
    assert shows("", None, "an engine")
    preview.write(caption(one, "A red circle."))
    preview.note("saved one.jpg", seconds=60)
    preview.show()
    assert shows("A red circle.", 1.5, "saved one.jpg")
    preview.announce("It is dark.")
    preview.note("over", seconds=0)
    preview.show()
    assert shows("It is dark.", None, "an engine")
    preview.paused = True
    preview.show(frame(BLUE))  # The picture stands.
    assert shows("It is dark.", None, "an engine", "paused")


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has no DISPLAY")
def test_a_display_is_tried_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(UsageError, match=r"there is none \(DISPLAY is not set\)"):
        check_display()
    monkeypatch.setenv("DISPLAY", ":4242")
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    with pytest.raises(UsageError, match="can't open a window on the display :4242"):
        check_display()
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    os.chmod(hanging, 0o755)
    monkeypatch.setattr(sys, "executable", str(hanging))
    with pytest.raises(UsageError, match="can't open a window"):
        check_display(timeout=0.2)


@pytest.mark.parametrize(
    ("hidden", "in_the_dock", "keys"),
    [(False, False, ["q"]), (True, False, []), (False, True, [])],
    ids=["closed", "hidden", "in the Dock"],
)
def test_on_a_mac_a_window_that_is_only_hidden_is_not_closed(
    monkeypatch: pytest.MonkeyPatch, hidden: bool, in_the_dock: bool, keys: list[str]
) -> None:
    """A stand-in for AppKit, and for OpenCV's window, which is not visible: nobody has tried it on
    a Mac."""
    window = types.SimpleNamespace(isMiniaturized=lambda: in_the_dock)
    application = types.SimpleNamespace(isHidden=lambda: hidden, windows=lambda: [window])
    kit = types.SimpleNamespace(
        NSApplication=types.SimpleNamespace(sharedApplication=lambda: application)
    )
    monkeypatch.setitem(sys.modules, "AppKit", kit)
    monkeypatch.setattr(sys, "platform", "darwin")
    for name, answer in (("waitKeyEx", -1), ("getWindowProperty", 0.0)):
        monkeypatch.setattr(cv2, name, lambda *_, answer=answer: answer)
    for name in ("namedWindow", "resizeWindow", "imshow"):
        monkeypatch.setattr(cv2, name, lambda *_: None)
    preview = Preview("an engine", lambda: False)
    preview.show(frame())
    assert preview.pressed() == keys
