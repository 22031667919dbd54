"""What a --source names, and the Source that it opens."""

from __future__ import annotations

import enum
import functools
import os
import re
from urllib.parse import unquote, urlsplit

import cv2

from narrator.errors import SourceError, reason_of
from narrator.frames.cameras import NAMED, known_cameras, open_camera
from narrator.frames.files import PlayedFile, open_film
from narrator.frames.live import LiveSource
from narrator.frames.source import Source
from narrator.frames.streams import check_address, open_stream
from narrator.text import without_password


class SourceKind(enum.Enum):
    CAMERA = "camera"
    STREAM = "stream"
    FILE = "file"


def source_kind(source: str) -> SourceKind:
    """Tell a source by its form: a number or NAMED, a URL, or else a file."""
    if re.fullmatch(r"[0-9]{1,4}", source) or source.startswith(NAMED):
        return SourceKind.CAMERA
    is_url = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source)
    return SourceKind.STREAM if is_url else SourceKind.FILE


def resolve_source(source: str) -> str:
    """--source as open_source() takes it: a part of a camera's name becomes NAMED and the whole
    name; a number, a URL and an existing file stay what they are, and file:// is a file. Raises
    SourceError."""
    if source.lower().startswith("file://"):
        source = unquote(urlsplit(source).path)
    try:
        os.lstat(os.path.expanduser(source))
        return f"./{source}" if source.startswith(NAMED) else source
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        no_file = error
    if source_kind(source) is not SourceKind.FILE or "/" in source:
        return source
    wanted = source.casefold()
    found = [pair for pair in known_cameras().items() if wanted in pair[1].casefold()]
    found = [pair for pair in found if wanted == pair[1].casefold()] or found
    if not found:
        raise SourceError(
            f"{without_password(source)} can't be opened: {reason_of(no_file)}, and no camera has "
            "that name; --list-cameras shows those that are there"
        ) from no_file
    if len(found) > 1:
        several = ", ".join(f"{number} ({name})" for number, name in found)
        raise SourceError(f"--source {source} may be any of the cameras {several}; give its number")
    return NAMED + found[0][1]


def open_source(
    source: str, every_frame: bool = False, clip_length: int = 1, waits: bool = False
) -> Source:
    """Open what resolve_source() returned, on the main thread: macOS asks for permission to use a
    camera there alone. Raises SourceError.

    every_frame: a file is not played, but gives each frame in turn. clip_length: in frames. waits:
    a camera or stream that is not there yet is waited for.
    """
    kind = source_kind(source)
    try:
        if kind is SourceKind.FILE:
            film = open_film(source, clip_length)
            return film if every_frame else PlayedFile(film, clip_length)
        if kind is SourceKind.STREAM:
            check_address(source)
        opener = open_camera if kind is SourceKind.CAMERA else open_stream
        opened = functools.partial(opener, source)
        return LiveSource(kind.value, opened, clip_length, waits=waits)
    except cv2.error as error:
        raise SourceError(f"{without_password(source)} can't be read: {error.err}") from error
