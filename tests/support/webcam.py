"""A webcam on Linux where there is none: v4l2_camera.c, for the children of a test. It can be
unplugged, busy, denied, stalled, frozen, black, or send broken pictures; its header says how."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import cv2
import numpy as np

from support.frames import BLUE, RED

SIZES = ((640, 480), (1920, 1080))
VARIANTS = 4  # of each scene, with other noise
NOISE = 2.5  # its standard deviation, as of a webcam by daylight
GREY = (60, 60, 60)
COLOURS = (RED, BLUE)  # of its scenes 0 and 1


def build_webcam(folder: Path) -> Path:
    """Compile the library, and draw what the camera shows. Raises CalledProcessError."""
    compiler = os.environ.get("CC", "cc")
    flags = ["-O2", "-w", "-shared", "-fPIC", "-o", str(folder / "v4l2_camera.so")]
    source = Path(__file__).with_name("v4l2_camera.c")
    subprocess.run([compiler, *flags, str(source)], check=True, capture_output=True)
    (folder / "frames").mkdir()
    for width, height in SIZES:
        black = np.full((height, width, 3), 4, np.uint8)
        write_scene(folder / "frames", "black", black)
        for number, colour in enumerate(COLOURS):
            image = np.full_like(black, colour)
            image[:, width // 2 :] = GREY
            write_scene(folder / "frames", f"{number:02d}", image)
    return folder


def write_scene(folder: Path, name: str, image: np.ndarray) -> None:
    """Each variant of a scene, as YUYV and as JPEG."""
    rng = np.random.default_rng(1)
    height, width = image.shape[:2]
    for variant in range(VARIANTS):
        noise = rng.normal(0, NOISE, (height, width, 1))
        noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
        path = f"{folder}/{name}-{variant}.{width}x{height}"
        Path(f"{path}.yuyv").write_bytes(cv2.cvtColor(noisy, cv2.COLOR_BGR2YUV_YUYV).tobytes())
        cv2.imwrite(f"{path}.jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 85])


class Webcam:
    """One of the cameras that there are, see show(). built: by build_webcam()."""

    def __init__(self, built: Path, folder: Path) -> None:
        self._control = folder / "cameras"
        self.environment = {
            "LD_PRELOAD": str(built / "v4l2_camera.so"),
            "PETE_CAM_CONTROL": str(self._control),
            "PETE_CAM_DIR": str(built / "frames"),
        }
        self.show()

    def show(self, *lines: str) -> None:
        """From now on these cameras are there, a line each: NUMBER MODE[:SCENE] NAME."""
        new = self._control.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.rename(self._control)


def scene_of(image: np.ndarray) -> int | None:
    """Which of its scenes a picture shows, whole; None for none of them."""
    height, width = image.shape[:2]
    halves = [image[:, : width // 2], image[:, width // 2 :]]
    corners = [half[rows].mean(axis=(0, 1)) for half in halves for rows in (
        slice(0, height // 4), slice(-(height // 4), None))]  # fmt: skip
    for number, colour in enumerate(COLOURS):
        if all(np.abs(seen - want).max() < 25 for seen, want in zip(
            corners, (colour, colour, GREY, GREY))):  # fmt: skip
            return number
    return None
