"""One socket: tiles side by side, the memory system, the host's way in. Composition only."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.axi import axi4_lite
from hdl.floorplan import Side
from hdl.host.host import Host
from hdl.host.registers import ADDRESS_BITS
from hdl.link.config import link_sizes
from hdl.link.layout import wire_signature
from hdl.link.unit import LinkUnit
from hdl.memory.channel import Tier, tier_map
from hdl.memory.controller import axi_port
from hdl.memory.dma import DESCRIPTOR
from hdl.memory.system import MemorySystem
from hdl.once import once
from hdl.params import RDUParams, require
from hdl.rdn.config import Fabric, switch_sizes
from hdl.rdn.link import LinkPipe, TokenPipe
from hdl.tile import EDGES, Tile
from hdl.unit_map import unit_map


class Socket(wiring.Component):
    """``tiles`` tiles, HBM and DDR behind AXI4, registers behind AXI4-Lite.

    - ``axi``, ``irq``: the host. ``hbm``, ``ddr``: a master a channel. ``wires_out``, ``wires_in``: to its peers, if it
      is ``linked``, a bundle a link.
    - Requesters of memory: the AGCUs, tile by tile; the launch sequencer; the host's window.
    """

    def __init__(self, params: RDUParams, gated: bool = False, fast: bool = False, linked: bool = False) -> None:
        """``gated``: units that have nothing to do are not clocked (:mod:`hdl.clock_gate`); ``fast``: a simulator
        computes arithmetic in C (:mod:`hdl.arith.fast`); ``linked``: it has links to other sockets, of which ``params``
        then has several.

        Raises:
            ParameterError: the links do not fit.
        """
        require(params.sockets > 1 or not linked, f"{params.name}: links need another socket, and there is one")
        self.params, self.gated, self.fast, self.linked = params, gated, fast, linked
        wires = wire_signature(link_sizes(params)) if linked else None
        count = params.link.links
        channels = {tier: tier_map(params, tier).channels for tier in Tier}
        super().__init__(
            {
                "axi": In(axi4_lite(ADDRESS_BITS)),
                "irq": Out(1),
                "hbm": Out(axi_port(params, Tier.HBM)).array(channels[Tier.HBM]),
                "ddr": Out(axi_port(params, Tier.DDR)).array(channels[Tier.DDR]),
                **({"wires_out": Out(wires).array(count), "wires_in": In(wires).array(count)} if wires else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self.params
        m.submodules.host = host = Host(unit_map(params))
        tiles = [once(Tile, params, self.gated, self.fast) for _ in range(params.tiles)]
        requesters: list[Any] = []
        for t, tile in enumerate(tiles):
            m.submodules[f"tile_{t}"] = tile
            m.d.comb += tile.first_column.eq(t * params.columns)
            connect(m, host.links[t], tile.control)
            requesters += tile.memory
        for west, east in pairwise(tiles):
            self._join(m, west, east, Side.EAST)
            self._join(m, east, west, Side.WEST)
        if self.linked:
            self._links(m, host, tiles[0])
        requesters += [host.memory, host.window_memory]
        m.submodules.memory = memory = once(MemorySystem, params, len(requesters))
        for requester, port in zip(requesters, memory.requesters, strict=True):
            connect(m, requester, port)
        for name in ("hbm", "ddr"):
            for inner, outer in zip(getattr(memory, name), getattr(self, name), strict=True):
                connect(m, inner, flipped(outer))
        self._dma(m, host, memory)
        connect(m, host.counter, memory.counter)
        connect(m, flipped(self.axi), host.axi)
        m.d.comb += self.irq.eq(host.irq)
        return m

    def _join(self, m: Module, sender: Any, receiver: Any, side: Side) -> None:
        """One way from tile to tile, through registers."""
        params, out, into = self.params, EDGES.index(side), EDGES.index(side.opposite)
        for row in range(params.rows):
            start, end = sender.edge_out[out][row], receiver.edge_in[into][row]
            for fabric in (Fabric.VECTOR, Fabric.SCALAR):
                name = fabric.name.lower()
                pipe = LinkPipe(switch_sizes(params, fabric, 0), params.rdn.die_latency)
                m.submodules += pipe
                connect(m, getattr(start, name), pipe.sender)
                connect(m, pipe.receiver, getattr(end, name))
            tokens = TokenPipe(params.rdn.token_wires, params.rdn.die_latency)
            m.submodules += tokens
            m.d.comb += [tokens.i.eq(start.token), end.token.eq(tokens.o)]

    def _links(self, m: Module, host: Any, tile: Any) -> None:
        """The links to other sockets: in place of a neighbour of tile 0, channel c at row c."""
        m.submodules.links = links = once(LinkUnit, self.params)
        control, west = host.outside, EDGES.index(Side.WEST)
        connect(m, control.bus, links.bus)
        m.d.comb += [getattr(links, name).eq(getattr(control, name)) for name in ("commit", "start", "done", "clear")]
        m.d.comb += control.lost.eq(links.lost)
        for c in range(self.params.link.channels):
            connect(m, tile.edge_out[west][c].vector, links.mesh_in[c])
            connect(m, links.mesh_out[c], tile.edge_in[west][c].vector)
        for k in range(self.params.link.links):
            connect(m, links.wires_out[k], flipped(self.wires_out[k]))
            connect(m, flipped(self.wires_in[k]), links.wires_in[k])

    def _dma(self, m: Module, host: Host, memory: Any) -> None:
        given, done = host.dma.descriptor, host.dma.completion
        m.d.comb += [
            *(memory.descriptor.payload[name].eq(given.payload[name]) for name, _ in DESCRIPTOR),
            memory.descriptor.valid.eq(given.valid),
            given.ready.eq(memory.descriptor.ready),
            done.payload.status.eq(memory.completion.payload.status),
            done.valid.eq(memory.completion.valid),
            memory.completion.ready.eq(done.ready),
            memory.halt.eq(host.dma.halt),
            memory.clear.eq(host.dma.clear),
            host.dma.quiet.eq(memory.quiet),
        ]
