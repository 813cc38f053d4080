"""Specification of the round-robin arbiter: one grant at a time, to who asks, and nobody waits longer than a round."""

from typing import Any

from amaranth.hdl import Assert, Assume, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.tln.arbiter import RoundRobin


class ArbiterSpecification(wiring.Component):
    """Requests and services at will; a request stays until it is served.

    ``overtaken[i]`` counts the others served while i waits: never ``width`` or more.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__({"requests": In(width), "take": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = RoundRobin(self.width)
        m.d.comb += [dut.requests.eq(self.requests), dut.take.eq(self.take)]
        waiting = Signal(self.width)  # asked in the last cycle and was not served
        m.d.sync += waiting.eq(self.requests & ~Mux(self.take, dut.grant, 0))
        m.d.comb += [
            Assume((waiting & ~self.requests) == 0),
            Assert((dut.grant & ~self.requests) == 0),
            Assert((dut.grant & (dut.grant - 1))[: self.width] == 0),
            Assert(dut.grant.any() == self.requests.any()),
        ]
        for i in range(self.width):
            overtaken = Signal(range(self.width + 2), name=f"overtaken_{i}")
            with m.If(~self.requests[i] | (self.take & dut.grant[i])):
                m.d.sync += overtaken.eq(0)
            with m.Elif(self.take & (overtaken <= self.width)):
                m.d.sync += overtaken.eq(overtaken + 1)
            # whose turn comes before that of i: those between the last one served and i, going round
            before = sum((dut.after[j] for j in range(i)), start=Const(0))
            every = sum((dut.after[j] for j in range(self.width)), start=Const(0))
            left = Mux(dut.after[i], before, every + i)
            m.d.comb += [
                Assert(overtaken < self.width),
                # what makes it inductive: who was overtaken is no longer ahead
                Assert((overtaken == 0) | (overtaken + left <= self.width - 1)),
            ]
        # the mask is always all bits above some place
        m.d.comb += Assert((dut.after + (dut.after & -dut.after))[: self.width] == 0)
        return m
