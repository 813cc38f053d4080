"""A float taken apart: what every arithmetic unit looks at first."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import C, Cat, Value


@dataclass(frozen=True)
class Unpacked:
    """The fields of a float and what they mean. A subnormal counts as zero; its fraction is left in place.

    ``special`` is an infinity or a NaN. ``significand`` has its hidden bit set always: where ``zero`` may be high,
    whoever uses it clears it.
    """

    sign: Value
    exponent: Value
    significand: Value
    zero: Value
    special: Value
    nan: Value


def unpack(x: Any) -> Unpacked:
    """Takes apart a view of :class:`hdl.arith.formats.Fp32` or :class:`~hdl.arith.formats.Bf16`."""
    special = x.exponent.all()
    return Unpacked(
        sign=x.sign,
        exponent=x.exponent,
        significand=Cat(x.fraction, C(1, 1)),
        zero=~x.exponent.any(),
        special=special,
        nan=special & x.fraction.any(),
    )


@dataclass(frozen=True)
class Term:
    """A float, or the exact product of two, on its way to be rounded.

    The upper ``integers`` bits of the significand stand before the binary point; ``exponent``, unsigned, is the weight
    of the last of them. Neither means anything where ``zero`` is high. ``special`` is an infinity or a NaN.
    """

    sign: Value
    exponent: Value
    significand: Value
    integers: int
    zero: Value
    special: Value
