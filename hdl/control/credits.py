"""Places that are reserved before what fills them comes."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Credits(wiring.Component):
    """``places`` places, taken and given back one at a time.

    - ``take``, only while ``some``; ``give``, only while not ``every``. Both in one cycle change nothing.
    - ``some``: a place is free; ``every``: all are. Both are registers of their own: the decision that waits for them
      is the longest path of many a unit, and a comparison before it would make it longer.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.free = Signal(range(places + 1), init=places)
        super().__init__({"take": In(1), "give": In(1), "some": Out(1, init=1), "every": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.take & ~self.give):
            m.d.sync += [self.free.eq(self.free - 1), self.some.eq(self.free != 1), self.every.eq(0)]
        with m.Elif(self.give & ~self.take):
            m.d.sync += [self.free.eq(self.free + 1), self.some.eq(1), self.every.eq(self.free == self.places - 1)]
        return m
