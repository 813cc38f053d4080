"""Several sockets in NumPy: what runs on them at once, with the streams between them.

A link does nothing to a stream (:mod:`golden_model.link`): a flow that leaves one mesh is one that enters another, and
the configuration of the links says which. What is addressed to another program than the one that runs there, or has no
way, is refused and counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from golden_model.fabric import Actor, Data, End, execute, length
from golden_model.link import Address, Links
from golden_model.socket import At, Socket
from hdl.config import unpack, word_count
from hdl.errors import ParameterError
from hdl.floorplan import Kind, floorplan
from hdl.link.config import links_layout
from hdl.link.layout import SOCKET_BITS, Refusal
from hdl.link.ring import joined
from hdl.params import RDUParams
from hdl.rdn.config import Fabric

Words = Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class Refused:
    """A flow that was not delivered: the socket that refused it, why, and what it carried."""

    socket: int
    reason: Refusal
    address: Address
    vectors: int


@dataclass
class Node:
    """The sockets of a ring. ``refused``: flows that the kernels run last did not deliver."""

    sockets: Sequence[Socket]
    refused: list[Refused] = field(default_factory=list)

    def run(self, kernels: Mapping[int, tuple[Words, frozenset[int]]]) -> dict[End, Data]:
        """Runs one kernel on each of some sockets, all at once; what left every output, units as
        :class:`~golden_model.socket.At`.

        Args:
            kernels: by socket, the words of its units and those that take part, as of
                :meth:`golden_model.socket.Socket.run`.

        Raises:
            ParameterError: tables of switches or routes of links make no sense. FabricError: units wait for each
                other, or for what was refused, a stream is too long, or an access was refused.
        """
        params = self.sockets[0].params
        configs = {s: _links(params, words) for s, (words, _) in kernels.items()}
        links = Links(joined(len(self.sockets)), _routes(configs))
        actors: list[Actor] = []
        connections: dict[End, list[End]] = {}
        for s, (words, active) in kernels.items():
            own, wires = self.sockets[s].units(words, active)
            actors += own
            connections |= wires
        self.refused, undelivered = [], {}
        for source, ends in connections.items():
            for end in [end for end in ends if _is_links(end)]:
                onward, refusal = self._cross(end, configs, links, connections)
                ends.remove(end)
                ends += onward
                if refusal is not None:
                    undelivered[source] = refusal
        try:
            return self._count(undelivered, execute(actors, connections, params.lanes))
        finally:
            self.refused += [r for r in undelivered.values() if r not in self.refused]

    def _count(self, undelivered: Mapping[End, Refused], streams: dict[End, Data]) -> dict[End, Data]:
        """Notes how much was refused."""
        for source, r in undelivered.items():
            self.refused.append(Refused(r.socket, r.reason, r.address, length(streams[source])))
        return streams

    def _cross(
        self, end: End, configs: Mapping[int, Any], links: Links, connections: Mapping[End, Sequence[End]]
    ) -> tuple[list[End], Refused | None]:
        """Where a flow that leaves a mesh ends; or who refuses it."""
        assert isinstance(end.unit, At)
        here, params = end.unit.socket, self.sockets[0].params
        config = configs[here]
        channel, flow = divmod(end.index, params.rdn.flows)
        entry = config.flows[channel][flow]
        if not entry.valid:
            raise ParameterError(f"links of socket {here}: flow {flow} of channel {channel} leads to no socket")
        there = entry.destination
        address = Address(here, there, config.routes.program, entry.flow)
        try:
            links.way(here, there)
        except ParameterError:
            return [], Refused(here, Refusal.ROUTE, address, 0)
        if there not in configs or not configs[there].routes.running:
            return [], None  # it waits for a program
        if configs[there].routes.program != address.program:
            return [], Refused(there, Refusal.PROGRAM, address, 0)
        enters = End(At(there, floorplan(params).links), Fabric.VECTOR, channel * params.rdn.flows + entry.flow)
        return list(connections.get(enters, ())), None


def _is_links(end: End) -> bool:
    return isinstance(end.unit, At) and end.unit.place.kind is Kind.LINKS


def _links(params: RDUParams, words: Words) -> Any:
    """The configuration of a socket's links."""
    layout = links_layout(params)
    return unpack(layout, words.get(floorplan(params).links.number, [0] * word_count(layout)))


def _routes(configs: Mapping[int, Any]) -> dict[tuple[int, int], int]:
    return {
        (s, d): config.routes.routes[d].link
        for s, config in configs.items()
        for d in range(1 << SOCKET_BITS)
        if config.routes.running and config.routes.routes[d].valid
    }
