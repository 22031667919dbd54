"""The film child: decodes a film, and puts one picture after the other into memory that the parent
has mapped, too. `python -m narrator.frames.film_child`

The first message to it names the film, see FilmReader. Each further one, {"start": seconds}, asks
for the next picture that is to be shown then or later. What it says:

  {"ready": true}                                 at first
  {"length": seconds or null, "frame_s": seconds} it is a film; null: how long is not known
  {"live": true}                                  it is a stream that has no end
  {"problem": text}                               it is none of them
  {"shape": [...], "at": seconds, "end": seconds, "length": seconds or null}
                                                  a picture, uint8 BGR, shown until `end`
  {"ended": true}
"""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numpy as np

from narrator.child import Parent
from narrator.errors import SourceError, reason_of
from narrator.frames.memory import limit_memory
from narrator.frames.video import Video


class FilmChild:
    """Shows a film to the parent."""

    def __init__(self, parent: Parent, video: Video, memory: int) -> None:
        self._parent, self._video = parent, video
        self._memory = np.frombuffer(mmap.mmap(memory, 0), np.uint8)

    def run(self) -> None:
        """Decode ahead: the next picture is there before it is asked for."""
        video, start, late = self._video, None, None
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


def open_video(source: str, timeouts: tuple[float, float] | None, **_: Any) -> Video:
    # A playlist in a file is to name files alone.
    return Video(source, {"protocol_whitelist": "file"}, timeouts)


def main() -> None:
    parent = Parent()
    parent.send(ready=True)
    request = parent.receive()
    limit_memory()
    try:
        video = open_video(**request)
    except (SourceError, MemoryError) as error:
        parent.send(problem=reason_of(error))
    except Exception as error:  # Whatever a broken file brings about.
        parent.send(problem=reason_of(error))
    else:
        parent.send(length=video.length, frame_s=video.frame_s)
        with contextlib.suppress(MemoryError):
            FilmChild(parent, video, request["memory"]).run()
            parent.receive()


if __name__ == "__main__":
    main()
