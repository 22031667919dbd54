"""SmolVLM2 and its kin through mlx-vlm, on an Apple GPU. Without one, as in tests, all weights are
turned into float32: of all that mlx calculates in, that alone is bearable on a CPU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_vlm
from mlx_vlm.quant_utils import dequantize_model

from narrator.engines.engine import LastLook, Piece, Turn
from narrator.engines.memory import peak_process_memory
from narrator.frames.frame import Frame
from narrator.models.folder import is_smolvlm
from narrator.models.smolvlm import (
    LibraryWords,
    SmolVlmInputs,
    split_into_tiles,
    taking_several,
    yes_and_no,
)


class MlxEngine:
    """See Engine. Load and describe on the same thread: mlx's streams belong to it."""

    def __init__(self, folder: Path) -> None:
        self._inputs = SmolVlmInputs(folder) if is_smolvlm(folder) else None
        self._model, self._processor = mlx_vlm.load(str(folder), trust_remote_code=False)
        self._words = self._inputs or LibraryWords(self._processor)
        self._answers = yes_and_no(self._words.encode)
        self._last = LastLook()
        self.label = "mlx on the Apple GPU"
        if not mx.metal.is_available():
            self.label = "mlx on the CPU, float32"
            dequantize_model(self._model)
            self._model.set_dtype(mx.float32)
            mx.eval(self._model.parameters())

    def describe(
        self,
        clip: Sequence[Frame],
        prompt: str,
        max_tokens: int,
        detail: bool = False,
        before: Turn | None = None,
    ) -> Iterator[Piece]:
        """See Engine."""
        decode = self._words.decoder()
        for result in self._results(clip, prompt, max_tokens, detail, before):
            if result.finish_reason is None:  # Else it tells the last token once more.
                probability = math.exp(result.logprobs[result.token].item())
                yield Piece(decode(result.token), probability)
            elif result.finish_reason == "length":
                yield Piece("", None, cut=True)

    def likelihoods(
        self, frame: Frame, questions: Sequence[str], detail: bool = False
    ) -> list[float | None]:
        """See Engine. Models of other families see the frame anew for each question."""
        found: list[float | None] = []
        for question in questions:
            chances = mx.exp(next(self._results([frame], question, 1, detail)).logprobs)
            yes, no = (float(chances[mx.array(one)].sum()) for one in self._answers)
            found.append(yes / (yes + no))
        return found

    def _results(
        self,
        clip: Sequence[Frame],
        prompt: str,
        max_tokens: int,
        detail: bool = False,
        before: Turn | None = None,
    ) -> Iterator[Any]:
        """mlx-vlm's own: text, token, the log-probabilities that it was chosen by, and more."""
        if self._inputs is None:
            chat, inputs = self.prepare(clip, prompt, detail)
        else:
            chat, inputs = "", self._looked_at(self._inputs, clip, prompt, detail, before)
        settings = {"max_tokens": max_tokens, "temperature": 0.0, "skip_special_tokens": True}
        results: Iterator[Any] = mlx_vlm.stream_generate(
            self._model, self._processor, chat, **settings, **inputs
        )
        return results

    def prepare(
        self, clip: Sequence[Frame], prompt: str, detail: bool = False
    ) -> tuple[str, dict[str, Any]]:
        """See Engine. For other models mlx-vlm does most of it itself."""
        if self._inputs is not None:
            ids, pixels = self._inputs.prepare(clip, prompt, detail)
            return "", {"input_ids": mx.array([ids]), "pixel_values": mx.array(pixels)[None]}
        split_into_tiles(self._processor, detail)
        with taking_several(clip):
            chat = mlx_vlm.apply_chat_template(
                self._processor, self._model.config, prompt, num_images=len(clip)
            )
        return chat, {"image": [frame.rgb() for frame in clip]}

    def peak_memory(self) -> int:
        """See Engine."""
        return int(mx.get_peak_memory()) if mx.metal.is_available() else peak_process_memory()

    def _looked_at(
        self,
        inputs: SmolVlmInputs,
        clip: Sequence[Frame],
        prompt: str,
        detail: bool,
        before: Turn | None,
    ) -> dict[str, Any]:
        """The model's inputs, as from prepare(), and what it sees in the frames."""
        detail = detail and len(clip) == 1

        def see() -> dict[str, Any]:
            pixels = self.prepare(clip, prompt, detail)[1]["pixel_values"]
            return {"pixel_values": pixels, "cached_image_features": self._features(pixels[0])}

        seen = self._last.of(clip, detail, see)
        return {"input_ids": mx.array([inputs.numbers(clip, prompt, detail, before)]), **seen}

    def _features(self, tiles: Any) -> Any:
        """What the model sees in tiles of shape (tiles, 3, side, side): (image tokens, width).

        Left to itself, mlx-vlm 0.7.10 hands the tower a mask, and with one reckons the places of
        the patches in float32: of the 27 a side of SmolVLM2 2.2B ten come out one too low. Without
        a mask it counts them, as transformers does.
        """
        seen, *_ = self._model.vision_model(tiles.transpose(0, 2, 3, 1), output_hidden_states=True)
        features = self._model.connector(seen.astype(tiles.dtype))
        return features.reshape(-1, features.shape[-1])
