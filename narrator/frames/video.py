"""Videos, read by PyAV (FFmpeg): upright, at the aspect and with the frames that are meant.

For a child process alone, and one without cv2: that has an FFmpeg of its own, and two in one
process clash on a Mac.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import Any

import av
import av.error
import av.filter
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from narrator.errors import SourceError
from narrator.frames.jpeg import TOO_LARGE
from narrator.libraries import MAX_PIXELS

# The clock of a broadcast jumps where recordings were joined or cut; no other format's does.
JUMP_S = 10.0  # as in ffplay (AV_NOSYNC_THRESHOLD)
TEXT = ("ansi", "bintext", "xbin", "idf")  # which FFmpeg draws as if a terminal showed it
MANY_PIXELS = 10_000_000  # Each thread that decodes takes a dozen pictures of memory.
HURRY_S = 1.0  # Who is so late jumps to a key frame.


class Video:
    """The pictures of a video file or stream, in turn.

    file: a path, a URL, or a file object. options: FFmpeg's. timeouts: seconds for opening and for
    each read. live: no picture is held up by threads. Raises SourceError and av.FFmpegError.
    length: in seconds, as the file says, or None. end: when the picture that came last will have
    stood long enough; frame_s: how long one stands as a rule.
    """

    def __init__(
        self,
        file: Any,
        options: dict[str, str],
        timeouts: tuple[float, float] | None = None,
        live: bool = False,
    ) -> None:
        self._container = av.open(file, options=options, timeout=timeouts)
        stream: Any = self._container.streams.best("video")
        if stream is None or stream.codec_context is None or stream.codec_context.name in TEXT:
            raise SourceError("there is no video in it")
        self._stream, self._decoder = stream, stream.codec_context
        name = self._decoder.name
        if stream.metadata.get("alpha_mode") == "1":  # FFmpeg's own decoder leaves it out.
            name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(name, name)
            self._decoder = av.CodecContext.create(name, "r")
        pixels = stream.codec_context.width * stream.codec_context.height
        if pixels > MAX_PIXELS:
            raise SourceError(TOO_LARGE)
        self._decoder.options = {"max_pixels": str(MAX_PIXELS)}
        self._decoder.thread_type = "SLICE" if live else "AUTO"
        few = live or pixels > MANY_PIXELS
        self._decoder.thread_count = 1 if few else min(4, os.cpu_count() or 1)
        rate = float(stream.guessed_rate or 0)
        self.frame_s = 1 / rate if 0.01 < rate < 1000 else 1 / 25
        self.length = self._announced()
        self.end = 0.0
        self._first: float | None = None  # on the stream's clock
        self._matrices: dict[int, tuple[int, ...]] = {}
        self._reformatter = VideoReformatter()
        self._deinterlacer = Deinterlacer(stream.time_base)

    def _announced(self) -> float | None:
        duration, unit = self._stream.duration, self._stream.time_base
        if duration is not None and duration > 0:
            return float(duration * unit)
        if not self._container.duration or self._container.duration < 0:
            return None
        length: float = self._container.duration / 1e6
        if "matroska" in self._container.format.name:  # It counts from 0, wherever it starts.
            length -= max(0.0, (self._container.start_time or 0) / 1e6)
        return length

    def __iter__(self) -> Iterator[tuple[Any, float]]:
        """Each frame, for picture(), and when it is to be shown, in seconds from the first."""
        at: float | None = None
        for frame in self._decoded():
            at = self._time(frame, at)
            stands_s = float((frame.duration or 0) * self._stream.time_base)
            self.end = at + (stands_s or self.frame_s)
            yield self._deinterlacer.whole(frame), at

    @property
    def is_jpeg(self) -> bool:
        return bool(self._decoder.name == "mjpeg")

    def hurry(self, late_s: float) -> None:
        """Decode key frames alone, while a picture that is so late would be of no use."""
        self._decoder.skip_frame = "NONKEY" if late_s > HURRY_S else "DEFAULT"

    def packets(self) -> Iterator[bytes]:
        """What is coded, as it comes: of a video that is_jpeg, JPEGs."""
        return (bytes(packet) for packet in self._container.demux(self._stream) if packet.size)

    def picture(self, frame: VideoFrame) -> np.ndarray:
        """The pixels of a frame as uint8 BGR, on white where it is transparent."""
        ratio = float(self._stream.sample_aspect_ratio or 1)
        width, height = frame.width, frame.height
        if 0.1 < ratio < 10 and width * height * max(ratio, 1 / ratio) <= MAX_PIXELS:
            width, height = round(width * max(1, ratio)), round(height * max(1, 1 / ratio))
        same = (width, height) == (frame.width, frame.height)
        how = Interpolation.FAST_BILINEAR if same else Interpolation.BICUBIC
        clear = any(part.is_alpha for part in frame.format.components)
        form = "bgra" if clear else "bgr24"
        image: Any = self._reformatter.reformat(
            frame, width, height, form, interpolation=how, threads=1
        ).to_ndarray()
        if frame.rotation not in self._matrices:  # To ask each frame would keep it in memory.
            self._matrices = {frame.rotation: display_matrix(frame)}
        xx, xy, yx, yy = self._matrices[frame.rotation]
        image = on_white(image) if clear else image
        if abs(xy) > abs(xx):
            image, xx, yy = image.transpose(1, 0, 2), xy, yx
        turned: np.ndarray = image[:: -1 if yy < 0 else 1, :: -1 if xx < 0 else 1]
        return turned

    def _decoded(self) -> Iterator[VideoFrame]:
        with contextlib.suppress(av.error.FFmpegError):  # It can't be read any further.
            for packet in self._container.demux(self._stream):
                if packet.size:  # An empty one would be the end.
                    with contextlib.suppress(av.error.InvalidDataError):
                        yield from self._decoder.decode(packet)
            yield from self._decoder.decode(None)

    def _time(self, frame: VideoFrame, before: float | None) -> float:
        """When to show a frame; without time stamps, frames are counted."""
        if before is None or frame.pts is None:
            self._first = self._first or (frame.pts and float(frame.pts * self._stream.time_base))
            return 0.0 if before is None else before + self.frame_s
        stamp = float(frame.pts * self._stream.time_base)
        self._first = stamp if self._first is None else self._first
        gap = stamp - self._first - before
        jumps = gap > JUMP_S and self._container.format.name == "mpegts"
        if gap <= 0 or jumps:
            self._first += gap - self.frame_s
            self.length = self.length and self.length - max(0.0, gap - self.frame_s)
        return stamp - self._first


class Deinterlacer:
    """Gives interlaced frames whole lines, from the first one on."""

    def __init__(self, time_base: Any) -> None:
        self._time_base = time_base
        self._graph: av.filter.Graph | None = None
        self._made_for = ("", 0, 0)

    def whole(self, frame: VideoFrame) -> VideoFrame:
        """The frame, or the one before it, as the next one is needed, too."""
        if self._graph is None and not frame.interlaced_frame:
            return frame
        kind = (frame.format.name, frame.width, frame.height)
        if self._graph is None or self._made_for != kind:
            self._graph, self._made_for = av.filter.Graph(), kind
            source = self._graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=self._time_base,
            )
            bwdif = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
            self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()
        self._graph.vpush(frame)
        with contextlib.suppress(av.error.BlockingIOError):
            return self._graph.vpull()
        return frame


def on_white(image: np.ndarray) -> np.ndarray:
    """BGRA, laid on white, as uint8 BGR."""
    clear = 255 - image[:, :, 3:].astype(np.uint16)
    return (image[:, :, :3] * (1 - clear / 255) + clear + 0.5).astype(np.uint8)


def display_matrix(frame: VideoFrame) -> tuple[int, ...]:
    """How the axes of the shown picture follow from those of the coded one: x by x and y, y by x
    and y, where there is no more to it than turning and mirroring."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    xx, yx, _, xy, yy = struct.unpack_from("=5i", bytes(data))
    return xx, xy, yx, yy
