"""The exact product of two floats."""

from amaranth.hdl import C, Cat, Value

from hdl.arith.carry import add_with_carry
from hdl.arith.unpack import Term, Unpacked

BIAS = 128
"""What a product's exponent is biased by beyond the bias of its format, so that none is negative."""


def exact_product(a: Unpacked, b: Unpacked) -> Term:
    """``a * b``, with twice the significand bits, two of them integer."""
    return Term(
        sign=a.sign ^ b.sign,
        exponent=add_with_carry(a.exponent, b.exponent, C(1, 1)),  # the two, less the format's bias of 127, plus BIAS
        significand=a.significand * b.significand,
        integers=2,
        zero=a.zero | b.zero,
        special=a.special | b.special,
    )


def biased(exponent: Value) -> Value:
    """An 8-bit exponent plus ``BIAS``, in 9 bits."""
    return Cat(exponent[:7], ~exponent[7], exponent[7])
