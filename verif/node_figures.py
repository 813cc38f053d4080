"""Figures of a node on RTL, for ``docs/node.md``.

``python -m verif.node_figures`` measures AllReduces over two ``test`` sockets, ``python -m verif.node_figures split`` a
decoder layer on one ``demo`` socket and over two.
"""

import sys

import numpy as np

from coe_mapping.bandwidth.spanning import predict_spanning
from coe_mapping.compile import compile_program
from coe_mapping.kernels.collectives import all_reduce_kernel
from coe_mapping.kernels.layer import build_layer
from coe_mapping.kernels.layout import LayerShape, Layout
from coe_mapping.kernels.shares import Shares
from coe_mapping.kernels.tensor_parallel import split_layer
from coe_mapping.node import NodeDevice
from coe_mapping.spanning import compile_spanning
from hdl.link.config import link_sizes
from hdl.params import DEMO, TEST
from verif.agreement import assert_equal
from verif.node_machine import RTLNode, compiled_node
from verif.split_layers import addresses_of, fill, launch, load, random_case, result

PROGRAM, SCRATCH = 0x80000, 0xC0000
VECTORS = (64, 512, 4096)
ERRORS = (0.0, 1 / 1000, 1 / 100, 1 / 10)
X, Y = 0x1000, 0x20000

LAYER = LayerShape(
    hidden=512, heads=8, key_heads=4, head=64, inner=1536, epsilon=1e-5, rows=1, positions=64, batch=True
)
ONE = Shares(query=2, output=3, inner=2, down=4, stacked=False)
TWO = Shares(query=2, output=2, inner=2, down=2)


def all_reduces() -> None:
    """Cycles of a launch, against those that the wires need for the vectors in full packets."""
    node = RTLNode(TEST)
    device = NodeDevice(node, SCRATCH)
    sizes = link_sizes(TEST)
    print("| vectors | packets struck | cycles | predicted | of the line |", "|---|---|---|---|---|", sep="\n")
    for vectors in VECTORS:
        kernel = all_reduce_kernel(TEST, vectors)
        spanning = compile_spanning(TEST, kernel.program, kernel.bindings)
        predicted = predict_spanning(TEST, kernel.program).cycles
        line = vectors * sizes.packet_words / TEST.link.packet
        for errors in ERRORS:
            node.reset(errors=errors, seed=7)
            programs = device.store_program(spanning, PROGRAM)
            device.load(programs)
            node.model.tick(8 * TEST.link.timeout)  # the links come up
            before = node.sockets[0].now()
            device.launch(programs, {s: c.at({"x": X, "y": Y}) for s, c in spanning.sockets.items()})
            cycles = node.sockets[0].now() - before
            print(f"| {vectors} | {errors:g} | {cycles} | {predicted:.0f} | {line / cycles:.1%} |", flush=True)


def split() -> None:
    """A decode step of one layer, on one socket of the node and over both; every bit compared. Arithmetic is in C
    (:mod:`verif.fast`)."""
    node, rng = RTLNode(DEMO, compiled_node(DEMO, fast=True)), np.random.default_rng(1)
    case, scratch, program = random_case(DEMO, LAYER, rng), DEMO.memory.hbm.capacity - (1 << 16), 1 << 24
    device = NodeDevice(node, scratch)
    one = build_layer(Layout(DEMO, LAYER), ONE)
    compiled = compile_program(DEMO, one.program, one.bindings)
    socket = device.sockets[0]
    fill(socket, one.layout, case, 0, 1)
    loaded = socket.store_program(compiled.bitstream, program)
    socket.load(loaded)
    before = node.sockets[0].now()
    socket.launch(loaded, compiled.at(addresses_of(one.layout)))
    alone = node.sockets[0].now() - before
    assert_equal(result(socket, one.layout, case), case.expected(1).view(np.uint16), what="one socket")
    print(f"one socket {alone} cycles", flush=True)
    kernel = split_layer(DEMO, LAYER, TWO)
    spanning = compile_spanning(DEMO, kernel.program, kernel.bindings)
    node.model.tick(8 * DEMO.link.timeout)
    programs = load(device, kernel.layout, case, spanning, program)
    start = node.sockets[0].now()
    made = launch(device, kernel.layout, case, spanning, programs)
    both = node.sockets[0].now() - start
    for y in made:
        assert_equal(y, case.expected(2).view(np.uint16), what="two sockets")
    print(f"two sockets {both} cycles, {alone / both:.2f} times as fast")


if __name__ == "__main__":
    split() if sys.argv[1:] == ["split"] else all_reduces()
