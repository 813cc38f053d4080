"""The access stage of one side: waits until an access may be made, then lays its lanes out over the banks."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.params import ELEMENT_BITS, PMUParams
from hdl.pmu.address import item_layout, lane_bits, row_bits
from hdl.pmu.alu import events_layout
from hdl.pmu.config import Mode, Side, bank_shifts, pipeline_layout
from hdl.pmu.lanes import to_banks
from hdl.streams import SEQUENCE_BITS


def bank_layout(params: PMUParams) -> data.StructLayout:
    """What one bank is asked to do: ``row`` of ``group``; ``element`` is read by writes only."""
    place = {"group": range(params.groups), "row": range(params.rows // params.groups)}
    return data.StructLayout({"enable": 1, **place, "element": ELEMENT_BITS})


def request_layout(params: PMUParams) -> data.StructLayout:
    """One access, bank by bank; ``lanes`` are the enables in lane order."""
    return data.StructLayout(
        {
            "banks": data.ArrayLayout(bank_layout(params), params.lanes),
            "start": lane_bits(params),
            "lanes": params.lanes,
            "kept": 1,
            "sequence": SEQUENCE_BITS,
            "events": events_layout(params),
        }
    )


class Access(wiring.Component):
    """Joins addresses with their operands (write data, or indices of a look-up) and with the right to proceed.

    - Conditions, in the order in which a wait is put down to them: tokens, a buffer, the operand, room for the result.
    - A dropped access (not ``kept``) takes its operand and brings about its events, touches no bank, needs no room.
    - ``begun``: pulse with the ``item``'s events ``acquire``, ``release`` and ``wait`` on ``taken``.
    - ``bank_shift``: the lowest of the row-address bits that pick the group.
    - ``refused``: pulse, a lane lay outside the region; it is masked.
    - Latency: one cycle. Throughput: one access a cycle. ``o`` holds while ``o.ready`` is low.
    """

    def __init__(self, params: PMUParams, side: Side) -> None:
        self.params, self.side = params, side
        rows = range(params.rows + 1)
        super().__init__(
            {
                "config": In(pipeline_layout(params)),
                "bank_shift": In(range(bank_shifts(params))),
                "load": In(1),
                "item": In(stream.Signature(item_layout(params))),
                "operand": In(stream.Signature(data.ArrayLayout(ELEMENT_BITS, params.lanes))),
                "buffer_available": In(1),
                "first": In(rows),
                "end": In(rows),
                "tokens": In(params.TOKENS),
                "room": In(1),
                "o": Out(stream.Signature(request_layout(params))),
                "begun": Out(1),
                "taken": Out(events_layout(params)),
                "refused": Out(1),
                "wait_token": Out(1),
                "wait_buffer": Out(1),
                "wait_operand": Out(1),
                "wait_room": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._conditions(m)
        request: Any = self.o.payload
        rows, inside, masked = self._rows(m)
        item = self.item.payload
        places = [self._place(m, row, i) for i, row in enumerate(rows)]
        lanes = [Cat(*lane) for lane in zip(inside, places, self._elements(), strict=True)]
        rotation = Mux(self.config.mode == Mode.LOOKUP, 0, item.start)
        with m.If(self.begun):
            m.d.sync += [
                request.start.eq(rotation),
                request.lanes.eq(Cat(inside)),
                request.kept.eq(item.kept),
                request.sequence.eq(item.sequence),
                request.events.eq(item.events),
            ]
            for b, lane in enumerate(to_banks(lanes, rotation)):
                m.d.sync += request.banks[b].eq(lane)
        m.d.comb += self.refused.eq(self.begun & masked)
        return m

    def _conditions(self, m: Module) -> None:
        item = self.item.payload
        there = self.item.valid
        operand_wanted = (self.side is Side.WRITE) | (self.config.mode == Mode.LOOKUP)
        tokens, buffer = Signal(), Signal()
        operand, room = Signal(), Signal()
        m.d.comb += [
            tokens.eq((item.events.wait & self.tokens) == item.events.wait),
            buffer.eq(~item.events.acquire | self.buffer_available),
            operand.eq(~operand_wanted | self.operand.valid),
            room.eq(~item.kept | self.room),
            self.begun.eq(there & tokens & buffer & operand & room & (~self.o.valid | self.o.ready)),
            self.wait_token.eq(there & ~tokens),
            self.wait_buffer.eq(there & tokens & ~buffer),
            self.wait_operand.eq(there & tokens & buffer & ~operand),
            self.wait_room.eq(there & tokens & buffer & operand & ~room),
            self.item.ready.eq(self.begun),
            self.operand.ready.eq(self.begun & operand_wanted),
            self.taken.eq(Mux(self.begun, item.events, 0)),
        ]
        with m.If(self.begun):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

    def _rows(self, m: Module) -> tuple[list[Signal], list[Signal], Signal]:
        """Row and enable of every lane, and whether one lay outside the region."""
        params, item = self.params, self.item.payload
        lanes = range(params.lanes)
        steps = [Signal(row_bits(params) + lane_bits(params) + 1, name=f"step_{i}") for i in lanes]
        with m.If(self.load):  # lane i of a column lies i tile rows down
            m.d.sync += [steps[i].eq(self.config.pitch * i) for i in lanes]
        start = Signal(row_bits(params) + 2)
        m.d.comb += start.eq(self.first + item.row)
        rows = [Signal(row_bits(params), name=f"row_{i}") for i in lanes]
        enables = [Signal(name=f"enable_{i}") for i in lanes]
        outside = Signal(params.lanes)
        for i in lanes:
            down = Signal(max(ELEMENT_BITS, len(steps[i])), name=f"down_{i}")
            row = Signal(len(down) + 2, name=f"whole_row_{i}")
            with m.Switch(self.config.mode):
                with m.Case(Mode.COLUMN):
                    m.d.comb += down.eq(steps[i])
                with m.Case(Mode.LOOKUP):
                    m.d.comb += down.eq(self.operand.payload[i])
                with m.Default():
                    m.d.comb += down.eq((item.column + i)[lane_bits(params) :])
            wanted = item.kept & (item.limit > i)
            m.d.comb += [
                row.eq(start + down),
                outside[i].eq(wanted & (item.beyond | (row >= self.end))),
                enables[i].eq(wanted & ~outside[i]),
                rows[i].eq(row),
            ]
        return rows, enables, outside.any()

    def _place(self, m: Module, row: Value, lane: int) -> Value:
        """Group, and row within the group: the group bits are taken out of the row address from ``bank_shift`` on.

        Here and not at the banks, where whether two accesses meet in a group decides late if either goes on.
        """
        bits = (self.params.groups - 1).bit_length()
        group = Signal(range(self.params.groups), name=f"group_{lane}")
        inner = Signal(range(self.params.rows // self.params.groups), name=f"inner_row_{lane}")
        with m.Switch(self.bank_shift):
            for shift in range(bank_shifts(self.params)):
                with m.Case(shift):
                    m.d.comb += [
                        group.eq(row[shift : shift + bits]),
                        inner.eq(Cat(row[:shift], row[shift + bits :])),
                    ]
        return Cat(group, inner)

    def _elements(self) -> list[Any]:
        """What each lane writes; on the read side nothing travels."""
        elements = [self.operand.payload[i] for i in range(self.params.lanes)]
        return elements if self.side is Side.WRITE else [0 * e[:ELEMENT_BITS] for e in elements]
