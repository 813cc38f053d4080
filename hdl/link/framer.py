"""A packet into words: header, vectors and checksum, one word a cycle."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl import crc
from hdl.link.layout import LinkSizes, header_layout, wire_signature
from hdl.link.position import Section, beginning, following, position_layout


class Framer(wiring.Component):
    """Sends the packet of ``header``, whose vectors it reads one by one.

    - ``free``: a packet may start; ``start``: it does, with the ``header`` of this cycle.
    - ``row``: the vector whose bits are at ``vector`` in the next cycle, as a memory's read port has it.
    - Latency: from ``start`` to the first word on the wire 3 cycles. Throughput: a word a cycle, packets without a gap.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "free": Out(1),
                "start": In(1),
                "header": In(header_layout(sizes)),
                "row": Out(range(sizes.link.packet)),
                "vector": In(sizes.vector),
                "wire": Out(wire_signature(sizes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sizes = self.sizes
        at, header = Signal(position_layout(sizes)), Signal(header_layout(sizes))
        after = following(m, sizes, at, header.length)
        m.d.comb += [self.free.eq(after.section == Section.IDLE), self.row.eq(after.vector)]
        m.d.sync += at.eq(Mux(self.start, beginning(sizes), after))
        with m.If(self.start):
            m.d.sync += header.eq(self.header)
        m.submodules.seal = seal = Seal(sizes.link.width)
        m.d.comb += [
            seal.valid.eq(at.section != Section.IDLE),
            seal.first.eq((at.section == Section.HEADER) & (at.word == 0)),
            seal.check.eq(at.section == Section.CHECK),
            seal.data.eq(Mux(at.section == Section.HEADER, self._word(header, at), self._word(self.vector, at))),
            self.wire.valid.eq(seal.out_valid),
            self.wire.word.first.eq(seal.out_first),
            self.wire.word.data.eq(seal.out_data),
        ]
        return m

    def _word(self, part: Any, at: Any) -> Value:
        """The word of a part that ``at`` names, zeros behind its end."""
        width = self.sizes.link.width
        bits = Value.cast(part)
        return Cat(bits, Const(0, -len(bits) % width)).word_select(at.word, width)


class Seal(wiring.Component):
    """Puts the checksum of a packet's words where ``check`` says.

    - Latency: 2 cycles. Throughput: a word a cycle.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        names = {"valid": 1, "first": 1, "check": 1, "data": width}
        outputs = {"out_valid": 1, "out_first": 1, "out_data": width}
        super().__init__(
            {name: In(shape) for name, shape in names.items()} | {name: Out(shape) for name, shape in outputs.items()}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid, first, check, word = Signal(), Signal(), Signal(), Signal(self.width)
        m.d.sync += [valid.eq(self.valid), first.eq(self.first), check.eq(self.check), word.eq(self.data)]
        # of the checksum, what has not left yet; when all of it has, the state is the initial one again
        state, left = Signal(crc.BITS, init=crc.INITIAL), Signal(crc.BITS)
        m.d.comb += left.eq(crc.checksum(state))
        m.d.sync += [self.out_valid.eq(valid), self.out_first.eq(first), self.out_data.eq(Mux(check, left, word))]
        with m.If(valid):
            m.d.sync += state.eq(Mux(check, crc.checksum(left >> self.width), crc.advance(state, word)))
        return m
