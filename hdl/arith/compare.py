"""Comparison of two floats, and the lesser or greater of them."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.classify import canonical, is_nan, magnitude
from hdl.arith.formats import FloatFormat
from hdl.arith.operations import CompareOp
from hdl.arith.pipeline import Cuts, check_depth


@dataclass(frozen=True)
class Order:
    """How two floats relate; one-bit values.

    ``less`` tells -0 from +0, ``zeros`` says that both are zeros. Neither means anything if a NaN is in.
    """

    less: Value
    equal: Value
    zeros: Value
    a_nan: Value
    b_nan: Value


def order(a: Any, b: Any) -> Order:
    """The order of two views of one format, subnormals counting as zeros, by one comparison of magnitudes.

    A subnormal need not be cleared for that: it is below every normal number, and two of them are zeros.
    """
    zeros = ~(a.exponent | b.exponent).any()
    below, same = magnitude(a) < magnitude(b), magnitude(a) == magnitude(b)
    unsigned_less = below & ~zeros
    unsigned_equal = same | zeros
    return Order(
        less=Mux(a.sign == b.sign, ~unsigned_equal & (unsigned_less ^ a.sign), a.sign),
        equal=unsigned_equal & (a.sign == b.sign),
        zeros=zeros,
        a_nan=is_nan(a),
        b_nan=is_nan(b),
    )


class Compare(wiring.Component):
    """``a operation b`` as one bit.

    - Operands: ``operation`` (:class:`CompareOp`; the two free codes give 0), ``a``, ``b``. Result: one bit.
    - Latency: ``depth`` cycles, 1 or 2. Throughput: one a cycle.
    - Golden model: :func:`golden_model.numerics.compare`.
    """

    STEPS = ("order", "decide")

    def __init__(self, fmt: FloatFormat, depth: int = 1) -> None:
        check_depth("Compare", depth, self.STEPS)
        self.fmt = fmt
        self.depth = self.latency = depth
        operands = data.StructLayout({"operation": CompareOp, "a": fmt.layout, "b": fmt.layout})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cut = Cuts(m, self.en, self.STEPS, self.depth)
        found = order(self.i.a, self.i.b)
        s = cut(
            "order",
            less=found.less & ~found.zeros,
            equal=found.equal | found.zeros,
            ordered=~(found.a_nan | found.b_nan),
            operation=self.i.operation,
        )
        answers = {
            CompareOp.LT: s.ordered & s.less,
            CompareOp.LE: s.ordered & (s.less | s.equal),
            CompareOp.EQ: s.ordered & s.equal,
            CompareOp.NE: ~(s.ordered & s.equal),
            CompareOp.GT: s.ordered & ~(s.less | s.equal),
            CompareOp.GE: s.ordered & ~s.less,
        }
        unused = (1 << len(s.operation)) - len(answers)
        answer = Array([*(answers[operation] for operation in CompareOp), *[0] * unused])[s.operation]
        m.d.comb += self.o.eq(cut("decide", answer=answer).answer)
        return m


class MinMax(wiring.Component):
    """The lesser of two floats, or with ``maximum`` the greater; a NaN if either is; -0 is less than +0.

    - Operands: ``maximum`` (one bit), ``a``, ``b``. Result: the format, canonical.
    - Latency: ``depth`` cycles, 1 or 2. Throughput: one a cycle.
    - Golden model: :func:`golden_model.numerics.minimum`, :func:`golden_model.numerics.maximum`.
    """

    STEPS = ("order", "select")

    def __init__(self, fmt: FloatFormat, depth: int = 1) -> None:
        check_depth("MinMax", depth, self.STEPS)
        self.fmt = fmt
        self.depth = self.latency = depth
        operands = data.StructLayout({"maximum": 1, "a": fmt.layout, "b": fmt.layout})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(fmt.layout)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cut = Cuts(m, self.en, self.STEPS, self.depth)
        found = order(self.i.a, self.i.b)
        take_a = found.a_nan | ~found.b_nan & (found.less ^ self.i.maximum)
        s = cut("order", take_a=take_a, a=self.i.a, b=self.i.b)
        chosen = self.fmt.layout(Mux(s.take_a, s.a, s.b))
        m.d.comb += self.o.eq(cut("select", result=canonical(self.fmt, chosen)).result)
        return m
