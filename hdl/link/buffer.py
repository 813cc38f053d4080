"""What a channel holds where a link ends: vectors that wait to be taken."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.link.layout import LinkSizes, beat_layout


class ChannelBuffer(wiring.Component):
    """A queue of ``depth`` vectors, into which a packet is written before anybody knows whether it is whole.

    - ``write``: ``beat`` is vector number ``row`` of the packet that arrives; where no place is free, nothing happens.
    - ``commit``: pulse, the ``length`` vectors written last are the packet's and stay; only if it ``fits``. What is not
      committed is written over by the next packet.
    - ``freed``: places given back since the start, modulo twice the depth: the credits that the sender is told.
    - ``o``: payload from the memory's read register, valid from a register. Latency from ``commit``: 2 cycles.
      Throughput: a vector a cycle.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        depth, packet = sizes.link.depth, sizes.link.packet
        # an attribute because a proof speaks of it: vectors that are the queue's
        self.level = Signal(range(depth + 1))
        super().__init__(
            {
                "write": In(1),
                "row": In(range(packet)),
                "beat": In(beat_layout(sizes)),
                "commit": In(1),
                "length": In(range(packet + 1)),
                "fits": Out(1),
                "freed": Out(range(2 * depth)),
                "o": Out(stream.Signature(beat_layout(sizes))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth, level = self.sizes.link.depth, self.level
        m.submodules.memory = memory = Memory(shape=beat_layout(self.sizes), depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        tail, head, leave = Signal(range(depth)), Signal(range(depth)), Signal()
        m.d.comb += [
            write.addr.eq(tail + self.row),
            write.data.eq(self.beat),
            write.en.eq(self.write & (level + self.row < depth)),
            self.fits.eq(level + self.length <= depth),
            leave.eq((level != 0) & (~self.o.valid | self.o.ready)),
            read.addr.eq(head),
            read.en.eq(leave),
            self.o.payload.eq(read.data),
        ]
        m.d.sync += level.eq(level + self._committed(m, tail) - leave)
        with m.If(leave):
            m.d.sync += [head.eq(head + 1), self.freed.eq(self.freed + 1), self.o.valid.eq(1)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m

    def _committed(self, m: Module, tail: Signal) -> Signal:
        """Vectors that become the queue's in this cycle."""
        more = Signal.like(self.length)
        with m.If(self.commit):
            m.d.comb += more.eq(self.length)
            m.d.sync += tail.eq(tail + self.length)
        return more
