"""Specifications of token counters, of credits and of the hand-over of buffers between the two sides of a PMU."""

from typing import Any

from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.control.credits import Credits
from hdl.control.tokens import TokenCounter
from hdl.params import PMUParams
from hdl.pmu.buffers import BufferRing

PARAMS = PMUParams(lanes=2, rows=8, groups=1)


class TokenSpecification(wiring.Component):
    """Tokens are neither made nor lost: the count is what came less what was taken, up to its maximum."""

    def __init__(self, bits: int = 3) -> None:
        self.bits = bits
        super().__init__({"load": In(1), "initial": In(bits), "put": In(1), "take": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = TokenCounter(self.bits)
        m.d.comb += [getattr(dut, name).eq(getattr(self, name)) for name in ("load", "initial", "put", "take")]
        most = (1 << self.bits) - 1
        came, went, balance = Signal(), Signal(), Signal(range(most + 1))
        lost = self.put & (balance == most) & ~self.take
        m.d.comb += [came.eq(self.put & ~lost), went.eq(self.take & (balance != 0))]
        m.d.sync += balance.eq(Mux(self.load, self.initial, balance + came - went))
        m.d.comb += [
            Assert(dut.count == balance),
            Assert(dut.available == (balance != 0)),
            Assert(dut.overflow == (lost & ~self.load)),
        ]
        return m


class CreditSpecification(wiring.Component):
    """Places are neither made nor lost, and what is said of them is so."""

    def __init__(self, places: int = 3, heedless: bool = False) -> None:
        self.places, self.heedless = places, heedless  # the second plants a defect: takes without a place
        super().__init__({"take": In(1), "give": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Credits(self.places)
        taken = Signal(range(self.places + 2))
        m.d.sync += taken.eq(taken + self.take - self.give)
        m.d.comb += [
            dut.take.eq(self.take),
            dut.give.eq(self.give),
            Assume(~self.take | dut.some | (self.heedless & (taken <= self.places))),
            Assume(~self.give | (taken != 0)),
            Assert(dut.free + taken == self.places),
            Assert(dut.some == (taken < self.places)),
            Assert(dut.every == (taken == 0)),
        ]
        return m


class _Side:
    """What an access stage can do to its ring: begin accesses, and finish each some cycles later."""

    def __init__(self, m: Module, name: str, ring: BufferRing, begins: Any, last: Any, finishes: Any) -> None:
        self.ring = ring
        self.open, self.busy = Signal(name=f"{name}_open"), Signal(name=f"{name}_busy")
        self.where = Signal.like(ring.first, name=f"{name}_where")
        self.releases, self.done = Signal(name=f"{name}_releases"), Signal(name=f"{name}_done")
        self.begun = Signal(name=f"{name}_begun")
        m.d.comb += [
            self.done.eq(self.busy & finishes),
            self.begun.eq(begins & (self.open | ring.available) & (~self.busy | self.done)),
            ring.take.eq(self.begun & ~self.open),
            ring.advance.eq(self.begun & last),
        ]
        with m.If(self.begun):
            m.d.sync += [self.busy.eq(1), self.where.eq(ring.first), self.releases.eq(last), self.open.eq(~last)]
        with m.Elif(self.done):
            m.d.sync += self.busy.eq(0)

    @property
    def held(self) -> Any:
        """Buffers held: one begun and not at its end, one whose last access is on its way."""
        return self.open + (self.busy & self.releases)


class HandoverSpecification(wiring.Component):
    """Sides that do what they like, when they like: every buffer is free, full, or held by one side.

    And so no access of the reader is ever in a buffer the writer has an access in, or has begun and not handed over.
    """

    def __init__(self, buffers: int, too_many: int = 0) -> None:
        self.buffers, self.too_many = buffers, too_many  # the second plants a defect: free buffers there are not
        super().__init__({name: In(1) for name in ("w", "w_last", "w_done", "r", "r_last", "r_done")})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.writer_ring = writer_ring = BufferRing(PARAMS)
        m.submodules.reader_ring = reader_ring = BufferRing(PARAMS)
        started = Signal()
        m.d.sync += started.eq(1)
        writer = _Side(m, "writer", writer_ring, self.w & started, self.w_last, self.w_done)
        reader = _Side(m, "reader", reader_ring, self.r & started, self.r_last, self.r_done)
        for ring, other, initial in ((writer_ring, reader, self.buffers + self.too_many), (reader_ring, writer, 0)):
            m.d.comb += [
                ring.rows.eq(1),
                ring.buffers.eq(self.buffers),
                ring.initial.eq(initial),
                ring.load.eq(~started),
                ring.put.eq(other.done & other.releases),
            ]
        free, full = writer_ring.tokens.count, reader_ring.tokens.count
        apart = (~writer.busy | ~reader.busy | (writer.where != reader.where)) & (
            ~writer.open | ~reader.busy | (writer_ring.first != reader.where)
        )
        unread = Signal(8)  # buffers from the reader's turn to the writer's
        m.d.comb += unread.eq(full + (writer.busy & writer.releases) + reader.open)
        with m.If(started):
            m.d.comb += [
                Assert(free + full + writer.held + reader.held == self.buffers),
                Assert(apart),
                # what makes it inductive: a counter's flag is what its count says, and where the rings stand follows
                # from what is between them
                Assert(writer_ring.tokens.available == (free != 0)),
                Assert(reader_ring.tokens.available == (full != 0)),
                Assert(writer_ring.first < self.buffers),
                Assert(reader_ring.first < self.buffers),
                Assert(writer_ring.left == self.buffers - 1 - writer_ring.first),
                Assert(reader_ring.left == self.buffers - 1 - reader_ring.first),
                Assert(writer_ring.end == writer_ring.first + 1),
                Assert(reader_ring.end == reader_ring.first + 1),
                Assert(self._behind(reader_ring.first, unread) == writer_ring.first),
                Assert(
                    ~writer.busy
                    | (writer.where == Mux(writer.releases, self._before(writer_ring.first), writer_ring.first))
                ),
                Assert(
                    ~reader.busy
                    | (reader.where == Mux(reader.releases, self._before(reader_ring.first), reader_ring.first))
                ),
                Assert(~(writer.busy & ~writer.releases) | writer.open),
                Assert(~(reader.busy & ~reader.releases) | reader.open),
            ]
        with m.Else():
            m.d.comb += Assume(~writer.busy & ~reader.busy & ~writer.open & ~reader.open)
        return m

    def _behind(self, first: Any, count: Any) -> Any:
        total = first + count
        return Mux(total >= self.buffers, total - self.buffers, total)

    def _before(self, first: Any) -> Any:
        return Mux(first == 0, self.buffers - 1, first - 1)
