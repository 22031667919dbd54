"""SmolVLM2 and its kin through mlx-vlm, on an Apple GPU, in 16 bits. Without one, as in tests, all
weights are turned into float32: of all that mlx calculates in, that alone is bearable on a CPU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import mlx_vlm
from mlx_vlm.quant_utils import dequantize_model
from mlx_vlm.tokenizer_utils import NaiveStreamingDetokenizer
from mlx_vlm.utils import load_model

from narrator.engines.engine import LastLook, Piece, Query
from narrator.models.folder import config_and_weights, is_smolvlm, naming
from narrator.models.mlx_conversion import gpu_dtype, set_dtype
from narrator.models.other_families import LibraryWords, split_into_tiles, taking_several
from narrator.models.smolvlm import SmolVlmInputs, yes_and_no


def has_apple_gpu() -> bool:
    """Whether there is one that mlx can use."""
    return bool(mx.metal.is_available())


class MlxEngine:
    """See Engine. Load and describe on the same thread: mlx's streams belong to it."""

    def __init__(self, folder: Path) -> None:
        self._inputs: SmolVlmInputs | None = None
        if is_smolvlm(folder):
            self._inputs = SmolVlmInputs(folder)
            with naming(*config_and_weights(folder)):
                self._model = load_model(folder)
            # All that mlx-vlm needs of a processor where the prompt is made already.
            self._processor: Any = SimpleNamespace(
                stopping_criteria=self._inputs.ends.__contains__,
                detokenizer=NaiveStreamingDetokenizer(self._inputs.tokenizer),
            )
        else:
            self._model, self._processor = mlx_vlm.load(str(folder), trust_remote_code=False)
        self._words = self._inputs or LibraryWords(self._processor)
        self._answers = yes_and_no(self._words.encode)
        self._last = LastLook()
        dtype = gpu_dtype(self._model)
        if not has_apple_gpu():
            dtype = mx.float32
            dequantize_model(self._model)
        set_dtype(self._model, dtype)
        mx.eval(self._model.parameters())
        self._dtype = dtype
        where = "Apple GPU" if has_apple_gpu() else "CPU"
        self.label = f"mlx on the {where}, {str(dtype).removeprefix('mlx.core.')}"

    def describe(self, query: Query) -> Iterator[Piece]:
        """See Engine."""
        decode = self._words.decoder()
        for result in self._results(query):
            if result.finish_reason is None:  # Else it repeats the last token.
                probability = math.exp(result.logprobs[result.token].item())
                yield Piece(decode(result.token), probability)
            elif result.finish_reason == "length":
                yield Piece("", None, cut=True)

    def likelihoods(self, query: Query, questions: Sequence[str]) -> list[float | None]:
        """See Engine. Models of other families see the frame anew for each question."""
        found: list[float | None] = []
        for question in questions:
            asked = replace(query, prompt=question, max_tokens=1)
            chances = mx.exp(next(self._results(asked)).logprobs)
            yes, no = (float(chances[mx.array(one)].sum()) for one in self._answers)
            found.append(yes / (yes + no))
        return found

    def _results(self, query: Query) -> Iterator[Any]:
        """mlx-vlm's own: text, token, the log-probabilities that it was chosen by, and more."""
        chat, inputs = "", self._prepared(query)
        if self._inputs is None:
            chat = self._chat(query)
        settings = {"max_tokens": query.max_tokens, "temperature": 0.0, "skip_special_tokens": True}
        results: Iterator[Any] = mlx_vlm.stream_generate(
            self._model, self._processor, chat, **settings, **inputs
        )
        return results

    def _chat(self, query: Query) -> str:
        """The prompt of a model whose inputs mlx-vlm makes itself."""
        split_into_tiles(self._processor, query.detail)
        with taking_several(query.clip):
            return str(
                mlx_vlm.apply_chat_template(
                    self._processor, self._model.config, query.prompt, num_images=len(query.clip)
                )
            )

    def _prepared(self, query: Query) -> dict[str, Any]:
        """The model's inputs; for the SmolVLM family with what it sees in the frames."""
        inputs = self._inputs
        if inputs is None:
            return {"image": [frame.rgb() for frame in query.clip]}

        def see() -> dict[str, Any]:
            tiles = mx.array(inputs.pixels(query.clip, query.tiled))
            return {"pixel_values": tiles[None], "cached_image_features": self._features(tiles)}

        ids = inputs.numbers(query.clip, query.prompt, query.tiled, query.before)
        return {"input_ids": mx.array([ids]), **self._last.of(query, see)}

    def _features(self, tiles: Any) -> Any:
        """What the model sees in tiles of shape (tiles, 3, side, side): (image tokens, width).

        Left to itself, mlx-vlm 0.7.10 hands the tower a mask, and with one reckons the places of
        the patches in float32: of the 27 a side of SmolVLM2 2.2B ten come out one too low. Without
        a mask it counts them, as transformers does.
        """
        tiles = tiles.transpose(0, 2, 3, 1).astype(self._dtype)
        seen, *_ = self._model.vision_model(tiles, output_hidden_states=True)
        features = self._model.connector(seen)
        return features.reshape(-1, features.shape[-1])
