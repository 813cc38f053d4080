"""AllReduce, AllGather and broadcast: bit for bit the golden model's order of additions, on golden and RTL nodes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping.bandwidth.spanning import predict_spanning
from coe_mapping.kernels.collectives import CollectiveKernel, all_gather_kernel, all_reduce_kernel, broadcast_kernel
from coe_mapping.node import GoldenNode, NodeDevice, NodeMachine
from coe_mapping.spanning import compile_spanning
from golden_model import numerics as golden
from golden_model.collectives import all_reduce, order
from hdl.arith.formats import BF16
from hdl.errors import ParameterError
from hdl.params import DEMO, TEST, RDUParams
from verif.node_machine import RTLNode
from verif.operands import singles

PROGRAM, SCRATCH, X, Y = 0x80000, 0xC0000, 0x1000, 0x20000
FOUR = replace(DEMO, name="four", sockets=4)
VECTORS = 512


@pytest.fixture(scope="module")
def node() -> RTLNode:
    return RTLNode(TEST)


def parts(params: RDUParams, rng: np.random.Generator, vectors: int) -> list[NDArray[np.uint16]]:
    """Random BF16 with special values, one matrix a socket."""
    shape = vectors, params.lanes
    return [singles(BF16, rng, vectors * params.lanes).astype(np.uint16).reshape(shape) for _ in range(params.sockets)]


def run(machine: NodeMachine, kernel: CollectiveKernel, x: list[NDArray[np.uint16]]) -> list[NDArray[np.uint16]]:
    """y of every socket."""
    params = machine.params
    spanning = compile_spanning(params, kernel.program, kernel.bindings)
    device = NodeDevice(machine, SCRATCH)
    for socket, part in zip(device.sockets, x, strict=True):
        socket.write(X, part.view(np.uint8))
        socket.write(Y, np.zeros_like(part).view(np.uint8))
    programs = device.store_program(spanning, PROGRAM)
    device.load(programs)
    device.launch(programs, {s: c.at({"x": X, "y": Y}) for s, c in spanning.sockets.items()})
    return [socket.read(Y, x[0].nbytes).view(np.uint16).reshape(x[0].shape) for socket in device.sockets]


def summed(x: list[NDArray[np.uint16]]) -> NDArray[np.uint16]:
    return np.asarray(golden.to_bits(all_reduce([golden.from_bits(part, BF16) for part in x])))


def test_the_order_of_additions_is_fixed_and_another_gives_other_bits(rng: np.random.Generator) -> None:
    assert [order(4, c) for c in range(4)] == [[1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2], [0, 1, 2, 3]]
    x = [golden.to_bf16(rng.standard_normal((64, 8)).astype(np.float32)) for _ in range(4)]
    assert not np.array_equal(golden.to_bits(all_reduce(x)), golden.to_bits(all_reduce(x[::-1])))


@pytest.mark.parametrize("params", [TEST, FOUR], ids=["two", "four"])
def test_all_reduce_leaves_the_same_sum_on_every_socket(params: RDUParams, rng: np.random.Generator) -> None:
    x = parts(params, rng, VECTORS)
    for y in run(GoldenNode(params), all_reduce_kernel(params, VECTORS), x):
        assert np.array_equal(y, summed(x))


@pytest.mark.parametrize("params", [TEST, FOUR], ids=["two", "four"])
def test_all_gather_and_broadcast_move_every_vector_to_every_socket(
    params: RDUParams, rng: np.random.Generator
) -> None:
    x, share = parts(params, rng, VECTORS), VECTORS // params.sockets
    whole = np.concatenate([x[c][c * share : (c + 1) * share] for c in range(params.sockets)])
    assert all(np.array_equal(y, whole) for y in run(GoldenNode(params), all_gather_kernel(params, VECTORS), x))
    root = params.sockets - 1
    for y in run(GoldenNode(params), broadcast_kernel(params, VECTORS, root), x):
        assert np.array_equal(y, x[root])


@pytest.mark.parametrize("errors", [0, 1 / 20])
def test_collectives_of_two_sockets_on_rtl_are_exact_whatever_the_wires_do(
    node: RTLNode, rng: np.random.Generator, seed: int, errors: float
) -> None:
    x, share = parts(TEST, rng, VECTORS), VECTORS // 2
    node.reset(errors=errors, seed=seed)
    for y in run(node, all_reduce_kernel(TEST, VECTORS), x):
        assert np.array_equal(y, summed(x))
    for y in run(node, all_gather_kernel(TEST, VECTORS), x):
        assert np.array_equal(y, np.concatenate([x[0][:share], x[1][share:]]))
    for y in run(node, broadcast_kernel(TEST, VECTORS, 1), x):
        assert np.array_equal(y, x[1])
    assert (node.hits > 0) == (errors > 0)


def test_what_a_ring_cannot_hold_is_refused() -> None:
    with pytest.raises(ParameterError, match="511 vectors are not as many for each of 2 sockets"):
        all_reduce_kernel(TEST, 511)
    with pytest.raises(ParameterError, match="a chunk of 8192 vectors does not fit the 4096 bank rows"):
        all_reduce_kernel(FOUR, 4 * 8192)


def test_the_bandwidth_model_is_within_five_percent_of_a_long_all_reduce(node: RTLNode) -> None:
    """Both of its streams over a link share it. On RTL the host's commands come on top, some 350 cycles."""
    kernel = all_reduce_kernel(TEST, 2048)
    spanning = compile_spanning(TEST, kernel.program, kernel.bindings)
    node.reset()
    device = NodeDevice(node, SCRATCH)
    programs = device.store_program(spanning, PROGRAM)
    device.load(programs)
    node.model.tick(8 * TEST.link.timeout)  # the links come up
    before = node.sockets[0].now()
    device.launch(programs, {s: c.at({"x": X, "y": Y}) for s, c in spanning.sockets.items()})
    measured = node.sockets[0].now() - before - 350
    assert predict_spanning(TEST, kernel.program).cycles == pytest.approx(measured, rel=0.05)
