"""The film child: decodes a film, and puts one picture after the other into memory that the parent
has mapped, too. `python -m narrator.frames.film_child`

The first message to it names the film, see FilmReader. Each further one, {"start": seconds}, asks
for the next picture that is to be shown then or later. What it says:

  {"ready": true}                                 at first
  {"length": seconds or null}                     it is a film; null: how long is not known
  {"problem": text}                               it is none
  {"shape": [...], "at": seconds, "end": seconds, "length": seconds or null}
                                                  a picture (uint8 BGR, or of one dimension, a
                                                  JPEG), shown until `end`
  {"ended": true}
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from narrator.child import Parent
from narrator.errors import reason_of
from narrator.frames.jpeg import holds_jpegs, is_whole
from narrator.frames.memory import limit_memory
from narrator.frames.video import Video
from narrator.libraries import keep_freed_memory, stream_options

FILES = {"protocol_whitelist": "file"}  # A playlist in a file names files alone.


class FilmChild:
    """Shows a film to the parent."""

    def __init__(self, parent: Parent, video: Video | JpegFilm, memory: int) -> None:
        self._parent, self._video = parent, video
        self._memory = np.frombuffer(mmap.mmap(memory, 0), np.uint8)

    def run(self) -> None:
        """Decode ahead: the next picture is there before it is asked for."""
        video: Any = self._video
        start, late = None, None
        for frame, at in video:
            if start is not None and at < start:
                late = frame
                video.hurry(start - at)
                continue
            video.hurry(0.0)
            image = video.picture(frame)
            if start is None:
                start = self._parent.receive()["start"]
            late = frame if at < start else None
            if late is None:
                self._put(image, at)
                start = None
        if late is not None:  # The last picture is shown, however late.
            self._put(video.picture(late), at)
            start = None
        if start is None:
            self._parent.receive()
        self._parent.send(ended=True)

    def _put(self, image: np.ndarray, at: float) -> None:
        # The memory has room for every picture that Video gives.
        self._memory[: image.nbytes] = image.ravel()
        self._parent.send(shape=image.shape, at=at, end=self._video.end, length=self._video.length)


class JpegFilm:
    """JPEGs that come from a pipe, as if they were a Video: each is shown when it comes, but no
    sooner than a camera would send it."""

    length: float | None = None
    frame_s = 1 / 30

    def __init__(self, file: Any) -> None:
        from narrator.frames.stream_reader import Jpegs  # It takes a while to import.

        self._jpegs, self.end = Jpegs(file), 0.0

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        first: float | None = None
        while not self._jpegs.ended:
            good, image = self._jpegs.read()
            if good and is_whole(image.tobytes()):
                now = time.monotonic()
                first = now if first is None else first
                at = max(now - first, self.end)
                self.end = at + self.frame_s
                yield image[0], at

    def hurry(self, late_s: float) -> None:
        """There is nothing to decode."""

    def picture(self, frame: np.ndarray) -> np.ndarray:
        """The bytes of a JPEG, shape (count,)."""
        return frame


def open_video(
    source: str, stdin: int, timeouts: Sequence[float] | None, **_: Any
) -> Video | JpegFilm:
    """Open what the parent asks for. Raises SourceError and av.FFmpegError."""
    if source == "-":
        file = os.fdopen(stdin, "rb")
        return JpegFilm(file) if holds_jpegs(file) else Video(file, FILES)
    if timeouts is not None:
        open_s, read_s = timeouts
        return Video(source, stream_options(), (open_s, read_s))
    return Video(source, FILES)


def main() -> None:
    parent = Parent()
    parent.send(ready=True)
    request = parent.receive()
    limit_memory()
    keep_freed_memory()
    try:
        video = open_video(**request)
    except Exception as error:  # Whatever a broken file brings about.
        parent.send(problem=reason_of(error))
    else:
        parent.send(length=video.length)
        with contextlib.suppress(MemoryError):
            FilmChild(parent, video, request["memory"]).run()
            parent.receive()


if __name__ == "__main__":
    main()
