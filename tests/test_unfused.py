"""The unfused baseline on golden units: operator by operator the bits of the graph, however the work is shared out."""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping import ideal
from coe_mapping.compile import compile_program
from coe_mapping.graph import Graph, Role, Workload, run_graph, weights_of
from coe_mapping.graph import decoder_layer as graph_of_layer
from coe_mapping.graph.build import COSINES, POSITIONS, SINES
from coe_mapping.kernels import image
from coe_mapping.kernels.decoder import LayerShape, decoder_layer
from coe_mapping.kernels.unfused import UnfusedKernel, UnfusedLayout, tensor_of, unfused_layer
from coe_mapping.kernels.unfused.attention import scores, softmax, values
from coe_mapping.kernels.unfused.draft import Ways, shares
from coe_mapping.kernels.unfused.rows import append, gated_product, linear, norm, rotate
from coe_mapping.models.model import Model
from coe_mapping.models.read import read_model
from golden_model.operators import ContractArithmetic
from golden_model.socket import Socket
from hdl.arith.special_tables import Function
from hdl.errors import ParameterError
from hdl.floorplan import Kind, floorplan
from hdl.params import DEMO, TEST
from tests import small_models
from verif.agreement import assert_equal
from verif.sources import ROOT

BF16 = ml_dtypes.bfloat16
Array = NDArray[Any]
Memory = dict[int, NDArray[np.uint8]]
LAYER = 1


@dataclass
class Bench:
    """A layer's tensors in the memory of a machine, and what the graph makes of them."""

    shape: LayerShape
    layout: UnfusedLayout
    graph: Graph
    expected: dict[str, Array]  # every tensor of the graph
    memory: Memory
    addresses: dict[str, int]

    def run(self, kernel: UnfusedKernel) -> None:
        ideal.run(DEMO, ideal.bind(kernel.program, kernel.bindings, self.addresses), self.memory)

    def bits(self, region: str, dtype: Any = np.uint16) -> Array:
        at = self.addresses[region]
        return self.memory[0][at : at + self.layout.regions[region].bytes].view(dtype)

    def fill(self, region: str) -> None:
        """Puts what the graph made into a region of rows, so that a kernel can run by itself."""
        values = self.expected[tensor_of(region, LAYER)].view(np.uint16)
        rows = self.bits(region).reshape(self.layout.padded_rows, -1)
        rows[:] = 0
        rows[: len(values), : values.shape[1]] = values

    def check(self, name: str) -> None:
        """Asserts that the region of a tensor holds the graph's bits."""
        for region in ("weights", "reciprocal") if name == "weights" else (name,):
            got, want = getattr(self, f"_{region}", self._rows)(region)
            assert_equal(got, want, what=region)

    def _rows(self, region: str) -> tuple[Array, Array]:
        want = self.expected[tensor_of(region, LAYER)].view(np.uint16)
        got = self.bits(region).reshape(self.layout.padded_rows, -1)[: self.shape.rows]
        heads = {"queries": self.shape.heads, "rotated_queries": self.shape.heads, "mixed": self.shape.heads}
        heads |= dict.fromkeys(("new_keys", "rotated_keys", "new_values"), self.shape.key_heads)
        if region not in heads:
            return got[:, : want.shape[1]], want
        apart = got[:, : heads[region] * self.layout.head_pitch].reshape(len(got), heads[region], -1)
        return apart[:, :, : self.shape.head].reshape(want.shape), want

    def _by_score(self, region: str, dtype: Any) -> tuple[Array, Array]:
        """(row, head, ...), from the order of blocks."""
        heads = self.layout.heads
        rows = self.bits(region, dtype).reshape(heads.sequences, heads.queries, heads.rows, -1)
        got = rows.swapaxes(1, 2).reshape(self.layout.padded_rows, heads.queries, -1)[: self.shape.rows]
        return got, self.expected[tensor_of(region, LAYER)].view(dtype)

    def _scores(self, region: str) -> tuple[Array, Array]:
        got, want = self._by_score(region, np.uint32)
        return got[:, :, : want.shape[-1]], want

    def _weights(self, region: str) -> tuple[Array, Array]:
        got, want = self._by_score(region, np.uint16)
        return got[:, :, : want.shape[-1]], want

    def _reciprocal(self, region: str) -> tuple[Array, Array]:
        got, want = self._by_score(region, np.uint32)
        return got, np.broadcast_to(want[..., np.newaxis], got.shape)

    def _cache(self, region: str) -> tuple[Array, Array]:
        layout, shape = self.layout, self.shape
        want = self.expected[tensor_of(region, LAYER)].view(np.uint16)
        rows = self.bits(region).reshape(layout.sequences, layout.cache_rows, shape.key_heads, layout.head_pitch)
        got = rows[: want.shape[0], : want.shape[2], :, : shape.head].transpose(0, 2, 1, 3)
        return got, want

    _keys = _values = _cache


def bench(model: Model, sequences: int, tokens: int, past: int, capacity: int, rng: np.random.Generator) -> Bench:
    """``tokens`` new ones of each sequence after ``past`` others."""
    config, arithmetic = model.config, ContractArithmetic(DEMO.lanes)
    sizes = (config.hidden, config.heads, config.kv_heads, config.head_size, config.intermediate, config.epsilon)
    shape = LayerShape(*sizes, rows=sequences * tokens, positions=capacity, batch=sequences > 1)
    layout = UnfusedLayout(DEMO, shape)
    graph = graph_of_layer(config, Workload(sequences, tokens, capacity), LAYER)
    x = rng.standard_normal((shape.rows, config.hidden)).astype(BF16)
    places = np.tile(np.arange(past, past + tokens, dtype=np.int32), sequences)
    values = weights_of(model, arithmetic, layout.cache_rows)
    caches = {t.name: np.zeros(t.shape, BF16) for t in graph.of_role(Role.STATE)}
    for cache in caches.values():
        cache[:, :, :past] = rng.standard_normal(cache[:, :, :past].shape)
    tables = {name: values[name][:capacity] for name in (COSINES, SINES)}
    known = {**values, **tables, **caches, "hidden": x, POSITIONS: places}
    expected: dict[str, Array] = {"hidden": x}
    run_graph(graph, arithmetic, known, lambda op, made: expected.update(zip(op.outputs, made, strict=True)))

    tensors: dict[str, Array] = dict(image.layer_weights(layout, model, LAYER))
    frequencies = config.rotary.frequencies
    cosines, sines = arithmetic.rotary_tables(frequencies, config.rotary.amplitude, layout.cache_rows)
    tensors |= image.rotary_tables(layout, cosines, sines)
    tensors |= {"x": image.rows(layout, x), "positions": image.positions(layout, places)}
    for name, state in (("keys", "key_cache"), ("values", "value_cache")):
        cache = caches[f"layers.{LAYER}.{state}"].view(np.uint16).transpose(0, 2, 1, 3)
        held = np.zeros((layout.sequences, layout.cache_rows, config.kv_heads, layout.head_pitch), np.uint16)
        held[: cache.shape[0], : cache.shape[1], :, : config.head_size] = cache
        tensors[name] = held
    memory = {0: np.zeros(DEMO.memory.hbm.capacity, np.uint8)}
    addresses, end = {}, 0
    for name, region in layout.regions.items():
        addresses[name], end = end, end + -(-region.bytes // 256) * 256
        data = np.ascontiguousarray(tensors.get(name, np.zeros(0, np.uint8))).view(np.uint8).reshape(-1)
        memory[0][addresses[name] : addresses[name] + len(data)] = data
    return Bench(shape, layout, graph, expected, memory, addresses)


@pytest.fixture(scope="module")
def trained() -> Model:
    return read_model(ROOT / "coe_mapping" / "weights" / "demo")


@pytest.mark.parametrize(
    ("sequences", "tokens", "past"), [(1, 1, 9), (3, 1, 5), (1, 13, 0)], ids=["decode", "batch", "prefill"]
)
def test_kernel_after_kernel_has_the_bits_of_the_graph_operator_by_operator(
    trained: Model, sequences: int, tokens: int, past: int, rng: np.random.Generator
) -> None:
    layer = bench(trained, sequences, tokens, past, 16, rng)
    kernels = unfused_layer(DEMO, layer.shape)
    made = {kernel.name for kernel in kernels} | {"reciprocal"}
    assert {tensor_of(name, LAYER) for name in made} == {
        name for operator in layer.graph.operators for name in operator.outputs
    }
    for kernel in kernels:
        layer.run(kernel)
        layer.check(kernel.name)


def test_the_fused_layer_leaves_the_same_bits(trained: Model, rng: np.random.Generator) -> None:
    layer = bench(trained, 1, 6, 3, 16, rng)
    fused = decoder_layer(DEMO, layer.shape)
    memory = {0: layer.memory[0].copy()}
    norms = image.layer_weights(fused.layout, trained, LAYER)["norms"].view(np.uint8).reshape(-1)
    addresses = layer.addresses | {"norms": DEMO.memory.hbm.capacity // 2}  # what only the fused layer has so
    memory[0][addresses["norms"] :][: len(norms)] = norms
    ideal.run(DEMO, ideal.bind(fused.program, fused.bindings, addresses), memory)
    for kernel in unfused_layer(DEMO, layer.shape):
        layer.run(kernel)
    for name in ("y", "keys", "values"):
        at, size = layer.addresses[name], layer.layout.regions[name].bytes
        assert_equal(layer.memory[0][at : at + size], memory[0][at : at + size], what=name)


def _kernels(layout: UnfusedLayout, ways: Ways) -> list[UnfusedKernel]:
    """A layer spread in ways of the test's choosing."""
    heads, key_heads = layout.shape.heads, layout.shape.key_heads
    a, b = ways[0], ways[1]
    return [
        norm(layout, "attention_normed", "x", "attention_norm", (a, 1)),
        linear(layout, "queries", "query", "attention_normed", (a, b)),
        rotate(layout, "rotated_queries", "queries", heads, (a, b)),
        linear(layout, "new_keys", "key", "attention_normed", (b, a), gathered=False),
        rotate(layout, "rotated_keys", "new_keys", key_heads, (b, 1)),
        linear(layout, "new_values", "value", "attention_normed", (1, b)),
        append(layout, "keys", "rotated_keys", (a, b)),
        append(layout, "values", "new_values", (b, 1)),
        scores(layout, (a, b)),
        softmax(layout, (a, b)),
        values(layout, (b, a)),
        linear(layout, "after_attention", "output", "mixed", (a, b), initial="x"),
        norm(layout, "mlp_normed", "after_attention", "feed_forward_norm", (1, b)),
        linear(layout, "gated", "gate", "mlp_normed", (b, a), function=Function.SILU, gathered=False),
        linear(layout, "raised", "up", "mlp_normed", (a, b)),
        gated_product(layout, "product", (a, b)),
        linear(layout, "y", "down", "product", (b, a), initial="after_attention"),
    ]


@pytest.mark.parametrize("ways", [(1, 1), (2, 3), (3, 2)])
@pytest.mark.parametrize(("sequences", "tokens"), [(5, 1), (1, 9)], ids=["batch", "prefill"])
def test_every_way_to_share_out_the_work_leaves_the_same_bits(
    ways: tuple[int, int], sequences: int, tokens: int, rng: np.random.Generator
) -> None:
    """Sizes divide nothing evenly, so shares overlap."""
    layer = bench(small_models.model(rng), sequences, tokens, 2, 24, rng)
    for kernel in _kernels(layer.layout, ways):
        layer.run(kernel)
        layer.check(kernel.name)


def test_shares_are_equal_cover_everything_and_stay_inside() -> None:
    for total in range(1, 40):
        for ways in range(1, 26):
            cut = shares(total, ways)
            items = {start + i for start in cut.starts for i in range(cut.size)}
            assert items == set(range(total))
            assert len(cut.starts) <= ways


def test_routed_kernels_leave_the_same_memory_as_on_an_ideal_network(trained: Model, rng: np.random.Generator) -> None:
    layer = bench(trained, 1, 8, 0, 16, rng)
    for kernel in (
        linear(layer.layout, "queries", "query", "x", (2, 2)),
        scores(layer.layout, (2, 2)),
    ):
        program = ideal.bind(kernel.program, kernel.bindings, layer.addresses)
        compiled = compile_program(DEMO, program, kernel.bindings)
        routed = {0: layer.memory[0].copy()}
        Socket(DEMO, routed).run(compiled.image.words, compiled.image.active)
        layer.run(kernel)
        assert np.array_equal(routed[0], layer.memory[0])


def test_the_work_of_a_real_model_is_spread_over_the_whole_machine() -> None:
    """SmolLM2-135M, 64 tokens at once: products take all PCUs, what only moves data all AGCUs."""
    layout = UnfusedLayout(DEMO, LayerShape(576, 9, 3, 64, 1536, 1e-5, rows=64, positions=64))
    product = linear(layout, "gated", "gate", "mlp_normed", (8, 3), function=Function.SILU)
    assert product.units[Kind.PCU] == len(floorplan(DEMO).of(Kind.PCU)) == 24
    assert product.ways == (8, 3)
    assert norm(layout, "attention_normed", "x", "attention_norm", (11, 1)).units[Kind.PCU] == 22
    assert append(layout, "keys", "rotated_keys", (2, 6)).units[Kind.AGCU] == 12


def test_what_does_not_fit_says_what_ran_out() -> None:
    layout = UnfusedLayout(TEST, LayerShape(16, 2, 1, 8, 24, 1e-5, rows=8, positions=8))
    with pytest.raises(ParameterError, match=r"attention_normed: \(4,\) ways take 8 PCUs, the machine has 4"):
        norm(layout, "attention_normed", "x", "attention_norm", (4, 1))
    with pytest.raises(ParameterError, match=r"queries: \(4, 1\) ways take 8 PMUs, the machine has 4"):
        linear(layout, "queries", "query", "attention_normed", (4, 2))
    long = LayerShape(8192, 2, 1, 8, 24, 1e-5, rows=2, positions=8)
    with pytest.raises(
        ParameterError, match=r"norm0\.delay: 2 blocks of 1 x 8192 elements take 4096 bank rows, a PMU has 1024"
    ):
        unfused_layer(TEST, long)
