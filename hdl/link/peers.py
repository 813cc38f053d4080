"""The links of a socket to its peers. Composition only."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.link.forwarder import Forwarder
from hdl.link.layout import (
    Fault,
    LinkSizes,
    receive_layout,
    refused_layout,
    routes_layout,
    send_layout,
    wire_signature,
)
from hdl.link.peer_link import PeerLink, counts_layout
from hdl.once import once


class Peers(wiring.Component):
    """``links`` peer links, joined with each other and with the socket's own streams by a forwarder.

    - ``local_in``, ``local_out``: vectors of this socket for others and of others for it, by channel.
    - ``wires_out``, ``wires_in``: by link. ``config``: the socket's number, its program and its routes.
    - ``clear``: another program begins. ``link_clear``: resets a link.
    - ``up``, ``fault``, ``counts``: of each link. ``refused``: vectors that were not delivered.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        links, channels = sizes.link.links, sizes.link.channels
        super().__init__(
            {
                "local_in": In(stream.Signature(send_layout(sizes))).array(channels),
                "local_out": Out(stream.Signature(receive_layout(sizes))).array(channels),
                "wires_out": Out(wire_signature(sizes)).array(links),
                "wires_in": In(wire_signature(sizes)).array(links),
                "config": In(routes_layout(sizes)),
                "clear": In(1),
                "link_clear": In(links),
                "up": Out(links),
                "fault": Out(Fault).array(links),
                "counts": Out(counts_layout()).array(links),
                "refused": Out(refused_layout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        forwarder: Any = once(Forwarder, self.sizes)
        m.submodules.forwarder = forwarder
        for c in range(self.sizes.link.channels):
            connect(m, flipped(self.local_in[c]), forwarder.local_in[c])
            connect(m, forwarder.local_out[c], flipped(self.local_out[c]))
        for k in range(self.sizes.link.links):
            link: Any = once(PeerLink, self.sizes)
            m.submodules[f"link_{k}"] = link
            connect(m, link.wire_out, flipped(self.wires_out[k]))
            connect(m, flipped(self.wires_in[k]), link.wire_in)
            for c in range(self.sizes.link.channels):
                connect(m, link.o[c], forwarder.from_links[k][c])
                connect(m, forwarder.to_links[k][c], link.i[c])
            m.d.comb += [
                link.clear.eq(self.link_clear[k]),
                self.up[k].eq(link.up),
                self.fault[k].eq(link.fault),
                self.counts[k].eq(link.counts),
            ]
        m.d.comb += [
            forwarder.config.eq(self.config),
            forwarder.clear.eq(self.clear),
            self.refused.eq(forwarder.refused),
        ]
        return m
