"""Files as sources: every frame in turn (Film), or played at their own pace, as a camera would be.

A picture is a file of one frame.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
import time
from pathlib import Path

from narrator.errors import SourceError, reason_of
from narrator.frames.films import FilmReader, Pictures, Shown, moving
from narrator.frames.frame import Frame
from narrator.frames.jpeg import TOO_LARGE
from narrator.frames.latest import LatestFrame
from narrator.frames.pictures import Animation, open_picture
from narrator.text import without_password

LATE_S = 0.1  # by which a frame may come too late to be played
STANDS_S = 0.25  # a picture that stands for longer is given again so often, as a camera would


class Film(LatestFrame):
    """Every frame of a film in turn, none dropped, as fast as they are decoded and looked at.

    The film's own clock takes the place of the wall clock: `taken` of a frame is the same as `at`.
    A film that is broken further on ends there, and a picture that stands for long is given again
    and again. Raises SourceError where there is no picture.
    """

    is_film = True

    def __init__(self, pictures: Pictures, clip_length: int = 1) -> None:
        super().__init__(clip_length)
        self._pictures, first = pictures, pictures.read()
        if first is None:
            pictures.close()
            raise SourceError("there is no picture in it")
        self._first = first
        self._next: Shown | None = first  # which is put, or will be
        self._until = 0.0  # when the picture that was put will have stood long enough
        self._longest_s = 0.0  # for which a picture stood
        self.start = 0.0  # Frames of before need not be shown.
        self._put(first)

    @property
    def announced(self) -> float | None:
        """Seconds, as the file says; None: it does not."""
        return self._pictures.length

    @property
    def length(self) -> float | None:
        """Seconds: exact once the film has ended, else what the file says; None: not known."""
        exact = self.ended and self._until > 0
        return self._until if exact else self.announced

    def now(self) -> float:
        return self.at

    def peek(self) -> Frame | None:
        return None  # The next frame was read already, but is in view only once it was taken.

    def newest(self, timeout: float) -> Frame | None:
        """The next frame at once, whatever the time-out."""
        frame = super().newest(0)
        if frame is not None:
            if self._next is not None and frame.picture is self._next.picture:
                self._read(self._next)
            at = frame.at + STANDS_S
            if at < self._until - STANDS_S / 2:
                self.put(Frame(frame.picture, at, at))
            elif self._next is not None:
                self._put(self._next)
            else:
                self.complete()
        return frame

    def close(self) -> None:
        self._pictures.close()

    def _put(self, shown: Shown) -> None:
        self.put(Frame(shown.picture, shown.at, shown.at))

    def _read(self, shown: Shown) -> None:
        """Read the picture after this one."""
        self._next = self._pictures.read(self.start)
        if self._next is not None:
            self._until = self._next.at
            self._longest_s = max(self._longest_s, self._until - shown.at)
            return
        # The last one stands for what is left by the file, if that may be.
        rest = (self.announced or 0.0) - shown.at
        self._until = shown.at + rest if 0 < rest <= self._longest_s else shown.end


def open_film(source: str, clip_length: int = 1) -> Film:
    """Open a video or picture; "-" is a film from stdin. Raises SourceError."""
    if source == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise SourceError("--source - reads a film from a pipe; nothing is piped into it")
        return film_of(source, "what comes from stdin", clip_length)
    path = readable_file(source)
    with contextlib.ExitStack() as opened:
        file = opened.enter_context(open(path, "rb"))
        picture = open_picture(file, source)
        if isinstance(picture, Animation):
            opened.pop_all()  # It keeps the file open.
            return Film(Pictures(moving(picture)), clip_length)
    if picture is not None:
        return Film(Pictures([Shown(picture, 0.0, 0.0)]), clip_length)
    return film_of(path, source, clip_length)


def film_of(path: str, shown: str, clip_length: int) -> Film:
    """A film that a child decodes. shown: what messages call it. Raises SourceError."""
    try:
        return Film(FilmReader(path), clip_length)
    except SourceError as error:
        if str(error) == TOO_LARGE:
            raise
        hint = "; from a pipe an MP4 needs its index first" if path == "-" else ""
        raise SourceError(
            f"{shown} is not a picture or video that can be read here, or it is damaged{hint}"
        ) from error


def readable_file(source: str) -> str:
    """The absolute path of a file that can be opened. Raises SourceError."""
    shown = without_password(source)
    try:
        # Absolute, as FFmpeg takes the start of "12:30.mp4" for a protocol.
        path = Path(os.path.expanduser(source)).absolute()
        str(path).encode()  # A name that is not Unicode is refused here, in one line.
        if not stat.S_ISREG(path.stat().st_mode):  # Opening a pipe would wait for its other end.
            what = "a folder" if path.is_dir() else "no ordinary file"
            raise SourceError(f"{shown} is {what}; give a video or a picture")
        with path.open("rb"):
            return str(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte, or no Unicode
        raise SourceError(f"{shown} can't be opened: {reason_of(error)}") from error


class PlayedFile(LatestFrame):
    """A film at the pace of its own clock, which starts with the first newest(). Where it can't be
    decoded in time, frames are left out."""

    def __init__(self, film: Film, clip_length: int = 1) -> None:
        super().__init__(clip_length)
        self._film = film
        self._started = 0.0  # moved on by each pause
        self._paused_at: float | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._play, name="frames", daemon=True)

    def newest(self, timeout: float) -> Frame | None:
        if self._thread.ident is None and (first := self._film.newest(0)) is not None:
            self._started = time.monotonic()
            self.put(Frame(first.picture, self._started, 0.0))
            if self._film.ended:
                self.complete()
            else:
                self._thread.start()
        return super().newest(timeout)

    def pause(self, paused: bool) -> None:
        with self._changed:
            now = time.monotonic()
            if self._paused_at is not None:
                self._started += now - self._paused_at
            self._paused_at = now if paused else None
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(0.8)
        self._film.close()

    def _play(self) -> None:
        try:
            while (frame := self._film.newest(0)) is not None and self._wait_until(frame.at):
                now = time.monotonic()
                self.put(Frame(frame.picture, now, frame.at))
                self._film.start = now - self._started - LATE_S
            self._wait_until(self._film.length or 0.0)  # The last frame stays on show so long.
        finally:
            self.complete()

    def _wait_until(self, at: float) -> bool:
        """Wait for the film's second `at`. False when it is to be closed instead."""
        with self._changed:
            while not self._closing:
                paused = self._paused_at is not None
                wait_s = None if paused else self._started + at - time.monotonic()
                if wait_s is not None and wait_s <= 0:
                    return True
                self._changed.wait(wait_s)
            return False
