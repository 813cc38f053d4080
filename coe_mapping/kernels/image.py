"""A model's tensors as kernels read them: in streaming order, heads on whole vectors, signs in the rotary tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coe_mapping.kernels.dense import weight_stream
from coe_mapping.kernels.embedding import EmbeddingLayout
from coe_mapping.kernels.head import HeadLayout
from coe_mapping.kernels.layout import Layout
from coe_mapping.kernels.memory import ELEMENT_BYTES
from coe_mapping.models.model import Model, layer_tensor
from golden_model.numerics import canonicalize
from hdl.params import RDUParams

Array = NDArray[Any]
Bits = NDArray[np.uint16]


def layer_weights(layout: Layout, model: Model, layer: int) -> dict[str, Bits]:
    """The contents of the weight regions of a decoder layer, as bits."""
    norms = (name for names in layout.norms.values() for name in names)
    return weights(layout, {name: model.tensors[layer_tensor(layer, name)] for name in (*layout.weights, *norms)})


def weights(layout: Layout, tensors: Mapping[str, Array]) -> dict[str, Bits]:
    """The same from the tensors of a layer by their names in it."""
    shape, pitch = layout.shape, layout.head_pitch
    by_head = {"query": shape.heads, "key": shape.key_heads, "value": shape.key_heads}
    image: dict[str, Bits] = {}
    for name, tiling in layout.weights.items():
        weight = tensors[name].T
        if name in by_head:
            weight = heads_apart(weight, by_head[name], pitch)
        if name == "output":
            weight = heads_apart(weight.T, shape.heads, pitch).T
        image[name] = weight_stream(np.ascontiguousarray(weight).view(np.uint16), tiling)
    for region, names in layout.norms.items():
        image[region] = np.zeros((len(names), layout.output.width), np.uint16)
        for row, name in zip(image[region], names, strict=True):
            row[: shape.hidden] = tensors[name].view(np.uint16)
    return image


def embedding_table(layout: EmbeddingLayout, model: Model) -> Bits:
    """Region ``table`` of an embedding."""
    table = np.zeros((layout.vocabulary, layout.pitch), np.uint16)
    table[:, : layout.hidden] = canonicalize(model.tensors["embedding"]).view(np.uint16)
    return table


def head_weights(layout: HeadLayout, model: Model) -> dict[str, Bits]:
    """The contents of the weight regions of a head; columns beyond the vocabulary are copies of its first."""
    norm = np.zeros(layout.pitch, np.uint16)
    norm[: layout.shape.hidden] = model.tensors["final_norm"].view(np.uint16)
    weight = model.tensors[model.head].view(np.uint16).T
    copies = np.repeat(weight[:, :1], layout.logits.width - weight.shape[1], axis=1)
    return {"final_norm": norm, "head": weight_stream(np.concatenate([weight, copies], axis=1), layout.logits)}


def rotary_tables(layout: Layout, cosines: Array, sines: Array) -> dict[str, Bits]:
    """The rotary regions, from BF16 tables (positions, head / 2): values twice, the first sine of a pair negated."""
    size, pitch = layout.shape.head, layout.head_pitch
    cos, sin = (np.zeros((len(cosines), pitch), np.uint16) for _ in range(2))
    cos[:, :size] = np.repeat(cosines.view(np.uint16), 2, axis=1)
    sin[:, 0:size:2], sin[:, 1:size:2] = (-sines).view(np.uint16), sines.view(np.uint16)
    return {"cosines": cos, "sines": sin}


def rows(layout: Layout, x: Array) -> Bits:
    """Rows (n, hidden) of BF16 as region ``x`` has them."""
    image = np.zeros((layout.padded_rows, layout.output.width), np.uint16)
    image[: len(x), : x.shape[1]] = x.view(np.uint16)
    return image


def positions(layout: Layout, values: Array) -> NDArray[np.uint32]:
    """Region ``positions``: a beat a row, and again, in bytes of the cache; padded rows stand where nobody looks."""
    image = np.zeros((2, layout.padded_rows, layout.params.beat_bytes // 4), np.uint32)
    image[0, :, 0] = layout.positions
    image[0, : len(values), 0] = values
    image[1] = image[0] * (layout.cache_pitch * ELEMENT_BYTES)
    return image


def words(params: RDUParams, values: Sequence[int]) -> NDArray[np.uint32]:
    """A word a beat: token ids as an embedding reads them."""
    image = np.zeros((len(values), params.beat_bytes // 4), np.uint32)
    image[:, 0] = values
    return image


def heads_apart(weight: Array, heads: int, pitch: int) -> Array:
    """The columns of each head moved to multiples of ``pitch``, zeros between."""
    size = weight.shape[1] // heads
    apart = np.zeros((weight.shape[0], heads, pitch), weight.dtype)
    apart[:, :, :size] = weight.reshape(weight.shape[0], heads, size)
    return apart.reshape(weight.shape[0], -1)
