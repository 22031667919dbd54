"""Reading on a processor: rapidocr, with the weights of PP-OCRv6 that its wheel brings along, run
by OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rapidocr
from rapidocr.inference_engine.openvino import main as session

from narrator.processor import best_precision
from narrator.reading.reader import Found

SURE = 0.9  # text the right way up and in focus is at 0.97, upside down below 0.83
# The library enlarges what is smaller, and what is longer to gigabytes.
LEAST_SIDE = 480  # pixels
LONGEST = 4  # times as long as wide
TALL = 1.5  # times as tall as wide: a 7 that stands alone is less, a line on its side far more
SAMPLE = 3  # lines that tell which way up a page is
# OpenVINO keeps some megabytes for each width of a line that it has met, and takes its time then.
WIDTH, WIDER = 320 / 48, 1.25  # of the narrowest in its heights, and from each to the next one
GREY = (127, 127, 127)  # what the library itself fills up with


class Settings(session.CPUConfig):  # type: ignore[misc]
    """What the library compiles its graphs with, and the precision, which it has no option for."""

    def get_config(self) -> dict[str, Any]:
        """By OpenVINO's names."""
        return {**super().get_config(), "INFERENCE_PRECISION_HINT": best_precision()}


session.CPUConfig = Settings


class RapidOcrReader:
    """See Reader."""

    label = "rapidocr with OpenVINO"
    confident = 0.85  # tools/measure_reading.py: of what is below, a quarter is wrong, and worse

    def __init__(self) -> None:
        openvino = rapidocr.EngineType.OPENVINO
        models = Path(rapidocr.__file__).parent / "models"
        self._ocr = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Det.engine_type": openvino,
                "Rec.engine_type": openvino,
                # Named, as it would look for others on the network.
                "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
                "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
                "Rec.rec_batch_num": 1,  # several at a time are no quicker, see widened()
            }
        )

    def find(self, image: np.ndarray) -> Found:
        """See Reader. A page that is upside down or on its side is found as it is written.

        The library's own classifier, which turns single lines, took one upright line in ten for
        one that is upside down.
        """
        height, width = image.shape[:2]
        least = max(LEAST_SIDE, max(height, width) // LONGEST)
        image = cv2.copyMakeBorder(
            image,
            *(0, max(0, least - height), 0, max(0, least - width)),
            cv2.BORDER_CONSTANT,
            value=image.mean(axis=(0, 1)),
        )
        boxes = self._ocr(image, use_cls=False, use_rec=False).boxes
        quads = np.array([] if boxes is None else boxes, np.float32).reshape(-1, 4, 2)
        if not len(quads):
            return Lines(self._ocr, image, quads)
        along, down = (np.linalg.norm(quads[:, 0] - quads[:, k], axis=1) for k in (1, 3))
        turns = (0, 2) if down.sum() < TALL * along.sum() else (1, 3)
        sample = np.argsort(-np.maximum(along, down))[:SAMPLE].tolist()
        best, most = None, -1.0
        for turn in turns:
            lines = Lines(self._ocr, image, np.roll(quads, turn, axis=1))
            sure = float(np.mean([sure for _, sure in lines.recognise(sample)]))
            if sure > most:
                best, most = lines, sure
            if sure > SURE:
                break
        assert best is not None
        return best


class Lines:
    """See Found."""

    def __init__(self, ocr: rapidocr.RapidOCR, image: np.ndarray, quads: np.ndarray) -> None:
        self._ocr, self._image, self.quads = ocr, image, quads
        self._known: dict[int, tuple[str, float]] = {}

    def recognise(self, numbers: Sequence[int]) -> list[tuple[str, float]]:
        """See Found."""
        new = [number for number in numbers if number not in self._known]
        if new:
            crops = self._ocr.crop_text_regions(self._image, self.quads[new])
            result = self._ocr.recognize_txt([widened(crop) for crop in crops])
            self._known.update(zip(new, zip(result.txts, result.scores)))
        return [self._known[number] for number in numbers]


def widened(crop: np.ndarray) -> np.ndarray:
    """A line with grey behind it, so that all lines are of a few widths."""
    height, width = crop.shape[:2]
    wanted = WIDTH
    while wanted * height < width:
        wanted *= WIDER
    grey = max(0, round(wanted * height) - width)
    return np.asarray(cv2.copyMakeBorder(crop, 0, 0, 0, grey, cv2.BORDER_CONSTANT, value=GREY))
