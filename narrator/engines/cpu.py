"""The SmolVLM family on a CPU: transformers' arithmetic, laid out for this processor.

transformers takes 9 s to import, and its attention, activation and cache cost a CPU a third of the
time. Here the same sums are done (the tests hold them to transformers' own generate, token for
token) with weights that oneDNN packed once, matrices joined where they share their input, a cache
of fixed size, and guesses. Pixels become features, and features and prompt a caption, by what is in
cpu_layers.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from narrator.engines.cpu_layers import LanguageModel, Tensors, VisionTower
from narrator.engines.memory import peak_process_memory
from narrator.frames.frame import Frame
from narrator.libraries import keep_freed_memory
from narrator.models.folder import read_config
from narrator.models.smolvlm import SmolVlmInputs

MAX_GUESS = 5  # tokens
PROMPT_AT_ONCE = 256  # tokens: attention to those of --detail at once would take 150 MB more


class CpuEngine:
    """See Engine. What it saw of the last clip's frames is kept: most of them are in the next clip.

    bits: 16, or 8 for a vision tower in integers. guesses: check likely tokens, some a step.
    """

    def __init__(
        self, folder: Path, dtype: torch.dtype, bits: int = 16, guesses: bool = True
    ) -> None:
        keep_freed_memory()
        config = read_config(folder)
        self._dtype = dtype
        self._inputs = SmolVlmInputs(folder)
        self._vision = VisionTower(Tensors(folder, dtype), config, bits)
        self._language = LanguageModel(Tensors(folder, dtype), config)
        self._drafts = DraftCache(captions=32 if guesses else 0)
        self._seen: list[tuple[Frame, bool, torch.Tensor]] = []  # frame, in detail, features
        precision = str(dtype).removeprefix("torch.")
        self.label = f"torch on the CPU, {precision}" + (", vision int8" if bits == 8 else "")

    def describe(
        self, clip: Sequence[Frame], prompt: str, max_tokens: int, detail: bool = False
    ) -> Iterator[str]:
        """See Engine."""
        return self._inputs.text_of(self._tokens(clip, prompt, max_tokens, detail))

    def prepare(
        self, clip: Sequence[Frame], prompt: str, detail: bool = False
    ) -> tuple[list[int], torch.Tensor]:
        """See Engine."""
        ids, pixels = self._inputs.prepare(clip, prompt, detail)
        return ids, torch.from_numpy(pixels).to(self._dtype)

    def peak_memory(self) -> int:
        """See Engine."""
        return peak_process_memory()

    def first_logits(
        self, clip: Sequence[Frame], prompt: str, max_tokens: int = 1, detail: bool = False
    ) -> torch.Tensor:
        """Fill the cache with picture and prompt, and leave room for max_tokens. Returns logits of
        shape (1, vocabulary)."""
        detail = detail and len(clip) == 1
        numbers = self._inputs.numbers(clip, prompt, detail)
        with torch.inference_mode():
            ids = torch.tensor(numbers)
            embedded = self._language.embed(ids)
            self._seen = [(frame, detail, self._features(frame, detail)) for frame in clip]
            embedded[ids == self._inputs.image_token] = torch.cat([seen[2] for seen in self._seen])
            self._language.start(len(numbers) + max_tokens + MAX_GUESS)
            for part in embedded.split(PROMPT_AT_ONCE):
                logits = self._language(part, last=True)
            return logits

    def _features(self, frame: Frame, detail: bool) -> torch.Tensor:
        """What the vision tower makes of a frame's tiles, (image tokens, text width)."""
        for seen, in_detail, features in self._seen:
            if seen is frame and in_detail is detail:
                return features
        pixels = torch.from_numpy(self._inputs.pixels(frame, detail)).to(self._dtype)
        return torch.cat([self._vision(tile) for tile in pixels])

    def _tokens(
        self, clip: Sequence[Frame], prompt: str, max_tokens: int, detail: bool = False
    ) -> Iterator[int]:
        """Greedy decoding, with guesses: a step that checks some tokens more costs 1.5 times what
        a step for one does, as both read all the weights once (arXiv:2304.04487)."""
        said: list[int] = []
        sure = self.first_logits(clip, prompt, max_tokens, detail).argmax(-1).tolist()
        try:
            while True:
                for token in sure:
                    if token in self._inputs.ends:
                        return
                    said.append(token)
                    yield token
                    if len(said) == max_tokens:
                        return
                guess = self._drafts.guess(said)
                with torch.inference_mode():
                    step = self._language.embed(torch.tensor([said[-1], *guess]))
                    found = self._language(step).argmax(-1).tolist()
                sure = found[:1]
                for guessed, token in zip(guess, found[1:]):
                    if guessed != sure[-1]:
                        break
                    sure.append(token)
                self._language.forget(len(found) - len(sure))
        finally:
            self._drafts.keep(said)


class DraftCache:
    """The last captions, to guess from: those of one camera have most of their words in common.

    The model checks each token, so a wrong guess costs half a step and nothing else. But oneDNN
    adds several rows up in another order than torch adds one: in bfloat16, between two tokens that
    are as good as each other, a guess may decide.
    """

    START = -1  # no token: it stands before the first one
    COMPARED = (3, 2)  # tokens; after one alone a guess is wrong too often

    def __init__(self, captions: int) -> None:
        self._most = captions
        self._captions: list[list[int]] = []  # newest first

    def keep(self, said: list[int]) -> None:
        """Remember a caption's tokens."""
        caption = [self.START, *said]
        others = [other for other in self._captions if other != caption]
        self._captions = [caption, *others][: self._most]

    def guess(self, said: list[int]) -> list[int]:
        """The tokens that followed the last time the same ones were said, if ever they were."""
        said = [self.START, *said]
        for compared in self.COMPARED:
            for caption in self._captions:
                for end in range(compared, len(caption)):
                    if caption[end - compared : end] == said[-compared:]:
                        return caption[end : end + MAX_GUESS]
        return []
