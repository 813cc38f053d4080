"""Small arithmetic units proved equal to specifications on integers, for every operand there is.

The specifications do not round: they say which result is the nearest, by the distance between exact integers. None of
them shares a line with the circuits.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from amaranth.hdl import Assert, C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.arith.compare import Compare
from hdl.arith.convert import Fp32ToBf16, IntegerToInteger
from hdl.arith.formats import BF16, FP32, FloatFormat
from hdl.arith.lfsr import leap
from hdl.arith.lfsr_params import DRAW_BITS, TAPS, WIDTH
from hdl.arith.multiply import Multiply
from hdl.arith.operations import CompareOp

Property = Callable[[Any, Any], Value]


class UnitSpecification(wiring.Component):
    """``holds(operands, result)`` of every result of a unit of depth one."""

    def __init__(self, unit: Any, holds: Property) -> None:
        assert unit.latency == 1
        self.unit, self.holds = unit, holds
        super().__init__({"i": In(unit.i.shape())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = self.unit
        before, any_before = Signal.like(self.i), Signal()
        m.d.sync += [before.eq(self.i), any_before.eq(1)]
        m.d.comb += [self.unit.en.eq(1), self.unit.i.eq(self.i)]
        m.d.comb += Assert(~any_before | self.holds(before, self.unit.o))
        return m


def multiply_bf16() -> wiring.Component:
    """BF16 multiplication against the exact integer product of the significands."""
    return UnitSpecification(Multiply(BF16, BF16, depth=1), is_product)


def is_product(i: Any, o: Any) -> Value:
    """Whether ``o`` is the BF16 nearest to ``i.a * i.b``.

    With P the product of the significands, 2^14 <= P < 2^16, and e = ea + eb - 127, the product is P * 2^(e - 141) and
    a result of significand r and exponent f is r * 2^(f - 134): in units of 2^(e - 141) that is r * 2^(7 + f - e).
    """
    a, b = i.a, i.b
    product = _significand(a) * _significand(b)
    e = a.exponent + b.exponent - BF16.BIAS
    step = o.exponent - e  # 0, or 1 where the product is 2 or more, or is rounded up to 2
    placed = Mux(step == 0, _significand(o) << 7, _significand(o) << 8)
    unit = Mux(step == 0, C(1 << 7, 9), C(1 << 8, 9))
    error = product - placed
    # a power of two has neighbours half as far below as above
    reach = Mux((o.fraction == 0) & (error < 0), unit >> 1, unit)
    distance = 2 * abs(error)
    nearest = ((step == 0) | (step == 1)) & ((distance < reach) | ((distance == reach) & ~o.fraction[0]))

    # 2^15 - 2^6 is half-way from the largest significand below 2 to 2 itself, and 2 is the even one of them
    rounds_to_two = product >= (1 << 15) - (1 << 6)
    overflows = (e >= 255) | ((e == 254) & rounds_to_two)
    vanishes = (e < 0) | ((e == 0) & ~rounds_to_two)
    nan = _nan(a) | _nan(b) | (_infinite(a) & _zero(b)) | (_zero(a) & _infinite(b))
    infinite = _infinite(a) | _infinite(b)
    expected = Mux(
        _zero(a) | _zero(b) | (~infinite & vanishes),
        _zero(o) & (o.fraction == 0),
        Mux(infinite | overflows, _infinite(o), (o.exponent != 0) & (o.exponent != 255) & nearest),
    )
    return Mux(nan, Value.cast(o) == BF16.canonical_nan, expected & (o.sign == (a.sign ^ b.sign)))


def fp32_to_bf16() -> wiring.Component:
    """FP32 to BF16, to nearest even, by the distance between magnitudes: floats of one sign order as integers do."""
    return UnitSpecification(Fp32ToBf16(depth=1), is_narrowed)


def is_narrowed(i: Any, o: Any) -> Value:
    x = i.value
    distance = abs(Cat(x.fraction, x.exponent) - Cat(C(0, 16), o.fraction, o.exponent))
    nearest = (distance < 1 << 15) | ((distance == 1 << 15) & ~o.fraction[0])
    number = Mux(_zero(x), (o.fraction == 0) & _zero(o), nearest) & (o.sign == x.sign)
    return i.stochastic | Mux(_nan(x), Value.cast(o) == BF16.canonical_nan, number)


def compare_fp32() -> wiring.Component:
    """All six comparisons of FP32, by the order of integers."""
    return UnitSpecification(Compare(FP32, depth=1), is_compared)


def is_compared(i: Any, o: Any) -> Value:
    a, b = _ordinal(FP32, i.a), _ordinal(FP32, i.b)
    unordered = _nan(i.a) | _nan(i.b)
    expected = {
        CompareOp.LT: a < b,
        CompareOp.LE: a <= b,
        CompareOp.EQ: a == b,
        CompareOp.GT: a > b,
        CompareOp.GE: a >= b,
    }
    held = [(i.operation != op.value) | (o == (value & ~unordered)) for op, value in expected.items()]
    return Cat(held).all() & ((i.operation != CompareOp.NE.value) | (o == ((a != b) | unordered)))


def int32_to_int8() -> wiring.Component:
    """INT32 to INT8, saturating."""
    unit = IntegerToInteger(32, 8, depth=1)
    return UnitSpecification(unit, lambda i, o: o == Mux(i.value > 127, 127, Mux(i.value < -128, -128, i.value)))


class LeapSpecification(wiring.Component):
    """One draw moves the random-number register as sixteen single Galois steps do."""

    def __init__(self) -> None:
        super().__init__({"state": In(WIDTH)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        states = [self.state, *(Signal(WIDTH, name=f"step_{k}") for k in range(DRAW_BITS))]
        toggles = sum(1 << tap for tap in TAPS)
        for before, after in pairwise(states):
            m.d.comb += after.eq((before >> 1) ^ Mux(before[0], toggles, 0))
        m.d.comb += Assert(leap(self.state) == states[-1])
        return m


def _significand(x: Any) -> Value:
    return Cat(x.fraction, C(1, 1))


def _zero(x: Any) -> Value:
    return x.exponent == 0


def _infinite(x: Any) -> Value:
    return (x.exponent == FloatFormat.EXPONENT_SPECIAL) & (x.fraction == 0)


def _nan(x: Any) -> Value:
    return (x.exponent == FloatFormat.EXPONENT_SPECIAL) & (x.fraction != 0)


def _ordinal(fmt: FloatFormat, x: Any) -> Value:
    """A signed integer in the order of the floats; both zeros and all subnormals are 0."""
    magnitude = Mux(_zero(x), 0, Cat(x.fraction, x.exponent, C(0, 1))[: fmt.width]).as_signed()
    return Mux(x.sign, -magnitude, magnitude)
