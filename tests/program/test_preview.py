"""--preview: the real window, on a display.

It is tried on Xvfb, a display without a screen; where that is not installed, these tests are
skipped. No Mac's window was ever tried.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from narrator.errors import ExitCode
from narrator.outputs.preview import TITLE
from support.camera import MjpegCamera
from support.captions import SCENES, caption_of_sent
from support.drawn_scenes import Scene, caption_of, draw
from support.program import Program, ended_well, wait_until
from support.saved import distance
from support.server import ScriptedServer, describe

RED, BLUE, _ = SCENES


@pytest.fixture
def server(server: ScriptedServer) -> ScriptedServer:
    """An engine that tells the scenes from each other."""
    server.answer = describe(caption_of_sent)
    return server


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has no DISPLAY")
def test_no_display_is_said_in_one_line(program: Program) -> None:
    program.environment["DISPLAY"] = ":4242"
    result = program("--demo", "--preview", "--mute")
    assert result.returncode == ExitCode.USAGE
    assert result.stdout == ""
    assert re.fullmatch(r"pete_sounds: --preview .*display.*\n", result.stderr)


class Screen:
    """A display without a screen, with a user at its keys."""

    def __init__(self, name: str) -> None:
        from Xlib.display import Display

        self.name = name
        self._display = Display(name)
        self._root = self._display.screen().root

    def window(self, timeout: float = 60) -> Any:
        """The program's window, once it is there."""
        found = wait_until(lambda: self._find(self._root), timeout)
        assert found, "no window came"
        return found

    def wait_for_picture(self) -> None:
        """Wait until the window is painted. Where no window manager runs, as here, Qt misses now
        and then that its new window can be seen, and paints nothing: hide it and show it then, as
        a user would."""
        window = self.window()
        if not wait_until(lambda: self.shot().any(), 2):
            for change in (window.unmap, window.map):
                change()
                self._display.sync()
                time.sleep(0.1)
        assert wait_until(lambda: self.shot().any(), 2), "the window stays empty"

    def _find(self, parent: Any) -> Any:
        from Xlib.error import BadWindow

        for child in parent.query_tree().children:
            try:
                if str(child.get_wm_name()) == TITLE:
                    return child
            except BadWindow:
                continue
            found = self._find(child)
            if found:
                return found
        return None

    def press(self, key: str) -> None:
        """Press and release a key in the program's window."""
        from Xlib import XK, X
        from Xlib.ext import xtest

        self.window(1).set_input_focus(X.RevertToParent, X.CurrentTime)
        code = self._display.keysym_to_keycode(XK.string_to_keysym(key))
        xtest.fake_input(self._display, X.KeyPress, code)
        xtest.fake_input(self._display, X.KeyRelease, code)
        self._display.sync()

    def close_window(self) -> None:
        """What the button in a window's frame does."""
        from Xlib import X
        from Xlib.protocol.event import ClientMessage

        kind, what = map(self._display.intern_atom, ("WM_PROTOCOLS", "WM_DELETE_WINDOW"))
        window = self.window(1)
        data = (32, [what, X.CurrentTime, 0, 0, 0])
        window.send_event(ClientMessage(window=window, client_type=kind, data=data))
        self._display.sync()

    def shot(self) -> np.ndarray:
        """The window as it is seen (BGR)."""
        from Xlib import X

        window = self.window(1)
        size = window.get_geometry()
        raw = window.get_image(0, 0, size.width, size.height, X.ZPixmap, 0xFFFFFFFF)
        return np.frombuffer(raw.data, np.uint8).reshape(size.height, size.width, 4)[:, :, :3]


@pytest.fixture
def screen(program: Program) -> Iterator[Screen]:
    """Xvfb, known to the program."""
    if shutil.which("Xvfb") is None:
        pytest.skip("a display without a screen needs Xvfb (Debian's package xvfb)")
    pytest.importorskip("Xlib", reason="keys are pressed through python-xlib")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as numbers:
            name = f":{numbers.readline().strip()}"
        program.environment["DISPLAY"] = name
        yield Screen(name)
    finally:
        program.close()
        server.send_signal(signal.SIGTERM)
        server.wait(5)


def shows(screen: Screen, scene: Scene) -> bool:
    """True when the picture in the window is this scene."""
    shot = screen.shot()
    expected = draw(scene)
    height, width = expected.shape[:2]
    return bool(np.abs(shot[:height, :width].astype(int) - expected).mean() < 6)


def test_the_window_shows_the_frame_and_obeys_its_keys(
    program: Program, screen: Screen, mjpeg: MjpegCamera, server: ScriptedServer
) -> None:
    mjpeg.show(draw(RED))
    running = program.start("--source", mjpeg.url, "--engine", server.url, "--mute", "--preview")
    running.stdout.wait_for(caption_of(RED))
    screen.wait_for_picture()
    height, width = draw(RED).shape[:2]
    assert wait_until(lambda: (screen.shot()[height:] > 250).sum() > 500, 5)  # caption and status
    assert wait_until(lambda: shows(screen, RED), 5)
    assert screen.shot().shape[1] == width

    screen.press("space")
    running.stderr.wait_for("Paused.", timeout=10)
    mjpeg.show(draw(BLUE))
    before, sent = running.stdout.count(), mjpeg.sent
    assert wait_until(lambda: mjpeg.sent > sent + 20, 30)  # and the program looks at none of them
    assert shows(screen, RED)
    assert running.stdout.count() == before
    screen.press("s")
    name = running.stderr.wait_for("saved ", timeout=10).split("saved ")[1]
    assert distance(program.here / name, draw(RED)) < 6
    screen.press("space")
    running.stderr.wait_for("Going on.", timeout=10)
    running.stdout.wait_for(caption_of(BLUE), timeout=20)
    assert wait_until(lambda: shows(screen, BLUE), 5)

    screen.press("Left")  # means nothing
    screen.press("Q")
    ended_well(running.finished(10))


def test_a_picture_stays_until_its_window_is_closed(
    program: Program, screen: Screen, server: ScriptedServer
) -> None:
    cv2.imwrite(str(program.here / "picture.png"), draw(BLUE))
    running = program.start(
        "--source", "picture.png", "--engine", server.url, "--mute", "--preview"
    )
    running.stdout.wait_for(caption_of(BLUE))
    screen.wait_for_picture()
    assert running.process.poll() is None
    assert wait_until(lambda: shows(screen, BLUE), 5)
    screen.close_window()
    ended_well(running.finished(10))
