"""What every source has to do, whatever it reads: one test file for all that implement Source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from narrator.frames.frame import Frame
from narrator.frames.opening import open_source
from narrator.frames.source import Source
from support.camera import MjpegCamera
from support.frames import RED, brightening, next_frame, plain, reading_threads
from support.video import write_video

Open = Callable[[int], Source]  # with so many frames a clip


@pytest.fixture(params=["picture", "video", "film", "film of one picture", "stream"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Each kind of source, read from something real."""
    if request.param == "stream":
        with closing(MjpegCamera()) as camera:
            yield lambda length: open_source(camera.url, clip_length=length)
        return
    path = tmp_path / "picture.png"
    if "picture" in request.param:
        cv2.imwrite(str(path), plain(RED))
    else:
        path = write_video(tmp_path / "video.avi", brightening(21, 64, 48), 15, "MJPG")
    every_frame = "film" in request.param
    yield lambda length: open_source(str(path), every_frame, length)


def watch(source: Source, seconds: float) -> list[Frame]:
    """Its frames to the end, or of so many seconds."""
    frames: list[Frame] = []
    deadline = time.monotonic() + 20
    while not source.ended and time.monotonic() < deadline:
        peeked = source.peek()
        frame = source.newest(0.1)
        if peeked is not None:
            assert frame is not None
            assert peeked.at <= frame.at
        if frame is not None:
            frames.append(frame)
            if frame.at - frames[0].at > seconds:
                break
    return frames


def test_a_source_keeps_to_what_source_promises(opened: Open) -> None:
    with closing(opened(1)) as source:
        assert source.at == 0
        assert not source.ended
        frames = watch(source, 0.5)
        for frame in frames:
            assert frame.image.dtype == np.uint8
            assert frame.image.shape[2:] == (3,)
            assert frame.taken <= source.now()
            assert source.clip_to(frame) == [frame]
        assert [frame.at for frame in frames] == sorted({frame.at for frame in frames})
        assert source.at == frames[-1].at
        assert source.messages() == []
        assert source.is_film is (source.now() == source.at)
        if source.ended:
            assert source.peek() is None
            assert source.newest(0.05) is None
        else:
            assert next_frame(source)
    assert not reading_threads()


def test_a_clip_has_earlier_frames_until_it_is_forgotten(opened: Open) -> None:
    with closing(opened(3)) as source:
        frames = watch(source, 1.2)
        clip = source.clip_to(frames[-1])
        assert clip[-1] is frames[-1]
        assert len(clip) > 1 or len(frames) == 1
        assert all(later.at - earlier.at >= 0.6 for earlier, later in zip(clip, clip[1:]))
        source.forget_clip()
        assert source.clip_to(frames[-1]) == [frames[-1]]


def test_a_source_is_closed_before_its_first_frame_and_more_than_once(opened: Open) -> None:
    source = opened(1)
    source.close()
    source.close()
    assert not reading_threads()
    source.newest(0)  # after what was there already, nothing; but no error either
    assert source.messages() == []
