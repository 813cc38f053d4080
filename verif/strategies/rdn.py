"""Random legal networks: routes, flow ids, dynamic destinations and throttles, as configuration words of switches."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from coe_mapping.assembler.rdn import (
    Destination,
    Dynamic,
    Forward,
    LocalWire,
    SideWire,
    Source,
    SwitchProgram,
    TokenSwitchProgram,
    Wire,
    assemble,
    assemble_tokens,
)
from coe_mapping.deadlock import check
from golden_model.rdn import Choice, Endpoint, Hop
from hdl.errors import ParameterError
from hdl.floorplan import Side, floorplan
from hdl.params import RDUParams
from hdl.rdn.config import Fabric, LocalPort, local_inputs, local_outputs, switch_sizes, token_sizes
from hdl.rdn.grid import Node, neighbour


@dataclass(frozen=True)
class Stream:
    """A static route to be configured: the links of its tree with their flow ids, and its ends."""

    source: Endpoint
    hops: tuple[Hop, ...]
    ends: tuple[Endpoint, ...]


@dataclass
class Plan:
    """A network to be configured."""

    streams: list[Stream] = field(default_factory=list)
    choices: dict[Endpoint, Choice] = field(default_factory=dict)
    throttles: dict[Endpoint, int] = field(default_factory=dict)


Link = tuple[int, int, Side]


def random_plan(params: RDUParams, fabric: Fabric, rng: np.random.Generator, *, dynamic: float = 0.25) -> Plan:
    """A route for most sources: along any way for static ones, as far as flow ids last and no deadlock is possible.

    Args:
        dynamic: share of the sources that choose their destination by data.
    """
    plan, used = Plan(), defaultdict[Link, set[int]](set)
    outputs = all_outputs(params, fabric)
    for source in rng.permutation(np.array(all_inputs(params, fabric), object)):
        start = Endpoint(*source)
        if rng.random() < 0.1:
            continue
        if rng.random() < 0.15:
            plan.throttles[start] = int(rng.integers(1, 20))
        if rng.random() < dynamic and fabric is not Fabric.TOKEN:
            ends = [outputs[int(rng.integers(len(outputs)))] for _ in range(params.rdn.DESTINATIONS)]
            plan.choices[start] = Choice(0, tuple(ends))
            continue
        picked = rng.choice(len(outputs), size=int(rng.choice([1, 1, 1, 2, 3, 6])), replace=False)
        stream = random_stream(params, rng, start, tuple(outputs[i] for i in sorted(picked)), used, fabric)
        if stream is None:
            continue
        try:
            check(params, [s.hops for s in [*plan.streams, stream]])
        except ParameterError:
            continue
        plan.streams.append(stream)
        for hop in stream.hops:
            used[hop.row, hop.column, hop.side].add(hop.flow)
    return plan


def random_stream(
    params: RDUParams,
    rng: np.random.Generator,
    source: Endpoint,
    ends: tuple[Endpoint, ...],
    used: Mapping[Link, set[int]],
    fabric: Fabric = Fabric.VECTOR,
) -> Stream | None:
    """A tree of random shape with random free flow ids; None where a link has none left."""
    start = (source.row, source.column)
    reached = {start}
    hops: list[Hop] = []
    ids = params.rdn.token_wires if fabric is Fabric.TOKEN else params.rdn.flows
    for end in ends:
        for node, side in _way(params, rng, reached, (end.row, end.column)):
            free = sorted(set(range(ids)) - used.get((*node, side), set()))
            if not free:
                return None
            hops.append(Hop(*node, side, int(rng.choice(free))))
    return Stream(source, tuple(hops), ends)


def _way(params: RDUParams, rng: np.random.Generator, reached: set[Node], goal: Node) -> list[tuple[Node, Side]]:
    """A random walk from the goal back to the tree, without its loops; mostly towards it. Adds to ``reached``."""
    path: list[tuple[Node, Side]] = []
    node, visited = goal, [goal]
    while node not in reached:
        steps = [(side, other) for side in Side if (other := neighbour(params, node, side)) is not None]
        targets = sorted(reached)
        near = [min(abs(o[0] - t[0]) + abs(o[1] - t[1]) for t in targets) for _, o in steps]
        keen = np.array([1.0 if d == min(near) else 0.15 for d in near])
        side, other = steps[int(rng.choice(len(steps), p=keen / keen.sum()))]
        if other in visited:  # cut the loop off
            keep = visited.index(other)
            path, visited = path[:keep], visited[: keep + 1]
        else:
            path.append((other, side.opposite))
            visited.append(other)
        node = other
    reached.update(visited)
    return path[::-1]


def all_inputs(params: RDUParams, fabric: Fabric) -> list[tuple[int, int, object, int]]:
    """Unit outputs, as fields of an :class:`Endpoint`."""
    nodes = [(place.row, place.column) for place in floorplan(params).of(fabric.value)]
    return [(*node, port.kind, port.index) for node in nodes for port in local_inputs(params, fabric, node[1])]


def all_outputs(params: RDUParams, fabric: Fabric) -> list[Endpoint]:
    """Unit inputs."""
    nodes = [(place.row, place.column) for place in floorplan(params).of(fabric.value)]
    return [Endpoint(*node, port.kind, port.index) for node in nodes for port in local_outputs(params, fabric, node[1])]


def configure(params: RDUParams, fabric: Fabric, plan: Plan) -> dict[int, list[int]]:
    """The words of every switch of a packet fabric, by unit number."""
    flows: dict[Node, dict[tuple[Side, int], Forward]] = defaultdict(dict)
    sources: dict[Node, dict[int, Source]] = defaultdict(dict)
    for stream in plan.streams:
        start = (stream.source.row, stream.source.column)
        throttle = plan.throttles.get(stream.source, 0)
        forward = _forward(params, fabric, stream, start, None)
        sources[start][_input(params, fabric, stream.source)] = Source(forward, throttle)
        for hop in stream.hops:
            node = neighbour(params, (hop.row, hop.column), hop.side)
            assert node is not None
            side = hop.side.opposite
            flows[node][side, hop.flow] = _forward(params, fabric, stream, node, side)
    for source, choice in plan.choices.items():
        ends = tuple(Destination(e.row, e.column, _output(params, fabric, e)) for e in choice.ends)
        dynamic = Source(Dynamic(ends, choice.shift), plan.throttles.get(source, 0))
        sources[source.row, source.column][_input(params, fabric, source)] = dynamic
    return {
        place.number: assemble(
            switch_sizes(params, fabric, place.column),
            SwitchProgram(flows[place.row, place.column], sources[place.row, place.column]),
        )
        for place in floorplan(params).of(fabric.value)
    }


def _forward(params: RDUParams, fabric: Fabric, stream: Stream, node: Node, came: Side | None) -> Forward:
    sides = {hop.side: hop.flow for hop in stream.hops if (hop.row, hop.column) == node and hop.side is not came}
    ends = sorted(_output(params, fabric, end) for end in stream.ends if (end.row, end.column) == node)
    return Forward(sides, tuple(ends))


def configure_tokens(params: RDUParams, streams: Iterable[Stream]) -> dict[int, list[int]]:
    """The words of every token switch, by unit number; flow ids are wires."""
    wires: dict[Node, dict[Wire, Wire]] = defaultdict(dict)
    for stream in streams:
        start = (stream.source.row, stream.source.column)
        source = LocalWire(_input(params, Fabric.TOKEN, stream.source))
        follows: dict[Node, Wire] = {start: source}
        for hop in stream.hops:
            node = neighbour(params, (hop.row, hop.column), hop.side)
            assert node is not None
            follows[node] = SideWire(hop.side.opposite, hop.flow)
        for hop in stream.hops:
            wires[hop.row, hop.column][SideWire(hop.side, hop.flow)] = follows[hop.row, hop.column]
        for end in stream.ends:
            wires[end.row, end.column][LocalWire(_output(params, Fabric.TOKEN, end))] = follows[end.row, end.column]
    return {
        place.number: assemble_tokens(
            token_sizes(params, place.column), TokenSwitchProgram(wires[place.row, place.column])
        )
        for place in floorplan(params).of(Fabric.TOKEN.value)
    }


def _input(params: RDUParams, fabric: Fabric, end: Endpoint) -> int:
    return local_inputs(params, fabric, end.column).index(LocalPort(end.kind, end.port))


def _output(params: RDUParams, fabric: Fabric, end: Endpoint) -> int:
    return local_outputs(params, fabric, end.column).index(LocalPort(end.kind, end.port))
