"""Any model that transformers can load, on a GPU or a CPU, with transformers' own classes; and what
torch can do on this machine. SmolVLM2 on a CPU is quicker in openvino.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from narrator.engines.engine import LastLook, Piece, Query
from narrator.errors import ModelError
from narrator.libraries import keep_freed_memory
from narrator.models.folder import is_smolvlm
from narrator.models.other_families import LibraryWords, split_into_tiles, taking_several
from narrator.models.smolvlm import SmolVlmInputs, yes_and_no
from narrator.models.torch_loading import load_torch_model


def torch_device() -> str:
    """cuda, mps or cpu: the best that there is."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def torch_dtype() -> torch.dtype:
    """bfloat16 where the best device calculates in it itself, else float32."""
    device = torch_device()
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == "mps":
        native = True
    else:
        able = torch.cpu.get_capabilities()
        native = any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32


def generation_ends(model: Any) -> set[int]:
    """The tokens that end what a model of another family says."""
    ends = model.generation_config.eos_token_id
    return set(ends if isinstance(ends, list) else [ends])


class TorchEngine:
    """See Engine. device, dtype: as from torch_device() and torch_dtype()."""

    def __init__(self, folder: Path, device: str, dtype: torch.dtype) -> None:
        keep_freed_memory()
        self._device, self._dtype = device, dtype
        self._inputs = SmolVlmInputs(folder) if is_smolvlm(folder) else None
        self._processor: Any = None
        if self._inputs is None:
            from transformers import AutoProcessor

            self._processor = AutoProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            if not getattr(self._processor, "chat_template", None):
                raise ModelError(f"{folder} has no chat template, so it can't take a prompt")
        self._model = load_torch_model(folder, dtype).to(device)
        self._ends = self._inputs.ends if self._inputs else generation_ends(self._model)
        self._words = self._inputs or LibraryWords(self._processor)
        self._answers = yes_and_no(self._words.encode)
        self._last = LastLook()
        self.label = f"torch on {device}, {str(dtype).removeprefix('torch.')}"

    def describe(self, query: Query) -> Iterator[Piece]:
        """See Engine."""
        decode = self._words.decoder()
        for number, (token, probability) in enumerate(self._tokens(query), 1):
            yield Piece(decode(token), probability, cut=number == query.max_tokens)

    def likelihoods(self, query: Query, questions: Sequence[str]) -> list[float | None]:
        """See Engine. Models of other families see the frame anew for each question."""
        found: list[float | None] = []
        for question in questions:
            with torch.inference_mode():
                inputs = self._prepared(replace(query, prompt=question))
                output = self._model(**inputs, logits_to_keep=1)
                yes, no = (output.logits[0, -1, one].float().logsumexp(0) for one in self._answers)
            found.append(float((yes - no).sigmoid()))
        return found

    def _prepared(self, query: Query) -> dict[str, Any]:
        """The model's inputs; for the SmolVLM family with what it sees in the frames."""
        inputs = self._inputs
        if inputs is None:
            return self._prepared_by_library(query)

        def see() -> Any:
            tiles = torch.from_numpy(inputs.pixels(query.clip, query.tiled))[None]
            pixels = tiles.to(self._device, self._dtype)
            return self._model.get_image_features(pixels, return_dict=True)

        ids = inputs.numbers(query.clip, query.prompt, query.tiled, query.before)
        features = self._last.of(query, see)
        return {
            "input_ids": torch.tensor([ids], device=self._device),
            "mm_encoder_outputs": {"image": features},
        }

    def _prepared_by_library(self, query: Query) -> dict[str, Any]:
        split_into_tiles(self._processor, query.detail)
        pictures = [{"type": "image", "image": frame.rgb()} for frame in query.clip]
        content = [*pictures, {"type": "text", "text": query.prompt}]
        with taking_several(query.clip):
            inputs = self._processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        return dict(inputs.to(self._device, self._dtype))

    def _tokens(self, query: Query) -> Iterator[tuple[int, float]]:
        """Tokens and their probabilities: greedy decoding with transformers' cache, like
        model.generate, but it can be stopped."""
        with torch.inference_mode():
            inputs = self._prepared(query)
        for _ in range(query.max_tokens):
            with torch.inference_mode():
                output = self._model(**inputs, use_cache=True, logits_to_keep=1)
                probability, token = output.logits[0, -1].float().softmax(-1).max(-1)
            if int(token) in self._ends:
                return
            yield int(token), float(probability)
            inputs = {"input_ids": token[None, None], "past_key_values": output.past_key_values}
