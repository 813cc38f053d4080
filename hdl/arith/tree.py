"""Reduction across lanes: a balanced tree of adders and comparators."""

from collections.abc import Iterable
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.add import Add
from hdl.arith.classify import canonical
from hdl.arith.compare import order
from hdl.arith.formats import FloatFormat
from hdl.arith.operations import ReduceOp
from hdl.arith.pipeline import Cuts, check_depth
from hdl.errors import ParameterError


class LaneTree(wiring.Component):
    """Sum, maximum, minimum, arg-max or arg-min over the lanes of a vector; every vector may ask for another.

    - Operands: ``operation`` (:class:`ReduceOp`), ``lanes``, an array of the format.
    - Result: ``value``, canonical, and ``index``, the winner's lane (0 unless the operation is an arg form).
    - Latency: ``ceil(log2(lanes)) * depth + 1`` cycles, ``depth`` being that of a level (:class:`hdl.arith.add.Add`)
      and the last one for the canonical form. Throughput: one vector a cycle.
    - Order: level by level, neighbours (0,1), (2,3), ...; an odd lane at the end passes a level unchanged.
    - Golden model: :func:`golden_model.numerics.lane_tree`.

    Only ``operations`` are built; without ``SUM`` a level is a comparator. Asking for another gives any result.

    Raises:
        ParameterError: no lanes, no operations, or a depth a level cannot have.
    """

    def __init__(
        self, fmt: FloatFormat, lanes: int, depth: int = 3, operations: Iterable[ReduceOp] = tuple(ReduceOp)
    ) -> None:
        if lanes < 1:
            raise ParameterError(f"LaneTree: {lanes} lanes; there must be at least one")
        check_depth("LaneTree", depth, tuple(Add.STEPS))
        self.operations = frozenset(operations)
        if not self.operations:
            raise ParameterError("LaneTree: no operations; name at least one of ReduceOp")
        self.fmt, self.lanes, self.depth = fmt, lanes, depth
        self.levels = (lanes - 1).bit_length()
        self.latency = self.levels * depth + 1
        self._candidate = data.StructLayout({"value": fmt.layout, "index": range(lanes)})
        operands = data.StructLayout({"operation": ReduceOp, "lanes": data.ArrayLayout(fmt.layout, lanes)})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(self._candidate)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        candidates, operation = self._leaves(m), self.i.operation
        for level in range(self.levels):
            passed = [self._delayed(m, lone) for lone in candidates[len(candidates) // 2 * 2 :]]
            pairs = zip(candidates[::2], candidates[1::2], strict=False)
            winners = [self._pair(m, f"pair_{level}_{n}", operation, a, b) for n, (a, b) in enumerate(pairs)]
            candidates, operation = winners + passed, self._delayed(m, operation)
        (last,) = candidates
        is_arg = _any_of(operation, ReduceOp.ARG_MAX, ReduceOp.ARG_MIN)
        # canonical only here: inside, comparators and adders read subnormals as zeros and any NaN as a NaN
        with m.If(self.en):
            m.d.sync += [
                self.o.value.eq(canonical(self.fmt, last.value)),
                self.o.index.eq(Mux(is_arg, last.index, 0)),
            ]
        return m

    def _leaves(self, m: Module) -> list[Any]:
        leaves = [Signal(self._candidate, name=f"lane_{lane}") for lane in range(self.lanes)]
        for lane, leaf in enumerate(leaves):
            m.d.comb += [leaf.value.eq(self.i.lanes[lane]), leaf.index.eq(lane)]
        return leaves

    def _pair(self, m: Module, name: str, operation: Value, a: Any, b: Any) -> Any:
        pair = ReducePair(self.fmt, self._candidate, self.depth, self.operations)
        m.submodules[name] = pair
        m.d.comb += [pair.en.eq(self.en), pair.i.operation.eq(operation), pair.i.a.eq(a), pair.i.b.eq(b)]
        return pair.o

    def _delayed(self, m: Module, value: Any) -> Any:
        """``value`` one level later."""
        for _ in range(self.depth):
            following = Signal.like(value, name="delayed")
            with m.If(self.en):
                m.d.sync += following.eq(value)
            value = following
        return value


class ReducePair(wiring.Component):
    """One node of a tree: the sum of two candidates, or the better one with its index; ``a`` is the lower lane.

    - Operands: ``operation``, ``a``, ``b``, structs of ``value`` and ``index``. Result: such a struct, not canonical.
    - Latency: ``depth`` cycles. Throughput: one a cycle. The result is a multiplexer behind registers.
    """

    CHOICE = ("order", "select")

    def __init__(
        self, fmt: FloatFormat, candidate: data.StructLayout, depth: int, operations: frozenset[ReduceOp]
    ) -> None:
        self.fmt, self.operations = fmt, operations
        self.depth = self.latency = depth
        operands = data.StructLayout({"operation": ReduceOp, "a": candidate, "b": candidate})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(candidate)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.operations == {ReduceOp.SUM}:
            m.d.comb += self.o.value.eq(self._sum(m))
            return m
        chosen, is_sum = self._choose(m)
        m.d.comb += self.o.eq(chosen)
        if ReduceOp.SUM in self.operations:
            total = self._sum(m)
            with m.If(is_sum):
                m.d.comb += self.o.value.eq(total)
        return m

    def _sum(self, m: Module) -> Any:
        m.submodules.add = add = Add(self.fmt, self.depth)
        m.d.comb += [add.en.eq(self.en), add.i.a.eq(self.i.a.value), add.i.b.eq(self.i.b.value)]
        return add.o

    def _choose(self, m: Module) -> tuple[Any, Value]:
        """The better candidate, as late as the sum, and whether the sum is wanted instead."""
        waits = [f"wait_{k}" for k in range(len(self.CHOICE), self.depth)]
        cut = Cuts(m, self.en, (*self.CHOICE, *waits), self.depth)
        operation = self.i.operation
        is_sum = operation == ReduceOp.SUM
        s = cut(
            "order", b_wins=_b_wins(operation, self.i.a.value, self.i.b.value), a=self.i.a, b=self.i.b, is_sum=is_sum
        )
        s = cut("select", chosen=Mux(s.b_wins, s.b, s.a), is_sum=s.is_sum)
        for wait in waits:
            s = cut(wait, chosen=s.chosen, is_sum=s.is_sum)
        return s.chosen, s.is_sum


def _b_wins(operation: Value, a: Any, b: Any) -> Value:
    """Whether ``b`` is strictly better than ``a``: a NaN beats any number; an arg form sees no sign of a zero."""
    found = order(a, b)
    same_zeros = found.zeros & _any_of(operation, ReduceOp.ARG_MAX, ReduceOp.ARG_MIN)
    less, equal = found.less & ~same_zeros, found.equal | same_zeros
    better = Mux(_any_of(operation, ReduceOp.MIN, ReduceOp.ARG_MIN), ~less & ~equal, less)
    return ~found.a_nan & (found.b_nan | better)


def _any_of(operation: Value, *operations: ReduceOp) -> Value:
    return Value.cast(operation).matches(*operations)
