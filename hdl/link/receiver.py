"""The receiving end of a peer link."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.link.buffer import ChannelBuffer
from hdl.link.deframer import Deframer
from hdl.link.layout import Kind, LinkSizes, beat_layout, status_layout, wire_signature


class Receiver(wiring.Component):
    """Whole packets into vectors by channel, each once and in order; the rest is asked for again.

    - ``wire``: words. ``o``: vectors by channel.
    - ``up``: packets of data and control count. ``good``, ``kind``: pulse, a packet of any kind came.
    - ``heard``, ``peer``: pulse, what the other end says of our packets.
    - ``status``, ``due``: what there is to say of its packets, and that it is news; ``told``: pulse, it is said.
    - ``bad``, ``repeated``: pulses, a packet came that was not whole; one that was here before.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "wire": In(wire_signature(sizes)),
                "o": Out(stream.Signature(beat_layout(sizes))).array(sizes.link.channels),
                "up": In(1),
                "good": Out(1),
                "kind": Out(Kind),
                "heard": Out(1),
                "peer": Out(status_layout(sizes)),
                "status": Out(status_layout(sizes)),
                "due": Out(1),
                "told": In(1),
                "bad": Out(1),
                "repeated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.deframer = deframer = Deframer(self.sizes)
        connect(m, flipped(self.wire), deframer.wire)
        header = deframer.header
        buffers = self._buffers(m, deframer)
        accept = self._order(m, deframer, Cat(buffer.fits for buffer in buffers).bit_select(header.channel, 1))
        m.d.comb += [
            self.good.eq(deframer.good),
            self.kind.eq(header.kind),
            self.heard.eq(deframer.good & self.up & ((header.kind == Kind.DATA) | (header.kind == Kind.CONTROL))),
            self.peer.eq(header.status),
            self.bad.eq(deframer.bad),
        ]
        for c, buffer in enumerate(buffers):
            m.d.comb += [
                buffer.commit.eq(accept & (header.channel == c)),
                self.status.credits[c].eq(buffer.freed),
            ]
        return m

    def _buffers(self, m: Module, deframer: Any) -> list[Any]:
        buffers = []
        header = deframer.header
        for c in range(self.sizes.link.channels):
            m.submodules[f"buffer_{c}"] = buffer = ChannelBuffer(self.sizes)
            m.d.comb += [
                buffer.write.eq(deframer.write & (header.channel == c)),
                buffer.row.eq(deframer.row),
                buffer.beat.vector.eq(deframer.vector),
                buffer.beat.address.eq(header.address),
                buffer.length.eq(header.length),
            ]
            connect(m, buffer.o, flipped(self.o[c]))
            buffers.append(buffer)
        return buffers

    def _order(self, m: Module, deframer: Any, fits: Any) -> Signal:
        """Accepts the packet that is expected and no other; says so, or asks for it once."""
        window, expected = self.sizes.link.window, self.status.ack
        comes, ahead, accept, lacks = Signal(), Signal.like(expected), Signal(), Signal()
        asked = Signal()  # and nothing has been accepted since
        m.d.comb += [
            comes.eq(self.heard & (deframer.header.kind == Kind.DATA)),
            ahead.eq(deframer.header.sequence - expected),
            accept.eq(comes & (ahead == 0) & fits),
            self.repeated.eq(comes & (ahead >= window)),
            lacks.eq((self.up & deframer.bad) | (comes & ~accept & ~self.repeated)),
        ]
        with m.If(accept):
            m.d.sync += [expected.eq(expected + 1), asked.eq(0)]
        with m.Elif(lacks):
            m.d.sync += asked.eq(1)
        asks = lacks & ~asked
        freed = Signal.like(self.status.credits)
        m.d.sync += freed.eq(self.status.credits)
        news = accept | asks | self.repeated | (freed != self.status.credits) | (self.good & (self.kind == Kind.HEARD))
        m.d.sync += [
            self.due.eq(news | (self.due & ~self.told)),
            self.status.nak.eq(asks | (self.status.nak & ~self.told)),
        ]
        return accept
