"""Floating-point addition and subtraction."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.formats import FloatFormat
from hdl.arith.pipeline import Cuts, check_depth
from hdl.arith.sum_path import STEPS as SUM_STEPS
from hdl.arith.sum_path import rounded_sum
from hdl.arith.unpack import Term, Unpacked, unpack


class Add(wiring.Component):
    """``o = i.a + i.b``, or ``i.a - i.b`` where ``i.subtract``, in format ``fmt`` throughout, rounded once.

    - Latency: ``depth`` cycles, 1 to 10. Throughput: one a cycle. Never stalls.
    - Source: :func:`golden_model.numerics.add` and :func:`~golden_model.numerics.subtract`, to the bit.

    Raises:
        ParameterError: the steps cannot be cut to that depth.
    """

    STEPS: Mapping[str, float] = {"compare": 4.0, **SUM_STEPS}

    def __init__(self, fmt: FloatFormat, depth: int = 3) -> None:
        check_depth("Add", depth, tuple(self.STEPS))
        self.fmt = fmt
        self.depth = self.latency = depth
        operands = data.StructLayout({"a": fmt.layout, "b": fmt.layout, "subtract": 1})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(fmt.layout)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        cut = Cuts(m, self.en, tuple(self.STEPS), self.depth, self.STEPS)
        a, b = unpack(self.i.a), unpack(self.i.b)
        b_sign = b.sign ^ self.i.subtract
        nan = a.nan | b.nan | (a.special & b.special & (a.sign ^ b_sign))
        result = rounded_sum(cut, "compare", self.fmt, _term(a, a.sign), _term(b, b_sign), nan=nan)
        m.d.comb += self.o.eq(result)
        return m


def _term(x: Unpacked, sign: Any) -> Term:
    return Term(sign=sign, exponent=x.exponent, significand=x.significand, integers=1, zero=x.zero, special=x.special)
