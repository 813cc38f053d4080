"""Stops tiles cleanly, when a unit was refused an access or the host says so."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.agcu.config import fault_layout
from hdl.host.errors import ERROR, ErrorCode
from hdl.host.format import UNIT_BITS, UnitMap
from hdl.link.config import lost_layout

SETTLE = 8
"""Cycles for a level to reach the tiles and its effect to come back."""


class Stopper(wiring.Component):
    """Halts, waits until nothing is in flight, clears, reports.

    - ``abort``: pulse, stop all tiles and the tier DMA. A fault of a tile stops those of its ``groups`` entry: the
      tiles that were started together; a ``lost`` link those that were started with tile 0.
    - ``stopping``: level; the sequencer begins no command, and says ``parked`` when it is in none.
    - ``halt``, ``dma_halt``: levels until the clear. ``clear``, ``dma_clear``: pulses, once ``quiet`` and parked.
    - ``failed``: pulse, ``error`` tells why; the cleared tiles run by then no longer.
    """

    def __init__(self, units: UnitMap) -> None:
        self._units = units
        tiles = units.params.tiles
        fault = data.StructLayout({"fault": fault_layout(), "unit": UNIT_BITS})
        super().__init__(
            {
                "abort": In(1),
                "faults": In(data.ArrayLayout(fault, tiles)),
                "groups": In(data.ArrayLayout(tiles, tiles)),
                "quiet": In(tiles),
                "dma_quiet": In(1),
                "lost": In(lost_layout()),
                "parked": In(1),
                "stopping": Out(1),
                "halt": Out(tiles),
                "dma_halt": Out(1),
                "clear": Out(tiles),
                "dma_clear": Out(1),
                "failed": Out(1),
                "error": Out(ERROR),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tiles = self._units.params.tiles
        aborting, timer = Signal(), Signal(range(SETTLE))
        wanted = Signal()
        faulty = Cat(entry.fault.valid for entry in self.faults)
        group = reduce(or_, (Mux(f.fault.valid, self.groups[t] | 1 << t, 0) for t, f in enumerate(self.faults)))
        settled = timer == SETTLE - 1
        m.d.sync += [self.clear.eq(0), self.dma_clear.eq(0), self.failed.eq(0)]
        with m.If(self.abort):
            m.d.sync += wanted.eq(1)
        with m.FSM() as machine:
            m.d.comb += self.stopping.eq(~machine.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [timer.eq(0), aborting.eq(wanted)]
                with m.If(wanted):
                    m.d.sync += [self.halt.eq(-1), self.dma_halt.eq(1), wanted.eq(self.abort)]
                    m.d.sync += [self.error.eq(0), self.error.code.eq(ErrorCode.ABORTED)]
                    m.next = "HALT"
                with m.Elif(faulty.any()):
                    m.d.sync += [self.halt.eq(group), self.error.eq(0), self.error.code.eq(ErrorCode.FAULT)]
                    for entry in reversed([self.faults[t] for t in range(tiles)]):
                        fault = entry.fault
                        with m.If(fault.valid):
                            m.d.sync += [
                                self.error.unit.eq(entry.unit),
                                self.error.address.eq(fault.address),
                                self.error.detail.eq(fault_detail(fault)),
                            ]
                    m.next = "HALT"
                if self._units.links:
                    with m.Elif(self.lost.valid):
                        self._lose(m, self._units.links.number)
                        m.next = "HALT"
            with m.State("HALT"):
                m.d.sync += timer.eq(timer + ~settled)
                quiet = ((self.quiet | ~self.halt) == (1 << tiles) - 1) & (self.dma_quiet | ~self.dma_halt)
                with m.If(settled & quiet & self.parked):
                    m.d.sync += [self.clear.eq(self.halt), self.dma_clear.eq(self.dma_halt), timer.eq(0)]
                    m.next = "CLEAR"
            with m.State("CLEAR"):  # the halt goes with the clear, so that nothing moves in between
                m.d.sync += [timer.eq(timer + 1), self.halt.eq(0), self.dma_halt.eq(0)]
                with m.If(settled):
                    m.d.sync += self.failed.eq(1)
                    m.next = "REPORT"
            with m.State("REPORT"):
                m.next = "IDLE"
        return m

    def _lose(self, m: Module, number: int) -> None:
        """The error of a link that was given up; of the links, that is of unit ``number``."""
        error = self.error
        m.d.sync += [self.halt.eq(self.groups[0] | 1), error.eq(0), error.code.eq(ErrorCode.LINK)]
        m.d.sync += [error.unit.eq(number), error.detail.eq(Cat(self.lost.link, self.lost.fault))]


def fault_detail(fault: data.View) -> Value:
    """Cause, from bit 8 on the stream, from bit 16 on the segment, bit 24: it was a store; as in the AGCU's status."""
    fields = (Value.cast(fault[name]) for name in ("cause", "stream", "segment", "write"))
    return Cat(Cat(field, Const(0, 8 - len(field))) for field in fields)
