"""Control tokens: one-cycle pulses on single wires, counted where they arrive (SN40L section IV-A, control fabric)."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

TOKEN_BITS = 8
"""Width of a token counter: a sender may run 255 tokens ahead."""


class TokenCounter(wiring.Component):
    """Tokens that have come and were not yet taken.

    - ``load``: the count becomes ``initial``; it wins over the pulses of the same cycle.
    - ``put``, ``take``: one more, one less; both in one cycle leave the count as it is. A take without a token is
      ignored.
    - ``available``: at least one token; a register of its own, for it stands before long decisions.
    - ``overflow``: pulse, a token came to a full counter and is lost. The count stays at its maximum.
    """

    def __init__(self, bits: int = TOKEN_BITS) -> None:
        self.count = Signal(bits)  # an attribute, because proofs speak of it
        super().__init__(
            {
                "load": In(1),
                "initial": In(bits),
                "put": In(1),
                "take": In(1),
                "available": Out(1),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [
            self.overflow.eq(self.put & ~self.take & self.count.all() & ~self.load),
        ]
        with m.If(self.load):
            m.d.sync += [self.count.eq(self.initial), self.available.eq(self.initial != 0)]
        with m.Elif(self.put & ~(self.take & self.available) & ~self.count.all()):
            m.d.sync += [self.count.eq(self.count + 1), self.available.eq(1)]
        with m.Elif(~self.put & self.take & self.available):
            m.d.sync += [self.count.eq(self.count - 1), self.available.eq(self.count != 1)]
        return m
