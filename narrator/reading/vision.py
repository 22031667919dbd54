"""Reading on a Mac: the system's own Vision, which needs no weights."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import objc
import Vision
from Foundation import NSData

from narrator.reading.reader import Found


class VisionReader:
    """See Reader."""

    label = "Apple's Vision"
    confident = 0.5  # Vision knows three steps: 0.3, 0.5 and 1.0

    def find(self, image: np.ndarray) -> Found:
        """See Reader. Raises RuntimeError with Vision's own words."""
        png = cv2.imencode(".png", image)[1].tobytes()
        with objc.autorelease_pool():
            handler = Vision.VNImageRequestHandler.alloc().initWithData_options_(
                NSData.dataWithBytes_length_(png, len(png)), None
            )
            request = Vision.VNRecognizeTextRequest.alloc().init()
            request.setRecognitionLevel_(Vision.VNRequestTextRecognitionLevelAccurate)
            request.setUsesLanguageCorrection_(False)  # Or a serial number becomes a word.
            request.setAutomaticallyDetectsLanguage_(True)
            # Of itself it looks for English alone.
            languages, _ = request.supportedRecognitionLanguagesAndReturnError_(None)
            if languages:
                request.setRecognitionLanguages_(languages)
            done, error = handler.performRequests_error_([request], None)
            if not done:
                raise RuntimeError(str(error.localizedDescription()))
            return Lines(request.results() or [], image.shape[1], image.shape[0])


class Lines:
    """See Found. results: VNRecognizedTextObservation."""

    def __init__(self, results: Sequence[object], width: int, height: int) -> None:
        self._texts: list[tuple[str, float]] = []
        corners = []
        for result in results:
            best = result.topCandidates_(1)[0]  # type: ignore[attr-defined]
            self._texts.append((str(best.string()), float(best.confidence())))
            names = ("topLeft", "topRight", "bottomRight", "bottomLeft")
            points = [getattr(result, name)() for name in names]
            # Vision counts from the lower left corner, in parts of the picture.
            corners.append([(point.x * width, (1 - point.y) * height) for point in points])
        self.quads = np.array(corners, np.float32).reshape(-1, 4, 2)

    def recognise(self, numbers: Sequence[int]) -> list[tuple[str, float]]:
        """See Found."""
        return [self._texts[number] for number in numbers]
