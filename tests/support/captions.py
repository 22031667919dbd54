"""Captions as the program prints and speaks them, and three scenes to have them made of."""

from __future__ import annotations

import json
import wave
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from support.drawn_scenes import Scene, Shape, caption_of, draw
from support.server import Request
from support.sound import heard

FIELDS = {
    "time",
    "at",
    "caption",
    "first_token_s",
    "caption_s",
    "frame_age_s",
    "spoken",
    "confidence",
}
SCENES = (
    Scene(Shape("circle", "red", 0.2, 0.5, 0.17)),
    Scene(Shape("square", "blue", 0.5, 0.22, 0.17)),
    Scene(Shape("star", "yellow", 0.8, 0.78, 0.19)),
)


def caption_of_sent(request: Request) -> str:
    """What is true of the picture that a server was sent: the caption of the nearest of SCENES."""
    sent = request.pictures()[-1].astype(float)

    def distance(scene: Scene) -> float:
        drawn = cv2.resize(draw(scene), (sent.shape[1], sent.shape[0]))
        return float(np.abs(drawn - sent).mean())

    return caption_of(min(SCENES, key=distance))


def captions_of(output: str) -> list[dict[str, Any]]:
    """The captions of --json, which have to have the contract's fields and sound values."""
    captions = [json.loads(line) for line in output.splitlines()]
    for caption in captions:
        assert set(caption) == FIELDS
        assert datetime.fromisoformat(caption["time"]).tzinfo is not None
        assert caption["at"] >= 0
        assert 0 < caption["first_token_s"] <= caption["caption_s"] < 60
        assert 0 < caption["frame_age_s"] < 60
        assert caption["frame_age_s"] >= caption["first_token_s"] - 0.01
        assert type(caption["spoken"]) is bool
        assert caption["caption"].isprintable()
    return captions


def lengths(path: Path) -> list[float]:
    """How long each stretch of sound in a WAV is, seconds."""
    return [end - start for start, end in heard(path)]


def can_say(lengths: Sequence[float], captions: Sequence[str]) -> None:
    """These stretches of sound can be these sentences, each as long as its words need."""
    assert len(lengths) == len(captions), (lengths, captions)
    for length, caption in zip(lengths, captions):
        assert 0.12 < length / len(caption.split()) < 0.5, caption


def is_wav(path: Path) -> None:
    """A whole WAV: its header tells the length that the file has."""
    with wave.open(str(path)) as file:
        assert path.stat().st_size == 44 + 2 * file.getnframes()
