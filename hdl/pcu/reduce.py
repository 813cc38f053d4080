"""Reduction across lanes, and over time."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.add import Add
from hdl.arith.classify import canonical, is_nan
from hdl.arith.compare import MinMax, order
from hdl.arith.formats import FP32, Fp32
from hdl.arith.operations import ReduceOp
from hdl.once import once
from hdl.params import SCALAR_BITS, PCUParams
from hdl.pcu.config import IDENTITY, Operation, pcu_layout
from hdl.pcu.fast import combined
from hdl.pcu.header import choose, step_layout
from hdl.pcu.inputs import lane_words
from hdl.pcu.queues import Companion, Delayed
from hdl.pcu.timing import level_latency

Candidate = data.StructLayout({"value": Fp32, "index": SCALAR_BITS})
"""A value and the index it stands at."""


def reduction_latency(params: PCUParams) -> int:
    """Cycles through the tree and the accumulation."""
    levels = (params.lanes - 1).bit_length()
    return (levels + 1) * level_latency(params)


class Combine(wiring.Component):
    """Of two candidates the sum, the greater, the lesser, or the winner of an arg-max or arg-min.

    - ``a`` stands before ``b``: it wins among equals. Sums and extrema are canonical; a winner is what it was.
    - Latency: :func:`level_latency` cycles. Throughput: one pair a cycle. Only the unit in use moves.
    """

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        self.latency = level_latency(params)
        operands = data.StructLayout({"operation": ReduceOp, "a": Candidate, "b": Candidate})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(Candidate)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        arith, i = self.params.arith, self.i
        m.submodules.add = add = Add(FP32, arith.add)
        m.submodules.extremum = extremum = MinMax(FP32, arith.compare)
        m.submodules.winner = winner = Delayed(Candidate, self.latency)
        sums = i.operation == ReduceOp.SUM
        extreme = (i.operation == ReduceOp.MAX) | (i.operation == ReduceOp.MIN)
        greatest = (i.operation == ReduceOp.MAX) | (i.operation == ReduceOp.ARG_MAX)
        m.d.comb += [
            add.en.eq(self.en & sums),
            add.i.a.eq(i.a.value),
            add.i.b.eq(i.b.value),
            extremum.en.eq(self.en & extreme),
            extremum.i.a.eq(i.a.value),
            extremum.i.b.eq(i.b.value),
            extremum.i.maximum.eq(greatest),
            winner.en.eq(self.en & ~sums & ~extreme),
            winner.i.eq(Mux(_later_wins(i.a.value, i.b.value, greatest), i.b, i.a)),
            self.o.eq(winner.o),
        ]
        for wanted, unit in ((sums, add), (extreme, extremum)):
            result = Value.cast(unit.o)
            if unit.latency < self.latency:
                name = "sum_wait" if unit is add else "extremum_wait"
                m.submodules[name] = wait = Delayed(len(result), self.latency - unit.latency)
                m.d.comb += [wait.en.eq(unit.en), wait.i.eq(result)]
                result = wait.o
            with m.If(wanted):
                m.d.comb += self.o.value.eq(result)
        return m


def _later_wins(a: Any, b: Any, greatest: Value) -> Value:
    """Whether ``b`` beats ``a``, which comes first: strictly greater (less), or the first NaN."""
    found = order(a, b)
    differ = ~found.zeros & ~found.equal
    return ~is_nan(a) & (is_nan(b) | (differ & (found.less ^ ~greatest)))


class Reduction(wiring.Component):
    """A balanced tree over the lanes, then if configured an accumulation over the iterations of a group.

    - ``i_valid`` with ``i`` (a register of the body), ``step`` and ``shared``; ``o_valid`` with ``value`` and ``index``
      for each iteration that emits.
    - Latency: :func:`reduction_latency`, a level less if nothing is accumulated. Throughput: one vector a cycle, and in
      one slot one every :func:`level_latency` cycles; the header sees to it.
    - Golden model: :func:`golden_model.numerics.lane_tree`, :func:`golden_model.numerics.time_reduce`.
    """

    def __init__(self, params: PCUParams, fast: bool = False) -> None:
        """``fast``: a simulator combines in C (:mod:`hdl.arith.fast`)."""
        self.params, self.fast = params, fast
        super().__init__(
            {
                "config": In(pcu_layout(params)),
                "i_valid": In(1),
                "i": In(lane_words(params)),
                "step": In(step_layout(params)),
                "shared": In(data.ArrayLayout(SCALAR_BITS, 4)),
                "o_valid": Out(1),
                "value": Out(SCALAR_BITS),
                "index": Out(SCALAR_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config.reduce
        beside = data.StructLayout({"step": step_layout(self.params), "base": SCALAR_BITS})
        enters = self.i_valid & config.enable
        valid, root = self._tree(m, enters)
        m.submodules.beside = queue = Companion(beside, reduction_latency(self.params) + 2)
        m.d.comb += [
            queue.push.eq(enters),
            Cat(queue.value.step).eq(self.step),
            queue.value.base.eq(choose(self.shared, config.base)),
            queue.pop.eq(valid),
        ]
        found = Signal(Candidate)
        by_index = (config.operation == ReduceOp.ARG_MAX) | (config.operation == ReduceOp.ARG_MIN)
        m.d.comb += [
            found.value.eq(root.value),
            found.index.eq(Mux(by_index, root.index + queue.head.base, 0)),
        ]
        finished, step, total = self._accumulate(m, valid & config.over_time, queue.head.step, found)
        chosen = Mux(config.over_time, total, found)
        m.d.comb += [
            self.o_valid.eq(Mux(config.over_time, finished & step.emit, valid & queue.head.step.emit)),
            Cat(self.value, self.index).eq(chosen),
        ]
        return m

    def _tree(self, m: Module, enters: Value) -> tuple[Value, Any]:
        """Whether a vector leaves the tree, and its one candidate."""
        lanes = []
        for number, word in enumerate(self.i):
            lane = Signal(Candidate, name=f"lane_{number}")
            m.d.comb += [lane.value.eq(canonical(FP32, Fp32(word))), lane.index.eq(number)]
            lanes.append(lane)
        level = 0
        while len(lanes) > 1:
            active, enters = _moving(m, f"level_{level}", enters, level_latency(self.params))
            lanes, level = self._combined(m, f"combine_{level}", active, lanes), level + 1
        return enters, lanes[0]

    def _combined(self, m: Module, name: str, active: Value, candidates: list[Any]) -> list[Any]:
        """Of candidates 2k and 2k + 1 one each, :func:`level_latency` cycles later."""
        operation = self.config.reduce.operation
        if self.fast:
            return combined(m, name, self.params, active, operation, candidates)
        results = []
        for k in range(0, len(candidates), 2):
            m.submodules[f"{name}_{k // 2}"] = node = once(Combine, self.params)
            m.d.comb += [
                node.en.eq(active),
                node.i.operation.eq(operation),
                node.i.a.eq(candidates[k]),
                node.i.b.eq(candidates[k + 1]),
            ]
            results.append(node.o)
        return results

    def _accumulate(self, m: Module, enters: Value, step: Any, found: Any) -> tuple[Value, Any, Any]:
        """Combines each value with what its slot holds; whether one leaves, its step, and the total."""
        config = self.config.reduce
        totals = Array(Signal(Candidate, name=f"total_{i}") for i in range(self.params.interleave))
        m.submodules.steps = steps = Companion(step_layout(self.params), level_latency(self.params) + 2)
        active, leaves = _moving(m, "over_time", enters, level_latency(self.params))
        kept = steps.head
        bypass = leaves & (kept.slot == step.slot)
        start = Signal(Candidate)
        identity = {
            ReduceOp.SUM: IDENTITY[Operation.ADD],
            ReduceOp.MAX: IDENTITY[Operation.MAXIMUM],
            ReduceOp.MIN: IDENTITY[Operation.MINIMUM],
        }
        m.d.comb += start.eq(found)  # an arg-max begins with its first candidate against itself
        with m.Switch(config.operation):
            for operation, value in identity.items():
                with m.Case(operation):
                    m.d.comb += start.value.as_value().eq(value)
        total, held = Signal(Candidate), Signal(Candidate)
        (result,) = self._combined(m, "over_time", active, [held, found])
        m.d.comb += [
            Cat(total).eq(Cat(result)),
            held.eq(Mux(step.first, start, Mux(bypass, total, totals[step.slot]))),
            steps.push.eq(enters),
            steps.value.eq(step),
            steps.pop.eq(leaves),
        ]
        with m.If(leaves):
            m.d.sync += totals[kept.slot].eq(total)
        return leaves, kept, total


def _moving(m: Module, name: str, enters: Value, latency: int) -> tuple[Value, Value]:
    """Enable of units of this latency, and whether a result leaves them."""
    moving = Signal(latency, name=f"{name}_moving")
    m.d.sync += moving.eq(Cat(enters, moving))
    return enters | moving[:-1].any(), moving[-1]
