"""What is in view: the source's newest frame, what it has to tell, and whether it can be described.

It keeps the preview up to date, and notices that nobody reads stdout any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from narrator.errors import StopRequested
from narrator.frames.frame import Frame
from narrator.frames.source import Source
from narrator.narration import Narrator
from narrator.outputs.lines import stdout_is_read
from narrator.outputs.preview import Preview
from narrator.scene.scene import Scene
from narrator.speech.sounds import Sound

FRESH_S = 1.0  # a question is answered from no older frame, where there can be a newer one


class View:
    """The newest frame of a source, looked at.

    on_frame: called with the second of each frame, for a film's progress.
    """

    def __init__(
        self,
        source: Source,
        scene: Scene,
        narrator: Narrator,
        preview: Preview | None = None,
        on_frame: Callable[[float], None] | None = None,
    ) -> None:
        self.source, self.scene, self.preview = source, scene, preview
        self._narrator = narrator
        self._on_frame = on_frame
        self._wait_s = 0.1 if preview is None else 0.03
        self.frame: Frame | None = None  # the newest; None when the source is lost
        self.paused = False
        self.engine_lost = False

    @property
    def ended(self) -> bool:
        """True when no frame will follow; never while it is paused."""
        return self.source.ended and not self.paused

    def pause(self, paused: bool) -> None:
        """Look no more, or go on, and a video from where it stood."""
        self.paused = paused
        self.source.pause(paused)

    def newest(self) -> Frame | None:
        """Wait a moment for a new frame, and look at it; None if there is none, or in a pause."""
        if self.paused:
            self._narrator.looking(False)
            self.refresh()
            time.sleep(self._wait_s)
            return None
        return self._take(self._wait_s)

    def fresh(self) -> Frame | None:
        """What is in view now: where the newest frame is old, the next one is waited for, or the
        message that the source is lost; then None."""
        while not self.source.ended:
            self._take(0.2)
            if self.frame is None or time.monotonic() - self.frame.taken < FRESH_S:
                break
        return self.frame

    @property
    def problem(self) -> str | None:
        """Why the newest frame can't be described, in words for the user; None if it can."""
        problem = self.scene.problem
        return None if problem is None or self.scene.readable else problem.value

    def refresh(self) -> None:
        """Bring the preview up to date. Raises StopRequested when nobody reads stdout any more."""
        if not stdout_is_read():
            raise StopRequested
        if self.preview is not None:
            self.preview.paused = self.paused
            self.preview.show(self.source.peek() or self.frame)

    def _take(self, timeout: float) -> Frame | None:
        frame = self.source.newest(timeout)
        for message in self.source.messages():
            if self.source.lost:
                self._narrator.sound(Sound.TROUBLE)
            self._narrator.announce(message)
            self.frame = None
        self._narrator.looking(self.source.lost or self.engine_lost)
        self.frame = frame or self.frame
        self.refresh()
        if frame is not None:
            self._look(frame)
        return frame

    def _look(self, frame: Frame) -> None:
        if self._on_frame is not None:
            self._on_frame(frame.at)
        sentence = self.scene.look(frame, last=self.source.ended)
        if sentence is not None:
            self._narrator.announce(sentence)
        if not self.scene.readable:
            self.source.forget_clip()  # What was before the dark is not one scene with the rest.
