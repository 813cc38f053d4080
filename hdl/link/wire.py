"""The way between two sockets."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.link.layout import LinkSizes, wire_signature


class Wire(wiring.Component):
    """``latency`` registers, one way. Data registers change only under a valid word."""

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        super().__init__({"i": In(wire_signature(sizes)), "o": Out(wire_signature(sizes))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, valid = self.i.word, self.i.valid
        for k in range(self.sizes.link.latency):
            next_word, next_valid = Signal.like(word, name=f"word_{k}", reset_less=True), Signal(name=f"valid_{k}")
            with m.If(valid):
                m.d.sync += next_word.eq(word)
            m.d.sync += next_valid.eq(valid)
            word, valid = next_word, next_valid
        m.d.comb += [self.o.word.eq(word), self.o.valid.eq(valid)]
        return m
