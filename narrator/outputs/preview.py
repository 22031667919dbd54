"""The window of --preview, and its keys as they are pressed; drawing.py draws what it shows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

from narrator.errors import UsageError
from narrator.frames.frame import Frame
from narrator.outputs.drawing import draw_preview
from narrator.outputs.output import Caption, Output

TITLE = "Pete Sounds: q ends, space pauses, r says it again, s saves"
FRAMES_A_SECOND = 20
FIRST_SIZE = (1280, 900)  # a window begins no larger than this


class NoPreview(Output):
    """In the place of a window where none is wanted: nothing is shown, and no key pressed.

    frame: on show. paused: it stays on show.
    """

    frame: Frame | None = None
    paused = False

    @property
    def caption(self) -> str:
        """The words under the frame."""
        return ""

    def write(self, caption: Caption) -> None:
        """Show a caption from now on."""

    def note(self, text: str, seconds: float = 4.0) -> None:
        """Show something for a moment, in the place of the engine's label."""

    def pressed(self) -> list[str]:
        """The keys that were pressed, as small letters."""
        return []


class Preview(NoPreview):
    """A window with the newest frame and the last caption, for the main thread only.

    It opens with the first frame and closes with the process. It is drawn anew when something
    changed, at most FRAMES_A_SECOND times for frames alone. label: the engine's.
    """

    def __init__(self, label: str, is_speaking: Callable[[], bool]) -> None:
        self._label, self._is_speaking = label, is_speaking
        self._note = "", 0.0  # and until when it is shown
        self._words: tuple[str, float | None] = ("", None)  # the caption, the seconds it took
        self._looking = False
        self._drawn: tuple[object, object] = (None, None)  # the frame and the rest in the window
        self._drawn_at = 0.0
        self._opened = False
        self._keys: list[str] = []  # that nobody asked for yet

    @property
    def caption(self) -> str:
        """The words under the frame; none while the engine looks at it, as they are older."""
        return "" if self._looking else self._words[0]

    def write(self, caption: Caption) -> None:
        """Show a caption from now on."""
        self._words = (caption.text, caption.caption_s)

    def announce(self, sentence: str) -> None:
        """Show something that is no caption in its place."""
        self._words = (sentence, None)

    def note(self, text: str, seconds: float = 4.0) -> None:
        """Show something for a moment, in the place of the engine's label."""
        self._note = text, time.monotonic() + seconds

    def looking(self, on: bool) -> None:
        """Show that the engine works. It is drawn before, as the window can't be while it does."""
        self._looking = on
        if on:
            self.show()
            self._keys = self.pressed()

    def show(self, frame: Frame | None = None) -> None:
        """Bring the window up to date, with this frame if it is not paused."""
        now = time.monotonic()
        if frame is not None and not self.paused and frame.decodes():
            self.frame = frame
        if self.frame is None:
            return
        states = {"looking": self._looking, "speaking": self._is_speaking(), "paused": self.paused}
        marks = [name for name, is_so in states.items() if is_so]
        note, until = self._note
        rest = (*self._words, note if now < until else self._label, marks)
        soon = now - self._drawn_at < 1 / FRAMES_A_SECOND
        if self._drawn[1] == rest and (soon or self._drawn[0] is self.frame):
            return
        self._drawn, self._drawn_at = (self.frame, rest), now
        self._put(draw_preview(self.frame.image, *rest))

    def pressed(self) -> list[str]:
        """Let the window work, and return the keys that were pressed, as small letters. A window
        that was closed by its button says q."""
        keys, self._keys = self._keys, []
        while self._opened and (key := cv2.waitKeyEx(1)) != -1:
            if 0 < key < 128:
                keys.append(chr(key).lower())
        if self._opened and self._is_closed():
            keys.append("q")
        return keys

    def _is_closed(self) -> bool:
        try:
            visible = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # Qt's last window is closed, and all of its own with it.
            return True
        return not visible and not (sys.platform == "darwin" and is_hidden_on_mac())

    def _put(self, picture: np.ndarray) -> None:
        if not self._opened:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            height, width = picture.shape[:2]
            scale = min(1.0, FIRST_SIZE[0] / width, FIRST_SIZE[1] / height)
            cv2.resizeWindow(TITLE, round(width * scale), round(height * scale))
            self._opened = True
        cv2.imshow(TITLE, picture)


def is_hidden_on_mac() -> bool:
    """True when the window is in the Dock, or the program hidden (Cmd-H): to OpenCV's Cocoa window
    that is the same as closed (isVisible in cvGetPropVisible_COCOA). Nobody has run it on a Mac."""
    from AppKit import NSApplication

    application = NSApplication.sharedApplication()
    return bool(
        application.isHidden() or any(one.isMiniaturized() for one in application.windows())
    )


def check_display(timeout: float = 20.0) -> None:
    """Find out whether a window can be opened within `timeout` seconds. Raises UsageError.

    Where none can, OpenCV's window ends the whole process: Qt aborts it (QMessageLogger::fatal).
    So a process of its own tries first, which takes 0.3 s.
    """
    display = os.environ.get("DISPLAY", "")
    if not display and sys.platform != "darwin":
        raise UsageError("--preview needs a display, and there is none (DISPLAY is not set)")
    try:
        subprocess.run(
            [sys.executable, "-c", "import cv2, os; cv2.namedWindow('Pete Sounds'); os._exit(0)"],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            start_new_session=True,  # a Ctrl-C meanwhile is for us alone
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"--preview can't open a window on the display {display}") from error
