"""What stands in a PCU for its arithmetic where a simulation computes that in C (:mod:`hdl.arith.fast`).

Accumulators, choices and everything that says when stay RTL, a vector or a tile at a time.
"""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.fast import Fast, Kind
from hdl.params import ELEMENT_BITS, SCALAR_BITS, PCUParams
from hdl.pcu.config import Operation
from hdl.pcu.inputs import lane_words
from hdl.pcu.queues import Accumulators
from hdl.pcu.timing import level_latency, operation_latency, place_bits


def tile(params: PCUParams) -> data.ArrayLayout:
    return data.ArrayLayout(lane_words(params), params.stages)


def multiply_adds(params: PCUParams) -> Fast:
    return Fast(Kind.MULTIPLY_ADD, params.arith.multiply_add, params.lanes, params.stages)


def operate(params: PCUParams, latency: int) -> Fast:
    return Fast(Kind.OPERATE, latency, params.units)


def combine(params: PCUParams, results: int) -> Fast:
    return Fast(Kind.COMBINE, level_latency(params), results)


def special(params: PCUParams) -> Fast:
    return Fast(Kind.SPECIAL, params.arith.special, params.units)


def rounding(params: PCUParams) -> Fast:
    return Fast(Kind.ROUND, params.arith.convert, params.units)


Driven = tuple[Fast, Sequence[Any]]
"""A unit, and the assignments of its operands."""


def operated(params: PCUParams, operation: Operation, latency: int, lanes: Any, b: Value) -> Driven:
    """Every lane ``operation`` ``b``."""
    unit = operate(params, latency)
    operands = [Cat(unit.i.a).eq(Cat(lanes)), Cat(unit.i.b).eq(b.replicate(params.units))]
    return unit, [*operands, unit.i.operation.eq(operation.value)]


def function_of(params: PCUParams, lanes: Any, function: Value) -> Driven:
    """A special function of every lane."""
    unit = special(params)
    return unit, [Cat(unit.i.x).eq(Cat(lanes)), unit.i.function.eq(function)]


def units(params: PCUParams) -> list[Fast]:
    """One of each that a PCU has, for whoever wants to know its names and widths."""
    arith = params.arith
    latencies = {operation_latency(arith), arith.multiply, arith.add, arith.compare, arith.convert}
    found = [
        multiply_adds(params),
        *(operate(params, latency) for latency in sorted(latencies)),
        *(combine(params, 1 << level) for level in range((params.lanes - 1).bit_length())),
        special(params),
        rounding(params),
    ]
    for unit in found:
        unit._MustUse__silence = True  # it will not be elaborated
    return found


class FastCells(wiring.Component):
    """All cells of a systolic array; ports as of a :class:`hdl.pcu.systolic.Cell`.

    Stages that a program does not use move too; nobody looks at their sums.
    """

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        slot = range(params.interleave)
        super().__init__(
            {
                "en": In(1),
                "vector": In(lane_words(params)),
                "broadcast": In(data.ArrayLayout(ELEMENT_BITS, params.stages)),
                "initial": In(tile(params)),
                "first": In(1),
                "slot": In(slot),
                "bypass": In(1),
                "keep": In(1),
                "kept_slot": In(slot),
                "sums": Out(tile(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.multiply_adds = unit = multiply_adds(self.params)
        total = unit.o.as_value()
        m.submodules.accumulators = accumulators = Accumulators(self.params.interleave, len(total))
        addend = Mux(self.first, self.initial.as_value(), Mux(self.bypass, total, accumulators.value))
        m.d.comb += [
            accumulators.place.eq(self.slot),
            accumulators.keep.eq(self.keep),
            accumulators.kept_place.eq(self.kept_slot),
            accumulators.kept.eq(total),
            unit.en.eq(self.en),
            unit.i.a.eq(self.vector),
            unit.i.b.eq(self.broadcast),
            unit.i.c.as_value().eq(addend),
            self.sums.eq(unit.o),
        ]
        return m


class FastLanes(wiring.Component):
    """The arithmetic of all units of a SIMD stage; ports as of a :class:`hdl.pcu.simd.Lane`."""

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        place, words = place_bits(params), data.ArrayLayout(SCALAR_BITS, params.units)
        super().__init__(
            {
                "en": In(1),
                "operation": In(Operation),
                "a": In(words),
                "b": In(words),
                "accumulate": In(1),
                "identity": In(SCALAR_BITS),
                "first": In(1),
                "place": In(place),
                "bypass": In(1),
                "keep": In(1),
                "kept_place": In(place),
                "o": Out(words),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.operate = unit = operate(self.params, operation_latency(self.params.arith))
        total = unit.o.as_value()
        m.submodules.accumulators = accumulators = Accumulators(len(place_bits(self.params)), len(total))
        identity = self.identity.replicate(self.params.units)
        previous = Mux(self.first, identity, Mux(self.bypass, total, accumulators.value))
        m.d.comb += [
            accumulators.place.eq(self.place),
            accumulators.keep.eq(self.keep),
            accumulators.kept_place.eq(self.kept_place),
            accumulators.kept.eq(total),
            unit.en.eq(self.en),
            unit.i.operation.eq(self.operation),
            unit.i.a.eq(self.a),
            unit.i.b.as_value().eq(Mux(self.accumulate, previous, self.b.as_value())),
            self.o.eq(unit.o),
        ]
        return m


def combined(
    m: Module, name: str, params: PCUParams, active: Value, operation: Value, candidates: list[Any]
) -> list[Any]:
    """A level of a tree: of ``candidates`` 2k and 2k + 1 one each."""
    m.submodules[name] = unit = combine(params, len(candidates) // 2)
    m.d.comb += [unit.en.eq(active), Cat(unit.i.candidates).eq(Cat(candidates)), unit.i.operation.eq(operation)]
    return list(unit.o)
