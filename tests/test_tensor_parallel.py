"""A decoder layer over two sockets: on the golden node, bit for bit the operators with the split's additions."""

from dataclasses import replace

import numpy as np
import pytest

from coe_mapping.bandwidth import predict
from coe_mapping.bandwidth.spanning import predict_spanning
from coe_mapping.kernels.layer import build_layer
from coe_mapping.kernels.layout import LayerShape, Layout
from coe_mapping.kernels.shares import Shares
from coe_mapping.kernels.tensor_parallel import split_layer
from coe_mapping.node import GoldenNode, NodeDevice
from coe_mapping.spanning import compile_spanning
from hdl.errors import ParameterError
from hdl.params import DEMO
from verif.agreement import assert_equal
from verif.split_layers import launch, load, random_case

SHAPE = LayerShape(hidden=64, heads=4, key_heads=2, head=16, inner=128, epsilon=1e-5, rows=3, positions=16, batch=True)
SHARES = Shares(output=2, down=2)
PROGRAM, SCRATCH = 0x200000, 0x3E0000


@pytest.mark.parametrize("rows", [1, 3])
def test_a_layer_over_two_sockets_has_the_bits_of_its_operators_and_leaves_them_on_both(
    rng: np.random.Generator, rows: int
) -> None:
    case = random_case(DEMO, replace(SHAPE, rows=rows), rng)
    kernel = split_layer(DEMO, case.shape, SHARES)
    spanning = compile_spanning(DEMO, kernel.program, kernel.bindings)
    wanted = case.expected(2).view(np.uint16)
    device = NodeDevice(GoldenNode(DEMO), SCRATCH)
    programs = load(device, kernel.layout, case, spanning, PROGRAM)
    for y in launch(device, kernel.layout, case, spanning, programs):
        assert_equal(y, wanted, what="hidden state")


def test_the_split_adds_in_an_order_of_its_own(rng: np.random.Generator) -> None:
    """So a comparison with the operators of one socket would not do."""
    case = random_case(DEMO, SHAPE, rng)
    one, two = (case.expected(sockets) for sockets in (1, 2))
    assert not np.array_equal(one.view(np.uint16), two.view(np.uint16))
    assert np.abs(one.astype(float) - two.astype(float)).max() < 0.05 * np.abs(one.astype(float)).max()


def test_the_bandwidth_model_says_what_a_second_socket_gains_where_memory_binds() -> None:
    shape = replace(SHAPE, hidden=512, heads=8, key_heads=4, head=64, inner=1536, rows=1, positions=64)
    shares = Shares(output=2, inner=2, down=2, stacked=False)
    one = predict(DEMO, build_layer(Layout(DEMO, shape), replace(shares, query=2)).program, samples=200)
    two = predict_spanning(DEMO, split_layer(DEMO, shape, shares).program, samples=200)
    assert one.binding == "HBM"
    assert two.busy[0].resource.startswith("HBM of socket")
    assert two.macs == pytest.approx(one.macs, rel=0.01)
    assert 1.5 < one.cycles / two.cycles < 2


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(ParameterError, match="tensor parallelism: 9 query heads are not as many for 2 sockets"):
        split_layer(DEMO, replace(SHAPE, heads=9, key_heads=3), SHARES)
    with pytest.raises(ParameterError, match="tensor parallelism: over 2 sockets, not 4"):
        split_layer(replace(DEMO, sockets=4), SHAPE, SHARES)
    with pytest.raises(ParameterError, match="output and down in 1 and 2 shares, not one a socket"):
        split_layer(DEMO, SHAPE, replace(SHARES, output=1))
    with pytest.raises(ParameterError, match="5 rows come in several blocks: take fewer"):
        split_layer(DEMO, replace(SHAPE, rows=5), SHARES)
