"""VisionReader against stand-ins for what only a Mac has.

FAKES, all of them: objc, Foundation and Vision. Every line of VisionReader runs on them; what a
real Mac does with these calls nobody has seen here (KNOWN_ISSUES.md).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest

from narrator.reading import opening
from narrator.reading.page import Page

IMAGE = np.zeros((200, 400, 3), np.uint8)


def observation(
    text: str, sure: float, left: float, bottom: float, right: float, top: float
) -> Any:
    """A VNRecognizedTextObservation; places are parts of the picture, from the lower left."""
    candidate = SimpleNamespace(string=lambda: text, confidence=lambda: sure)
    return SimpleNamespace(
        topCandidates_=lambda count: [candidate][:count],
        topLeft=lambda: SimpleNamespace(x=left, y=top),
        topRight=lambda: SimpleNamespace(x=right, y=top),
        bottomRight=lambda: SimpleNamespace(x=right, y=bottom),
        bottomLeft=lambda: SimpleNamespace(x=left, y=bottom),
    )


@pytest.fixture
def vision(monkeypatch: pytest.MonkeyPatch) -> Iterator[MagicMock]:
    """A Mac's Vision; results() of its request is what it finds."""
    made = MagicMock()
    made.VNRecognizeTextRequest.alloc.return_value.init.return_value = made.request
    made.VNImageRequestHandler.alloc.return_value.initWithData_options_ = made.handler_of
    made.request.supportedRecognitionLanguagesAndReturnError_.return_value = (["en-US"], None)
    made.handler_of.return_value.performRequests_error_.return_value = (True, None)
    made.request.results.return_value = None
    data = SimpleNamespace(dataWithBytes_length_=lambda data, length: data[:length])
    fakes = {
        "Vision": made,
        "Foundation": SimpleNamespace(NSData=data),
        "objc": SimpleNamespace(autorelease_pool=contextlib.nullcontext),
    }
    for name, module in fakes.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "narrator.reading.vision", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    opening.open_reader.cache_clear()
    yield made
    opening.open_reader.cache_clear()
    sys.modules.pop("narrator.reading.vision", None)


def test_what_vision_finds_is_read_from_the_top(vision: MagicMock) -> None:
    vision.request.results.return_value = [
        observation("Gate 14B", 1.0, 0.25, 0.25, 0.75, 0.35),
        observation("EXIT", 0.5, 0.25, 0.8, 0.5, 0.9),
        observation("Plcafe 0nly", 0.3, 0.25, 0.5, 0.75, 0.6),
    ]
    page = Page(opening.open_reader(), IMAGE)
    assert list(page.sentences()) == ["EXIT", "Gate 14B", "I can't make out the rest."]
    assert [line.box for line in page.lines] == [(100, 20, 200, 40), (100, 130, 300, 150)]
    png = np.frombuffer(vision.handler_of.call_args.args[0], np.uint8)
    sent = cv2.imdecode(png, cv2.IMREAD_COLOR)
    assert sent is not None
    assert np.array_equal(sent, IMAGE)
    vision.request.setUsesLanguageCorrection_.assert_called_once_with(False)
    vision.request.setRecognitionLanguages_.assert_called_once_with(["en-US"])


def test_nothing_found_is_no_text_and_a_failure_is_told_in_visions_words(
    vision: MagicMock,
) -> None:
    assert list(Page(opening.open_reader(), IMAGE).sentences()) == ["I see no text."]
    error = SimpleNamespace(localizedDescription=lambda: "the request was cancelled")
    vision.handler_of.return_value.performRequests_error_.return_value = (False, error)
    with pytest.raises(RuntimeError, match="the request was cancelled"):
        opening.open_reader().find(IMAGE)
