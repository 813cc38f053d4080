"""Random legal programs over two sockets, golden and RTL: all of memory must agree, whatever the wires do.

A random program of one socket is cut: its units, whoever sends first, go to socket 0, then to socket 1, then to socket
0 again, and loads go where their data are needed or not. Units that scalars or tokens join stay together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from numpy.typing import NDArray

from coe_mapping.kernels.memory import Binding
from coe_mapping.node import GoldenNode, NodeDevice, NodeMachine
from coe_mapping.program import Port, Program, Stream
from coe_mapping.spanning import PeerStream, Spanning, SpanningProgram, compile_spanning
from hdl.errors import ParameterError
from hdl.rdn.config import Fabric
from verif.node_machine import RTLNode
from verif.random_programs import PROGRAM, SCRATCH, MemoryDifferenceError, addresses_of, random_data
from verif.strategies.programs import RandomProgram, Recipe, build, recipes


@dataclass(frozen=True)
class Cut:
    """``first``, ``last``: the units from one to the other, in sixteenths of all, go to socket 1. ``strays``: a bit for
    each unit that only sends: it goes to the other socket."""

    first: int
    last: int
    strays: int


def cuts() -> st.SearchStrategy[Cut]:
    return st.builds(Cut, st.integers(0, 16), st.integers(0, 16), st.integers(0, 255))


def assignment(program: Program, cut: Cut) -> dict[str, int]:
    """The socket of every unit."""
    order = _order(program)
    first, last = sorted(-(-n * len(order) // 16) for n in (cut.first, cut.last))
    sockets = {unit: int(first <= i < last) for i, unit in enumerate(order)}
    receivers = {sink.unit for stream in program.streams for sink in stream.sinks}
    for i, unit in enumerate(unit for unit in order if unit not in receivers):
        sinks = [s.unit for stream in program.streams if stream.source.unit == unit for s in stream.sinks]
        if sinks:
            sockets[unit] = sockets[sinks[0]] ^ (cut.strays >> i & 1)
    for stream in program.streams:
        if stream.fabric is not Fabric.VECTOR:
            group = {sockets[port.unit] for port in (stream.source, *stream.sinks)}
            if len(group) > 1:
                joined = _together(program, stream.source.unit)
                sockets |= dict.fromkeys(joined, sockets[stream.source.unit])
    return sockets


def _order(program: Program) -> list[str]:
    """Units, whoever sends before whoever receives, as far as that goes."""
    before: dict[str, set[str]] = {unit: set() for unit in program.units}
    for stream in program.streams:
        for sink in stream.sinks:
            if stream.fabric is Fabric.VECTOR and sink.unit != stream.source.unit:
                before[sink.unit].add(stream.source.unit)
    order: list[str] = []
    while len(order) < len(before):
        left = [unit for unit in before if unit not in order]
        order.append(next((unit for unit in left if before[unit] <= set(order)), left[0]))
    return order


def _together(program: Program, unit: str) -> set[str]:
    """Units that scalars and tokens join with ``unit``."""
    found, grown = {unit}, True
    while grown:
        ends = [
            {port.unit for port in (stream.source, *stream.sinks)}
            for stream in program.streams
            if stream.fabric is not Fabric.VECTOR
        ]
        wider = found.union(*(group for group in ends if group & found))
        grown, found = wider != found, wider
    return found


def span(
    program: Program, bindings: Sequence[Binding], sockets: Mapping[str, int]
) -> tuple[SpanningProgram, dict[int, list[Binding]]]:
    """``program`` with its units on the sockets given."""
    own: dict[int, list[Stream]] = {socket: [] for socket in set(sockets.values())}
    peers: list[PeerStream] = []
    for stream in program.streams:
        here = sockets[stream.source.unit]
        near = tuple(sink for sink in stream.sinks if sockets[sink.unit] == here)
        far: list[tuple[int, Port]] = [(sockets[s.unit], s) for s in stream.sinks if sockets[s.unit] != here]
        if near:
            own[here].append(replace(stream, sinks=near))
        if far:
            peers.append(PeerStream((here, stream.source), tuple(far), stream.weight))
    programs = {
        socket: Program({n: u for n, u in program.units.items() if sockets[n] == socket}, tuple(streams), program.name)
        for socket, streams in own.items()
    }
    parts = {socket: [b for b in bindings if sockets[b.unit] == socket] for socket in own}
    return SpanningProgram(programs, tuple(peers), program.name), parts


def compiled(made: RandomProgram, node: NodeMachine, cut: Cut, seed: int) -> Spanning | None:
    """The program over two sockets; None if it does not fit, does not cross, or could deadlock."""
    sockets = assignment(made.program, cut)
    spanning, bindings = span(made.program, made.bindings, sockets)
    if not spanning.streams:
        return None
    try:
        return compile_spanning(node.params, spanning, bindings, number=1 + seed % 1000, seed=seed)
    except ParameterError:
        return None


def check(node: RTLNode, recipe: Recipe, cut: Cut, seed: int, errors: float) -> bool:
    """Runs one program on both; False if it is none. ``errors``: share of packets that the wires harm.

    Raises:
        MemoryDifferenceError: the memories of a socket are not equal afterwards. DeviceError, SimulationError: the RTL
            stopped, or is stuck.
    """
    params = node.params
    made = build(params, recipe)
    if made is None:
        return False
    spanning = compiled(made, node, cut, seed)
    if spanning is None:
        return False
    addresses = addresses_of(params, made)
    data = random_data(params, made, addresses, seed)
    golden = GoldenNode(params)
    run(golden, spanning, addresses, data)
    node.reset(jitter=(0, 3, 15, 63)[seed % 4], seed=seed + 1, errors=errors)
    run(node, spanning, addresses, data)
    for ours, theirs in zip(golden.sockets, node.sockets, strict=True):
        images = ours.tier(0), theirs.tier(0)
        different = np.flatnonzero(images[0] != images[1])
        if len(different):
            at = int(different[0])
            raise MemoryDifferenceError(at, int(images[0][at]), int(images[1][at]))
    return True


def run(
    machine: NodeMachine, spanning: Spanning, addresses: Mapping[str, int], data: Mapping[int, NDArray[np.uint8]]
) -> None:
    """From an empty HBM, in which each socket has all the data."""
    device = NodeDevice(machine, SCRATCH)
    for socket in device.sockets:
        socket.machine.tier(0)[:] = 0
        for address, content in data.items():
            socket.write(address, content)
    programs = device.store_program(spanning, PROGRAM)
    device.load(programs)
    device.launch(programs, {s: compiled.at(addresses) for s, compiled in spanning.sockets.items()})


def campaign(node: RTLNode, examples: int, seed: int, errors: float) -> int:
    """Checks ``examples`` random programs; how many ran.

    Raises:
        as :func:`check`, of the simplest program that still fails.
    """
    ran = 0

    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(recipe=recipes(), cut=cuts(), data=st.integers(0, 1 << 16))
    def each(recipe: Recipe, cut: Cut, data: int) -> None:
        nonlocal ran
        assume(check(node, recipe, cut, data, errors))
        ran += 1

    each()
    return ran
