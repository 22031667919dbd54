"""A SmolVLM checkpoint -> the two graphs that OpenVINO runs, traced from transformers' own modules.

vision.xml: pixels, float32, (1, 3, side, side), RGB -> features, (1, image tokens, text width).
language.xml: `ids`, (1, tokens), and `features` for those that are an image's -> logits of the
`wanted` ones. Keys and values of earlier tokens are its state. `places`: in the caption, of these
and the new ones; a token sees those before it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as ops
from openvino.passes import MakeStateful, Manager
from torch import Tensor, nn

from narrator.models.presets import GROUP_SIZE
from narrator.models.torch_loading import load_torch_model

SMALL = 32  # rows or columns: what has fewer is left alone


def convert(source: Path, target: Path, *bits: int) -> None:
    """Put both graphs of the checkpoint in `source` into `target`.

    bits: of the weights of vision and language: 32 and 16 are floating point, 8 integers. With 7
    the graph itself multiplies in integers, and that is how many bits features have.
    """
    for name, graph, size in zip(("vision", "language"), trace(source), bits):
        if size == 8:
            quantise_weights(graph)
        if size == 7:
            quantise_products(graph)
        ov.save_model(graph, target / f"{name}.xml", compress_to_fp16=size == 16)


def as_rows(patches: Tensor) -> Tensor:
    """Features of patches, (1, width, rows, columns) -> (1, patches, width)."""
    return patches.flatten(2).transpose(1, 2)


class Vision(nn.Module):  # type: ignore[misc]
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower, self.connector = model.vision_model, model.connector
        side = model.config.vision_config.image_size
        nothing = torch.zeros(1, 3, side, side)
        patches = self.cut(nothing)
        everywhere = torch.ones(1, *patches.shape[-2:], dtype=torch.bool)
        # Constant: of 27 a side OpenVINO would round some to the place of their neighbour.
        self.places = self.tower.embeddings(nothing, everywhere) - as_rows(patches)

    def cut(self, pixels: Tensor) -> Tensor:
        return self.tower.embeddings.patch_embedding(pixels)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = as_rows(self.cut(pixels)) + self.places
        # The tower's own forward(), when it is traced, adds a mask of zeros to all scores.
        seen = self.tower.encoder(inputs_embeds=patches, attention_mask=None).last_hidden_state
        return self.connector(self.tower.post_layernorm(seen))


class TracedCache(list[Tensor]):
    """Keys and values of each layer, and of transformers' cache what its layers call."""

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any) -> list[Tensor]:
        beam = torch.zeros(1, dtype=torch.int32)  # OpenVINO fuses cache and attention beside one.
        both = slice(2 * layer, 2 * layer + 2)
        pairs = zip(self[both], (keys, values))
        self[both] = [torch.cat([past.index_select(0, beam), new], 2) for past, new in pairs]
        return self[both]


class Language(nn.Module):  # type: ignore[misc]
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text, self.head = model.model.text_model, model.lm_head
        self.image_token = model.config.image_token_id

    def forward(
        self, ids: Tensor, features: Tensor, places: Tensor, wanted: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        embedded = self.text.get_input_embeddings()(ids)
        is_image = ids == self.image_token
        rows = torch.cat([torch.zeros_like(embedded[0, :1]), features])  # the first for no image
        embedded = torch.where(is_image[..., None], rows[is_image.int().cumsum(1)], embedded)
        own, cache = places[-ids.shape[1] :], TracedCache(past)
        mask = torch.where(places <= own[:, None], 0.0, -1e9)  # a boolean one is 4 times slower
        hidden = self.text(
            inputs_embeds=embedded,
            attention_mask=mask[None, None],
            position_ids=own[None],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return (self.head(hidden[0].index_select(0, wanted)), *cache)


def trace(folder: Path) -> tuple[ov.Model, ov.Model]:
    """A checkpoint's two graphs, in float32."""
    model = load_torch_model(folder, torch.float32)
    text = model.config.text_config
    side, cached = model.config.vision_config.image_size, 2 * text.num_hidden_layers
    step = {
        "ids": torch.full((1, 2), model.config.image_token_id),
        "features": torch.zeros(2, text.hidden_size),
        "places": torch.arange(5),
        "wanted": torch.arange(2),
        "past": [torch.zeros(1, text.num_key_value_heads, 3, text.head_dim)] * cached,
    }
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that are taken for fixed
        vision = ov.convert_model(Vision(model.model), example_input=torch.zeros(1, 3, side, side))
        language = ov.convert_model(Language(model), example_input=step)
    vision.reshape([1, 3, side, side])
    past = [1, text.num_key_value_heads, -1, text.head_dim]
    shapes = [[1, -1], [-1, text.hidden_size], [-1], [-1], *[past] * cached]
    language.reshape(dict(zip(language.inputs, map(ov.PartialShape, shapes))))
    keep_cache(language)
    return vision, language


def keep_cache(language: ov.Model) -> None:
    """Make of the cache that goes in and comes out a state, which is empty at first."""
    pairs = zip(language.inputs[4:], language.outputs[1:])
    manager = Manager()
    names = {past.get_any_name(): present.get_any_name() for past, present in pairs}
    manager.register_pass(MakeStateful(names))
    manager.run_passes(language)
    for node in language.get_ops():
        if node.get_type_name() == "ReadValue":
            shape = node.get_output_partial_shape(0).get_min_shape()
            node.set_arguments([ops.constant(np.zeros(shape, np.float32))])
    language.validate_nodes_and_infer_types()


def quantise_weights(graph: ov.Model) -> None:
    """Store matrices as integers of 8 bits, with a scale for each group of a row, and embeddings
    with one for each row."""
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != ov.Type.f32:
            continue
        weight = node.data
        if weight.ndim != 2 or min(weight.shape) < SMALL:
            continue
        users = node.output(0).get_target_inputs()
        multiplied = all(user.get_node().get_type_name() == "MatMul" for user in users)
        if multiplied and weight.shape[1] % GROUP_SIZE == 0:
            weight = weight.reshape(len(weight), -1, GROUP_SIZE)
        stored = dequantise(*quantise(weight))
        if weight.ndim == 3:
            stored = ops.reshape(stored, ops.constant(list(node.shape)), False)
        for user in users:
            user.replace_source_output(stored.output(0))


def quantise(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights, (..., row) -> int8, (..., row), and the scale of each row, float32, (..., 1)."""
    scale = np.abs(weight).max(-1, keepdims=True).clip(1e-12) / np.float32(127)
    return np.round(weight / scale).astype(np.int8), scale


def dequantise(integers: np.ndarray, scale: np.ndarray) -> ov.Node:
    """What a graph calculates with, in float32, of weights that are kept as integers."""
    return ops.multiply(ops.convert(ops.constant(integers), "f32"), ops.constant(scale))


def quantise_products(graph: ov.Model) -> None:
    """Multiply by matrices in integers: weights of 8 bits with a scale for each row, by features of
    7 with an offset and a scale for each token. Not of 8, as without VNNI a processor adds two
    products in 16 bits. As convolutions, since OpenVINO's own product of these is a tenth slower
    with VNNI, and without it no quicker than in floating point."""
    quantised: dict[Any, tuple[ov.Node, ov.Node, ov.Node]] = {}
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        matrix = node.input_value(1).get_node()
        if matrix.get_type_name() != "Constant":
            continue
        source = node.input_value(0)
        place = source.get_node().get_name(), source.get_index()
        if place not in quantised:
            quantised[place] = quantise_tokens(source)
        features, least, span = quantised[place]
        integers, scale = quantise(matrix.data)
        sums = integers.sum(-1, dtype=np.float32) * scale[:, 0]
        weight = dequantise(integers[..., None], scale[..., None])
        made = ops.convolution(features, weight, [1], [0], [0], [1])
        product = ops.multiply(ops.transpose(made, ops.constant([0, 2, 1])), span)
        product = ops.add(product, ops.multiply(least, ops.constant(sums)))
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(product.output(0))


def quantise_tokens(source: ov.Output) -> tuple[ov.Node, ov.Node, ov.Node]:
    """Features, (1, tokens, width) -> (1, width, tokens), of 7 bits from 0 to 1; and of each token
    the least and the span: features are least + span * what was returned."""
    axis = ops.constant([2])
    least = ops.reduce_min(source, axis, True)
    span = ops.subtract(ops.reduce_max(source, axis, True), least)
    span = ops.maximum(span, np.float32(1e-12))
    features = ops.divide(ops.subtract(source, least), span)
    # 256 levels, as OpenVINO takes no fewer for integers; those above 127 are never reached.
    low, high = np.float32(0), np.float32(255 / 127)
    features = ops.fake_quantize(features, low, high, low, high, 256)
    return ops.transpose(features, ops.constant([0, 2, 1])), least, span
