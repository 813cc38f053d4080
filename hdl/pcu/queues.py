"""Queues whose room somebody else has reserved: they cannot overflow, so they have no flow control of their own."""

from typing import Any

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.params import SCALAR_BITS

LATE_BITS = 6
"""Of the address of a late queue: at 64 entries a synthesiser finds block RAM better than LUTs."""


class Companion(wiring.Component):
    """What travels beside a pipeline and is needed at its far end: pushed as something enters, popped as it leaves.

    A memory and two pointers instead of a shift register as long as the pipeline: nothing moves but what is needed.

    - ``head`` stands one cycle after its push and is read without a cycle; ``filled`` says that there is one. With
      ``late`` it stands two cycles after, and the memory can be block RAM.
    - Whoever pushes makes sure that no more than ``depth`` (rounded up to a power of two) are inside.
    """

    def __init__(self, shape: Any, depth: int, late: bool = False) -> None:
        self._shape, self.late = shape, late
        self.depth = 1 << max(LATE_BITS if late else 1, (depth - 1).bit_length())
        super().__init__({"push": In(1), "value": In(shape), "pop": In(1), "head": Out(shape), "filled": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = Shape.cast(self._shape).width
        m.submodules.memory = memory = Memory(shape=width, depth=self.depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="sync" if self.late else "comb")
        pushed, popped = Signal(range(2 * self.depth)), Signal(range(2 * self.depth))
        m.d.sync += [pushed.eq(pushed + self.push), popped.eq(popped + self.pop)]
        m.d.comb += [
            write.addr.eq(pushed),
            write.data.eq(self.value),
            write.en.eq(self.push),
            read.addr.eq(popped + self.pop if self.late else popped),
            self.head.eq(read.data),
            self.filled.eq((self._seen(m, pushed) if self.late else pushed) != popped),
        ]
        return m

    def _seen(self, m: Module, pushed: Signal) -> Signal:
        """What was pushed before the memory was read."""
        seen = Signal.like(pushed, name="seen")
        m.d.sync += seen.eq(pushed)
        return seen


class Accumulators(wiring.Component):
    """``count`` words of a place in the body: one read in any cycle, one kept at its end."""

    def __init__(self, count: int, width: int = SCALAR_BITS) -> None:
        self.count, self.width = count, width
        place = range(count)
        super().__init__(
            {
                "place": In(place),
                "value": Out(width),
                "keep": In(1),
                "kept_place": In(place),
                "kept": In(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.width, depth=max(2, self.count), init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            read.addr.eq(self.place),
            self.value.eq(read.data),
            write.addr.eq(self.kept_place),
            write.en.eq(self.keep),
            write.data.eq(self.kept),
        ]
        return m


class Delayed(wiring.Component):
    """``o`` is ``i`` of ``cycles`` (at least one) enabled cycles ago."""

    def __init__(self, shape: Any, cycles: int) -> None:
        assert cycles >= 1
        self._shape, self.cycles = shape, cycles
        super().__init__({"en": In(1), "i": In(shape), "o": Out(shape)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = self.i
        for k in range(self.cycles):
            following = Signal(self._shape, name=f"after_{k + 1}")
            with m.If(self.en):
                m.d.sync += following.eq(value)
            value = following
        m.d.comb += self.o.eq(value)
        return m
