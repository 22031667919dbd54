"""What the loop asks of each frame: can it be described, and is there anything new in it?"""

from __future__ import annotations

from narrator.frames.frame import Frame
from narrator.scene.gate import SceneGate
from narrator.scene.picture_check import PictureCheck, PictureProblem
from narrator.scene.thumbnail import Thumbnail


class Scene:
    """The scene gate and the picture check together. Of the frame just looked at:

    changed: it differs from the reference, or every frame is wanted (always). readable: it can be
    described. problem: what is wrong with it, even if that does not last. moving: it differs, and
    what does has not come to rest. frame: the frame itself; None when the source is lost.
    """

    def __init__(self, always: bool = False, for_reading: bool = False) -> None:
        self._gate = None if always else SceneGate()
        self._check = PictureCheck(light_only=for_reading)  # A page is mostly white.
        self.frame: Frame | None = None
        self.changed, self.readable = always, False
        self.problem: PictureProblem | None = None

    def look(self, frame: Frame, last: bool = False) -> str | None:
        """Look at a frame, at every one. Returns the sentence to announce, if there is one.
        last: no frame follows."""
        self.frame, self._seen = frame, Thumbnail.of(frame)
        sentence = self._check.look(self._seen, last)
        self.readable, self.problem = self._check.readable, self._check.problem
        if self._gate is not None:  # It looks at unreadable frames too, or it misses what moves.
            self.changed = self._gate.has_changed(self._seen)
        return sentence

    @property
    def moving(self) -> bool:
        return self._gate is not None and not self._gate.at_rest

    def set_reference(self, frame: Frame) -> None:
        """From now on, compare with this frame: it was described."""
        if self._gate is not None:
            self._gate.set_reference(self._seen if frame is self.frame else Thumbnail.of(frame))
