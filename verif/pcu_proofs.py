"""Specifications of the queues of the PCU, whose room is reserved beforehand, and of the drain that reserves it."""

from typing import Any

from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.params import ArithParams, PCUParams
from hdl.pcu.queues import Companion
from hdl.pcu.systolic import Drain
from verif.formal import Proof, prove

WIDTH = 1  # of what is queued: one bit is enough to tell one entry from another, since all bits fare alike
DRAIN = PCUParams(lanes=2, stages=1, fifo_depth=2, arith=ArithParams(multiply_add=1))


class _Shadow:
    """A queue as a list: what goes in comes out in order. ``count`` inside, ``head`` the eldest."""

    def __init__(self, m: Module, name: str, room: int, push: Any, value: Any, pop: Any) -> None:
        self.count = Signal(range(room + 1), name=f"{name}_count")
        entries = [Signal(len(value), name=f"{name}_{i}") for i in range(room)]
        self.head = entries[0]
        m.d.sync += self.count.eq(self.count + push - pop)
        for i, entry in enumerate(entries):
            later = entries[i + 1] if i + 1 < room else entry
            m.d.sync += entry.eq(Mux(push & (self.count - pop == i), value, Mux(pop, later, entry)))


class QueueSpecification(wiring.Component):
    """A companion that is never given more than it has room for keeps everything, in order."""

    def __init__(self, depth: int, too_many: int = 0) -> None:
        self.depth, self.room = depth, depth + too_many  # the second plants a defect: more inside than there is room
        super().__init__({"push": In(1), "value": In(WIDTH), "pop": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Companion(WIDTH, self.depth)
        m.d.comb += [dut.push.eq(self.push), dut.value.eq(self.value), dut.pop.eq(self.pop)]
        inside = _Shadow(m, "inside", self.room, self.push, self.value, self.pop)
        m.d.comb += [
            Assume(~self.push | (inside.count < self.room)),
            Assume(~self.pop | (inside.count != 0)),
            Assert(dut.filled == (inside.count != 0)),
            Assert((inside.count == 0) | (dut.head == inside.head)),
        ]
        return m


class DrainSpecification(wiring.Component):
    """Slots finish when they like, once for every reservation: none is lost, and each leaves with its own context."""

    def __init__(self, heedless: bool = False) -> None:
        self.heedless = heedless  # plants a defect: reservations without room
        super().__init__({name: In(1) for name in ("reserve", "issued", "finish", "may_emit")} | {"value": In(WIDTH)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Drain(DRAIN)
        m.d.comb += [
            dut.config.systolic.rows.eq(1),
            dut.reserve.eq(self.reserve),
            dut.issued.eq(self.issued),
            dut.issued_context.margin.eq(self.value),
            dut.finish.eq(self.finish),
            dut.sums[0][0].eq(self.value),
            dut.may_emit.eq(self.may_emit),
        ]
        room = dut.entries + (1 if self.heedless else 0)
        reserved, issued = Signal(range(room + 1)), Signal(range(room + 1))  # and not yet issued; not yet finished
        m.d.sync += [
            reserved.eq(reserved + self.reserve - self.issued),
            issued.eq(issued + self.issued - self.finish),
        ]
        tiles = _Shadow(m, "tiles", room, self.finish, self.value, dut.emits)
        contexts = _Shadow(m, "contexts", room, self.issued, self.value, dut.emits)
        held = reserved + contexts.count
        emitted, tile, context = Signal(), Signal(WIDTH), Signal(WIDTH)
        m.d.sync += [emitted.eq(dut.emits), tile.eq(tiles.head), context.eq(contexts.head)]
        m.d.comb += [
            Assume(~self.reserve | (held < room if self.heedless else dut.room)),
            Assume(~self.issued | (reserved != 0)),
            Assume(~self.finish | (issued != 0)),
            Assert(dut.emits == (self.may_emit & (tiles.count != 0))),
            Assert(dut.valid == emitted),
            Assert(~emitted | ((dut.vector[0] == tile) & (dut.context.margin == context))),
        ]
        if not self.heedless:
            m.d.comb += [Assert(dut.room == (held < dut.entries)), Assert(dut.idle == (held == 0))]
        return m


def queue(depth: int) -> Proof:
    """In every sequence of pushes and pops long enough to go round twice."""
    return prove(QueueSpecification(depth), f"pcu_queue_{depth}", mode="bmc", depth=2 * depth + 4)


def drain() -> Proof:
    """The same of the drain, with two entries."""
    return prove(DrainSpecification(), "pcu_drain", mode="bmc", depth=10)
