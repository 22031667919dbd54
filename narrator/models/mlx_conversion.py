"""A checkpoint -> its weights in 4 or 8 bits, for mlx; and what precision the others have."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_vlm.quant_utils import quantize_model
from mlx_vlm.utils import (
    load_config,
    load_model,
    save_config,
    save_weights,
    skip_multimodal_module,
)

from narrator.models.folder import config_and_weights, naming
from narrator.models.presets import GROUP_SIZE


def convert(source: Path, target: Path, bits: int) -> None:
    """Put the weights of the checkpoint in `source` into `target`, the language model's quantised.

    The others become what an Apple GPU computes in. mlx-vlm's own convert() would make float32 of
    them, which the published config.json says beside bfloat16, and needs files that may be missing.
    """
    with naming(*config_and_weights(source)):
        model = load_model(source, lazy=True)
    set_dtype(model, gpu_dtype(model))
    own = getattr(model, "quant_predicate", None) or (lambda *_: True)

    def may_quantise(path: str, module: Any) -> Any:
        return not skip_multimodal_module(path) and own(path, module)

    with contextlib.redirect_stdout(io.StringIO()):  # mlx-vlm prints its progress there
        model, config = quantize_model(
            model, load_config(source), GROUP_SIZE, bits, quant_predicate=may_quantise
        )
        save_weights(target, model, donate_weights=True)
    save_config(config, target / "config.json")


def gpu_dtype(model: Any) -> Any:
    """What an Apple GPU computes in: float16 where a model's weights are in it, else bfloat16."""
    dtypes = {array.dtype for _, array in tree_flatten(model.parameters())}
    return mx.float16 if mx.float16 in dtypes else mx.bfloat16


def set_dtype(model: Any, dtype: Any) -> None:
    """Turn the floating-point weights of a model into dtype, but for those that mlx-vlm keeps."""
    may_cast = getattr(model, "cast_predicate", None) or (lambda _: True)

    def cast(path: str, array: Any) -> Any:
        is_floating = mx.issubdtype(array.dtype, mx.floating)
        return array.astype(dtype) if is_floating and may_cast(path) else array

    model.update(tree_map_with_path(cast, model.parameters()))
