"""The end of an address pipeline: what the registers of an iteration mean, queued until the access can be made."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.control.credits import Credits
from hdl.params import PMUParams
from hdl.pmu.alu import events_layout, flow_layout
from hdl.pmu.config import pipeline_layout
from hdl.pmu.issue import Issue
from hdl.streams import SEQUENCE_BITS


def lane_bits(params: PMUParams) -> int:
    return (params.lanes - 1).bit_length()


def row_bits(params: PMUParams) -> int:
    return (params.rows - 1).bit_length()


def item_layout(params: PMUParams) -> data.StructLayout:
    """One access: ``row`` within the region (``beyond``: it does not even fit the memory), ``column`` within the row,
    ``start`` bank, ``limit`` lanes, whether it is ``kept``, the ``sequence`` id of its result."""
    return data.StructLayout(
        {
            "row": row_bits(params),
            "beyond": 1,
            "column": lane_bits(params),
            "start": lane_bits(params),
            "limit": range(params.lanes + 1),
            "kept": 1,
            "sequence": SEQUENCE_BITS,
            "events": events_layout(params),
        }
    )


class AddressQueue(wiring.Component):
    """Turns the registers of iterations into accesses and queues them.

    - ``reserve``: one more iteration was issued and will come; ``room``: there is a place for another.
    - ``busy``: iterations on their way, or accesses queued.
    - Latency: three cycles from ``i`` to ``o``. Throughput: one access a cycle.
    """

    LATENCY = 3

    def __init__(self, params: PMUParams) -> None:
        self.params = params
        # every place from issue to here and back, so that a pipeline of any split runs at full rate
        self.depth = Issue.LATENCY + params.alu_cycles * params.alu_stages + self.LATENCY + 2
        super().__init__(
            {
                "config": In(pipeline_layout(params)),
                "i": In(flow_layout(params)),
                "reserve": In(1),
                "room": Out(1),
                "busy": Out(1),
                "o": Out(stream.Signature(item_layout(params))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = item_layout(self.params)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=layout.size, depth=self.depth)
        m.submodules.credits = credits = Credits(self.depth)
        item, valid = Signal(layout), Signal()
        m.d.sync += valid.eq(self.i.valid)
        with m.If(self.i.valid):
            m.d.sync += self._resolve(m, item)
        m.d.comb += [
            queue.w_en.eq(valid),
            queue.w_data.eq(item),
            queue.r_en.eq(self.o.ready),
            self.o.valid.eq(queue.r_rdy),
            self.o.payload.as_value().eq(queue.r_data),
            credits.take.eq(self.reserve),
            credits.give.eq(self.o.valid & self.o.ready),
            self.room.eq(credits.some),
            self.busy.eq(~credits.every),
        ]
        return m

    def _resolve(self, m: Module, item: Any) -> list[Any]:
        config, registers = self.config, self.i.registers
        lanes, low = lane_bits(self.params), row_bits(self.params)
        address, relative = registers[config.address], Signal(32)
        in_range = (address >= config.range.low) & (address < config.range.high)
        bit = registers[config.bit.register].bit_select(config.bit.position, 1)
        m.d.comb += relative.eq(address - Mux(config.range.enable, config.range.low, 0))
        skew = Mux(config.tile_row.enable, registers[config.tile_row.register][:lanes], 0)
        return [
            item.row.eq(relative[lanes : lanes + low]),
            item.beyond.eq(relative[lanes + low :].any()),
            item.column.eq(relative[:lanes]),
            item.start.eq(relative[:lanes] + skew),
            item.limit.eq(Mux(config.limit.enable, self._clamped(registers[config.limit.register]), self.params.lanes)),
            item.kept.eq((~config.range.enable | in_range) & (~config.bit.enable | bit)),
            item.sequence.eq(Mux(config.sequence.enable, registers[config.sequence.register][:SEQUENCE_BITS], 0)),
            item.events.eq(self.i.events),
        ]

    def _clamped(self, limit: Any) -> Value:
        """A signed lane count, made 0 .. lanes."""
        negative, large = limit[-1], limit[lane_bits(self.params) : -1].any()
        return Mux(negative, 0, Mux(large, self.params.lanes, limit[: lane_bits(self.params)]))
