"""What a float is: its magnitude, whether it is a NaN, its canonical form."""

from typing import Any

from amaranth.hdl import Cat, Mux, Value

from hdl.arith.formats import FloatFormat


def magnitude(x: Any) -> Value:
    """All bits but the sign."""
    return Cat(x.fraction, x.exponent)


def is_nan(x: Any) -> Value:
    """Any NaN, whatever its payload."""
    return x.exponent.all() & x.fraction.any()


def canonical(fmt: FloatFormat, x: Any) -> Value:
    """Bits of ``x`` with a subnormal made a zero of its sign, and a NaN the canonical one."""
    flushed = Cat(Mux(x.exponent.any(), x.fraction, 0), x.exponent, x.sign)
    return Mux(is_nan(x), fmt.canonical_nan, flushed)
