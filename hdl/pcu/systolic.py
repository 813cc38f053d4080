"""The systolic body: lanes x stages multiply-adds that keep their accumulators, and the drain of finished tiles."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.formats import BF16, Bf16, Fp32
from hdl.arith.multiply_add import MultiplyAdd
from hdl.once import once
from hdl.params import ELEMENT_BITS, SCALAR_BITS, PCUParams
from hdl.pcu.config import pcu_layout
from hdl.pcu.fast import FastCells
from hdl.pcu.header import context_layout, step_layout
from hdl.pcu.inputs import lane_words
from hdl.pcu.passes import resting
from hdl.pcu.queues import Accumulators, Companion


def tile_layout(params: PCUParams) -> data.ArrayLayout:
    """One slot's accumulators: a vector a stage."""
    return data.ArrayLayout(lane_words(params), params.stages)


class Cell(wiring.Component):
    """One lane of one stage: a multiply-add and ``interleave`` accumulators.

    - Operands stand with ``slot``; the sum comes out of the multiply-add's latency later and is kept at ``kept_slot``.
    - ``bypass``: the sum that comes out now is the accumulator wanted now, so one slot may go round once a latency.
    """

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        slot = range(params.interleave)
        super().__init__(
            {
                "en": In(1),
                "vector": In(Bf16),
                "broadcast": In(Bf16),
                "initial": In(SCALAR_BITS),
                "first": In(1),
                "slot": In(slot),
                "bypass": In(1),
                "keep": In(1),
                "kept_slot": In(slot),
                "sum": Out(SCALAR_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.multiply_add = unit = MultiplyAdd(self.params.arith.multiply_add)
        total = unit.o.as_value()
        m.submodules.accumulators = accumulators = Accumulators(self.params.interleave)
        addend = Mux(self.first, self.initial, Mux(self.bypass, total, accumulators.value))
        m.d.comb += [
            accumulators.place.eq(self.slot),
            accumulators.keep.eq(self.keep),
            accumulators.kept_place.eq(self.kept_slot),
            accumulators.kept.eq(total),
            unit.en.eq(self.en),
            unit.i.a.eq(self.vector),
            unit.i.b.eq(self.broadcast),
            unit.i.c.eq(Fp32(addend)),
            self.sum.eq(total),
        ]
        return m


class SystolicArray(wiring.Component):
    """All cells: every issue adds ``vector`` (one element a lane) times ``broadcast`` (one element a stage).

    - Latency: that of the multiply-add. Throughput: one issue a cycle, in one slot every ``latency`` cycles.
    - ``finish``: an emitting issue is through, ``sums`` are the finished accumulators of its slot.
    - Stages from ``rows`` on do not move.
    """

    def __init__(self, params: PCUParams, fast: bool = False) -> None:
        """``fast``: a simulator multiplies and adds in C (:mod:`hdl.arith.fast`)."""
        self.params, self.fast = params, fast
        self.latency = params.arith.multiply_add
        super().__init__(
            {
                "rows": In(range(params.stages + 1)),
                "issue": In(1),
                "step": In(step_layout(params)),
                "vector": In(lane_words(params)),
                "broadcast": In(data.ArrayLayout(ELEMENT_BITS, params.stages)),
                "initial": In(tile_layout(params)),
                "finish": Out(1),
                "sums": Out(tile_layout(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        in_flight = Signal(self.latency)  # bit k: issued k + 1 cycles ago
        m.d.sync += in_flight.eq(Cat(self.issue, in_flight))
        steps = [self.step]
        active = Signal()
        m.d.comb += active.eq(self.issue | in_flight[:-1].any())
        for k in range(self.latency):
            following = Signal(step_layout(self.params), name=f"step_{k + 1}")
            with m.If(active):
                m.d.sync += following.eq(steps[-1])
            steps.append(following)
        kept = steps[-1]
        bypass = in_flight[-1] & (kept.slot == self.step.slot)
        m.d.comb += self.finish.eq(in_flight[-1] & kept.emit)
        cells = self._fast_cells if self.fast else self._cells
        cells(m, active, bypass, in_flight[-1], kept)
        return m

    def _cells(self, m: Module, active: Value, bypass: Value, leaves: Value, kept: Any) -> None:
        for s in range(self.params.stages):
            working = Signal(name=f"working_{s}")
            m.d.comb += working.eq(s < self.rows)
            for lane in range(self.params.lanes):
                m.submodules[f"cell_{s}_{lane}"] = cell = once(Cell, self.params)
                m.d.comb += [
                    cell.en.eq(active & working),
                    cell.vector.eq(Bf16(self.vector[lane][SCALAR_BITS - BF16.width :])),
                    cell.broadcast.eq(Bf16(self.broadcast[s])),
                    cell.initial.eq(self.initial[s][lane]),
                    cell.first.eq(self.step.first),
                    cell.slot.eq(self.step.slot),
                    cell.bypass.eq(bypass),
                    cell.keep.eq(leaves & working),
                    cell.kept_slot.eq(kept.slot),
                    self.sums[s][lane].eq(cell.sum),
                ]

    def _fast_cells(self, m: Module, active: Value, bypass: Value, leaves: Value, kept: Any) -> None:
        m.submodules.cells = cells = FastCells(self.params)
        for name in ("vector", "broadcast", "initial"):
            m.d.comb += getattr(cells, name).eq(getattr(self, name))
        m.d.comb += [
            cells.en.eq(active),
            cells.first.eq(self.step.first),
            cells.slot.eq(self.step.slot),
            cells.bypass.eq(bypass),
            cells.keep.eq(leaves),
            cells.kept_slot.eq(kept.slot),
            self.sums.eq(cells.sums),
        ]


class Drain(wiring.Component):
    """Finished tiles on their way to the tail, one vector a cycle (or ``passes``), while the next tile is computed.

    - ``reserve``: an issue that will finish a slot was let through; ``room`` says that one more may be.
    - ``emits``: a vector leaves this cycle (``valid`` in the next, with ``vector`` and ``context``); ``may_emit``: the
      outputs have room for it.
    - Order: slot by slot as they finished, each stage 0 first.
    """

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        # the drain of a slot overlaps the multiply-add's latency of those behind it
        self.entries = 2 * params.interleave
        super().__init__(
            {
                "config": In(pcu_layout(params)),
                "reserve": In(1),
                "room": Out(1),
                "issued": In(1),  # an emitting issue, with its context
                "issued_context": In(context_layout(params)),
                "finish": In(1),
                "sums": In(tile_layout(params)),
                "may_emit": In(1),
                "emits": Out(1),
                "valid": Out(1),
                "vector": Out(lane_words(params)),
                "context": Out(context_layout(params)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.tiles = tiles = Companion(tile_layout(self.params), self.entries)
        m.submodules.contexts = contexts = Companion(context_layout(self.params), self.entries)
        rows = self.config.systolic.rows
        stage, last = Signal(range(self.params.stages)), Signal()
        free = Signal(range(self.entries + 1), init=self.entries)
        rests = resting(m, "tail", self.emits, self.params.passes - 1)
        m.d.comb += [
            self.room.eq(free != 0),
            self.idle.eq(free == self.entries),
            self.emits.eq(tiles.filled & self.may_emit & ~rests),
            last.eq(stage + 1 == rows),
            tiles.push.eq(self.finish),
            tiles.value.eq(self.sums),
            tiles.pop.eq(self.emits & last),
            contexts.push.eq(self.issued),
            contexts.value.eq(self.issued_context),
            contexts.pop.eq(tiles.pop),
        ]
        m.d.sync += [self.valid.eq(self.emits), free.eq(free - self.reserve + tiles.pop)]
        with m.If(self.emits):
            m.d.sync += [stage.eq(Mux(last, 0, stage + 1)), self.vector.eq(tiles.head[stage])]
            m.d.sync += self._context(m, contexts.head, stage, last)
        return m

    def _context(self, m: Module, head: Any, stage: Signal, last: Signal) -> list[Any]:
        """The slot's context for its present stage: tokens leave with the last one, and only that can be final."""
        moved = Signal.like(head.sequence, name="moved")  # stage times the sequence's stride
        with m.If(self.emits):
            m.d.sync += moved.eq(Mux(last, 0, moved + self.config.sequence.stage))
        return [
            self.context.eq(head),
            self.context.sequence.eq(head.sequence + moved),
            self.context.margin.eq(head.margin + Mux(self.config.tail.mask.by_stage, stage, 0)),
            self.context.token_out.eq(Mux(last, head.token_out, 0)),
            self.context.final.eq(last & head.final),
        ]
