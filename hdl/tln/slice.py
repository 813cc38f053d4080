"""One register stage of a stream."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Slice(wiring.Component):
    """Cuts every path of a stream: payload, valid and ready all come from registers.

    - Latency: 1 cycle. Throughput: one payload a cycle. Holds two, so that ready may be late by one.
    - Payload registers move only when something is taken.
    """

    def __init__(self, shape: Any) -> None:
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spare = Signal(self._shape)
        empty = Signal(init=1)
        m.d.comb += self.i.ready.eq(empty)
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [self.o.valid.eq(self.i.valid | ~empty), empty.eq(1)]
            with m.If(~empty):
                m.d.sync += self.o.payload.eq(spare)
            with m.Elif(self.i.valid):
                m.d.sync += self.o.payload.eq(self.i.payload)
        with m.Elif(self.i.valid & empty):
            m.d.sync += [spare.eq(self.i.payload), empty.eq(0)]
        return m
