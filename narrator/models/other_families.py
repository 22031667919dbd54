"""Models beside the SmolVLM family: what to mind with the processor that a library has for one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from narrator.errors import ModelError, UsageError, reason_of
from narrator.frames.frame import Frame


class LibraryWords:
    """Text to tokens and back, as SmolVlmInputs has it, with a library's own processor."""

    def __init__(self, processor: Any) -> None:
        self._tokenizer = getattr(processor, "tokenizer", processor)

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def decoder(self) -> Callable[[int], str]:
        so_far: list[int] = []
        text = ""

        def decode(token: int) -> str:
            nonlocal text
            so_far.append(token)
            longer = str(self._tokenizer.decode(so_far, skip_special_tokens=True))
            if longer.endswith("\ufffd"):
                return ""
            before, text = len(text), longer
            return longer[before:]

        return decode


def split_into_tiles(processor: Any, detail: bool) -> None:
    """Tell a library's processor whether to split a frame. Raises UsageError for detail where it
    knows of no tiles."""
    image_processor: Any = getattr(processor, "image_processor", None)
    if hasattr(image_processor, "do_image_splitting"):
        image_processor.do_image_splitting = detail
    elif detail:
        raise UsageError("--detail is for models that look at tiles; leave it out with this one")


@contextlib.contextmanager
def taking_several(clip: Sequence[Frame]) -> Iterator[None]:
    """Around a library's preparation of frames that may take one alone. Raises ModelError."""
    try:
        yield
    except Exception as error:
        if len(clip) == 1:
            raise
        raise ModelError(
            f"this model does not take {len(clip)} frames at once ({reason_of(error)}); leave "
            "--frames out, or use SmolVLM2"
        ) from error
