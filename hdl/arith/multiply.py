"""Floating-point multiplication."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.formats import BF16, FP32, FloatFormat
from hdl.arith.pipeline import Cuts, check_depth
from hdl.arith.product import BIAS, exact_product
from hdl.arith.rounding import STEPS as ROUNDING_STEPS
from hdl.arith.rounding import jammed, outcome, round_and_pack
from hdl.arith.unpack import unpack
from hdl.errors import ParameterError

MULTIPLIER_BITS = 18  # of one side of an FPGA's multiplier block
SUPPORTED = ((BF16, BF16), (BF16, FP32), (FP32, FP32))


class Multiply(wiring.Component):
    """``o = i.a * i.b``: operands of format ``operand``, the exact product rounded once to format ``result``.

    - Latency: ``depth`` cycles, 1 to 5 for BF16 operands, 1 to 6 for FP32. Throughput: one a cycle. Never stalls.
    - BF16 operands take one 18 x 18 multiplier, FP32 four.
    - Source: :func:`golden_model.numerics.multiply` computes the same to the bit.

    Raises:
        ParameterError: the steps cannot be cut to that depth, or nobody multiplies these formats.
    """

    def __init__(self, operand: FloatFormat, result: FloatFormat, depth: int = 2) -> None:
        if (operand, result) not in SUPPORTED:
            known = ", ".join(f"{a.name} to {b.name}" for a, b in SUPPORTED)
            raise ParameterError(f"Multiply: {operand.name} to {result.name} is not one of {known}")
        self.operand, self.result = operand, result
        steps = self.steps(operand)
        check_depth("Multiply", depth, tuple(steps))
        self.depth = self.latency = depth
        operands = data.StructLayout({"a": operand.layout, "b": operand.layout})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(result.layout)})

    @staticmethod
    def steps(operand: FloatFormat) -> Mapping[str, float]:
        """The steps and their delays on ECP5, ns: a significand too wide for one multiplier is multiplied in parts."""
        combine = {"combine": 4.5} if operand.precision > MULTIPLIER_BITS else {}
        return {"multiply": 5.5, **combine, "normalise": 2.0, **ROUNDING_STEPS}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        steps = self.steps(self.operand)
        cut = Cuts(m, self.en, tuple(steps), self.depth, steps)
        a, b = unpack(self.i.a), unpack(self.i.b)
        term = exact_product(a, b)
        known = {
            "exponent": term.exponent,
            "zero": term.zero,
            "outcome": outcome(sign=term.sign, infinite=term.special, nan=a.nan | b.nan | (term.special & term.zero)),
        }
        if "combine" in steps:
            s = cut("multiply", **_partial_products(a.significand, b.significand), **known)
            low_and_high = Cat(s.low_low, s.high_high)
            crossed = (s.low_high + s.high_low) << (self.operand.precision // 2)
            product = (low_and_high + crossed)[: 2 * self.operand.precision]
            s = cut("combine", product=product, exponent=s.exponent, zero=s.zero, outcome=s.outcome)
        else:
            s = cut("multiply", product=term.significand, **known)

        above_two = s.product[-1]
        significand = Mux(above_two, s.product[:-1], Cat(C(0, 1), s.product[:-2]))
        s = cut(
            "normalise",
            significand=jammed(Cat(significand, ~s.zero), self.result.precision + 2),
            adjust=Cat(above_two, C(-BIAS, len(s.exponent) + 1)[1:]),
            exponent=s.exponent,
            outcome=s.outcome,
        )
        bits = round_and_pack(
            cut,
            self.result,
            significand=s.significand,
            exponent=s.exponent,
            adjust=s.adjust,
            outcome=s.outcome,
        )
        m.d.comb += self.o.eq(bits)
        return m


def _partial_products(a: Value, b: Value) -> dict[str, Value]:
    """Products of the operands' halves, each fit for one multiplier block."""
    half = len(a) // 2
    return {
        "low_low": a[:half] * b[:half],
        "low_high": a[:half] * b[half:],
        "high_low": a[half:] * b[:half],
        "high_high": a[half:] * b[half:],
    }
