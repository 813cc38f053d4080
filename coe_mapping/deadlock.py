"""Routes that cannot deadlock: the graph of which channel waits for which must have no cycle.

A flit holds its place in a virtual channel of a link until every next channel of its tree has taken it, so each
channel waits for the next ones. If no channel waits for itself, however indirectly, some channel always moves, as long
as the units take what reaches them (W. J. Dally and C. L. Seitz, "Deadlock-free message routing in multiprocessor
interconnection networks", IEEE Trans. Computers, 1987). A multicast flit takes its branches one by one, whenever each
has room, so it never holds one while it waits for another.

What the graph does not show: a unit that takes nothing from one input before something comes at another. Streams that
meet in such a unit must not share a channel on the way (:func:`shared`), or must be short enough for its queues.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from golden_model.rdn import Hop, Route
from hdl.errors import ParameterError
from hdl.floorplan import Side
from hdl.params import RDNParams, RDUParams
from hdl.rdn.grid import neighbour


@dataclass(frozen=True, order=True)
class Channel:
    """A virtual channel of the link that leaves a switch on ``side``."""

    row: int
    column: int
    side: Side
    number: int

    def __str__(self) -> str:
        return f"channel {self.number} {self.side.name.lower()} of row {self.row}, column {self.column}"


def channel_of(rdn: RDNParams, hop: Hop) -> Channel:
    """The channel that a flow rides on."""
    return Channel(hop.row, hop.column, hop.side, hop.flow % rdn.channels)


def check(params: RDUParams, routes: Iterable[Iterable[Hop]]) -> None:
    """Refuses static routes that can deadlock. Each route is the links of its tree, in any order.

    Raises:
        ParameterError: channels wait for each other in a cycle, which the message names.
    """
    refuse_cycles(pair for route in routes for pair in dependencies(params, route))


def refuse_cycles(pairs: Iterable[tuple[Any, Any]]) -> None:
    """Refuses ``pairs``, of which the first waits for the second, that close a circle.

    Raises:
        ParameterError: as of :func:`check`.
    """
    waits: dict[Any, set[Any]] = defaultdict(set)
    for before, after in pairs:
        waits[before].add(after)
    graph = {channel: sorted(waits[channel]) for channel in sorted(waits)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = " waits for ".join(map(str, reversed(error.args[1])))
        raise ParameterError(
            f"the routes can deadlock: {cycle}: move a stream to another channel or another way"
        ) from error


def dependencies(params: RDUParams, route: Iterable[Hop]) -> Iterator[tuple[Channel, Channel]]:
    """Pairs of channels, the first of which waits for the second."""
    hops = list(route)
    leaving: dict[tuple[int, int], list[Hop]] = defaultdict(list)
    for hop in hops:
        leaving[hop.row, hop.column].append(hop)
    for hop in hops:
        end = neighbour(params, (hop.row, hop.column), hop.side)
        for following in leaving[end] if end else ():
            if following.side is not hop.side.opposite:
                yield channel_of(params.rdn, hop), channel_of(params.rdn, following)


def shared(params: RDUParams, routes: Iterable[Route]) -> dict[Channel, int]:
    """Channels that more than one route uses, and how many do: a blocked stream stops those beside it."""
    users: dict[Channel, int] = defaultdict(int)
    for route in routes:
        for channel in {channel_of(params.rdn, hop) for hop in route.hops}:
            users[channel] += 1
    return {channel: count for channel, count in users.items() if count > 1}
