"""The SmolVLM family on a processor, by OpenVINO.

A frame's pixels become features (vision.xml), features and prompt a caption (language.xml), token
by token; models/openvino_conversion.py makes both graphs of a checkpoint. What OpenVINO compiles of
them is kept beside them: that takes seconds, and loading it half of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from narrator.engines.drafts import DraftCache
from narrator.engines.engine import Piece, Turn
from narrator.engines.memory import peak_process_memory
from narrator.frames.frame import Frame
from narrator.libraries import keep_freed_memory
from narrator.models.conversion import GROUP_SIZE
from narrator.models.presets import Weights
from narrator.models.smolvlm import SmolVlmInputs, yes_and_no

NOWHERE = 2**30  # the place of a token that was refused: none is so late as to see it


class OpenVinoEngine:
    """See Engine. What it saw of the last clip's frames is kept: most of them are in the next clip.

    folder: made of a checkpoint for weights_for(bits). bits: 16 (floating point, calculated in
    bfloat16 where the processor has it, else in float32), or 8 (integers). guesses: check likely
    tokens, some a step.
    """

    def __init__(self, folder: Path, bits: int, guesses: bool = True) -> None:
        keep_freed_memory()
        able = processor_features()
        precision = "bf16" if "bf16" in able else "f32"
        rounds = bits == 8 and "vnni" in able
        self._inputs = SmolVlmInputs(folder)
        vision_rounds = weights_for(bits) is Weights.OPENVINO_8_8
        self._vision = load_graph(folder / "vision.xml", precision, vision_rounds)
        # Where weights are integers, bfloat16 gains a step of one token nothing; and on a single
        # core OpenVINO crashes with it (its issues 28550 and 33300).
        cores = ov.Core().get_property("CPU", "RANGE_FOR_STREAMS")[1]
        words = "f32" if bits == 8 or cores == 1 else precision
        self._language = load_graph(folder / "language.xml", words, rounds)
        self._answers = yes_and_no(self._inputs.encode)
        self._places = np.empty(0, np.int64)  # in the caption, of all tokens in the cache
        self._drafts = DraftCache(captions=32 if guesses else 0)
        self._seen: list[tuple[Frame, bool, np.ndarray]] = []  # frame, in detail, features
        self.label = f"OpenVINO on the CPU, {precision}{', int8 weights' if bits == 8 else ''}"

    def describe(
        self,
        clip: Sequence[Frame],
        prompt: str,
        max_tokens: int,
        detail: bool = False,
        before: Turn | None = None,
    ) -> Iterator[Piece]:
        """See Engine."""
        decode = self._inputs.decoder()
        tokens = self._tokens(clip, prompt, max_tokens, detail, before)
        for number, (token, probability) in enumerate(tokens, 1):
            yield Piece(decode(token), probability, cut=number == max_tokens)

    def likelihoods(
        self, frame: Frame, questions: Sequence[str], detail: bool = False
    ) -> list[float | None]:
        """See Engine. Of the first question what all later ones begin with, too, stays in the
        cache: that is the picture, most of a prompt."""
        found: list[float | None] = []
        kept = self._inputs.numbers([frame], questions[0], detail)
        for question in questions:
            ids = self._inputs.numbers([frame], question, detail)
            # Not more than all but the last token, as that has yet to be answered.
            longest = min(len(kept), len(ids)) - 1
            same = next((at for at in range(longest) if kept[at] != ids[at]), longest)
            if not found or self._inputs.image_token in ids[same:]:
                kept = ids
                [logits] = self.first_logits([frame], question, detail)
            else:
                kept = kept[:same]
                self._places[same:] = NOWHERE
                [logits] = self._step(ids[same:], 1)
            yes, no = (np.logaddexp.reduce(logits[one]) for one in self._answers)
            found.append(float(1 / (1 + np.exp(no - yes))))
        return found

    def prepare(
        self, clip: Sequence[Frame], prompt: str, detail: bool = False
    ) -> tuple[list[int], np.ndarray]:
        """See Engine."""
        return self._inputs.prepare(clip, prompt, detail)

    def peak_memory(self) -> int:
        """See Engine."""
        return peak_process_memory()

    def first_logits(
        self,
        clip: Sequence[Frame],
        prompt: str,
        detail: bool = False,
        before: Turn | None = None,
    ) -> np.ndarray:
        """Begin a caption with picture and prompt. Returns logits, float32, (1, vocabulary)."""
        detail = detail and len(clip) == 1
        self._seen = [(frame, detail, self._features(frame, detail)) for frame in clip]
        self._language.reset_state()
        self._places = np.empty(0, np.int64)
        ids = self._inputs.numbers(clip, prompt, detail, before)
        return self._step(ids, 1, np.concatenate([seen[2] for seen in self._seen]))

    def _features(self, frame: Frame, detail: bool) -> np.ndarray:
        """What the vision tower makes of a frame's tiles, (image tokens, text width)."""
        for seen, in_detail, features in self._seen:
            if seen is frame and in_detail is detail:
                return features
        # One after the other: all at once are no quicker, and need more memory.
        tiles = self._inputs.pixels(frame, detail)
        return np.concatenate([self._vision.infer([tile[None]])[0][0] for tile in tiles])

    def _step(self, ids: list[int], wanted: int, features: np.ndarray | None = None) -> np.ndarray:
        """Add tokens to those before. Returns logits for the last `wanted` of them."""
        count, first = len(ids), self._places[self._places < NOWHERE].max(initial=-1) + 1
        self._places = np.append(self._places, np.arange(first, first + count))
        if features is None:
            features = np.empty((0, self._language.get_tensor("features").shape[1]), np.float32)
        rows = np.arange(count - wanted, count)
        inputs = [np.array([ids]), features, self._places, rows]
        logits: np.ndarray = self._language.infer(inputs)[0]
        return logits

    def _tokens(
        self,
        clip: Sequence[Frame],
        prompt: str,
        max_tokens: int,
        detail: bool = False,
        before: Turn | None = None,
    ) -> Iterator[tuple[int, float]]:
        """Tokens and their probabilities. Greedy decoding, with guesses: a step that checks some
        tokens more costs 1.4 times what a step for one does, as both read all the weights once
        (arXiv:2304.04487)."""
        said: list[int] = []
        sure = likeliest(self.first_logits(clip, prompt, detail, before))
        try:
            while True:
                for token, probability in sure:
                    if token in self._inputs.ends:
                        return
                    said.append(token)
                    yield token, probability
                    if len(said) == max_tokens:
                        return
                guess = self._drafts.guess(said)
                logits = self._step([said[-1], *guess], len(guess) + 1)
                found = likeliest(logits)
                right = next((n for n, one in enumerate(guess) if one != found[n][0]), len(guess))
                sure = found[: right + 1]
                self._places[len(self._places) - len(guess) + right :] = NOWHERE
        finally:
            self._drafts.keep(said)


def likeliest(logits: np.ndarray) -> list[tuple[int, float]]:
    """The likeliest token of each row of logits, and its probability."""
    tokens, best = logits.argmax(-1), logits.max(-1, keepdims=True)
    return list(zip(tokens.tolist(), (1 / np.exp(logits - best).sum(-1)).tolist()))


def weights_for(bits: int) -> Weights:
    """What this processor is quickest with, at 16 or 8 bits a weight of the language model.

    Matrices as large as the vision tower's are quicker in floating point where there is AMX or no
    VNNI; and in 32 bits where that is what is calculated in, as they would be converted each time.
    """
    able = processor_features()
    vision = 16 if "bf16" in able else 32
    if bits == 8 and "vnni" in able and "amx" not in able:
        vision = 8
    return Weights[f"OPENVINO_{vision}_{bits}"]


def processor_features() -> str:
    """What oneDNN, which calculates, will use of this processor, to look for names in. OpenVINO
    asks the processor alone, and fails where oneDNN is held to less."""
    flags = Path("/proc/cpuinfo")
    held_to = os.environ.get("ONEDNN_MAX_CPU_ISA", "").lower()
    return held_to or (flags.read_text("utf-8") if flags.is_file() else "")


def load_graph(file: Path, precision: str, rounded: bool) -> Any:
    """A graph, compiled for this processor. precision: bf16 or f32. rounded: where weights are
    integers, make some of what is multiplied with them, too."""
    group = GROUP_SIZE if rounded else 0
    settings = {
        # Its cache takes what was compiled for another precision for the same.
        "CACHE_DIR": str(file.parent / f"compiled-{precision}-{group}"),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "KV_CACHE_PRECISION": precision,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": group,
    }
    return ov.Core().compile_model(file, "CPU", settings).create_infer_request()
