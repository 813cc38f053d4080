"""A node: sockets in a ring of links. Composition only."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.axi import axi4_lite
from hdl.host.registers import ADDRESS_BITS
from hdl.link import ring
from hdl.link.config import link_sizes
from hdl.link.layout import LinkSizes
from hdl.link.wire import Wire
from hdl.memory.channel import Tier, tier_map
from hdl.memory.controller import axi_port
from hdl.params import RDUParams, require
from hdl.socket import Socket


class Node(wiring.Component):
    """``sockets`` sockets, each with its host port and its memories; link 0 of each leads to link 1 of the next.

    - ``axi``, ``irq``, ``hbm``, ``ddr``: of each socket.
    - ``wires``: the ways from socket to socket, in the order of :func:`hdl.link.ring.joined`.
    """

    def __init__(
        self,
        params: RDUParams,
        gated: bool = False,
        fast: bool = False,
        wire: Callable[[LinkSizes], wiring.Component] = Wire,
    ) -> None:
        """``gated``, ``fast``: of its sockets. ``wire``: what a way consists of, with ``i`` and ``o``.

        Raises:
            ParameterError: one socket, links that do not fit, or more or fewer than a ring has.
        """
        links = params.link.links
        require(links == ring.LINKS, f"{params.name}: a socket in a ring has {ring.LINKS} links and not {links}")
        self.params = params
        self.sockets: list[Any] = [Socket(params, gated, fast, linked=True) for _ in range(params.sockets)]
        self.ends = ring.joined(params.sockets)
        self.wires: list[Any] = [wire(link_sizes(params)) for _ in self.ends]
        tiers = {
            t.name.lower(): Out(axi_port(params, t)).array(params.sockets, tier_map(params, t).channels) for t in Tier
        }
        super().__init__(
            {"axi": In(axi4_lite(ADDRESS_BITS)).array(params.sockets), "irq": Out(1).array(params.sockets), **tiers}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for s, socket in enumerate(self.sockets):
            m.submodules[f"socket_{s}"] = socket
            connect(m, flipped(self.axi[s]), socket.axi)
            m.d.comb += self.irq[s].eq(socket.irq)
            for tier in Tier:
                name = tier.name.lower()
                for inner, outer in zip(getattr(socket, name), getattr(self, name)[s], strict=True):
                    connect(m, inner, flipped(outer))
        for number, ((here, link), (there, other)) in enumerate(self.ends.items()):
            m.submodules[f"wire_{number}"] = wire = self.wires[number]
            connect(m, self.sockets[here].wires_out[link], wire.i)
            connect(m, wire.o, self.sockets[there].wires_in[other])
        return m
