"""The sending end of a peer link."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.link.credits import LinkCredits
from hdl.link.framer import Framer
from hdl.link.gather import Gather, slot_layout
from hdl.link.layout import Kind, LinkSizes, beat_layout, header_layout, status_layout, wire_signature
from hdl.link.window import Window


class Transmitter(wiring.Component):
    """Vectors of all channels into packets, which are kept until they are acknowledged.

    - ``i``: vectors by channel. ``wire``: words.
    - ``heard``, ``peer``: pulse, what the other end says of our packets.
    - ``status``, ``due``: what we say of its packets, in every header, and that it is news; ``told``: pulse, said.
    - ``up``: data may pass. ``hello``, ``hello_kind``: say this, which comes before all else; ``hello_told``.
    - ``waiting``: packets are not acknowledged yet; ``progress``, ``sent``, ``repeated``: pulses, some were; a packet
      of data leaves; sending went back.
    - Throughput: a word a cycle. What is told goes with the data; only when there are none it gets a packet of its own.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(sizes))).array(sizes.link.channels),
                "wire": Out(wire_signature(sizes)),
                "heard": In(1),
                "peer": In(status_layout(sizes)),
                "status": In(status_layout(sizes)),
                "due": In(1),
                "told": Out(1),
                "up": In(1),
                "hello": In(1),
                "hello_kind": In(Kind),
                "hello_told": Out(1),
                "waiting": Out(1),
                "progress": Out(1),
                "sent": Out(1),
                "repeated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.gather = gather = Gather(self.sizes)
        m.submodules.credits = credits = LinkCredits(self.sizes)
        m.submodules.window = window = Window(self.sizes)
        m.submodules.framer = framer = Framer(self.sizes)
        for source, end in zip(self.i, gather.i, strict=True):
            connect(m, flipped(source), end)
        connect(m, framer.wire, flipped(self.wire))
        m.d.comb += [
            credits.heard.eq(self.heard),
            credits.freed.eq(self.peer.credits),
            credits.take.eq(gather.take),
            window.heard.eq(self.heard),
            window.ack.eq(self.peer.ack),
            window.nak.eq(self.peer.nak),
            window.build.eq(gather.close),
            gather.room.eq(credits.room),
            gather.free.eq(window.room),
            gather.alone.eq(window.empty),
            self.waiting.eq(~window.empty),
            self.progress.eq(window.progress),
            self.repeated.eq(window.back),
        ]
        self._choose(m, gather, window, framer, self._kept(m, gather, window, framer))
        return m

    def _kept(self, m: Module, gather: Any, window: Any, framer: Any) -> Any:
        """The packets in their slots: vectors, and what the header is made of, which is returned of the one to send."""
        link = self.sizes.link
        m.submodules.slots = slots = Memory(shape=slot_layout(self.sizes), depth=link.window, init=[])
        m.submodules.vectors = vectors = Memory(shape=self.sizes.vector, depth=link.window * link.packet, init=[])
        write, read = vectors.write_port(), vectors.read_port()
        put, look = slots.write_port(), slots.read_port(domain="comb")
        sending = Signal.like(window.slot_out)  # the slot whose vectors leave
        with m.If(framer.start):
            m.d.sync += sending.eq(window.slot_out)
        rows = link.packet.bit_length() - 1
        m.d.comb += [
            write.addr.eq((window.slot_in << rows) | gather.row),
            write.data.eq(gather.vector),
            write.en.eq(gather.write),
            read.addr.eq((Mux(framer.start, window.slot_out, sending) << rows) | framer.row),
            framer.vector.eq(read.data),
            put.addr.eq(window.slot_in),
            put.data.eq(gather.slot),
            put.en.eq(gather.close),
            look.addr.eq(window.slot_out),
        ]
        return look.data

    def _choose(self, m: Module, gather: Any, window: Any, framer: Any, slot: Any) -> None:
        """What leaves when the framer is free: a hello, else data, else what is due by itself."""
        header, data_next, alone = Signal(header_layout(self.sizes)), Signal(), Signal()
        carries = Signal()  # the packet that leaves is one of data
        m.d.comb += [
            data_next.eq(self.up & window.ready & ~self.hello),
            alone.eq(self.up & self.due),
            framer.start.eq(framer.free & (self.hello | data_next | alone)),
            framer.header.eq(header),
            header.status.eq(self.status),
            self.hello_told.eq(framer.start & self.hello),
            self.told.eq(framer.start & ~self.hello),
            self.sent.eq(framer.start & data_next),
            window.start.eq(self.sent),
            gather.idle.eq(~window.ready & (~carries | framer.free)),
        ]
        with m.If(self.hello):
            m.d.comb += header.kind.eq(self.hello_kind)
        with m.Elif(window.ready):
            m.d.comb += [
                header.kind.eq(Kind.DATA),
                header.sequence.eq(window.sequence),
                *(Value.cast(header[name]).eq(slot[name]) for name in ("channel", "length", "address")),
            ]
        with m.Else():
            m.d.comb += header.kind.eq(Kind.CONTROL)
        with m.If(framer.free):
            m.d.sync += carries.eq(data_next)
