"""Several sockets as one machine: streams between their units, on golden and RTL, over wires that do harm."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping import deadlock
from coe_mapping.bitstream import argument_words
from coe_mapping.commands import command
from coe_mapping.device import DeviceError
from coe_mapping.kernels.builder import Builder
from coe_mapping.kernels.loops import loops
from coe_mapping.kernels.memory import Binding, Pattern, Region, Streams
from coe_mapping.node import GoldenNode, NodeDevice, NodeMachine
from coe_mapping.program import Port, Program
from coe_mapping.spanning import PeerStream, Spanning, SpanningProgram, compile_spanning
from hdl import yosys
from hdl.errors import ParameterError
from hdl.host.errors import ErrorCode
from hdl.host.format import Opcode
from hdl.link.config import link_sizes
from hdl.link.layout import Refusal
from hdl.link.unit import LinkUnit
from hdl.node import Node
from hdl.params import TEST, LinkParams
from hdl.socket import Socket
from hdl.unit_map import unit_map
from hdl.verilog import blocks, whole
from verif import spanning_programs
from verif.lint import complaints
from verif.node_machine import RTLNode
from verif.sim import SimulationError

PROGRAM, SCRATCH = 0x80000, 0xC0000
FROM, TO, COPY = 0x1000, 0x10000, 0x20000
VECTORS = 700
"""More than a link, the network and the queues of the units hold."""


@pytest.fixture(scope="module")
def node() -> RTLNode:
    return RTLNode(TEST)


def exchange(sockets: int = 2) -> tuple[SpanningProgram, dict[int, list[Binding]]]:
    """Every socket loads vectors, keeps a copy and sends them to the next, which stores them."""
    programs: dict[int, Program] = {}
    bindings: dict[int, list[Binding]] = {}
    ends: dict[int, tuple[Port, Port]] = {}
    order, strides, size = loops(vector=VECTORS), {"vector": TEST.beat_bytes}, VECTORS * TEST.beat_bytes
    for s in range(sockets):
        b, streams = Builder(TEST, "exchange"), Streams(TEST, "exchange")
        source = streams.load(Pattern(Region("from", size), order, strides))
        sinks = [streams.store(Pattern(Region(name, size), order, strides))[0] for name in ("to", "copy")]
        for name, unit in streams.programs().items():
            b.add(name, unit)
        b.vector(source, sinks[1], weight=VECTORS)
        programs[s], bindings[s], ends[s] = b.program(), streams.bindings(), (source, sinks[0])
    peers = tuple(
        PeerStream((s, ends[s][0]), (((s + 1) % sockets, ends[(s + 1) % sockets][1]),), VECTORS) for s in ends
    )
    return SpanningProgram(programs, peers, "exchange"), bindings


def compiled(number: int = 0x77) -> Spanning:
    spanning, bindings = exchange()
    return compile_spanning(TEST, spanning, bindings, number=number)


def prepare(machine: NodeMachine, spanning: Spanning) -> NodeDevice:
    """Data and programs in memory, programs loaded."""
    device = NodeDevice(machine, SCRATCH)
    for s, socket in enumerate(device.sockets):
        machine.sockets[s].tier(0)[:] = 0
        socket.write(FROM, data(s))
    device.load(device.store_program(spanning, PROGRAM))
    return device


def data(socket: int) -> NDArray[np.uint8]:
    return np.random.default_rng(socket).integers(0, 256, VECTORS * TEST.beat_bytes, dtype=np.uint8)


def launch(device: NodeDevice, spanning: Spanning) -> None:
    addresses = {"from": FROM, "to": TO, "copy": COPY}
    programs = device.store_program(spanning, PROGRAM)
    device.launch(programs, {s: c.at(addresses) for s, c in spanning.sockets.items()})


def exchanged(device: NodeDevice) -> bool:
    """Every socket has its own vectors and the other's."""
    size = VECTORS * TEST.beat_bytes
    got = [(device.sockets[s].read(TO, size), device.sockets[s].read(COPY, size)) for s in range(2)]
    return all(np.array_equal(got[s][0], data(1 - s)) and np.array_equal(got[s][1], data(s)) for s in range(2))


@pytest.mark.parametrize("errors", [0, 1 / 10])
def test_streams_cross_both_ways_and_stay_beside_their_source_whatever_the_wires_do(
    node: RTLNode, seed: int, errors: float
) -> None:
    node.reset(errors=errors, seed=seed)
    for machine in (GoldenNode(TEST), node):
        device = prepare(machine, compiled())
        for _ in range(2):
            launch(device, compiled())
        assert exchanged(device)
    assert (node.hits > 0) == (errors > 0)
    assert [device.links(s)["refused"] for s in range(2)] == [0, 0]


def test_a_socket_that_starts_late_gets_all_that_was_sent_before(node: RTLNode) -> None:
    node.reset()
    device, spanning = prepare(node, compiled()), compiled()
    start = [command(Opcode.EXECUTE, tiles=1), command(Opcode.WAIT, tiles=1)]
    for s, each in spanning.sockets.items():
        words = argument_words(each.bitstream, each.at({"from": FROM, "to": TO, "copy": COPY}))
        device.sockets[s].write(SCRATCH, np.array(words, "<u4").tobytes())
        device.sockets[s].run([command(Opcode.ARGUMENTS, address=SCRATCH, count=len(words))])
    node.sockets[0].send(start)
    node.model.tick(6_000)
    assert not node.sockets[0].registers.fields("STATUS")["idle"]
    assert (device.links(0)["refused"], device.links(1)["refused"]) == (0, 0)
    assert node.execute({1: start}) == {}
    assert node.execute({0: []}) == {}
    assert exchanged(device)


def test_vectors_of_another_program_are_refused_and_reported_and_the_next_program_runs(node: RTLNode) -> None:
    """Socket 1 runs a program of another number than socket 0."""
    mixed = Spanning({0: compiled(7).sockets[0], 1: compiled(8).sockets[1]}, 7)
    golden = GoldenNode(TEST)
    with pytest.raises(ParameterError, match="stores 700 vectors, 0 given"):
        launch(prepare(golden, mixed), mixed)
    assert {(r.socket, r.reason, r.address.program) for r in golden.refused} == {
        (1, Refusal.PROGRAM, 7),
        (0, Refusal.PROGRAM, 8),
    }
    node.reset()
    device = prepare(node, mixed)
    with pytest.raises(
        SimulationError,
        match=r"is stuck; socket 0 refused \d+ vectors, the first from socket 1 to socket 0 for program 8, which does "
        r"not run there; socket 1 refused .* program 7",
    ):
        launch(device, mixed)
    device = prepare(node, compiled())
    launch(device, compiled())
    assert exchanged(device)


def test_a_dead_link_ends_in_an_error_in_bounded_time_and_the_next_program_runs(node: RTLNode) -> None:
    node.reset()
    device = prepare(node, compiled())
    node.cut(0b0011)  # socket 0 to socket 1 by link 0, both ways
    before = node.cycles
    with pytest.raises(DeviceError, match="socket 0: a link to another socket was given up") as error:
        launch(device, compiled())
    assert error.value.error.code == ErrorCode.LINK
    assert error.value.error.unit == unit_map(TEST).links.number
    assert node.cycles - before < TEST.link.patience + 4_000
    node.cut(0)
    device = prepare(node, compiled())
    launch(device, compiled())
    assert exchanged(device)


@pytest.mark.parametrize("errors", [0, 1 / 100])
def test_10_random_programs_over_two_sockets_leave_the_memory_of_the_golden_node(
    node: RTLNode, seed: int, errors: float
) -> None:
    assert spanning_programs.campaign(node, 5, seed, errors) == 5


def test_a_node_of_four_passes_streams_through_sockets_between() -> None:
    """On the golden node: every socket to the one two further on."""
    four = replace(TEST, name="four", sockets=4)
    spanning, bindings = exchange(4)
    peers = tuple(
        replace(stream, sinks=(((s + 2) % 4, stream.sinks[0][1]),), channel=s % 2)
        for s, stream in enumerate(spanning.streams)
    )
    made = compile_spanning(four, replace(spanning, streams=peers), bindings)
    device = prepare(GoldenNode(four), made)
    launch(device, made)
    size = VECTORS * TEST.beat_bytes
    assert all(np.array_equal(device.sockets[(s + 2) % 4].read(TO, size), data(s)) for s in range(4))


def test_what_does_not_fit_is_refused_with_a_sentence() -> None:
    one = replace(TEST, name="one", sockets=1)
    with pytest.raises(ParameterError, match="links need another socket, and there is one"):
        Socket(one, linked=True)
    with pytest.raises(ParameterError, match="4 channels of the links need a row of the mesh each, and it has 2"):
        link_sizes(replace(TEST, link=LinkParams(channels=4)))
    with pytest.raises(ParameterError, match="a socket in a ring has 2 links and not 3"):
        Node(replace(TEST, link=LinkParams(links=3)))
    spanning, bindings = exchange()
    stream = spanning.streams[0]
    for streams, why in (
        ((replace(stream, sinks=()),), "goes nowhere"),
        ((replace(stream, sinks=((0, stream.sinks[0][1]),)),), "ends on its own socket"),
        ((replace(stream, sinks=((3, stream.sinks[0][1]),)),), "names socket 3, which has no program"),
        ((stream, stream, stream), "finds no channel of the links free"),
    ):
        with pytest.raises(ParameterError, match=why):
            compile_spanning(TEST, replace(spanning, streams=streams), bindings)


def test_the_links_of_a_socket_are_lint_clean_and_no_output_depends_on_an_input_within_a_cycle(tmp_path: Path) -> None:
    """So they are a block of the simulator: what stands in for it is a register."""
    unit, source = LinkUnit(TEST), tmp_path / "links.v"
    source.write_text(whole(blocks(unit, "links").values()))
    yosys.run(
        f"read_verilog {source}; hierarchy -top links; proc; flatten; opt_clean; "
        "select -set from i:* i:clk %d %coe*; select -assert-none @from o:* %i",
        what="a way through the links",
    )
    wide = replace(TEST, rows=3, link=LinkParams(channels=3, packet=8, window=16), rdn=replace(TEST.rdn, flows=16))
    assert complaints(LinkUnit(wide), "links") == ""


def test_buffers_of_two_sockets_that_wait_for_each_other_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"the routes can deadlock: .* waits for"):
        deadlock.refuse_cycles([("mesh of 0", "link of 0"), ("link of 0", "mesh of 1"), ("mesh of 1", "mesh of 0")])
