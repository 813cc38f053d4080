"""Programs that span sockets: one for each, and streams from the units of one to units of another.

A stream that leaves a socket ends at its links, and one that comes starts there, so that each socket is placed and
routed by itself. Then every flow that leaves one mesh is told with which flow id it enters the other.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from coe_mapping import deadlock
from coe_mapping.assembler.links import LinksProgram
from coe_mapping.compile import Compiled, compiled
from coe_mapping.deadlock import Channel, channel_of
from coe_mapping.kernels.memory import Binding
from coe_mapping.link import link
from coe_mapping.placement import place
from coe_mapping.program import Placed, Port, Program, Stream
from coe_mapping.routing import Link, Route, route
from golden_model.link import Links
from golden_model.rdn import Hop, resolve
from golden_model.rdn import Route as Resolved
from hdl.floorplan import LINKS_COLUMN, Side
from hdl.link import ring
from hdl.params import RDUParams, require
from hdl.rdn.config import Fabric

LINKS = "links"
"""What the links of a socket are called in its program."""

End = tuple[int, Port]
"""A port of a unit of a socket."""


@dataclass(frozen=True)
class PeerStream:
    """Vectors from an output on one socket to inputs on others.

    ``channel``: of the links; None: one that no other stream uses on the way. On a shared one, a stream that waits
    stops those behind it: give a number only if none of them can wait for another. ``weight``: beats a kernel.
    """

    source: End
    sinks: tuple[End, ...]
    weight: float = 1.0
    channel: int | None = None

    def __str__(self) -> str:
        ends = ", ".join(f"{port} of socket {socket}" for socket, port in self.sinks)
        return f"stream {self.source[1]} of socket {self.source[0]} to {ends}"


@dataclass(frozen=True)
class SpanningProgram:
    """Programs by socket, and the streams between them."""

    sockets: Mapping[int, Program]
    streams: tuple[PeerStream, ...]
    name: str = "program"


@dataclass(frozen=True)
class Crossing:
    """A stream from the links of one socket to those of another: the port (of the unit :data:`LINKS`) at each."""

    leaves: End
    enters: End
    channel: int


@dataclass(frozen=True)
class Spanning:
    """A compiled program by socket; ``number`` is sent with every vector."""

    sockets: Mapping[int, Compiled]
    number: int


def split(params: RDUParams, spanning: SpanningProgram) -> tuple[dict[int, Program], list[Crossing]]:
    """The program of each socket with its ends of the streams between them, and which end belongs to which.

    Raises:
        ParameterError: a stream goes nowhere, to its own socket, or to one without a program; or there are more than
            the links have channels or flows for.
    """
    parts = {socket: _Part(params, socket, program) for socket, program in spanning.sockets.items()}
    links, crossings = node_links(params), list[Crossing]()
    crowd: dict[tuple[int, int], set[int]] = defaultdict(set)  # channels in use of each link
    for stream in spanning.streams:
        what, (here, source) = f"{spanning.name}: {stream}", stream.source
        targets: dict[int, list[Port]] = defaultdict(list)
        for socket, port in stream.sinks:
            targets[socket].append(port)
        require(bool(targets), f"{what} goes nowhere")
        for socket in (here, *targets):
            require(socket in parts, f"{what} names socket {socket}, which has no program")
        require(here not in targets, f"{what} ends on its own socket: make that a stream of its program")
        for there, sinks in targets.items():
            taken = parts[here].channels[source]
            ends = links.way(here, there)
            channel = _channel(params, what, stream, [crowd[end] for end in ends], taken)
            leaves, enters = parts[here].port(channel, what), parts[there].port(channel, what)
            taken.add(channel)
            for end in ends:
                crowd[end].add(channel)
            parts[here].join(source, leaves, weight=stream.weight)
            parts[there].join(enters, *sinks, weight=stream.weight)
            crossings.append(Crossing((here, leaves), (there, enters), channel))
    return {socket: part.program() for socket, part in parts.items()}, crossings


def _channel(params: RDUParams, what: str, stream: PeerStream, crowds: Sequence[set[int]], taken: set[int]) -> int:
    """The channel of a stream: given, or one that is free all the way; it leaves once by each."""
    every = range(params.link.channels)
    free = [c for c in every if c not in taken and not any(c in crowd for crowd in crowds)]
    if stream.channel is not None:
        free = [stream.channel] if stream.channel in every and stream.channel not in taken else []
    require(
        bool(free),
        f"{what} finds no channel of the links free on its way, of {len(every)}: send fewer streams, let one socket "
        "pass them on, or share a channel by its number",
    )
    return free[0]


def node_links(params: RDUParams) -> Links:
    """The links of a ring of all sockets."""
    return Links(ring.joined(params.sockets), ring.routes(params.sockets))


class _Part:
    """The program of a socket, to which ends of streams are added."""

    def __init__(self, params: RDUParams, socket: int, program: Program) -> None:
        self.params, self.socket, self._program = params, socket, program
        self.streams = {(s.fabric, s.source): s for s in program.streams}
        self.used: dict[int, int] = defaultdict(int)
        self.channels: dict[Port, set[int]] = defaultdict(set)

    def port(self, channel: int, what: str) -> Port:
        """An end of the links that nothing uses yet."""
        flows, used = self.params.rdn.flows, self.used[channel]
        require(
            used < flows,
            f"{what} is one more than the {flows} that channel {channel} of the links of socket {self.socket} has "
            "flows for: use the other channels, or send less from socket to socket",
        )
        self.used[channel] += 1
        return Port(LINKS, channel * flows + used)

    def join(self, source: Port, *sinks: Port, weight: float) -> None:
        """One more branch of what leaves ``source``."""
        key = Fabric.VECTOR, source
        before = self.streams.get(key, Stream(Fabric.VECTOR, source, (), weight=weight))
        self.streams[key] = replace(before, sinks=(*before.sinks, *sinks))

    def program(self) -> Program:
        units = dict(self._program.units)
        if self.used:
            units[LINKS] = LinksProgram(rounds=self._program.rounds)
        return Program(units, tuple(self.streams.values()), self._program.name)


def compile_spanning(
    params: RDUParams,
    spanning: SpanningProgram,
    bindings: Mapping[int, Sequence[Binding]],
    *,
    number: int = 1,
    seed: int = 0,
) -> Spanning:
    """Places, routes and links the program of every socket, with the links of a ring between them.

    Raises:
        ParameterError: it does not fit, or its routes could deadlock; the message says what ran out.
    """
    programs, crossings = split(params, spanning)
    placed = {socket: place(params, program, seed) for socket, program in programs.items()}
    routes = {socket: route(params, each) for socket, each in placed.items()}
    links = node_links(params)
    flows = _flows(crossings, routes)
    made = {}
    for socket, each in placed.items():
        ways = {there: way for (here, there), way in links.routes.items() if here == socket}
        units = {
            name: replace(unit, socket=socket, program=number, routes=ways, flows=flows[socket])
            if isinstance(unit, LinksProgram)
            else unit
            for name, unit in each.program.units.items()
        }
        whole = Placed(replace(each.program, units=units), each.placement)
        image = link(params, whole, routes[socket])
        made[socket] = compiled(params, whole, routes[socket], image, bindings.get(socket, ()))
    deadlock.refuse_cycles(_waits(params, made, links, crossings, routes))
    return Spanning(made, number)


def _flow(routes: Sequence[Route], port: Port, *, leaves: bool) -> int:
    """The flow id of the stream with this end of the links, on the link of the network beside it."""
    for each in routes:
        if (port in each.stream.sinks) if leaves else (port == each.stream.source):
            for hop, flow in each.ids.items():
                if (hop.end if leaves else hop.node)[1] == LINKS_COLUMN and _ends_at(each, hop, port, leaves):
                    return flow
    raise AssertionError(f"{port} was not routed")


def _ends_at(route: Route, hop: Link, port: Port, leaves: bool) -> bool:
    """Of the ends of a route at the links, this hop leads to (or from) that of ``port``."""
    ends = route.sinks if leaves else (route.source,)
    return any(node == (hop.end if leaves else hop.node) and local.index == port.index for node, local in ends)


def _flows(
    crossings: Iterable[Crossing], routes: Mapping[int, Sequence[Route]]
) -> Mapping[int, dict[tuple[int, int], tuple[int, int]]]:
    """The tables of the links, by socket."""
    tables: dict[int, dict[tuple[int, int], tuple[int, int]]] = defaultdict(dict)
    for crossing in crossings:
        (here, leaves), (there, enters) = crossing.leaves, crossing.enters
        flow = _flow(routes[here], leaves, leaves=True)
        tables[here][crossing.channel, flow] = there, _flow(routes[there], enters, leaves=False)
    return tables


@dataclass(frozen=True, order=True)
class _Buffer:
    """A virtual channel of the network of a socket, or of the links that leave it."""

    socket: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} of socket {self.socket}"


def _waits(
    params: RDUParams,
    made: Mapping[int, Compiled],
    links: Links,
    crossings: Iterable[Crossing],
    routes: Mapping[int, Sequence[Route]],
) -> Iterator[tuple[_Buffer, _Buffer]]:
    """Which buffer of all meshes and links waits for which."""

    def of(socket: int, fabric: Fabric, channel: Channel) -> _Buffer:
        return _Buffer(socket, f"{fabric.name.lower()} {channel}")

    for socket, each in made.items():
        network = resolve(params, each.image.words)
        for fabric in (Fabric.VECTOR, Fabric.SCALAR):
            for way in network.streams(fabric).values():
                if isinstance(way, Resolved):
                    for before, after in deadlock.dependencies(params, way.hops):
                        yield of(socket, fabric, before), of(socket, fabric, after)
    for crossing in crossings:
        (here, leaves), (there, enters), row = crossing.leaves, crossing.enters, crossing.channel
        out = Hop(row, 0, Side.WEST, _flow(routes[here], leaves, leaves=True))
        into = Hop(row, LINKS_COLUMN, Side.EAST, _flow(routes[there], enters, leaves=False))
        yield from pairwise(
            [
                of(here, Fabric.VECTOR, channel_of(params.rdn, out)),
                *(_Buffer(socket, f"channel {row} of link {k}") for socket, k in links.way(here, there)),
                of(there, Fabric.VECTOR, channel_of(params.rdn, into)),
            ]
        )
