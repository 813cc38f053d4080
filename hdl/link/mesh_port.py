"""Where a channel of the links meets the vector network: west of the mesh, in place of a neighbour."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hdl.link.config import flow_layout, link_sizes
from hdl.link.layout import receive_layout, send_layout
from hdl.params import RDUParams
from hdl.rdn.arbiter import LeastRecent, chosen
from hdl.rdn.config import Fabric, switch_sizes
from hdl.rdn.link import Credits, link_signature


class MeshPort(wiring.Component):
    """A link of the vector network each way, and behind it a channel of the socket's links.

    - ``i``: flits that leave the mesh. By their flow id ``flows`` says to which socket, and with which flow id they
      enter the mesh there; each virtual channel waits in a queue of its own. ``dropped``: pulse, a flit without a flow.
    - ``o``: vectors of other sockets, as flits of the flow that they come with.
    - ``send``, ``take``: the socket's own ends of the links.
    - Latency: 4 cycles from the mesh to ``send``, 1 from ``take`` to the mesh. Throughput: a vector a cycle each way.
      Everything to and from the mesh comes from registers.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params, self.sizes = params, switch_sizes(params, Fabric.VECTOR, 0)
        links = link_sizes(params)
        super().__init__(
            {
                "i": In(link_signature(self.sizes)),
                "o": Out(link_signature(self.sizes)),
                "flows": In(data.ArrayLayout(flow_layout(), params.rdn.flows)),
                "send": Out(stream.Signature(send_layout(links))),
                "take": In(stream.Signature(receive_layout(links))),
                "dropped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._leave(m)
        self._enter(m)
        return m

    def _leave(self, m: Module) -> None:
        """Out of the mesh: the queue served least recently, then the table."""
        queued = data.StructLayout({"payload": self.sizes.payload, "flow": range(self.params.rdn.flows)})
        queues = [self._queue(m, c, queued) for c in range(self.params.rdn.channels)]
        m.submodules.arbiter = arbiter = LeastRecent(len(queues))
        free, head = Signal(), Signal(queued)
        entry = self.flows[head.flow]
        m.d.comb += [
            free.eq(~self.send.valid | self.send.ready),
            arbiter.requests.eq(Mux(free, Cat(queue.r_rdy for queue in queues), 0)),
            arbiter.served.eq(arbiter.requests.any()),
            Value.cast(head).eq(chosen(arbiter.grant, [queue.r_data for queue in queues])),
            *(queue.r_en.eq(arbiter.grant[c]) for c, queue in enumerate(queues)),
        ]
        m.d.sync += [self.i.credit.eq(arbiter.grant), self.dropped.eq(arbiter.grant.any() & ~entry.valid)]
        with m.If(arbiter.grant.any()):
            m.d.sync += [
                self.send.valid.eq(entry.valid),
                self.send.payload.vector.eq(head.payload),
                self.send.payload.destination.eq(entry.destination),
                self.send.payload.flow.eq(entry.flow),
            ]
        with m.Elif(self.send.ready):
            m.d.sync += self.send.valid.eq(0)

    def _queue(self, m: Module, channel: int, queued: data.StructLayout) -> Any:
        """The flits of a virtual channel, and their places."""
        rdn, flit = self.params.rdn, self.i.flit
        queue = fifo.SyncFIFOBuffered(width=queued.size, depth=rdn.depth)
        m.submodules[f"queue_{channel}"] = queue
        mine = flit.flow[: exact_log2(rdn.channels)] == channel
        m.d.comb += [
            queue.w_data.eq(Cat(Value.cast(flit.payload), flit.flow)),
            queue.w_en.eq(self.i.valid & ~flit.dynamic & mine),
        ]
        return queue

    def _enter(self, m: Module) -> None:
        """Into the mesh, where the flow's virtual channel has a place."""
        rdn, flit, vector = self.params.rdn, self.o.flit, self.take.payload
        m.submodules.credits = credits = Credits(self.sizes.virtual_channels, rdn.depth)
        channel, moves = vector.flow[: exact_log2(rdn.channels)], Signal()
        m.d.comb += [
            credits.give.eq(self.o.credit),
            self.take.ready.eq(credits.room.bit_select(channel, 1)),
            moves.eq(self.take.valid & self.take.ready),
            credits.take.eq(Mux(moves, 1 << channel, 0)),
        ]
        m.d.sync += self.o.valid.eq(moves)
        with m.If(moves):
            m.d.sync += [flit.payload.eq(vector.vector), flit.flow.eq(vector.flow)]
