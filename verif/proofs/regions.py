"""Specification of an access: its lanes go to the banks they should, and never outside the region."""

from typing import Any

from amaranth.hdl import Array, Assert, Assume, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hdl.params import ELEMENT_BITS, PMUParams
from hdl.pmu.access import Access
from hdl.pmu.address import item_layout
from hdl.pmu.config import Mode, Side, bank_shifts

WIDE = 40  # bits in which no sum of rows wraps


class RegionSpecification(wiring.Component):
    """Any access, to any region, in any mode: one cycle later each lane asks for its own bank, and for a row inside.

    Rows are computed here as whole numbers. A lane whose row lies outside is refused, whatever its low bits are.
    """

    def __init__(self, params: PMUParams) -> None:
        self.params = params
        rows = range(params.rows + 1)
        super().__init__(
            {
                "item": In(item_layout(params)),
                "operand": In(data.ArrayLayout(ELEMENT_BITS, params.lanes)),
                "mode": In(Mode),
                "pitch": In(rows),
                "first": In(rows),
                "end": In(rows),
                "bank_shift": In(range(bank_shifts(params))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        params, item = self.params, self.item
        m.submodules.dut = dut = Access(params, Side.WRITE)
        m.d.comb += [
            dut.config.mode.eq(self.mode),
            dut.config.pitch.eq(self.pitch),
            dut.load.eq(1),
            dut.item.valid.eq(1),
            dut.item.payload.eq(item),
            dut.operand.valid.eq(1),
            dut.operand.payload.eq(self.operand),
            dut.buffer_available.eq(1),
            dut.first.eq(self.first),
            dut.end.eq(self.end),
            dut.bank_shift.eq(self.bank_shift),
            dut.tokens.eq(-1),
            dut.room.eq(1),
            dut.o.ready.eq(1),
            Assume((self.first < self.end) & (self.end <= params.rows)),
            Assume(item.limit <= params.lanes),
            Assume(self.bank_shift < bank_shifts(params)),
            Assume((self.mode == Mode.ROW) | (self.mode == Mode.COLUMN) | (self.mode == Mode.LOOKUP)),
        ]
        pitch, after_load, shift = Signal.like(self.pitch), Signal(), Signal.like(self.bank_shift)
        m.d.sync += [pitch.eq(self.pitch), after_load.eq(1), shift.eq(self.bank_shift)]
        banks = Array(dut.o.payload.banks[b].as_value() for b in range(params.lanes))
        layout = dut.o.payload.banks[0].shape()
        refused: Any = Const(0)
        for i in range(params.lanes):
            row, inside, wanted = self._lane(m, i, pitch)
            refused |= wanted & ~inside
            bank, asked = Signal(range(params.lanes)), data.View(layout, Signal(layout.size, name=f"asked_{i}"))
            kept, kept_row, element = Signal(), Signal(WIDE), Signal(ELEMENT_BITS)
            start = Mux(self.mode == Mode.LOOKUP, 0, item.start)
            m.d.sync += [bank.eq(start + i), kept.eq(wanted & inside), kept_row.eq(row), element.eq(self.operand[i])]
            m.d.comb += asked.as_value().eq(banks[bank])
            with m.If(after_load):
                m.d.comb += [
                    Assert(asked.enable == kept),
                    Assert(dut.o.payload.lanes[i] == kept),
                    Assert(~kept | ((self._row(asked, shift) == kept_row) & (asked.element == element))),
                ]
        m.d.comb += Assert(dut.refused == refused)
        return m

    def _row(self, asked: Any, shift: Signal) -> Value:
        """The row address of which ``asked`` has the group bits apart."""
        bits = (self.params.groups - 1).bit_length()
        low = asked.row & ((1 << shift) - 1)
        return low | asked.group << shift | (asked.row >> shift) << (shift + bits)

    def _lane(self, m: Module, i: int, pitch: Signal) -> tuple[Signal, Signal, Signal]:
        """The row of lane ``i`` as a whole number, whether it lies in the region, whether the lane takes part."""
        params, item = self.params, self.item
        down, row = Signal(WIDE, name=f"down_{i}"), Signal(WIDE, name=f"row_{i}")
        inside, wanted = Signal(name=f"inside_{i}"), Signal(name=f"wanted_{i}")
        with m.Switch(self.mode):
            with m.Case(Mode.ROW):
                m.d.comb += down.eq(item.column + i >= params.lanes)
            with m.Case(Mode.COLUMN):
                m.d.comb += down.eq(pitch * i)
            with m.Case(Mode.LOOKUP):
                m.d.comb += down.eq(self.operand[i])
        m.d.comb += [
            row.eq(self.first + item.row + item.beyond * params.rows + down),
            inside.eq((row >= self.first) & (row < self.end)),
            wanted.eq(item.kept & (i < item.limit)),
        ]
        return row, inside, wanted
