"""VisionReader against stand-ins for what only a Mac has.

FAKES, all of them: objc, Foundation and Vision. Every line of VisionReader runs on them; what a
real Mac does with these calls nobody has seen here (KNOWN_ISSUES.md).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from narrator.reading import opening
from narrator.reading.page import Page


class Handler:
    """VNImageRequestHandler: fills in the requests. error: what it fails with."""

    error: Any = None

    @classmethod
    def alloc(cls) -> Handler:
        return cls()

    def initWithData_options_(self, data: bytes, options: None) -> Handler:
        self.image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return self

    def performRequests_error_(self, requests: list[Request], error: None) -> tuple[bool, Any]:
        if self.error is not None:
            return False, SimpleNamespace(localizedDescription=lambda: self.error)
        assert self.image is not None
        assert self.image.shape == (200, 400, 3)
        for request in requests:
            assert (request.level, request.corrects, request.detects) == ("accurate", False, True)
            assert request.languages == ["en-US", "ru-RU", "ko-KR"]
        return True, None


class Request:
    """VNRecognizeTextRequest, with the results that the test gives it."""

    found: Any = None

    @classmethod
    def alloc(cls) -> Request:
        return cls()

    def init(self) -> Request:
        return self

    def setRecognitionLevel_(self, level: str) -> None:
        self.level = level

    def setUsesLanguageCorrection_(self, corrects: bool) -> None:
        self.corrects = corrects

    def setAutomaticallyDetectsLanguage_(self, detects: bool) -> None:
        self.detects = detects

    def supportedRecognitionLanguagesAndReturnError_(self, error: None) -> tuple[list[str], None]:
        return ["en-US", "ru-RU", "ko-KR"], None

    def setRecognitionLanguages_(self, languages: list[str]) -> None:
        self.languages = languages

    def results(self) -> Any:
        return self.found


def observation(
    text: str, sure: float, left: float, bottom: float, right: float, top: float
) -> Any:
    """A VNRecognizedTextObservation; places are parts of the picture, from the lower left."""
    candidate = SimpleNamespace(string=lambda: text, confidence=lambda: sure)
    corners = {
        "topLeft": (left, top), "topRight": (right, top),
        "bottomRight": (right, bottom), "bottomLeft": (left, bottom),
    }  # fmt: skip
    points = {
        name: (lambda x=x, y=y: SimpleNamespace(x=x, y=y)) for name, (x, y) in corners.items()
    }
    return SimpleNamespace(topCandidates_=lambda count: [candidate][:count], **points)


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    vision = SimpleNamespace(
        VNImageRequestHandler=Handler,
        VNRecognizeTextRequest=Request,
        VNRequestTextRecognitionLevelAccurate="accurate",
    )
    data = SimpleNamespace(dataWithBytes_length_=lambda data, length: data[:length])
    fakes = {
        "Vision": vision,
        "Foundation": SimpleNamespace(NSData=data),
        "objc": SimpleNamespace(autorelease_pool=contextlib.nullcontext),
    }
    for name, attributes in fakes.items():
        module = ModuleType(name)
        vars(module).update(vars(attributes))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "narrator.reading.vision", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    opening.open_reader.cache_clear()
    yield
    opening.open_reader.cache_clear()
    sys.modules.pop("narrator.reading.vision", None)


IMAGE = np.zeros((200, 400, 3), np.uint8)


def test_what_vision_finds_is_read_from_the_top(mac: None, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        observation("Gate 14B", 1.0, 0.25, 0.25, 0.75, 0.35),
        observation("EXIT", 0.5, 0.25, 0.8, 0.5, 0.9),
        observation("Plcafe 0nly", 0.3, 0.25, 0.5, 0.75, 0.6),
    ]
    monkeypatch.setattr(Request, "found", lines)
    opened = opening.open_reader()
    assert opened.label == "Apple's Vision"
    page = Page(opened, IMAGE)
    assert list(page.sentences()) == ["EXIT", "Gate 14B", "I can't make out the rest."]
    assert [line.box for line in page.lines] == [(100, 20, 200, 40), (100, 130, 300, 150)]


def test_nothing_found_is_no_text_and_a_failure_is_told_in_visions_words(
    mac: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(Page(opening.open_reader(), IMAGE).sentences()) == ["I see no text."]
    monkeypatch.setattr(Handler, "error", "the request was cancelled")
    with pytest.raises(RuntimeError, match="the request was cancelled"):
        opening.open_reader().find(IMAGE)
