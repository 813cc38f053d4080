"""N-deep buffers: which buffer a side works on, and whether it may."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.control.tokens import TOKEN_BITS, TokenCounter
from hdl.params import PMUParams


class BufferRing(wiring.Component):
    """One side of a ring of ``buffers`` buffers of ``rows`` rows from row ``base`` on.

    Writer and reader have a ring each. The writer's counts free buffers, the reader's full ones; a buffer is *taken*
    before its first access and goes to the other side's ring after its last, so at any moment every buffer is free,
    full, or held by one side: a reader never sees a half-written buffer and a writer never overwrites one in use.

    - ``load``: start of a program, with ``initial`` buffers available.
    - ``put``: the other side has handed one over. ``take``: this side begins one. ``advance``: this side's addresses
      move on to the next buffer.
    - ``available``, ``first``, ``end``: registers; rows ``first`` .. ``end`` - 1 are the buffer in turn.
    """

    def __init__(self, params: PMUParams) -> None:
        self.tokens = TokenCounter()
        self.left = Signal(TOKEN_BITS)  # buffers after the one in turn, until the ring begins again
        rows = range(params.rows + 1)
        super().__init__(
            {
                "base": In(rows),
                "rows": In(rows),
                "buffers": In(TOKEN_BITS),
                "initial": In(TOKEN_BITS),
                "load": In(1),
                "put": In(1),
                "take": In(1),
                "advance": In(1),
                "available": Out(1),
                "first": Out(rows),
                "end": Out(rows),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = self.left
        m.submodules.tokens = tokens = self.tokens
        m.d.comb += [
            tokens.load.eq(self.load),
            tokens.initial.eq(self.initial),
            tokens.put.eq(self.put),
            tokens.take.eq(self.take),
            self.available.eq(tokens.available),
        ]
        with m.If(self.load | (self.advance & (left == 0))):
            m.d.sync += [
                self.first.eq(self.base),
                self.end.eq(self.base + self.rows),
                left.eq(self.buffers - 1),
            ]
        with m.Elif(self.advance):
            m.d.sync += [self.first.eq(self.end), self.end.eq(self.end + self.rows), left.eq(left - 1)]
        return m
