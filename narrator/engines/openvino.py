"""The SmolVLM family on a processor, by OpenVINO.

A frame's pixels become features (vision.xml), features and prompt a caption (language.xml), token
by token; models/openvino_conversion.py makes both graphs of a checkpoint. What OpenVINO compiles of
them is kept beside them: that takes seconds, and loading it half of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from narrator.engines.engine import Piece, Query
from narrator.frames.frame import Frame
from narrator.libraries import keep_freed_memory
from narrator.models.presets import GROUP_SIZE, Weights
from narrator.models.smolvlm import SmolVlmInputs, yes_and_no
from narrator.processor import best_precision, processor_features

NOWHERE = 2**30  # the place of a token that no later one is to see


class OpenVinoEngine:
    """See Engine. What it saw of the last clip's frames is kept: most of them are in the next clip.

    folder: made of a checkpoint for weights_for(bits). bits: 16 (floating point, calculated in
    bfloat16 where the processor has it, else in float32), or 8 (integers).
    """

    def __init__(self, folder: Path, bits: int) -> None:
        keep_freed_memory()
        precision = best_precision()
        self._inputs = SmolVlmInputs(folder)
        self._vision = load_graph(folder / "vision.xml", precision)
        # Where weights are integers, bfloat16 gains a step of one token nothing; and on a single
        # core OpenVINO crashes with it (its issues 28550 and 33300).
        cores = ov.Core().get_property("CPU", "RANGE_FOR_STREAMS")[1]
        words = "f32" if bits == 8 or cores == 1 else precision
        group = GROUP_SIZE if bits == 8 and "vnni" in processor_features() else 0
        self._language = load_graph(folder / "language.xml", words, group)
        self._answers = yes_and_no(self._inputs.encode)
        self._places = np.empty(0, np.int64)  # in the caption, of all tokens in the cache
        self._seen: list[tuple[Frame, bool, np.ndarray]] = []  # frame, in detail, features
        self.label = f"OpenVINO on the CPU, {precision}{', int8 weights' if bits == 8 else ''}"

    def describe(self, query: Query) -> Iterator[Piece]:
        """See Engine."""
        decode = self._inputs.decoder()
        logits = self._begin(query)
        for left in reversed(range(query.max_tokens)):
            token = int(logits.argmax())
            if token in self._inputs.ends:
                return
            probability = float(1 / np.exp(logits - logits[token]).sum())
            yield Piece(decode(token), probability, cut=not left)
            if left:
                logits = self._step([token])

    def likelihoods(self, query: Query, questions: Sequence[str]) -> list[float | None]:
        """See Engine. Of the first question what all later ones begin with, too, stays in the
        cache: that is the picture, most of a prompt."""
        found: list[float | None] = []
        kept: list[int] = []
        for question in questions:
            asked = replace(query, prompt=question)
            ids = self._ids(asked)
            # Not more than all but the last token, as that has yet to be answered.
            longest = min(len(kept), len(ids)) - 1
            same = next((at for at in range(longest) if kept[at] != ids[at]), longest)
            if not kept or self._inputs.image_token in ids[same:]:
                kept, logits = ids, self._begin(asked)
            else:
                kept = kept[:same]
                self._places[same:] = NOWHERE
                logits = self._step(ids[same:])
            yes, no = (np.logaddexp.reduce(logits[one]) for one in self._answers)
            found.append(float(1 / (1 + np.exp(no - yes))))
        return found

    def _ids(self, query: Query) -> list[int]:
        return self._inputs.numbers(query.clip, query.prompt, query.tiled, query.before)

    def _begin(self, query: Query) -> np.ndarray:
        """Begin a caption with picture and prompt. Returns logits as _step() does."""
        tiled = query.tiled
        self._seen = [(frame, tiled, self._features(frame, tiled)) for frame in query.clip]
        self._language.reset_state()
        self._places = np.empty(0, np.int64)
        return self._step(self._ids(query), np.concatenate([seen[2] for seen in self._seen]))

    def _features(self, frame: Frame, tiled: bool) -> np.ndarray:
        """What the vision tower makes of a frame's tiles, (image tokens, text width)."""
        for seen, in_tiles, features in self._seen:
            if seen is frame and in_tiles is tiled:
                return features
        # One after the other: all at once are no quicker, and need more memory.
        tiles = self._inputs.pixels([frame], tiled)
        return np.concatenate([self._vision.infer([tile[None]])[0][0] for tile in tiles])

    def _step(self, ids: list[int], features: np.ndarray | None = None) -> np.ndarray:
        """Add tokens to those before. Returns logits of the next one: float32, (vocabulary)."""
        count, first = len(ids), self._places[self._places < NOWHERE].max(initial=-1) + 1
        self._places = np.append(self._places, np.arange(first, first + count))
        if features is None:
            features = np.empty((0, self._language.get_tensor("features").shape[1]), np.float32)
        inputs = [np.array([ids]), features, self._places, np.array([count - 1])]
        logits: np.ndarray = self._language.infer(inputs)[0][0]
        return logits


def weights_for(bits: int) -> Weights:
    """What this processor is quickest with, at 16 or 8 bits a weight of the language model.

    Without AMX the vision tower is quickest in integers; with AMX that was not measured, so it is
    in floating point, of 32 bits where those are calculated in, as others are converted each time.
    """
    able = processor_features()
    vision = 16 if best_precision() == "bf16" else 32
    if bits == 8 and "avx" in able and "amx" not in able:
        vision = 7
    return Weights[f"OPENVINO_{vision}_{bits}"]


def load_graph(file: Path, precision: str, group: int = 0) -> Any:
    """A graph, compiled for this processor. precision: bf16 or f32. group: how many numbers that
    are multiplied with integer weights are made integers with one scale; 0 leaves them as they are.
    """
    settings = {
        # Its cache takes what was compiled for another precision for the same.
        "CACHE_DIR": str(file.parent / f"compiled-{precision}-{group}"),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "KV_CACHE_PRECISION": precision,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": group,
    }
    return ov.Core().compile_model(file, "CPU", settings).create_infer_request()
