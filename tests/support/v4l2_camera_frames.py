"""Pictures for v4l2_camera.c: drawn scenes as YUYV and JPEG, in the sizes of a webcam, with noise.

CLONE/.venv/bin/python v4l2_camera_frames.py CLONE FOLDER   (CLONE: where tests/support is)
CLONE/.venv/bin/python v4l2_camera_frames.py CLONE FOLDER PICTURE...   one scene for each picture
"""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

SIZES = ((640, 480), (1920, 1080))
VARIANTS = 4  # of each scene, with other noise
NOISE = 2.5  # its standard deviation, as of a webcam by daylight


def main() -> None:
    clone, folder, pictures = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    sys.path.insert(0, f"{clone}/tests/support")  # its own package wants pytest
    from drawn_scenes import Scene, Shape, caption_of, draw  # type: ignore[import-not-found]

    wall = Scene(None, 640, 480, wall=(134.0, 131.0, 129.0), slope=(9.0, -7.0))
    spots = (
        None,
        ("circle", "red", 0.20, 0.50, 0.16),
        ("square", "blue", 0.50, 0.20, 0.17),
        ("star", "yellow", 0.80, 0.79, 0.19),
        ("triangle", "green", 0.50, 0.50, 0.18),
        ("circle", "purple", 0.82, 0.20, 0.14),
        ("square", "white", 0.19, 0.80, 0.15),
    )
    scenes = [replace(wall, shape=spot and Shape(*spot)) for spot in spots]
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for width, height in SIZES:
        sized = [replace(scene, width=width, height=height) for scene in scenes]
        drawn = [cv2.resize(cv2.imread(name), (width, height)) for name in pictures]
        for number, frame in enumerate(drawn or [draw(scene) for scene in sized]):
            write(folder, f"{number:02d}", frame, rng)
        write(folder, "black", np.full((height, width, 3), 4, np.uint8), rng)
    if not pictures:
        for number, scene in enumerate(scenes):
            print(f"{number:02d}", caption_of(scene))


def write(folder: Path, name: str, frame: np.ndarray, rng: np.random.Generator) -> None:
    """Each variant of a scene, in both formats."""
    height, width = frame.shape[:2]
    for variant in range(VARIANTS):
        noise = rng.normal(0, NOISE, (height, width, 1))
        noisy = np.clip(frame + noise, 0, 255).astype(np.uint8)
        to = folder / f"{name}-{variant}.{width}x{height}"
        to.with_name(to.name + ".yuyv").write_bytes(
            cv2.cvtColor(noisy, cv2.COLOR_BGR2YUV_YUYV).tobytes()
        )
        cv2.imwrite(str(to) + ".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 85])


main()
