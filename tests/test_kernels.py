"""The fused decoder layer on golden units: right against float64, and the same routed as on an ideal network."""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping import ideal
from coe_mapping.bandwidth import predict
from coe_mapping.compile import compile_program
from coe_mapping.graph.build import COSINES, POSITIONS, SINES, Workload
from coe_mapping.graph.build import decoder_layer as graph_of_layer
from coe_mapping.graph.graph import Role
from coe_mapping.graph.run import run_graph, weights_of
from coe_mapping.kernels import image
from coe_mapping.kernels.buffer import buffer
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.decoder import Kernel, LayerShape, Layout, Shares, decoder_layer
from coe_mapping.kernels.dense import tiling, weight_stream
from coe_mapping.kernels.layer import build_layer
from coe_mapping.kernels.norm import row_order
from coe_mapping.models.read import read_model
from coe_mapping.program import Port
from golden_model.operators import ContractArithmetic
from golden_model.socket import Socket
from hdl.errors import ParameterError
from hdl.floorplan import Kind, floorplan
from hdl.params import DEMO, TEST, RDUParams
from verif.agreement import assert_equal
from verif.sources import ROOT

BF16 = ml_dtypes.bfloat16
THETA = 10_000.0
Array = NDArray[Any]

PREFILL = LayerShape(64, 4, 2, 16, 176, 1e-5, rows=5, positions=16)
DECODE = LayerShape(64, 4, 2, 16, 172, 1e-5, rows=3, positions=32, batch=True)
AWKWARD = LayerShape(60, 6, 2, 10, 90, 1e-5, rows=7, positions=24)


@dataclass
class Layer:
    """A layer's tensors as a model has them, and the memory of a machine that holds them."""

    shape: LayerShape
    kernel: Kernel
    weights: dict[str, Array]
    x: Array
    positions: Array
    keys: Array  # (sequences, positions, key heads, head)
    values: Array
    addresses: dict[str, int]
    memory: dict[int, NDArray[np.uint8]]

    @property
    def y(self) -> Array:
        """What the kernel left."""
        width, at = self.kernel.layout.output.width, self.addresses["y"]
        data = self.memory[0][at : at + self.kernel.layout.regions["y"].bytes].view(BF16)
        return data.reshape(-1, width)[: self.shape.rows, : self.shape.hidden].astype(np.float64)


def make_layer(
    params: RDUParams, shape: LayerShape, positions: Array, rng: np.random.Generator, shares: Shares | None = None
) -> Layer:
    kernel = decoder_layer(params, shape, shares)
    layout = kernel.layout
    addresses, end = {}, 0
    for name, region in layout.regions.items():
        addresses[name], end = end, end + -(-region.bytes // 256) * 256
    memory = {0: np.zeros(params.memory.hbm.capacity, np.uint8)}
    hidden, query, key = shape.hidden, shape.heads * shape.head, shape.key_heads * shape.head
    sizes = {"query": (hidden, query), "key": (hidden, key), "value": (hidden, key), "output": (query, hidden)}
    sizes |= {"gate": (hidden, shape.inner), "up": (hidden, shape.inner), "down": (shape.inner, hidden)}
    weights = {name: (rng.standard_normal(size) / np.sqrt(size[0])).astype(BF16) for name, size in sizes.items()}
    weights |= {name: rng.standard_normal(hidden).astype(BF16) for name in ("attention_norm", "feed_forward_norm")}
    caches = [np.zeros((layout.sequences, layout.cache_rows, shape.key_heads, shape.head), BF16) for _ in range(2)]
    for sequence in range(min(layout.sequences, shape.rows)):
        past = positions[sequence] if shape.batch else positions[0]
        for cache in caches:
            cache[sequence, :past] = rng.standard_normal((past, shape.key_heads, shape.head))
    x = rng.standard_normal((shape.rows, hidden)).astype(BF16)
    layer = Layer(shape, kernel, weights, x, positions, *caches, addresses, memory)
    for name, array in _in_memory(layer).items():
        data = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        assert len(data) <= layout.regions[name].bytes
        memory[0][addresses[name] : addresses[name] + len(data)] = data
    return layer


def _in_memory(layer: Layer) -> dict[str, Array]:
    """Every tensor in the form the kernel reads."""
    shape, layout, w = layer.shape, layer.kernel.layout, layer.weights
    pitch = layout.head_pitch
    norms = np.zeros((2, layout.output.width), BF16)
    norms[:, : shape.hidden] = w["attention_norm"], w["feed_forward_norm"]
    tensors: dict[str, Array] = {"norms": norms}
    by_columns = {"query": shape.heads, "key": shape.key_heads, "value": shape.key_heads}
    streams = {name: _heads_apart(w[name], heads, pitch) for name, heads in by_columns.items()}
    streams["output"] = _heads_apart(w["output"].T, shape.heads, pitch).T
    streams |= {name: w[name] for name in ("gate", "up", "down")}
    for name, weight in streams.items():
        tensors[name] = weight_stream(np.ascontiguousarray(weight).view(np.uint16), layout.weights[name])
    x = np.zeros((layout.padded_rows, layout.output.width), BF16)
    x[: shape.rows, : shape.hidden] = layer.x
    places = image.positions(layout, layer.positions)
    angles = np.arange(layout.cache_rows)[:, None] * THETA ** (-np.arange(0, shape.head, 2) / shape.head)
    cosines, sines = (np.zeros((layout.cache_rows, pitch), BF16) for _ in range(2))
    cosines[:, : shape.head] = np.repeat(np.cos(angles), 2, axis=1)
    sines[:, 0 : shape.head : 2], sines[:, 1 : shape.head : 2] = -np.sin(angles), np.sin(angles)
    tensors |= {"x": x, "positions": places, "cosines": cosines, "sines": sines}
    for name, cache in (("keys", layer.keys), ("values", layer.values)):
        tensors[name] = np.pad(cache, [(0, 0)] * 3 + [(0, pitch - shape.head)])
    return tensors


def _heads_apart(weight: Array, heads: int, pitch: int) -> Array:
    """The columns of each head moved to multiples of ``pitch``."""
    size = weight.shape[1] // heads
    apart = np.zeros((weight.shape[0], heads, pitch), BF16)
    apart[:, :, :size] = weight.reshape(weight.shape[0], heads, size)
    return apart.reshape(weight.shape[0], -1)


def reference(layer: Layer) -> Array:
    """The layer in float64."""
    shape = layer.shape
    w = {name: weight.astype(np.float64) for name, weight in layer.weights.items()}
    x, keys, values = (a.astype(np.float64) for a in (layer.x, layer.keys, layer.values))

    def norm(rows: Array, weight: Array) -> Array:
        return np.asarray(rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + shape.epsilon) * weight)

    def turned(vectors: Array, position: int) -> Array:
        angles = position * THETA ** (-np.arange(0, shape.head, 2) / shape.head)
        pairs = (vectors[..., 0::2] + 1j * vectors[..., 1::2]) * np.exp(1j * angles)
        return np.stack([pairs.real, pairs.imag], axis=-1).reshape(vectors.shape)

    normed = norm(x, w["attention_norm"])
    q, k, v = ((normed @ w[name]).reshape(shape.rows, -1, shape.head) for name in ("query", "key", "value"))
    for row, position in enumerate(layer.positions):
        sequence = row if shape.batch else 0
        keys[sequence, position], values[sequence, position] = turned(k[row], position), v[row]
    attended = np.zeros((shape.rows, shape.heads, shape.head))
    for row, position in enumerate(layer.positions):
        sequence = row if shape.batch else 0
        for head in range(shape.heads):
            group = head // (shape.heads // shape.key_heads)
            scores = keys[sequence, : position + 1, group] @ turned(q[row], position)[head] / np.sqrt(shape.head)
            weights = np.exp(scores - scores.max())
            attended[row, head] = weights / weights.sum() @ values[sequence, : position + 1, group]
    middle = x + attended.reshape(shape.rows, -1) @ w["output"]
    normed = norm(middle, w["feed_forward_norm"])
    gate = normed @ w["gate"]
    return np.asarray(middle + (gate / (1 + np.exp(-gate)) * (normed @ w["up"])) @ w["down"])


@pytest.mark.parametrize(
    ("shape", "positions", "shares"),
    [
        (PREFILL, np.arange(5) + 3, Shares()),
        (PREFILL, np.arange(5) + 3, Shares(inner=2, resident=frozenset({"gate0", "up1", "query0"}))),
        (DECODE, np.array([0, 7, 20]), Shares(2, 1, 2, 2, 2)),
        (AWKWARD, np.arange(7), Shares(resident=frozenset({"query0", "up0", "output0"}))),
    ],
    ids=["prefill", "prefill in shares", "decode in shares", "awkward"],
)
def test_a_fused_decoder_layer_is_right(
    shape: LayerShape, positions: Array, shares: Shares, rng: np.random.Generator
) -> None:
    layer = make_layer(DEMO, shape, positions, rng, shares)
    program = ideal.bind(layer.kernel.program, layer.kernel.bindings, layer.addresses)
    ideal.run(DEMO, program, layer.memory)
    expected = reference(layer)
    error = np.sqrt(np.mean((layer.y - expected) ** 2)) / np.sqrt(np.mean(expected**2))
    assert error < 0.01
    assert np.abs(layer.y - expected).max() < 0.04 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("tokens", "shares"),
    [
        ((1, 5), None),
        ((1, 13), Shares()),
        ((1, 13), Shares(inner=2, resident=frozenset({"value0", "output0", "gate0", "gate1", "up0", "down1"}))),
        ((1, 13), Shares(lines=2)),
        ((1, 9), Shares(lines=3, resident=frozenset({"value0", "gate0", "down0"}))),
        ((8, 1), Shares(lines=2)),
        ((2, 1), None),
        ((3, 1), Shares(query=2, output=2, down=2, stacked=False)),
        ((5, 1), Shares(inner=2)),
        ((5, 1), Shares(stacked=False)),
    ],
    ids=[
        "prefill",
        "one PCU a product",
        "resident",
        "two lines",
        "three lines, resident",
        "two lines of a batch",
        "decode",
        "head by head",
        "two blocks",
        "two blocks, head by head",
    ],
)
def test_a_layer_of_a_trained_model_has_the_bits_of_the_operator_level_golden_model(
    tokens: tuple[int, int], shares: Shares | None, rng: np.random.Generator
) -> None:
    """From real weights, operator by operator in the contract's arithmetic, against the configured units."""
    model = read_model(ROOT / "coe_mapping" / "weights" / "demo")
    config, arithmetic, capacity = model.config, ContractArithmetic(DEMO.lanes), 16
    sequences, new = tokens
    rows = sequences * new
    shape = LayerShape(
        *(config.hidden, config.heads, config.kv_heads, config.head_size, config.intermediate, config.epsilon),
        *(rows, capacity, sequences > 1),
    )
    kernel = decoder_layer(DEMO, shape, shares)
    layout = kernel.layout
    x = rng.standard_normal((rows, config.hidden)).astype(BF16)
    places = np.tile(np.arange(new), sequences)
    values = weights_of(model, arithmetic, layout.cache_rows)
    graph = graph_of_layer(config, Workload(sequences, new, capacity), layer=1)
    caches = {t.name: np.zeros(t.shape, BF16) for t in graph.of_role(Role.STATE)}
    tables = {name: values[name][:capacity] for name in (COSINES, SINES)}
    inputs = {"hidden": x, POSITIONS: places.astype(np.int32)}
    expected = run_graph(graph, arithmetic, {**values, **tables, **caches, **inputs})["layers.1.hidden"]

    addresses, end = {}, 0
    memory = {0: np.zeros(DEMO.memory.hbm.capacity, np.uint8)}
    cosines, sines = arithmetic.rotary_tables(config.rotary.frequencies, config.rotary.amplitude, layout.cache_rows)
    tensors: dict[str, Array] = dict(image.layer_weights(layout, model, 1))
    tensors |= image.rotary_tables(layout, cosines, sines)
    tensors |= {"x": image.rows(layout, x), "positions": image.positions(layout, places)}
    for name, region in layout.regions.items():
        addresses[name], end = end, end + -(-region.bytes // 256) * 256
        data = np.ascontiguousarray(tensors.get(name, np.zeros(0, np.uint8))).view(np.uint8).reshape(-1)
        memory[0][addresses[name] : addresses[name] + len(data)] = data
    ideal.run(DEMO, ideal.bind(kernel.program, kernel.bindings, addresses), memory)
    y = memory[0][addresses["y"] : addresses["y"] + layout.regions["y"].bytes].view(np.uint16)
    assert_equal(
        y.reshape(-1, layout.output.width)[:rows, : config.hidden], expected.view(np.uint16), what="hidden state"
    )


def test_a_routed_decoder_layer_leaves_the_same_memory_as_on_an_ideal_network(rng: np.random.Generator) -> None:
    layer = make_layer(DEMO, PREFILL, np.arange(5), rng)
    program = ideal.bind(layer.kernel.program, layer.kernel.bindings, layer.addresses)
    compiled = compile_program(DEMO, program, layer.kernel.bindings)
    routed = {0: layer.memory[0].copy()}
    Socket(DEMO, routed).run(compiled.image.words, compiled.image.active)
    ideal.run(DEMO, program, layer.memory)
    assert np.array_equal(routed[0], layer.memory[0])


def test_every_position_of_the_cache_can_be_the_new_one(rng: np.random.Generator) -> None:
    """Old rows come early, the new one when it is written, in whichever place it stands: the first, the last."""
    shape = LayerShape(64, 4, 2, 16, 128, 1e-5, rows=4, positions=32, batch=True)
    layer = make_layer(DEMO, shape, np.array([0, 31, 1, 30]), rng)
    ideal.run(DEMO, ideal.bind(layer.kernel.program, layer.kernel.bindings, layer.addresses), layer.memory)
    expected = reference(layer)
    assert np.abs(layer.y - expected).max() < 0.04 * np.abs(expected).max()


SMOLLM2 = (576, 9, 3, 64, 1536, 1e-5)
SMALL = (64, 4, 2, 16, 128, 1e-5)


@pytest.mark.parametrize(
    ("sizes", "rows", "positions", "batch"),
    [(SMALL, 1, 32, True), (SMALL, 32, 32, False), (SMOLLM2, 1, 64, True), (SMOLLM2, 64, 64, False)],
    ids=["small decode", "small prefill", "SmolLM2 decode", "SmolLM2 prefill"],
)
def test_a_spread_layer_has_a_place_and_routes_that_do_not_deadlock(
    sizes: tuple[int, int, int, int, int, float], rows: int, positions: int, batch: bool
) -> None:
    kernel = decoder_layer(DEMO, LayerShape(*sizes, rows, positions, batch))
    compiled = compile_program(DEMO, kernel.program, kernel.bindings)
    used = sum(place.kind is Kind.PCU for place in compiled.placed.placement.values())
    assert used > 0.9 * len(floorplan(DEMO).of(Kind.PCU))


def test_lines_read_the_weights_of_the_feed_forward_network_once_for_all_of_them() -> None:
    """Two lines of two blocks each against one of four: half of the gate's, the up's and the last product's."""
    layout = Layout(DEMO, LayerShape(*SMALL, 16, 32))
    one, two = (predict(DEMO, build_layer(layout, Shares(lines=lines)).program) for lines in (1, 2))
    weights = sum(t.tiles * t.k * t.slots for t in (layout.inner, layout.inner, layout.down))
    assert one.beats - two.beats == 2 * weights
    assert one.macs == two.macs


def test_lines_that_do_not_share_out_the_blocks_are_refused() -> None:
    layout = Layout(DEMO, LayerShape(*SMALL, 12, 32))
    with pytest.raises(ParameterError, match="2 lines do not share out 3 blocks of rows evenly, with 1 PCUs each"):
        build_layer(layout, Shares(lines=2))
    with pytest.raises(ParameterError, match="3 lines do not share out 3 blocks of rows evenly, with 2 PCUs each"):
        build_layer(layout, Shares(lines=3, inner=2))


def test_several_sources_do_not_fill_several_blocks_of_one_buffer() -> None:
    """One may be a block ahead of another."""
    rows = Rows((Port("a"), Port("b")), 3, 4, 64, 64)
    with pytest.raises(ParameterError, match="rows: 2 sources fill 3 blocks, and one may be a block ahead of another"):
        buffer(Builder(DEMO, "test"), "rows", rows, row_order(rows, DEMO.lanes))


def test_tiles_are_shared_out_as_evenly_as_can_be() -> None:
    product = tiling(DEMO, 4, 64, 96)
    assert [part.tiles for part in product.columns(2)] == [2, 1]
    with pytest.raises(ParameterError, match="3 tiles are not enough for 4 PCUs"):
        product.columns(4)


def test_a_layer_that_does_not_fit_says_what_ran_out() -> None:
    with pytest.raises(ParameterError, match="more than the 4 AGCUs have: 2 loads and 1 stores each"):
        decoder_layer(TEST, LayerShape(16, 2, 1, 8, 24, 1e-5, rows=2, positions=8))


def test_placement_and_routes_are_the_same_every_time() -> None:
    kernel = decoder_layer(DEMO, PREFILL)
    once, again = (compile_program(DEMO, kernel.program, kernel.bindings, seed=3) for _ in range(2))
    assert once.placed.placement == again.placed.placement
    assert [route.ids for route in once.routes] == [route.ids for route in again.routes]
