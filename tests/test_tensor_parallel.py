"""A decoder layer over two sockets: on the golden node, bit for bit the operators with the split's additions."""

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping.graph.build import COSINES, SINES, Workload
from coe_mapping.graph.build import decoder_layer as graph_of_layer
from coe_mapping.graph.graph import Role
from coe_mapping.graph.run import weights_of
from coe_mapping.kernels import image
from coe_mapping.kernels.layout import LayerShape
from coe_mapping.kernels.shares import Shares
from coe_mapping.kernels.tensor_parallel import SplitKernel, split_layer
from coe_mapping.models.model import Model, layer_tensor
from coe_mapping.models.read import read_model
from coe_mapping.node import GoldenNode, NodeDevice
from coe_mapping.spanning import Spanning, compile_spanning
from golden_model import tensor_parallel
from golden_model.operators import ContractArithmetic
from hdl.errors import ParameterError
from hdl.params import DEMO
from verif.agreement import assert_equal
from verif.sources import ROOT

Array = NDArray[Any]
BF16 = ml_dtypes.bfloat16
SHARES = Shares(output=2, down=2)
LAYER, CAPACITY = 1, 16
PROGRAM, SCRATCH = 0x200000, 0x3E0000
NAMES = ("query", "key", "value", "output", "gate", "up", "down", "attention_norm", "mlp_norm")


@pytest.fixture(scope="module")
def model() -> Model:
    return read_model(ROOT / "coe_mapping" / "weights" / "demo")


def parts_of(model: Model) -> list[dict[str, Array]]:
    """The weights of both sockets."""
    weights = {name: model.tensors[layer_tensor(LAYER, name)] for name in NAMES}
    return [tensor_parallel.share(weights, socket, 2) for socket in range(2)]


def expected(model: Model, x: Array, positions: Array) -> Array:
    """Operator by operator."""
    c, arithmetic = model.config, ContractArithmetic(DEMO.lanes)
    half = replace(c, heads=c.heads // 2, kv_heads=c.kv_heads // 2, intermediate=c.intermediate // 2)
    graph = graph_of_layer(half, Workload(len(x), 1, CAPACITY), layer=LAYER)
    shapes = [t.shape for t in graph.of_role(Role.STATE)]
    values = weights_of(model, arithmetic, CAPACITY)
    parts = [{name: arithmetic.weights(w) for name, w in part.items()} for part in parts_of(model)]
    caches = [(np.zeros(shapes[0], BF16), np.zeros(shapes[1], BF16)) for _ in parts]
    tables = values[COSINES], values[SINES]
    scale = c.attention_scale
    return tensor_parallel.decoder_layer(
        arithmetic, parts, x, positions, caches, tables, epsilon=c.epsilon, scale=scale
    )


def run(model: Model, kernel: SplitKernel, spanning: Spanning, x: Array, positions: Array) -> list[Array]:
    """The result on both sockets."""
    layout, device = kernel.layout, NodeDevice(GoldenNode(DEMO), SCRATCH)
    rotary = model.config.rotary
    tables = ContractArithmetic(DEMO.lanes).rotary_tables(rotary.frequencies, rotary.amplitude, layout.cache_rows)
    addresses, end = {}, 0
    for name, region in layout.regions.items():
        addresses[name], end = end, end + -(-region.bytes // 256) * 256
    for socket, part in zip(device.sockets, parts_of(model), strict=True):
        tensors: dict[str, Array] = dict(image.weights(layout, part))
        tensors |= image.rotary_tables(layout, *tables)
        tensors |= {"x": image.rows(layout, x), "positions": image.positions(layout, positions)}
        for name, tensor in tensors.items():
            socket.write(addresses[name], np.ascontiguousarray(tensor).view(np.uint8))
    programs = device.store_program(spanning, PROGRAM)
    device.load(programs)
    device.launch(programs, {s: c.at(addresses) for s, c in spanning.sockets.items()})
    size = layout.regions["y"].bytes
    bits = [socket.read(addresses["y"], size).view(np.uint16) for socket in device.sockets]
    return [each.reshape(-1, layout.output.width)[: len(x), : x.shape[1]] for each in bits]


@pytest.mark.parametrize("rows", [1, 3])
def test_a_layer_over_two_sockets_has_the_bits_of_its_operators_and_leaves_them_on_both(
    model: Model, rng: np.random.Generator, rows: int
) -> None:
    c = model.config
    shape = LayerShape(
        *(c.hidden, c.heads, c.kv_heads, c.head_size, c.intermediate, c.epsilon), rows, CAPACITY, batch=True
    )
    kernel = split_layer(DEMO, shape, SHARES)
    spanning = compile_spanning(DEMO, kernel.program, kernel.bindings)
    x, positions = rng.standard_normal((rows, c.hidden)).astype(BF16), np.zeros(rows, np.int32)
    wanted = expected(model, x, positions).view(np.uint16)
    for y in run(model, kernel, spanning, x, positions):
        assert_equal(y, wanted, what="hidden state")


def test_the_split_adds_in_an_order_of_its_own(model: Model, rng: np.random.Generator) -> None:
    """So a comparison with the operators of one socket would not do."""
    x, zero = rng.standard_normal((4, model.config.hidden)).astype(BF16), np.zeros(4, np.int32)
    two = expected(model, x, zero)
    swapped = replace(model, tensors=dict(model.tensors))
    for name in ("gate", "up", "down"):  # inner features the other way round
        weight = model.tensors[layer_tensor(LAYER, name)]
        halves = np.split(weight, 2, axis=1 if name == "down" else 0)
        swapped.tensors[layer_tensor(LAYER, name)] = np.concatenate(halves[::-1], axis=1 if name == "down" else 0)
    assert not np.array_equal(two.view(np.uint16), expected(swapped, x, zero).view(np.uint16))


def test_what_cannot_be_split_is_refused() -> None:
    shape = LayerShape(64, 4, 2, 16, 128, 1e-5, 1, 16, batch=True)
    with pytest.raises(ParameterError, match="tensor parallelism: 9 query heads are not as many for 2 sockets"):
        split_layer(DEMO, replace(shape, heads=9, key_heads=3), SHARES)
    with pytest.raises(ParameterError, match="tensor parallelism: over 2 sockets, not 4"):
        split_layer(replace(DEMO, sockets=4), shape, SHARES)
    with pytest.raises(ParameterError, match="output and down in 1 and 2 shares, not one a socket"):
        split_layer(DEMO, shape, replace(SHARES, output=1))
    with pytest.raises(ParameterError, match="5 rows come in several blocks: take fewer"):
        split_layer(DEMO, replace(shape, rows=5), SHARES)
