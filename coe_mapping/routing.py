"""Ways for streams through the mesh: multicast trees, flow ids, virtual channels.

The router negotiates (PathFinder, McMurchie and Ebeling, FPGA 1995): every stream takes its cheapest tree, links that
carry more than they can become dearer, and streams are routed anew until none is overused. A link is overused when it
carries more streams than it has flow ids, or more beats than the kernel has cycles. Flow ids are given so that streams
share a virtual channel only where a link has more streams than channels; such sharing is checked for deadlock by
:mod:`coe_mapping.deadlock`.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from coe_mapping.program import Placed, Port, Stream
from golden_model.rdn import link_rows
from hdl.errors import ParameterError
from hdl.floorplan import LINKS_COLUMN, Kind, Side, floorplan
from hdl.params import RDUParams
from hdl.rdn.config import Fabric, LocalPort

Node = tuple[int, int]
"""(row, column) of a switch."""


@dataclass(frozen=True, order=True)
class Link:
    """The link that leaves switch ``node`` on ``side``."""

    node: Node
    side: Side

    def __str__(self) -> str:
        return f"link from row {self.node[0]}, column {self.node[1]} to the {self.side.name.lower()}"

    @property
    def end(self) -> Node:
        row, column = self.node
        steps = {Side.NORTH: (-1, 0), Side.EAST: (0, 1), Side.SOUTH: (1, 0), Side.WEST: (0, -1)}
        down, right = steps[self.side]
        return row + down, column + right


@dataclass(frozen=True)
class Route:
    """A stream's tree.

    - ``source``, ``sinks``: switch and local port where it starts and ends.
    - ``ids``: the flow id (or wire, of a token) on every link of the tree.
    """

    stream: Stream
    source: tuple[Node, LocalPort]
    sinks: tuple[tuple[Node, LocalPort], ...]
    ids: Mapping[Link, int]

    def outputs(self, node: Node) -> list[Link]:
        """Links by which the stream leaves ``node``."""
        return [link for link in self.ids if link.node == node]

    def locals(self, node: Node) -> list[LocalPort]:
        """Local ports of ``node`` that the stream ends in."""
        return [port for where, port in self.sinks if where == node]


def route(params: RDUParams, placed: Placed, *, rounds: int = 40, capacity: float = float("inf")) -> tuple[Route, ...]:
    """Routes every stream of ``placed``; deterministic.

    Args:
        rounds: how often the router may try again.
        capacity: beats a link may carry in the kernel.

    Raises:
        ParameterError: a link needs more flow ids (or token wires, or beats) than it has, and by how much.
    """
    placed.check(params)
    routes: list[Route] = []
    for fabric in Fabric:
        streams = [stream for stream in placed.program.streams if stream.fabric is fabric]
        ids = params.rdn.token_wires if fabric is Fabric.TOKEN else params.rdn.flows
        trees = _trees(params, placed, streams, ids, rounds, capacity)
        numbers = _number(params, streams, trees, ids, fabric)
        routes += [
            Route(stream, _place(params, placed, stream.source), _sinks(params, placed, stream), given)
            for stream, given in zip(streams, numbers, strict=True)
        ]
    return tuple(routes)


def _place(params: RDUParams, placed: Placed, port: Port) -> tuple[Node, LocalPort]:
    """Where a stream starts or ends; that of another socket beside the mesh, by the channel of the links."""
    place = placed.placement[port.unit]
    row = port.index // params.rdn.flows if place.kind is Kind.LINKS else place.row
    return (row, place.column), LocalPort(place.kind, port.index)


def _sinks(params: RDUParams, placed: Placed, stream: Stream) -> tuple[tuple[Node, LocalPort], ...]:
    return tuple(_place(params, placed, sink) for sink in stream.sinks)


class _Mesh:
    """What links carry, and what they cost."""

    def __init__(self, params: RDUParams, ids: int, capacity: float) -> None:
        self.rows, self.columns, self.link_rows = params.rows, floorplan(params).columns, link_rows(params)
        self.ids, self.capacity = ids, capacity
        self.streams: dict[Link, int] = defaultdict(int)
        self.beats: dict[Link, float] = defaultdict(float)
        self.history: dict[Link, float] = defaultdict(float)

    def links(self, node: Node) -> Iterator[Link]:
        for side in Side:
            link = Link(node, side)
            row, column = link.end
            to_links = column == LINKS_COLUMN and side is Side.WEST and row < self.link_rows
            if to_links or (0 <= row < self.rows and 0 <= column < self.columns):
                yield link

    def cost(self, link: Link, weight: float, pressure: float) -> float:
        """Of one more stream on ``link``: a hop, dearer where it is overused or has been."""
        over = max(0, self.streams[link] + 1 - self.ids) + max(0.0, (self.beats[link] + weight) / self.capacity - 1)
        return (1 + self.history[link]) * (1 + pressure * over)

    def add(self, tree: Sequence[Link], weight: float, sign: int = 1) -> None:
        for link in tree:
            self.streams[link] += sign
            self.beats[link] += sign * weight

    def overused(self) -> list[Link]:
        return sorted(
            link for link in self.streams if self.streams[link] > self.ids or self.beats[link] > self.capacity
        )


def _trees(
    params: RDUParams, placed: Placed, streams: Sequence[Stream], ids: int, rounds: int, capacity: float
) -> list[tuple[Link, ...]]:
    """With a virtual channel for every stream on every link if that can be: a stream that waits then stops no other."""
    alone = min(ids, params.rdn.channels)
    if streams and streams[0].fabric is not Fabric.TOKEN:
        try:
            return _negotiate(params, placed, streams, alone, rounds, capacity)
        except ParameterError:
            pass  # some have to share
    return _negotiate(params, placed, streams, ids, rounds, capacity)


def _negotiate(
    params: RDUParams, placed: Placed, streams: Sequence[Stream], ids: int, rounds: int, capacity: float
) -> list[tuple[Link, ...]]:
    """The tree of every stream, with no link overused."""
    mesh = _Mesh(params, ids, capacity)
    order = sorted(range(len(streams)), key=lambda i: -streams[i].weight)
    trees: dict[int, tuple[Link, ...]] = {}
    for attempt in range(rounds):
        for i in order:
            stream = streams[i]
            if i in trees:
                mesh.add(trees[i], stream.weight, -1)
            source, _ = _place(params, placed, stream.source)
            sinks = {node for node, _ in _sinks(params, placed, stream)}
            trees[i] = _tree(mesh, source, sinks, stream.weight, pressure=0.5 * 1.6**attempt)
            mesh.add(trees[i], stream.weight)
        overused = mesh.overused()
        if not overused:
            return [trees[i] for i in range(len(streams))]
        for link in overused:
            mesh.history[link] += 1
    link = overused[0]
    if mesh.streams[link] > ids:
        what = f"carries {mesh.streams[link]} {streams[0].fabric.name.lower()} streams and has {ids} ids for them"
    else:
        what = f"carries {mesh.beats[link]:.0f} beats in a kernel that has {capacity:.0f} cycles"
    raise ParameterError(
        f"{placed.program.name}: after {rounds} rounds of routing the {link} {what} ({len(overused)} links are "
        "overused): spread the units, or use a larger mesh or more ids"
    )


def _tree(mesh: _Mesh, source: Node, sinks: set[Node], weight: float, pressure: float) -> tuple[Link, ...]:
    """A cheap tree from ``source`` to every sink: to the nearest first, then on from any node of the tree."""
    reached, tree = {source}, []
    left = set(sinks) - reached
    while left:
        path = _path(mesh, reached, left, weight, pressure)
        tree += path
        reached |= {link.end for link in path}
        left -= reached
    return tuple(tree)


def _path(mesh: _Mesh, starts: set[Node], goals: set[Node], weight: float, pressure: float) -> list[Link]:
    """The cheapest path from any start to any goal (Dijkstra); turns cost a little, so that routes are straight."""
    turn = 1e-3
    queue: list[tuple[float, int, Node, Link | None]] = []
    best: dict[Node, tuple[float, Link | None]] = {}
    for count, node in enumerate(sorted(starts)):
        heapq.heappush(queue, (0.0, count, node, None))
    count = len(starts)
    while queue:
        cost, _, node, last = heapq.heappop(queue)
        if node in best:
            continue
        best[node] = cost, last
        if node in goals:
            path: list[Link] = []
            while last is not None:
                path.append(last)
                last = best[last.node][1]
            return path[::-1]
        for link in mesh.links(node):
            if link.end not in best:
                bend = turn if last is not None and last.side is not link.side else 0.0
                heapq.heappush(queue, (cost + mesh.cost(link, weight, pressure) + bend, count, link.end, link))
                count += 1
    raise AssertionError("a mesh is connected")


def _number(
    params: RDUParams, streams: Sequence[Stream], trees: Sequence[Sequence[Link]], ids: int, fabric: Fabric
) -> list[dict[Link, int]]:
    """A flow id for every stream on every link of its tree: on the channel that fewest of the link's streams use."""
    used: dict[Link, set[int]] = defaultdict(set)
    channels = ids if fabric is Fabric.TOKEN else params.rdn.channels
    numbers: list[dict[Link, int]] = []
    for tree in trees:
        given: dict[Link, int] = {}
        for link in tree:
            crowd = [sum(i % channels == channel for i in used[link]) for channel in range(channels)]
            free = [i for i in range(ids) if i not in used[link]]
            given[link] = min(free, key=lambda i: (crowd[i % channels], i))
            used[link].add(given[link])
        numbers.append(given)
    return numbers
