"""Specification of the turn between reads and writes: whoever waits gets it after a bounded number of bursts."""

from typing import Any

from amaranth.hdl import Assert, Assume, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.memory.turn import PATIENCE, Turn


class TurnSpecification(wiring.Component):
    """Bursts come and are issued at will; a direction that waits stays waiting until it issues.

    ``overtaken`` counts the bursts issued since the other direction began to wait, but for those under ``hold``: never
    more than ``PATIENCE`` batches, and with so many the channel turns round, unless ``hold`` forbids it.
    """

    def __init__(self, batch: int, size: int) -> None:
        self.batch, self.size = batch, size
        ports = {"reads": In(range(size + 1)), "writes": In(range(size + 1))}
        super().__init__({**ports, **dict.fromkeys(("short", "needed", "hold", "issue"), In(1))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = Turn(self.batch, self.size)
        m.d.comb += [getattr(dut, name).eq(getattr(self, name)) for name in self.signature.members]
        limit = PATIENCE * self.batch
        began, read_waited, write_waited = Signal(), Signal(), Signal()
        m.d.sync += [began.eq(1), read_waited.eq(self.reads != 0), write_waited.eq(self.writes != 0)]
        own = (dut.writing & (self.writes != 0)) | (~dut.writing & (self.reads != 0))
        m.d.comb += Assume(~self.issue | own)  # only what waits is issued, only in turn
        # who waited and was not in turn waits still
        with m.If(began & dut.writing & read_waited):
            m.d.comb += Assume(self.reads != 0)
        with m.If(began & ~dut.writing & write_waited):
            m.d.comb += Assume(self.writes != 0)
        other = (dut.writing & (self.reads != 0)) | (~dut.writing & (self.writes != 0))
        overtaken = Signal(range(2 * limit + 2))
        with m.If(dut.turn | ~other):
            m.d.sync += overtaken.eq(0)
        with m.Elif(self.issue & other & ~self.hold & (overtaken <= limit)):
            m.d.sync += overtaken.eq(overtaken + 1)
        m.d.comb += [
            Assert(overtaken <= limit),
            Assert((overtaken != limit) | ~other | dut.turn | (dut.writing & self.hold)),
            Assert((dut.streak <= limit) & (overtaken <= dut.streak)),  # what makes it inductive
        ]
        return m
