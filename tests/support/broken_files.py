"""Files that are no picture and no video, and what comes of watching one."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

from narrator.errors import SourceError
from narrator.frames.opening import open_source
from support.camera import as_jpeg, stamped_picture
from support.video import write_video


def broken_files(folder: Path, count: int) -> list[Path]:
    """Files of random, truncated, damaged and mislabelled bytes; the same ones each time."""
    dice = random.Random(5)
    images = [stamped_picture(320, 48) for _ in range(6)]
    videos = [write_video(folder / f"whole{suffix}", images) for suffix in (".mp4", ".mkv", ".avi")]
    whole = [video.read_bytes() for video in videos] + [as_jpeg(images[0])]
    suffixes = [".mp4", ".mkv", ".avi", ".jpg", ".png", ".gif", ".webp", ".txt", ".mjpeg", ".sdp"]
    suffixes += [".m3u8", ".ts", ".wav", ".tiff", ""]
    files = []
    for number in range(count):
        content = bytearray(dice.choice(whole))
        kind = number % 4
        if kind == 0:
            content = bytearray(dice.randbytes(dice.randrange(100_000)))
        elif kind == 1:
            del content[dice.randrange(len(content)) :]
        elif kind == 2:
            for _ in range(50):
                content[dice.randrange(len(content))] = dice.randrange(256)
        else:
            content = bytearray(Path(__file__).read_bytes())
        files.append(folder / f"{number}{dice.choice(suffixes)}")
        files[-1].write_bytes(content)
    return files


def answer_to(path: Path) -> str:
    """What comes of watching this file, which must be nothing but frames or one clear line."""
    try:
        source = open_source(str(path))
    except SourceError as error:
        in_one_line = len(str(error).splitlines()) == 1
        return "refused" if in_one_line else f"WRONG: {error!r}"
    with contextlib.closing(source):
        deadline = time.monotonic() + 5
        while not source.ended and time.monotonic() < deadline:
            source.newest(0.1)
        return "shown to its end" if source.ended else "STILL shown after 5 s"
