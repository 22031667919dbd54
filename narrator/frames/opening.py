"""What a --source names, and the Source that it opens."""

from __future__ import annotations

import enum
import errno
import logging
import os
import re
from urllib.parse import unquote, urlsplit

from narrator.child import Child
from narrator.errors import SourceError, UsageError, reason_of
from narrator.frames.cameras import NAMED, is_camera
from narrator.frames.files import Film, PlayedFile, open_film
from narrator.frames.films import FilmReader
from narrator.frames.live import CAMERA_LIMITS, CAPTURE, LiveLimits, LiveSource
from narrator.frames.source import Source
from narrator.text import without_password

log = logging.getLogger(__name__)

REMOTE_S = 10.0  # for a film at an address to be opened, and for each read
LIVE = "--vtt is for films; for a camera or stream, --json prints each caption's time"
LISTED_S = 60.0  # for cameras that take long to open


class SourceKind(enum.Enum):
    CAMERA = "camera"
    STREAM = "stream"
    FILE = "file"


def list_cameras() -> None:
    """Print number, picture size and name of each camera. Raises SourceError if there is none."""
    with Child(CAPTURE) as child:
        try:
            child.receive(LISTED_S)
            cameras = child.ask({"cameras": True}, LISTED_S)["cameras"]
        except ChildProcessError as error:
            raise SourceError(f"the cameras can't be listed: {error}") from error
    if not cameras:
        raise SourceError("no camera found; --source takes a video, a picture or a stream too")
    for number, name, size, problem in cameras:
        if problem:
            log.info(problem)
        print(f"{number}  {size or 'no picture'}  {name}".rstrip())


def source_kind(source: str) -> SourceKind:
    """Tell a source by its form: a camera, a URL, or else a file."""
    if is_camera(source):
        return SourceKind.CAMERA
    is_url = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source)
    return SourceKind.STREAM if is_url else SourceKind.FILE


def resolve_source(source: str) -> str:
    """--source as open_source() takes it: what can be nothing but a part of a camera's name becomes
    NAMED and that; file:// is a file; - is stdin. Raises SourceError."""
    if source == "-":
        return source
    if source == NAMED or source_kind(source) is SourceKind.STREAM:
        if not source.lower().startswith("file://"):
            return source
        source = unquote(urlsplit(source).path)
    try:
        os.lstat(os.path.expanduser(source))
        return f"./{source}" if source.startswith(NAMED) else source
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        no_file = error
    if source_kind(source) is not SourceKind.FILE or "/" in source:
        return source
    missing = getattr(no_file, "errno", None) == errno.ENOENT
    ends = re.search(r"\.[A-Za-z][A-Za-z0-9]{1,4}$", source)
    if ends or not missing or not source.isprintable():
        raise SourceError(
            f"{without_password(source)} can't be opened: {reason_of(no_file)}"
        ) from no_file
    return NAMED + source


def open_source(
    source: str, every_frame: bool = False, clip_length: int = 1, waits: bool = False
) -> Source:
    """Open what resolve_source() returned. Raises SourceError.

    every_frame: a file is not played, but gives each frame in turn. clip_length: in frames. waits:
    wait for a camera or stream that is not connected yet.
    """
    kind = source_kind(source)
    if kind is SourceKind.CAMERA:
        return LiveSource(kind.value, source, clip_length, CAMERA_LIMITS, waits)
    film = (
        open_film(source, clip_length)
        if kind is SourceKind.FILE
        else remote_film(source, clip_length)
    )
    if film is not None:
        return film if every_frame else PlayedFile(film, clip_length)
    limits = LiveLimits()
    if every_frame:
        from narrator.frames.streams import NO_PICTURE, stream_problem

        problem = stream_problem(source, limits.open_s)
        if problem != NO_PICTURE:
            raise SourceError(f"stream {without_password(source)} {problem}")
        raise UsageError(LIVE)
    return LiveSource(kind.value, source, clip_length, limits, waits)


def remote_film(url: str, clip_length: int = 1) -> Film | None:
    """The film at an address, which has a length; None where there is none. Raises SourceError
    where there can be none."""
    from narrator.frames.streams import check_address, may_be_film  # They take a while to import.

    check_address(url)
    if not url.lower().startswith("http") or not may_be_film(url, REMOTE_S):
        return None
    try:
        reader = FilmReader(url, (REMOTE_S, REMOTE_S))
    except SourceError:  # LiveSource says why.
        return None
    if reader.length is None:
        reader.close()
        return None
    try:
        return Film(reader, clip_length)
    except SourceError as error:  # An MP4 with its index at the end has to be read backwards.
        shown = without_password(url)
        raise SourceError(f"{shown} can't be played from its server; download it first") from error
