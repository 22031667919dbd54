"""SmolVLM's two halves on a CPU: a vision tower, and the language model that its features go to.

Nothing here knows of pixels' values, words or captions; see cpu.py for what it is for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch.nn.functional import gelu, layer_norm, linear, silu

from narrator.errors import ModelError
from narrator.libraries import without_onednn

Linear = Callable[[torch.Tensor], torch.Tensor]

HEADS_AT_ONCE = 2  # of the vision tower: so many heads' scores (4 MB) stay in a processor's caches


class Tensors:
    """A checkpoint's tensors by name, each read and cast when it is asked for: with all of them
    at once, beside what they are packed into, memory would peak."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._files: dict[str, Path] = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, "pt") as opened:
                self._files.update(dict.fromkeys(opened.keys(), file))

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __call__(self, *names: str) -> torch.Tensor:
        """One of them, or several, one below the other."""
        # What was read of a file counts as memory until it is closed and all of it copied.
        with contextlib.ExitStack() as files:
            opened = [(name, safe_open(self._files[name], "pt")) for name in names]
            found = [files.enter_context(file).get_tensor(name) for name, file in opened]
            return torch.cat(found).to(self._dtype)


def packed_linear(
    weight: torch.Tensor, bias: Any = None, rows: int = 1, activation: str = "none"
) -> Linear:
    """y = x W' + b, then GELU where asked for; bfloat16 weights in oneDNN's own layout.

    weight: shape (outputs, inputs). rows: of x, as a rule; the layout is chosen for them. The
    operators are those that torch's own compiler puts in the place of torch.nn.Linear.
    """
    dtype, how = weight.dtype, "tanh" if activation == "gelu" else ""
    if dtype is torch.bfloat16:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
        fused = torch.ops.mkldnn._linear_pointwise
        return lambda x: fused(x.to(dtype), packed, bias, activation, [], how)
    weight = weight.contiguous()
    if activation == "gelu":
        return lambda x: gelu(linear(x.to(dtype), weight, bias), approximate=how)
    return lambda x: linear(x.to(dtype), weight, bias)


def int8_linear(weight: torch.Tensor, bias: Any, rows: int, activation: str = "none") -> Linear:
    """packed_linear in 8-bit integers, which VNNI and AMX multiply at twice the speed of bfloat16.

    Weights are rounded once, with a scale for each output; x each time, with a scale for each of
    its rows (the dynamic scheme of LLM.int8(), arXiv:2208.07339, without its outliers).
    """
    scales = weight.float().abs().amax(1) / 127
    rounded = (weight.float() / scales[:, None]).round().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(rounded, [rows, weight.shape[1]])
    zeros = torch.zeros(len(weight), dtype=torch.int64)

    def multiplied(x: torch.Tensor) -> torch.Tensor:
        scale = x.abs().amax(-1, keepdim=True).float() / 127
        # From -127..127 to 1..255; what follows the point is cut off, so .5 more rounds.
        rounded = x.float().mul_(1 / scale).add_(128.5).to(torch.uint8)
        y = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, 128, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        y = torch.addcmul(bias.float(), y, scale).to(x.dtype)
        return gelu(y, approximate="tanh") if activation == "gelu" else y

    return multiplied


def text_linear(weight: torch.Tensor) -> Linear:
    """y = x W' for the language model: the many rows of a prompt, the few of a guess, or one.

    One is for torch's own product, within without_onednn(): it reads the weight as fast as the
    memory gives it, oneDNN's half as fast.
    """
    packed = packed_linear(weight, rows=64)
    dtype = weight.dtype
    return lambda x: packed(x) if len(x) > 1 else torch.mv(weight, x[0].to(dtype))[None]


class VisionTower:
    """SigLIP (arXiv:2303.15343) and SmolVLM's pixel shuffle. bits: of its layers, 16 or 8."""

    def __init__(self, weights: Tensors, config: dict[str, Any], bits: int) -> None:
        vision = config["vision_config"]
        self._heads: int = vision["num_attention_heads"]
        self._patch: int = vision["patch_size"]
        self._side: int = vision["image_size"] // self._patch
        self._shuffle: int = config["scale_factor"]
        self._epsilon: float = vision.get("layer_norm_eps", 1e-6)
        patches = self._side**2
        make = int8_linear if bits == 8 else packed_linear

        def pair(*names: str) -> tuple[torch.Tensor, torch.Tensor]:
            starts = [f"model.vision_model.{name}" for name in names]
            weight = weights(*(f"{start}.weight" for start in starts))
            return weight, weights(*(f"{start}.bias" for start in starts))

        kernel, bias = pair("embeddings.patch_embedding")
        self._embed = packed_linear(kernel.flatten(1), bias, rows=patches)
        positions = weights("model.vision_model.embeddings.position_embedding.weight")
        self._positions = positions[self._position_ids()]
        self._layers = [
            (
                pair(f"{layer}.layer_norm1"),
                make(*pair(*(f"{layer}.self_attn.{name}_proj" for name in "qkv")), patches),
                make(*pair(f"{layer}.self_attn.out_proj"), patches),
                pair(f"{layer}.layer_norm2"),
                make(*pair(f"{layer}.mlp.fc1"), patches, "gelu"),
                make(*pair(f"{layer}.mlp.fc2"), patches),
            )
            for layer in (f"encoder.layers.{n}" for n in range(vision["num_hidden_layers"]))
        ]
        self._last_norm = pair("post_layernorm")
        shape = (2, HEADS_AT_ONCE, patches, patches)
        self._kept = torch.empty(shape, dtype=self._positions.dtype)  # for _attention()
        projection = weights("model.connector.modality_projection.proj.weight")
        self._connector = packed_linear(projection, rows=(self._side // self._shuffle) ** 2)

    def __call__(self, tile: torch.Tensor) -> torch.Tensor:
        """tile: shape (3, side, side), RGB, normalised. Returns float32, (image tokens, text
        width)."""
        n, p, shuffle = self._side, self._patch, self._shuffle
        patches = tile[:, : n * p, : n * p].reshape(3, n, p, n, p).permute(1, 3, 0, 2, 4)
        x = self._embed(patches.reshape(n * n, -1)) + self._positions
        for norm1, qkv, out, norm2, up, down in self._layers:
            x = x + out(self._attention(qkv(self._norm(x, norm1))))
            x = x + down(up(self._norm(x, norm2)))
        x = self._norm(x, self._last_norm)
        m = n // shuffle
        x = x.view(m, shuffle, m, shuffle, -1).transpose(1, 2).reshape(m * m, -1)
        return self._connector(x).float()

    def _position_ids(self) -> torch.Tensor:
        """Which embedding each patch gets, by the same sums as in transformers: for some sizes
        their rounding is off by one, and the model was trained with it."""
        n = self._side
        fractions = (torch.arange(n, dtype=torch.float32) * (1.0 / n)).clamp(max=1.0 - 1e-6)
        side = torch.bucketize(fractions, torch.arange(1 / n, 1.0, 1 / n), right=True)
        return (side[:, None] * n + side).flatten()

    def _norm(self, x: torch.Tensor, pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return layer_norm(x, x.shape[-1:], *pair, self._epsilon)

    def _attention(self, qkv: torch.Tensor) -> torch.Tensor:
        """Softmax attention, some heads at a time: on a CPU that is twice as fast as torch's
        fused kernel. qkv: shape (patches, 3 * width)."""
        q, k, v = qkv.view(len(qkv), 3, self._heads, -1).permute(1, 2, 0, 3).contiguous()
        q *= q.shape[-1] ** -0.5
        mixed = torch.empty_like(q)
        for head in range(0, self._heads, HEADS_AT_ONCE):
            some = slice(head, head + HEADS_AT_ONCE)
            scores, shares = (kept[: len(q[some])] for kept in self._kept)
            torch.bmm(q[some], k[some].transpose(1, 2), out=scores)
            torch.softmax(scores, -1, out=shares)
            torch.bmm(shares, v[some], out=mixed[some])
        return mixed.transpose(0, 1).reshape(len(qkv), -1)


class LanguageModel:
    """SmolLM2: a Llama (arXiv:2307.09288), grouped queries (arXiv:2305.13245), and its cache."""

    def __init__(self, weights: Tensors, config: dict[str, Any]) -> None:
        text = config["text_config"]
        self._heads: int = text["num_attention_heads"]
        self._kv_heads: int = text["num_key_value_heads"]
        self._head_width: int = text.get("head_dim") or text["hidden_size"] // self._heads
        self._epsilon: float = text.get("rms_norm_eps", 1e-5)
        rotary = text.get("rope_parameters") or text.get("rope_scaling") or {}
        if rotary.get("rope_type", "default") != "default":
            raise ModelError(f"rotary positions of type {rotary['rope_type']} are not supported")
        self._rotary_base: float = text.get("rope_theta") or rotary["rope_theta"]

        def joined(*names: str) -> torch.Tensor:
            return weights(*(f"model.text_model.{name}.weight" for name in names))

        def qkv(attention: str) -> torch.Tensor:
            weight = joined(*(f"{attention}.{name}_proj" for name in "qkv"))
            # The halves of each query and key are interleaved, as _rotated() has them.
            turned = weight[: (self._heads + self._kv_heads) * self._head_width]
            halves = turned.view(-1, 2, self._head_width // 2, weight.shape[1])
            turned[:] = halves.transpose(1, 2).reshape(turned.shape)
            return weight

        self._layers = [
            (
                joined(f"{layer}.input_layernorm").float(),
                text_linear(qkv(f"{layer}.self_attn")),
                text_linear(joined(f"{layer}.self_attn.o_proj")),
                joined(f"{layer}.post_attention_layernorm").float(),
                text_linear(joined(f"{layer}.mlp.gate_proj", f"{layer}.mlp.up_proj")),
                text_linear(joined(f"{layer}.mlp.down_proj")),
            )
            for layer in (f"layers.{n}" for n in range(text["num_hidden_layers"]))
        ]
        self._last_norm = joined("norm").float()
        self._embeddings = joined("embed_tokens")
        untied = "lm_head.weight" in weights
        self._head = text_linear(weights("lm_head.weight") if untied else self._embeddings)
        self._cache = torch.empty(0, 0)
        self._used = 0

    def start(self, length: int) -> None:
        """Make an empty cache for `length` tokens, and their rotations."""
        half = self._head_width // 2
        self._used = 0
        if self._cache.shape[1] >= length:
            return
        # Keys, then values; float32, as attention to few tokens is quicker in it, and more exact.
        self._cache = torch.empty(len(self._layers), length, 2 * self._kv_heads, self._head_width)
        speeds = self._rotary_base ** -(torch.arange(half, dtype=torch.float32) / half)
        angles = torch.outer(torch.arange(length, dtype=torch.float32), speeds)[:, None]
        self._turns = torch.polar(torch.ones_like(angles), angles)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """ids: shape (tokens,), int64. Returns float32, (tokens, width)."""
        return self._embeddings[ids].float()

    def __call__(self, x: torch.Tensor, last: bool = False) -> torch.Tensor:
        """Append tokens, shape (tokens, width). Returns the logits after each, or after the last
        alone: shape (tokens, vocabulary)."""
        with without_onednn(len(x) == 1):
            x = self._through_layers(x)
        x = self._norm(x[-1:] if last else x, self._last_norm)
        with without_onednn(len(x) == 1):
            return self._head(x)

    def forget(self, tokens: int) -> None:
        """Take the last tokens back, as if they had not been appended."""
        self._used -= tokens

    def _through_layers(self, x: torch.Tensor) -> torch.Tensor:
        here = slice(self._used, self._used + len(x))
        self._used = here.stop
        group = self._heads // self._kv_heads  # of heads that share keys and values
        # Each sees itself and what is before it: to the scores of the rest this is added.
        unseen = torch.full((len(x), here.stop), -torch.inf).triu_(here.start + 1).repeat(group, 1)
        turns = self._turns[here]
        all_keys, all_values = self._cache[:, : here.stop].split(self._kv_heads, 2)
        for (norm1, qkv, out, norm2, gate_up, down), new, keys, values in zip(
            self._layers,
            self._cache[:, here],
            all_keys.permute(0, 2, 3, 1),
            all_values.transpose(1, 2),
        ):
            heads = self._rotated(qkv(self._norm(x, norm1)), turns)
            new.copy_(heads[:, self._heads :])
            queries = heads[:, : self._heads].unflatten(1, (self._kv_heads, group))
            queries = queries.permute(1, 2, 0, 3).flatten(1, 2)
            scores = torch.baddbmm(unseen, queries, keys, alpha=self._head_width**-0.5)
            mixed = torch.bmm(torch.softmax(scores, -1), values)
            mixed = mixed.unflatten(1, (group, len(x))).permute(2, 0, 1, 3).flatten(1)
            x = x + out(mixed)
            gate, up = gate_up(self._norm(x, norm2)).chunk(2, -1)
            x = x + down(silu(gate) * up)
        return x

    def _rotated(self, qkv: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
        """Queries and keys turned by their places (arXiv:2104.09864), and values: float32, shape
        (tokens, heads, head width). turns: complex, (tokens, 1, head width / 2)."""
        pairs = qkv.float().view(len(qkv), -1, self._head_width // 2, 2)
        torch.view_as_complex(pairs[:, : self._heads + self._kv_heads]).mul_(turns)
        return pairs.flatten(2)

    def _norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """RMSNorm, arXiv:1910.07467."""
        return torch.rms_norm(x, x.shape[-1:], weight, self._epsilon)
