"""Words into packets: finds where each begins and ends, and whether it is whole."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl import crc
from hdl.link.layout import LinkSizes, header_layout, wire_signature
from hdl.link.position import Section, beginning, ends_part, following, position_layout


class Deframer(wiring.Component):
    """Takes words as they come; nothing is believed of a packet before its end.

    - ``header``: of the packet that arrives, from its first vector's last word until ``good``.
    - ``write``: pulse, the packet's vector number ``row`` is ``vector``.
    - ``good``: pulse, the packet came whole. ``bad``: pulse, one did not: its checksum is wrong, or another began
      before its end. A packet whose first word is lost is not seen at all.
    - Latency: 2 cycles from the last word of a vector or of the packet to its pulse.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "wire": In(wire_signature(sizes)),
                "header": Out(header_layout(sizes)),
                "write": Out(1),
                "row": Out(range(sizes.link.packet)),
                "vector": Out(sizes.vector),
                "good": Out(1),
                "bad": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sizes = self.sizes
        valid, first, word = Signal(), Signal(), Signal(sizes.link.width)
        m.d.sync += [valid.eq(self.wire.valid), first.eq(self.wire.word.first), word.eq(self.wire.word.data)]
        due, at, after = Signal(position_layout(sizes)), Signal(position_layout(sizes)), Signal(position_layout(sizes))
        m.d.comb += at.eq(Mux(first, beginning(sizes), due))
        header, vector = Value.cast(self.header), Value.cast(self.vector)
        length = Signal.like(self.header.length)
        whole = self._collect(m, header, (at.section == Section.HEADER) & valid, at.word, word)
        m.d.comb += [
            length.eq(header_layout(sizes)(whole).length),
            after.eq(following(m, sizes, at, Mux(at.section == Section.HEADER, length, self.header.length))),
        ]
        self._collect(m, vector, (at.section == Section.VECTOR) & valid, at.word, word)
        with m.If(valid):
            m.d.sync += due.eq(after)
        ends = valid & ends_part(sizes, at)
        m.d.sync += [
            self.write.eq(ends & (at.section == Section.VECTOR)),
            self.row.eq(at.vector),
        ]
        self._judge(m, valid, first, word, at.section == Section.CHECK, ends, due.section != Section.IDLE)
        return m

    def _collect(self, m: Module, part: Value, enable: Value, index: Value, word: Value) -> Value:
        """Puts ``word`` into its place of ``part``; returns the part with it."""
        width = self.sizes.link.width
        pieces = [part[k : k + width] for k in range(0, len(part), width)]
        whole = Signal(len(part))
        for k, piece in enumerate(pieces):
            here = enable & (index == k)
            m.d.comb += whole[k * width : k * width + len(piece)].eq(Mux(here, word, piece))
        m.d.sync += part.eq(whole)
        return whole

    def _judge(
        self, m: Module, valid: Value, first: Value, word: Value, check: Value, ends: Value, unfinished: Value
    ) -> None:
        """``good`` and ``bad`` from the checksum, whose words are compared as they come."""
        width = self.sizes.link.width
        state, left, wrong, differs = Signal(crc.BITS), Signal(crc.BITS), Signal(), Signal()
        m.d.comb += [left.eq(crc.checksum(state)), differs.eq(word != (left | Const(0, width))[:width])]
        with m.If(valid):
            m.d.sync += [
                state.eq(Mux(check, crc.checksum(left >> width), crc.advance(Mux(first, crc.INITIAL, state), word))),
                wrong.eq(~first & (wrong | (check & differs))),
            ]
        over = ends & check
        m.d.sync += [
            self.good.eq(over & ~differs & ~wrong),
            self.bad.eq((over & (differs | wrong)) | (valid & first & unfinished)),
        ]
