"""The network as a function: from the configuration words of all switches, where every unit output goes.

Streams keep their order from a source to each of its destinations; between different sources there is none, so this
is all there is to say of a network that loses nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hdl.config import unpack, word_count
from hdl.errors import ParameterError
from hdl.floorplan import LINKS_COLUMN, Kind, Side, floorplan
from hdl.params import RDUParams, require
from hdl.rdn.config import (
    SIDES,
    Fabric,
    local_inputs,
    local_outputs,
    switch_layout,
    switch_sizes,
    token_layout,
    token_sizes,
)
from hdl.rdn.grid import Node, neighbour


@dataclass(frozen=True)
class Endpoint:
    """A port of a unit: an output where streams start, an input where they end."""

    row: int
    column: int
    kind: Kind
    port: int

    def __str__(self) -> str:
        return f"port {self.port} of the {self.kind.name} at row {self.row}, column {self.column}"


@dataclass(frozen=True)
class Hop:
    """A link, which leaves a switch on ``side``, and the flow id (or token wire) on it."""

    row: int
    column: int
    side: Side
    flow: int

    def __str__(self) -> str:
        return f"flow {self.flow} on the link {self.side.name.lower()} of row {self.row}, column {self.column}"


@dataclass(frozen=True)
class Route:
    """A configured route: the links of its tree, the inputs it ends in, and the links to each."""

    hops: tuple[Hop, ...]
    ends: tuple[Endpoint, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """Destinations that depend on the data: bits ``shift``, ``shift`` + 1 of sequence id or word choose."""

    shift: int
    ends: tuple[Endpoint, ...]

    def end(self, selector: int) -> Endpoint:
        return self.ends[selector >> self.shift & 3]


@dataclass(frozen=True)
class Network:
    """Where unit outputs go, by fabric; outputs that go nowhere are left out.

    Flows that come from other sockets start at the links (:func:`links_end`), and those for others end there.

    ``throttles``: cycles that a source rests after each flit, where it does.
    """

    vector: Mapping[Endpoint, Route | Choice]
    scalar: Mapping[Endpoint, Route | Choice]
    token: Mapping[Endpoint, Route]
    throttles: Mapping[tuple[Fabric, Endpoint], int]

    def streams(self, fabric: Fabric) -> Mapping[Endpoint, Route | Choice]:
        return self.vector if fabric is Fabric.VECTOR else self.scalar


def links_end(params: RDUParams, row: int, flow: int) -> Endpoint:
    """Where flow ``flow`` of the network enters or leaves the mesh beside the switch at the west end of ``row``."""
    return Endpoint(row, LINKS_COLUMN, Kind.LINKS, row * params.rdn.flows + flow)


def resolve(params: RDUParams, words: Mapping[int, Sequence[int]]) -> Network:
    """What the configuration ``words`` of a socket's switches, by unit number, make of the network. Switches left out
    hold zeros.

    Raises:
        ParameterError: a route leaves the mesh, comes back to itself, ends at a switch that does not know it, or
            reaches an input twice; the message names source and place.
    """
    vector, vector_throttles = _packets(params, Fabric.VECTOR, words)
    scalar, scalar_throttles = _packets(params, Fabric.SCALAR, words)
    return Network(vector, scalar, _tokens(params, words), vector_throttles | scalar_throttles)


def _configs(params: RDUParams, fabric: Fabric, words: Mapping[int, Sequence[int]]) -> dict[Node, Any]:
    plan, configs = floorplan(params), {}
    for place in plan.of(fabric.value):
        if fabric is Fabric.TOKEN:
            layout = token_layout(token_sizes(params, place.column))
        else:
            layout = switch_layout(switch_sizes(params, fabric, place.column))
        size = word_count(layout)  # a switch without an AGCU ignores the words it lacks
        given = words.get(place.number, [0] * size)
        configs[place.row, place.column] = unpack(layout, given[:size])
    return configs


def _packets(
    params: RDUParams, fabric: Fabric, words: Mapping[int, Sequence[int]]
) -> tuple[dict[Endpoint, Route | Choice], dict[tuple[Fabric, Endpoint], int]]:
    configs = _configs(params, fabric, words)
    routes: dict[Endpoint, Route | Choice] = {}
    throttles = {}
    for node, config in configs.items():
        for i, port in enumerate(local_inputs(params, fabric, node[1])):
            source = config.sources[i]
            start = Endpoint(*node, port.kind, port.index)
            if source.dynamic.enable:
                routes[start] = _choice(params, fabric, start, source.dynamic)
            elif source.forward.outputs:
                routes[start] = _Trace(params, fabric, configs, start).route(source.forward)
            if source.throttle:
                throttles[fabric, start] = source.throttle
    if fabric is Fabric.VECTOR:
        routes |= _entering(params, configs)
    return routes, throttles


def _entering(params: RDUParams, configs: Mapping[Node, Any]) -> dict[Endpoint, Route | Choice]:
    """Flows that come from other sockets."""
    routes: dict[Endpoint, Route | Choice] = {}
    for row in range(link_rows(params)):
        for flow, entry in enumerate(configs[row, 0].sides[Side.WEST]):
            if entry.outputs:
                start, hop = links_end(params, row, flow), Hop(row, LINKS_COLUMN, Side.EAST, flow)
                routes[start] = _Trace(params, Fabric.VECTOR, configs, start).enter(hop)
    return routes


def _choice(params: RDUParams, fabric: Fabric, start: Endpoint, dynamic: Any) -> Choice:
    ends = []
    for d in dynamic.destinations:
        inside = d.row < params.rows and d.column < params.columns * params.tiles
        outputs = local_outputs(params, fabric, d.column) if inside else ()
        require(
            d.port < len(outputs),
            f"{fabric.name.lower()} network: {start} has a destination at row {d.row}, column {d.column}, "
            f"local output {d.port}, which does not exist",
        )
        ends.append(Endpoint(d.row, d.column, outputs[d.port].kind, outputs[d.port].index))
    return Choice(dynamic.shift, tuple(ends))


class _Trace:
    """Follows one static flow from its source through the tables of the switches."""

    def __init__(self, params: RDUParams, fabric: Fabric, configs: Mapping[Node, Any], start: Endpoint) -> None:
        self.params, self.fabric, self.configs, self.start = params, fabric, configs, start
        self.what = f"{fabric.name.lower()} network: the stream from {start}"
        self.hops: list[Hop] = []
        self.ends: dict[Endpoint, int] = {}

    def route(self, forward: Any) -> Route:
        self._follow((self.start.row, self.start.column), forward, 0)
        return Route(tuple(self.hops), tuple(self.ends), tuple(self.ends.values()))

    def enter(self, hop: Hop) -> Route:
        """A flow from another socket, which comes in over ``hop``."""
        self._cross((hop.row, hop.column), hop, 1)
        return Route(tuple(self.hops), tuple(self.ends), tuple(self.ends.values()))

    def _follow(self, node: Node, forward: Any, length: int) -> None:
        for k, port in enumerate(local_outputs(self.params, self.fabric, node[1])):
            if forward.outputs >> (SIDES + k) & 1:
                end = Endpoint(*node, port.kind, port.index)
                require(end not in self.ends, f"{self.what} reaches {end} twice")
                self.ends[end] = length
        for side in Side:
            if forward.outputs >> side & 1:
                self._cross(node, Hop(*node, side, forward.flows[side]), length + 1)

    def _cross(self, node: Node, hop: Hop, length: int) -> None:
        require(hop not in self.hops, f"{self.what} comes twice to {hop}: its route has a loop, or branches that meet")
        self.hops.append(hop)
        other = (hop.row, 0) if hop.column == LINKS_COLUMN else neighbour(self.params, node, hop.side)
        if other is None and self._leaves(hop):
            self.ends[links_end(self.params, hop.row, hop.flow)] = length
            return
        if other is None:
            raise ParameterError(f"{self.what} leaves the mesh: {hop}")
        entry = self.configs[other].sides[hop.side.opposite][hop.flow]
        require(
            entry.outputs & ~(1 << hop.side.opposite) != 0,
            f"{self.what} arrives nowhere: row {other[0]}, column {other[1]} does not know {hop}",
        )
        require(not entry.outputs >> hop.side.opposite & 1, f"{self.what} turns back after {hop}")
        self._follow(other, entry, length)

    def _leaves(self, hop: Hop) -> bool:
        """The hop leads to the links."""
        west = (hop.column, hop.side) == (0, Side.WEST)
        return self.fabric is Fabric.VECTOR and west and hop.row < link_rows(self.params)


def link_rows(params: RDUParams) -> int:
    """Rows of the mesh at whose west end a channel of the links begins."""
    return min(params.rows, params.link.channels) if params.sockets > 1 else 0


# Tokens


def _tokens(params: RDUParams, words: Mapping[int, Sequence[int]]) -> dict[Endpoint, Route]:
    """Followed backwards, since every wire names what it follows."""
    configs = _configs(params, Fabric.TOKEN, words)
    routes: dict[Endpoint, Route] = {}
    for node, config in configs.items():
        for k, port in enumerate(local_outputs(params, Fabric.TOKEN, node[1])):
            if config.outputs[k]:
                end = Endpoint(*node, port.kind, port.index)
                start, hops = _token_source(params, configs, node, config.outputs[k] - 1, end)
                known = routes.get(start, Route((), (), ()))
                new = tuple(hop for hop in hops if hop not in known.hops)
                routes[start] = Route(known.hops + new, (*known.ends, end), (*known.lengths, len(hops)))
    return routes


def _token_source(
    params: RDUParams, configs: Mapping[Node, Any], node: Node, source: int, end: Endpoint
) -> tuple[Endpoint, list[Hop]]:
    what = f"token network: the wire to {end}"
    hops: list[Hop] = []
    while True:
        side, wire = divmod(source, params.rdn.token_wires)
        if side >= SIDES:
            ports = local_inputs(params, Fabric.TOKEN, node[1])
            local = source - SIDES * params.rdn.token_wires
            require(local < len(ports), f"{what} follows local token {local}, which does not exist")
            return Endpoint(*node, ports[local].kind, ports[local].index), hops
        other = neighbour(params, node, Side(side))
        if other is None:
            raise ParameterError(f"{what} comes in from outside the mesh, {Side(side).name.lower()} of {node}")
        hop = Hop(*other, Side(side).opposite, wire)
        require(hop not in hops, f"{what} goes round in a loop: {hop}")
        hops.insert(0, hop)
        choice = configs[other].sides[hop.side][wire]
        require(choice != 0, f"{what} comes from nowhere: {hop} follows nothing")
        node, source = other, choice - 1
