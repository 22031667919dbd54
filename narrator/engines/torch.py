"""Any model that transformers can load, on a GPU or a CPU, with transformers' own classes; and what
torch can do on this machine. SmolVLM2 on a CPU is quicker in openvino.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from narrator.engines.engine import LastLook, Piece, Turn
from narrator.engines.memory import peak_process_memory
from narrator.errors import ModelError
from narrator.frames.frame import Frame
from narrator.libraries import keep_freed_memory
from narrator.models.folder import is_smolvlm
from narrator.models.smolvlm import (
    LibraryWords,
    SmolVlmInputs,
    split_into_tiles,
    taking_several,
    yes_and_no,
)


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


class TorchEngine:
    """See Engine. device, dtype: as from torch_device() and torch_dtype()."""

    def __init__(self, folder: Path, device: str, dtype: torch.dtype) -> None:
        # It takes 9 s to import, and the choice of device and dtype does without.
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        keep_freed_memory()
        self._device, self._dtype = device, dtype
        settings = {"local_files_only": True, "trust_remote_code": False}
        model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, **settings
        )
        self._model = model.to(device).eval()
        self._inputs = SmolVlmInputs(folder) if is_smolvlm(folder) else None
        self._processor: Any = None
        if self._inputs is None:
            self._processor = AutoProcessor.from_pretrained(folder, **settings)
            if not getattr(self._processor, "chat_template", None):
                raise ModelError(f"{folder} has no chat template, so it can't be asked anything")
        self._words = self._inputs or LibraryWords(self._processor)
        self._answers = yes_and_no(self._words.encode)
        self._last = LastLook()
        self.label = f"torch on {device}, {str(dtype).removeprefix('torch.')}"

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
        tokens = self._tokens(clip, prompt, max_tokens, detail, before)
        for number, (token, probability) in enumerate(tokens, 1):
            yield Piece(decode(token), probability, cut=number == max_tokens)

    def likelihoods(
        self, frame: Frame, questions: Sequence[str], detail: bool = False
    ) -> list[float | None]:
        """See Engine. Models of other families see the frame anew for each question."""
        found: list[float | None] = []
        for question in questions:
            with torch.inference_mode():
                output = self._model(**self._looked_at([frame], question, detail), logits_to_keep=1)
                yes, no = (output.logits[0, -1, one].float().logsumexp(0) for one in self._answers)
            found.append(float((yes - no).sigmoid()))
        return found

    def prepare(self, clip: Sequence[Frame], prompt: str, detail: bool = False) -> dict[str, Any]:
        """See Engine."""
        if self._inputs is not None:
            ids, pixels = self._inputs.prepare(clip, prompt, detail)
            return {
                "input_ids": torch.tensor([ids], device=self._device),
                "pixel_values": torch.from_numpy(pixels)[None].to(self._device, self._dtype),
            }
        split_into_tiles(self._processor, detail)
        pictures = [{"type": "image", "image": frame.rgb()} for frame in clip]
        content = [*pictures, {"type": "text", "text": prompt}]
        with taking_several(clip):
            inputs = self._processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        return dict(inputs.to(self._device, self._dtype))

    def peak_memory(self) -> int:
        """See Engine."""
        if self._device == "cuda":
            return int(torch.cuda.max_memory_allocated())
        return peak_process_memory()

    def _looked_at(
        self, clip: Sequence[Frame], prompt: str, detail: bool, before: Turn | None = None
    ) -> dict[str, Any]:
        """The model's inputs, as from prepare(); of the SmolVLM family with what it sees."""
        if self._inputs is None:
            return self.prepare(clip, prompt, detail)
        detail = detail and len(clip) == 1

        def see() -> Any:
            pixels = self.prepare(clip, prompt, detail)["pixel_values"]
            return self._model.get_image_features(pixels, return_dict=True)

        features = self._last.of(clip, detail, see)
        numbers = self._inputs.numbers(clip, prompt, detail, before)
        ids = torch.tensor([numbers], device=self._device)
        return {"input_ids": ids, "mm_encoder_outputs": {"image": features}}

    def _tokens(
        self,
        clip: Sequence[Frame],
        prompt: str,
        max_tokens: int,
        detail: bool = False,
        before: Turn | None = None,
    ) -> Iterator[tuple[int, float]]:
        """Tokens and their probabilities: greedy decoding with transformers' cache, like
        model.generate, but it can be stopped."""
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        with torch.inference_mode():
            inputs = self._looked_at(clip, prompt, detail, before)
        for _ in range(max_tokens):
            with torch.inference_mode():
                output = self._model(**inputs, use_cache=True, logits_to_keep=1)
                probability, token = output.logits[0, -1].float().softmax(-1).max(-1)
            if int(token) in ends:
                return
            yield int(token), float(probability)
            inputs = {"input_ids": token[None, None], "past_key_values": output.past_key_values}
