"""Pictures as engines take them, and what an engine says of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Engine, Piece, Query
from narrator.frames.frame import Frame
from narrator.settings import CLIP_PROMPT, DEFAULT_PROMPT

if TYPE_CHECKING:
    from narrator.engines.openvino import OpenVinoEngine

TOKENS = 32  # more than any caption of a drawn scene has
UNSEEN_SEED = 20261123  # training and its own evaluation use others


def clip_of(*images: np.ndarray) -> list[Frame]:
    """A picture, or several (BGR), one a second, the newest last."""
    return [Frame(image, taken=100.0 + at, at=7.25 + at) for at, image in enumerate(images)]


def caption(
    engine: Engine, *images: np.ndarray, prompt: str | None = None, max_tokens: int = TOKENS
) -> str:
    """What an engine says of a picture, or of several as one clip."""
    asked = prompt or (DEFAULT_PROMPT if len(images) == 1 else CLIP_PROMPT)
    return text_of(engine.describe(Query(clip_of(*images), asked, max_tokens))).strip()


def query(
    clip: Sequence[Frame], prompt: str = DEFAULT_PROMPT, max_tokens: int = TOKENS, **more: Any
) -> Query:
    """What is asked of a clip."""
    return Query(clip, prompt, max_tokens, **more)


def chances(engine: Engine, asked: Query) -> list[float | None]:
    """The probability of each token of an answer; what tells only that it was cut is no token."""
    pieces = engine.describe(asked)
    return [piece.probability for piece in pieces if piece.text or piece.probability is not None]


def text_of(pieces: Iterable[Piece]) -> str:
    """What was said in pieces."""
    return "".join(piece.text for piece in pieces)


def opened_openvino(folder: Path, bits: int, cache: Path) -> OpenVinoEngine:
    """OpenVINO as the program opens it."""
    choice = choose_engine("openvino", bits)
    return cast("OpenVinoEngine", open_engine(choice, str(folder), cache))


def exact_share(said: Sequence[str], truths: Sequence[str]) -> float:
    """The share of captions that are right to the letter."""
    return sum(one == truth for one, truth in zip(said, truths)) / len(truths)


def noise(*size: int) -> np.ndarray:
    """A picture (BGR) of coloured noise, 480 times 640 unless told: nothing that the model knows,
    so that tokens are near ties."""
    rng = np.random.default_rng(11)
    return rng.integers(0, 255, (*(size or (480, 640)), 3), dtype=np.uint8)


ASKED: dict[str, tuple[list[np.ndarray], bool]] = {  # pictures, and whether in detail
    "noise": ([noise()], False),
    "another size": ([noise(300, 200)], False),
    "in detail": ([noise()], True),
    "in detail and square": ([noise(480, 480)], True),
    "a clip of noise": ([noise(48, 64), noise(64, 48), noise(50, 50)], False),
}
