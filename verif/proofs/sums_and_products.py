"""What multiplication and addition are, in integers: specifications that know no shifter, guard or sticky bit.

The exact result is an integer times a power of two. A float is the right one if it lies no further from it than half
the distance to its neighbour, and has an even significand where that is a tie. Overflow and underflow are comparisons
of the exact result with the midpoint where rounding would change its mind.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Assert, C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.arith.add import Add
from hdl.arith.formats import BF16, FP32, FloatFormat
from hdl.arith.multiply import Multiply
from hdl.arith.multiply_add import MultiplyAdd


@dataclass(frozen=True)
class Exact:
    """``(-1)^sign * magnitude * 2^exponent``, counted so that a float is its significand times 2^(exponent field)."""

    sign: Value
    magnitude: Value
    exponent: Value


def is_nearest(fmt: FloatFormat, result: Any, exact: Exact) -> Value:
    """``result``, a view of ``fmt``, is ``exact`` (not zero) rounded to nearest even, flushed and saturated."""
    p = fmt.precision
    # Another factor of 2^(p-1) makes the integer as long as a significand, so that the shift is never negative.
    n = exact.magnitude << (p - 1)
    q = exact.exponent - (p - 1)
    doubled_midpoint = (1 << (p + 1)) - 1  # twice the midpoint above the largest p-bit significand
    vanishes = _below(n, q + 1, doubled_midpoint)
    overflows = ~_below(n, q + 1 - (fmt.EXPONENT_SPECIAL - 1), doubled_midpoint)
    shift = result.exponent - q
    in_range = (shift >= 0) & (shift <= len(n))
    significand = (1 << fmt.fraction_bits) | result.fraction
    scaled = significand << shift[: len(n).bit_length()].as_unsigned()
    unit = C(1, 1) << shift[: len(n).bit_length()].as_unsigned()
    above, below = 2 * (n - scaled), 2 * (scaled - n)  # the one of them that is not negative counts
    # Below a power of two the neighbour is half as far.
    reach = Mux(result.fraction == 0, unit >> 1, unit)
    even = ~result.fraction[0]
    near = Mux(n >= scaled, (above < unit) | ((above == unit) & even), (below < reach) | ((below == reach) & even))
    number = (result.exponent != 0) & (result.exponent != fmt.EXPONENT_SPECIAL) & in_range & near
    bits = Value.cast(result)[:-1]
    return (result.sign == exact.sign) & Mux(vanishes, bits == 0, Mux(overflows, bits == fmt.infinity, number))


def _below(n: Value, exponent: Value, limit: int) -> Value:
    """``n * 2^exponent < limit`` for n > 0."""
    bits = limit.bit_length()
    left = Mux(exponent > bits, bits, exponent)[: bits.bit_length()].as_unsigned()
    right = Mux(exponent < -len(n), len(n), -exponent)[: len(n).bit_length()].as_unsigned()
    return Mux(exponent >= 0, (n << left) < limit, n < (C(limit, bits) << right))


@dataclass(frozen=True)
class Float:
    """What the contract reads in a float's bits."""

    sign: Value
    zero: Value
    infinite: Value
    nan: Value
    significand: Value
    exponent: Value


def read(x: Any) -> Float:
    special = x.exponent == FloatFormat.EXPONENT_SPECIAL
    return Float(
        sign=x.sign,
        zero=x.exponent == 0,
        infinite=special & (x.fraction == 0),
        nan=special & (x.fraction != 0),
        significand=(1 << len(x.fraction)) | x.fraction,
        exponent=x.exponent,
    )


def product(a: Float, b: Float, fmt: FloatFormat, operand: FloatFormat) -> Exact:
    """``a * b`` of ``operand`` floats, on the scale of ``fmt``."""
    offset = fmt.BIAS + (operand.fraction_bits * 2 - fmt.fraction_bits)
    return Exact(a.sign ^ b.sign, a.significand * b.significand, a.exponent + b.exponent - offset)


def total(x: Exact, y: Exact, reach: int) -> Exact:
    """``x + y``, neither zero. Beyond ``reach`` places apart the smaller counts as 1: no rounding can tell."""
    apart = x.exponent - y.exponent
    upper = apart >= 0
    places = Mux(upper, apart, -apart)
    near = places <= reach
    shift = Mux(near, places, reach)[: reach.bit_length()].as_unsigned()
    n = Mux(upper, x.magnitude << shift, Mux(near, x.magnitude, 1))
    k = Mux(upper, Mux(near, y.magnitude, 1), y.magnitude << shift)
    return _signed_total(x.sign, n, y.sign, k, Mux(upper, x.exponent, y.exponent) - shift)


def _signed_total(x_sign: Value, x: Value, y_sign: Value, y: Value, exponent: Value) -> Exact:
    signed_sum = Mux(x_sign, -x, x) + Mux(y_sign, -y, y)
    negative = signed_sum < 0
    magnitude = Mux(negative, -signed_sum, signed_sum)[: len(signed_sum) - 1].as_unsigned()
    return Exact(negative, magnitude, exponent)


class _Specification(wiring.Component):
    """States what holds of every operand and its result in a unit of depth one; two cycles show it all."""

    def __init__(self, unit: Any) -> None:
        assert unit.latency == 1
        self.unit = unit
        super().__init__({"i": In(unit.i.shape())})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        before, any_before = Signal(self.i.shape()), Signal()
        m.d.sync += [before.eq(self.i), any_before.eq(1)]
        m.d.comb += [unit.en.eq(1), unit.i.eq(self.i)]
        with m.If(any_before):
            self.state(m, before, unit.o)
        return m

    def state(self, m: Module, i: Any, o: Any) -> None:
        """Asserts of operands ``i`` and their result ``o``."""
        raise NotImplementedError


class MultiplySpecification(_Specification):
    """The product of two floats, all operands."""

    unit: Multiply

    def state(self, m: Module, i: Any, o: Any) -> None:
        a, b = read(i.a), read(i.b)
        fmt = self.unit.result
        sign = a.sign ^ b.sign
        with m.If(a.nan | b.nan | (a.infinite & b.zero) | (b.infinite & a.zero)):
            m.d.comb += Assert(o.as_value() == fmt.canonical_nan)
        with m.Elif(a.infinite | b.infinite):
            m.d.comb += Assert(o.as_value() == _infinity(fmt, sign))
        with m.Elif(a.zero | b.zero):
            m.d.comb += Assert(o.as_value() == _zero(fmt, sign))
        with m.Else():
            m.d.comb += Assert(is_nearest(fmt, o, product(a, b, fmt, self.unit.operand)))


class AddSpecification(_Specification):
    """The sum or difference of two floats, all operands."""

    unit: Add

    def state(self, m: Module, i: Any, o: Any) -> None:
        fmt = self.unit.fmt
        a, b = read(i.a), read(i.b)
        x = Exact(a.sign, a.significand, a.exponent)
        y = Exact(b.sign ^ i.subtract, b.significand, b.exponent)
        with m.If(a.nan | b.nan | (a.infinite & b.infinite & (x.sign ^ y.sign))):
            m.d.comb += Assert(o.as_value() == fmt.canonical_nan)
        with m.Elif(a.infinite | b.infinite):
            m.d.comb += Assert(o.as_value() == _infinity(fmt, Mux(a.infinite, x.sign, y.sign)))
        with m.Elif(a.zero & b.zero):
            m.d.comb += Assert(o.as_value() == _zero(fmt, x.sign & y.sign))
        with m.Elif(a.zero):
            m.d.comb += Assert(o.as_value() == Cat(i.b.fraction, i.b.exponent, y.sign))
        with m.Elif(b.zero):
            m.d.comb += Assert(o.as_value() == Cat(i.a.fraction, i.a.exponent, x.sign))
        with m.Else():
            # Further apart than this, the smaller is below a quarter of the larger's last place.
            exact = total(x, y, reach=fmt.precision + 3)
            m.d.comb += Assert(is_sum(fmt, o, exact))


class MultiplyAddSpecification(_Specification):
    """The multiply-add wherever an operand is a zero, an infinity or a NaN; of numbers it says nothing."""

    unit: MultiplyAdd

    def state(self, m: Module, i: Any, o: Any) -> None:
        a, b, c = read(i.a), read(i.b), read(i.c)
        sign = a.sign ^ b.sign
        infinite, zero = a.infinite | b.infinite, a.zero | b.zero
        with m.If(a.nan | b.nan | c.nan | (infinite & (zero | (c.infinite & (sign ^ c.sign))))):
            m.d.comb += Assert(o.as_value() == FP32.canonical_nan)
        with m.Elif(infinite | c.infinite):
            m.d.comb += Assert(o.as_value() == _infinity(FP32, Mux(infinite, sign, c.sign)))
        with m.Elif(zero & c.zero):
            m.d.comb += Assert(o.as_value() == _zero(FP32, sign & c.sign))
        with m.Elif(zero):
            m.d.comb += Assert(o.as_value() == i.c.as_value())
        with m.Elif(c.zero):
            m.d.comb += Assert(is_nearest(FP32, o, product(a, b, FP32, BF16)))


def is_sum(fmt: FloatFormat, o: Any, exact: Exact) -> Value:
    """``o`` is ``exact`` rounded, or +0 where it is zero."""
    return Mux(exact.magnitude == 0, o.as_value() == 0, is_nearest(fmt, o, exact))


def _infinity(fmt: FloatFormat, sign: Value) -> Value:
    return Cat(C(fmt.infinity, fmt.width - 1), sign)


def _zero(fmt: FloatFormat, sign: Value) -> Value:
    return Cat(C(0, fmt.width - 1), sign)
