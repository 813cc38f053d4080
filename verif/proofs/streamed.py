"""Specifications of :class:`hdl.arith.streamed.Streamed`: slots are conserved, nothing overflows, order is kept."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Assert, Assume, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from hdl.arith.streamed import Streamed
from verif.formal import StreamRules


class CreditSpecification(wiring.Component):
    """What holds in every cycle; inductive in one step, because every slot's state is accounted for."""

    def __init__(self, streamed: Streamed) -> None:
        self.streamed = streamed
        super().__init__(streamed.signature)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.streamed = dut = self.streamed
        connect(m, flipped(self), dut)
        m.submodules.inputs = StreamRules(dut.i, assume=True)
        m.submodules.outputs = StreamRules(dut.o)
        queue = dut.queue
        flying = Signal(range(dut.room + len(dut.in_flight) + 1))
        m.d.comb += [
            flying.eq(sum(dut.in_flight[1:], start=dut.in_flight[0])),
            # every slot is free, promised, or filled
            Assert(dut.free + flying + queue.level == dut.room),
            # the queue's output register is empty only while it holds nothing, or one word on its way there
            Assert(Mux(queue.r_rdy, queue.level != 0, queue.level <= 1)),
            # so a result always finds its slot
            Assert(~queue.w_en | queue.w_rdy),
            # an operand is taken exactly when a slot is free
            Assert(dut.i.ready == (dut.free != 0)),
            # what is in the unit moves in every cycle
            Assert(~dut.in_flight[:-1].any() | dut.unit.en),
            # and a unit with nothing in it, and nothing coming, is off
            Assert(dut.in_flight.any() | (dut.i.valid & dut.i.ready) | ~dut.unit.en),
        ]
        return m


class OrderSpecification(wiring.Component):
    """The n-th result is the function of the n-th operand, for every n up to seven.

    For a bounded check: every sequence of operands, gaps and back-pressure within the depth of the run.
    """

    def __init__(self, streamed: Streamed, function: Callable[[Any], Value]) -> None:
        self.streamed, self.function = streamed, function
        super().__init__({"number": In(3), **dict(streamed.signature.members.items())})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.streamed = dut = self.streamed
        connect(m, flipped(self).i, dut.i)
        connect(m, flipped(self).o, dut.o)
        m.submodules.inputs = StreamRules(dut.i, assume=True)

        started, number = Signal(), Signal(3)  # n is free, but stays
        m.d.sync += [started.eq(1), number.eq(self.number)]
        m.d.comb += Assume(~started | (self.number == number))

        sent, received = Signal(4), Signal(4)
        expected = Signal(len(Value.cast(dut.o.payload)))
        with m.If(dut.i.valid & dut.i.ready & (sent <= 7)):
            m.d.sync += sent.eq(sent + 1)
            with m.If(sent == self.number):
                m.d.sync += expected.eq(self.function(dut.i.payload))
        with m.If(dut.o.valid & dut.o.ready & (received <= 7)):
            m.d.sync += received.eq(received + 1)
            with m.If(received == self.number):
                m.d.comb += [Assert(sent > received), Assert(dut.o.payload == expected)]
        return m
