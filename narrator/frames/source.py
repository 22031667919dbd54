"""What every source of frames offers."""

from __future__ import annotations

from typing import Protocol

from narrator.frames.frame import Frame


class Source(Protocol):
    """Frames of a camera, a stream, a video or a picture, the newest one at a time.

    Opening one raises SourceError when it can't be opened. After that none of this raises, but for
    newest() where a Mac's user is asked for the camera and refuses it: SourceError.
    """

    @property
    def is_film(self) -> bool:
        """True for a video of which every frame is given, as fast as it can be decoded."""

    @property
    def ended(self) -> bool:
        """True once the last frame of a file has been returned; a live source never ends."""

    @property
    def lost(self) -> bool:
        """True while a live source is lost."""

    @property
    def at(self) -> float:
        """Seconds into the source of the frame that was returned last."""

    def now(self) -> float:
        """The time on the clock of Frame.taken, in seconds: time.monotonic(), or a film's own."""

    def newest(self, timeout: float) -> Frame | None:
        """Wait up to `timeout` seconds for a frame that was not returned before; None if none."""

    def peek(self) -> Frame | None:
        """The frame that newest() would return next, if any; it still will. Unlike that one, it may
        not decode."""

    def messages(self) -> list[str]:
        """Messages to the user since the last call, a sentence each: that a live source
        is lost, and that it is back."""

    def clip_to(self, frame: Frame) -> list[Frame]:
        """`frame`, and before it the earlier frames of its clip, where clips were asked for."""

    def forget_clip(self) -> None:
        """Begin the clip anew: what was taken until now is another scene."""

    def pause(self, paused: bool) -> None:
        """Where a file is played: stop its clock, or let it go on from there."""

    def close(self) -> None:
        """Stop reading and release the source, within a second."""
