"""Frames as JPEG files in one folder, each with its caption and its time inside."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import threading
from datetime import datetime
from pathlib import Path

from PIL import ExifTags, Image

from narrator.errors import UsageError, reason_of
from narrator.frames.frame import Frame
from narrator.outputs.output import Caption, Output
from narrator.settings import JPEG_QUALITY

log = logging.getLogger(__name__)
MAX_CHARACTERS = 8000  # of a caption: all of EXIF has to fit into 64 kB


class SavedFrames(Output):
    """Saves frames. A file is named by the local time at which its frame was taken, so that names
    sort by time, and appears complete or not at all. A failure is reported once, and so is
    its end."""

    def __init__(self, folder: str, close_timeout_s: float = 0.5) -> None:
        self._folder, self._close_timeout_s = Path(os.path.expanduser(folder)), close_timeout_s
        self._failing = False
        self._writing = threading.Lock()  # and once closed, held for ever

    def prepare(self) -> None:
        """Make the folder, and try whether it can be written in. Raises UsageError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.write(b"tried")
        except FileExistsError as error:
            raise UsageError(f"--save {self._folder} is a file; give a folder") from error
        except (OSError, ValueError) as error:  # ValueError: a zero byte
            reason = reason_of(error)
            raise UsageError(f"--save {self._folder} can't be written: {reason}") from error

    def write(self, caption: Caption) -> None:
        """Save the frame of a caption."""
        self.save(caption.frame, caption.time, caption.line)

    def save(self, frame: Frame, taken: datetime, text: str) -> Path | None:
        """Save a frame with what was said of it; the file's path, or None where that failed."""
        try:
            data = as_jpeg(frame, taken, text[:MAX_CHARACTERS])
            with self._writing:
                path = self._write_file(data, taken)
        except (OSError, ValueError) as error:
            path, reason = None, reason_of(error)
            if not self._failing:
                log.info(f"frames can't be saved in {self._folder.absolute()}: {reason}")
        else:
            if self._failing:
                log.info(f"frames are saved again in {self._folder.absolute()}")
        self._failing = path is None
        return path

    def close(self) -> None:
        """Let the file that is being written be finished, and begin no other."""
        self._writing.acquire(timeout=self._close_timeout_s)

    def _write_file(self, data: bytes, taken: datetime) -> Path:
        """Write to a hidden file, then rename it. Who made the hidden file has the name, so two
        programs that save into one folder never take each other's."""
        stem = f"{taken:%Y-%m-%dT%H-%M-%S}.{taken.microsecond // 1000:03d}"
        for number in range(1, 1000):
            name = f"{stem}.jpg" if number == 1 else f"{stem}-{number}.jpg"
            path, hidden = self._folder / name, self._folder / f".{name}.part"
            with contextlib.suppress(FileExistsError), hidden.open("xb") as file:
                try:
                    if not path.exists():
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
                        return hidden.rename(path)
                finally:
                    hidden.unlink(missing_ok=True)  # not there any more where it was renamed
        raise OSError("too many frames of this millisecond")


def as_jpeg(frame: Frame, taken: datetime, text: str) -> bytes:
    """A frame as the bytes of a JPEG that records when it was taken and what was said of it.

    EXIF's ImageDescription is UTF-8, as the Metadata Working Group's guidelines (2.0) read its
    ASCII; UserComment is UTF-16, EXIF's own Unicode, in the byte order of the whole, big-endian.
    """
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    if text:
        exif[ExifTags.Base.ImageDescription] = text.encode("utf-8", "replace")
        details[ExifTags.Base.UserComment] = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    exif[ExifTags.Base.Software] = "Pete Sounds"
    details[ExifTags.Base.DateTimeOriginal] = f"{taken:%Y:%m:%d %H:%M:%S}"
    details[ExifTags.Base.SubsecTimeOriginal] = f"{taken.microsecond // 1000:03d}"
    details[ExifTags.Base.OffsetTimeOriginal] = taken.isoformat()[-6:]
    content = io.BytesIO()
    frame.rgb().save(content, "JPEG", quality=JPEG_QUALITY, exif=exif)
    return content.getvalue()
