"""The multiply-add the whole machine is paid in: BF16 x BF16 exactly, plus FP32, rounded once."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.formats import FP32, Bf16, Fp32
from hdl.arith.pipeline import Cuts, check_depth
from hdl.arith.product import BIAS, biased, exact_product
from hdl.arith.sum_path import STEPS as SUM_STEPS
from hdl.arith.sum_path import rounded_sum
from hdl.arith.unpack import Term, unpack

Operands = data.StructLayout({"a": Bf16, "b": Bf16, "c": Fp32})


class MultiplyAdd(wiring.Component):
    """``o = i.a * i.b + i.c`` with one rounding.

    - Latency: ``depth`` cycles, 1 to 10. Throughput: one a cycle. Never stalls.
    - Size on ECP5: ``docs/fpga_units.md``; one 18 x 18 multiplier.
    - Source: :func:`golden_model.numerics.multiply_add` computes the same to the bit.

    Raises:
        ParameterError: the steps cannot be cut to that depth.
    """

    STEPS: Mapping[str, float] = {"multiply": 5.5, **SUM_STEPS}

    def __init__(self, depth: int = 4) -> None:
        check_depth("MultiplyAdd", depth, tuple(self.STEPS))
        self.depth = self.latency = depth
        super().__init__({"en": In(1), "i": In(Operands), "o": Out(Fp32)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        cut = Cuts(m, self.en, tuple(self.STEPS), self.depth, self.STEPS)
        a, b, c = unpack(self.i.a), unpack(self.i.b), unpack(self.i.c)
        product = exact_product(a, b)
        addend = Term(
            sign=c.sign,
            exponent=biased(c.exponent),
            significand=c.significand,
            integers=1,
            zero=c.zero,
            special=c.special,
        )
        invalid = product.special & (product.zero | (c.special & (product.sign ^ c.sign)))
        nan = a.nan | b.nan | c.nan | invalid
        result = rounded_sum(cut, "multiply", FP32, product, addend, nan=nan, bias=BIAS)
        m.d.comb += self.o.eq(result)
        return m
