"""The numerics contract in exact rationals, one operand at a time: slow, plain, and the golden model's judge.

Operands and results are bits. Nothing here knows how the golden model or the hardware compute.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hdl.arith.formats import FP32, FloatFormat

SMALLEST_NORMAL = Fraction(1, 2**126)
TOO_LARGE = Fraction(2**128)


@dataclass(frozen=True)
class Number:
    """A sign with a magnitude: a rational, ``None`` for infinity."""

    negative: bool
    magnitude: Fraction | None

    def __neg__(self) -> Number:
        return Number(not self.negative, self.magnitude)

    @property
    def value(self) -> Fraction:
        """The rational; only of finite numbers."""
        assert self.magnitude is not None
        return -self.magnitude if self.negative else self.magnitude


Result = Number | None
"""``None`` is NaN."""


def decode(bits: int, fmt: FloatFormat) -> Result:
    """The number that ``bits`` mean, subnormals being zeros."""
    negative = bool(bits >> (fmt.width - 1))
    exponent, fraction = bits >> fmt.fraction_bits & 255, bits & ((1 << fmt.fraction_bits) - 1)
    if exponent == 255:
        return None if fraction else Number(negative, None)
    if exponent == 0:
        return Number(negative, Fraction(0))
    return Number(negative, (1 + Fraction(fraction, 1 << fmt.fraction_bits)) * Fraction(2) ** (exponent - 127))


def encode(x: Result, fmt: FloatFormat) -> int:
    """Bits of ``x`` rounded to nearest even once, results below the smallest normal as zeros."""
    if x is None:
        return fmt.canonical_nan
    sign = int(x.negative) << (fmt.width - 1)
    if x.magnitude is None:
        return sign | fmt.infinity
    rounded = to_nearest_even(x.magnitude, fmt.precision)
    if rounded < SMALLEST_NORMAL:
        return sign
    if rounded >= TOO_LARGE:
        return sign | fmt.infinity
    exponent = _exponent(rounded)
    significand = rounded / Fraction(2) ** (exponent - fmt.fraction_bits)
    return sign | exponent + 127 << fmt.fraction_bits | int(significand) - (1 << fmt.fraction_bits)


def to_nearest_even(magnitude: Fraction, precision: int) -> Fraction:
    """``magnitude`` to ``precision`` significant bits, whatever its size."""
    if magnitude == 0:
        return magnitude
    unit = Fraction(2) ** (_exponent(magnitude) - precision + 1)
    return round(magnitude / unit) * unit  # Python rounds a Fraction to the nearest, ties to the even, integer


def _exponent(magnitude: Fraction) -> int:
    """e with 2^e <= magnitude < 2^(e + 1)."""
    e = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return e if magnitude >= Fraction(2) ** e else e - 1


def product(a: Result, b: Result) -> Result:
    """a * b, exactly."""
    if a is None or b is None:
        return None
    negative = a.negative != b.negative
    if a.magnitude is None or b.magnitude is None:
        return None if 0 in (a.magnitude, b.magnitude) else Number(negative, None)
    return Number(negative, a.magnitude * b.magnitude)


def total(a: Result, b: Result) -> Result:
    """a + b, exactly; an exact zero is negative only if both operands are."""
    if a is None or b is None:
        return None
    if a.magnitude is None or b.magnitude is None:
        if a.magnitude is None and b.magnitude is None:
            return a if a.negative == b.negative else None
        return a if a.magnitude is None else b
    value = a.value + b.value
    return Number(value < 0 or (value == 0 and a.negative and b.negative), abs(value))


def multiply(a: int, b: int, fmt: FloatFormat, to: FloatFormat) -> int:
    """Bits of a * b."""
    return encode(product(decode(a, fmt), decode(b, fmt)), to)


def add(a: int, b: int, fmt: FloatFormat) -> int:
    """Bits of a + b."""
    return encode(total(decode(a, fmt), decode(b, fmt)), fmt)


def subtract(a: int, b: int, fmt: FloatFormat) -> int:
    """Bits of a - b."""
    subtrahend = decode(b, fmt)
    return encode(total(decode(a, fmt), None if subtrahend is None else -subtrahend), fmt)


def multiply_add(a: int, b: int, c: int, operands: FloatFormat) -> int:
    """Bits of a * b + c, c and the result in FP32."""
    return encode(total(product(decode(a, operands), decode(b, operands)), decode(c, FP32)), FP32)
