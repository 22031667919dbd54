"""Video files: ones filmed from drawn pictures, and the clip of --demo with what is true when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from support.camera import as_jpeg


@dataclass(frozen=True)
class DemoClip:
    """The clip of --demo. rests: (start, end, true caption), seconds into the clip."""

    path: Path
    rests: tuple[tuple[float, float, str], ...]

    def true_at(self, at: float) -> set[str]:
        """What may be said of second `at`: one caption, or while things move, the next ones too."""
        near = [rest for rest in self.rests if rest[0] - 0.1 <= at <= rest[1] + 0.1]
        if near:
            return {caption for *_, caption in near}
        before = [caption for _, end, caption in self.rests if end < at][-1:]
        after = [caption for start, _, caption in self.rests if start > at][:1]
        return {*before, *after, "Nothing but a grey wall."}


def write_video(
    path: Path, images: Iterable[np.ndarray], fps: float = 15, codec: str = "mp4v"
) -> Path:
    """Film BGR images of one size, each shown for one frame; returns the path."""
    writer: cv2.VideoWriter | None = None
    for image in images:
        if writer is None:
            height, width = image.shape[:2]
            writer = cv2.VideoWriter(
                str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, (width, height)
            )
            assert writer.isOpened(), f"this OpenCV can't write {codec} to {path.name}"
        writer.write(image)
    assert writer is not None, "a video needs an image"
    writer.release()
    return path


def write_timed(path: Path, images: Iterable[np.ndarray], times: Iterable[float]) -> Path:
    """Film BGR images of one size, each from a time of its own on, in seconds; returns the path."""
    writer: cv2.VideoWriter | None = None
    for image, at in zip(images, times):
        if writer is None:
            height, width = image.shape[:2]
            writer = cv2.VideoWriter(
                str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 100.0, (width, height),
                [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1],
            )  # fmt: skip
            assert writer.isOpened(), f"this OpenCV can't write JPEGs to {path.name}"
        writer.set(cv2.VIDEOWRITER_PROP_PTS, round(100 * at))
        writer.write(np.frombuffer(as_jpeg(image), np.uint8))
    assert writer is not None, "a video needs an image"
    writer.release()
    return path
