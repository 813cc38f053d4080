"""The end of every floating-point pipeline: round once, to nearest even, and pack, by one carry chain.

The fraction stands below the exponent in one word, so a fraction that rounds up to the next power of two carries into
the exponent by itself.
"""

from typing import Any

from amaranth.hdl import C, Cat, Mux, Value
from amaranth.lib import data

from hdl.arith.carry import add_with_carry
from hdl.arith.formats import FloatFormat
from hdl.arith.pipeline import Cuts

STEPS = {"decide": 2.0, "round": 3.5, "pack": 3.0}
"""The three steps of :func:`round_and_pack`, and their delays on ECP5 in ns."""


Outcome = data.StructLayout({"sign": 1, "infinite": 1, "nan": 1})
"""What is known of a result before its magnitude is; ``nan`` outranks ``infinite``."""


def outcome(sign: Value, infinite: Value, nan: Value) -> Any:
    """These bits as a view of :class:`Outcome`."""
    return data.View(Outcome, Cat(sign, infinite, nan))


def jammed(value: Value, width: int) -> Value:
    """The upper ``width`` bits of ``value``, the lowest made to stand for all below it too: rounding sees no more."""
    dropped = max(len(value) - width, 0)
    return Cat(value[: dropped + 1].any(), value[dropped + 1 :])


def round_and_pack(
    cut: Cuts,
    fmt: FloatFormat,
    *,
    significand: Value,
    exponent: Value,
    adjust: Value,
    outcome: Any,
) -> Value:
    """Bits of the float of ``fmt`` nearest to ``significand * 2^(exponent + adjust)``, by the contract.

    Args:
        significand: any width; its top bit is the unit, set unless the value is zero.
        exponent: biased as in ``fmt`` but for ``adjust``; unsigned.
        adjust: what the exponent still lacks; two's complement, one bit wider than ``exponent``. It is added by the
            carry chain that rounds.
        outcome: an :class:`Outcome`.
    """
    fraction_bits = fmt.fraction_bits
    spare = len(significand) - fmt.precision
    exact = Cat(C(0, max(-spare, 0)), significand)
    fraction, rest = exact[-fmt.precision : -1], exact[: max(spare, 0)]
    up = rest[-1] & (fraction[0] | rest[:-1].any()) if spare > 0 else C(0, 1)
    s = cut(
        "decide",
        fraction=fraction,
        up=up,
        nonzero=significand[-1],
        exponent=exponent,
        adjust=adjust,
        outcome=outcome,
    )
    width = fraction_bits + len(s.adjust)
    rounded = add_with_carry(Cat(s.fraction, s.exponent), Cat(C(0, fraction_bits), s.adjust), s.up)[:width]
    s = cut("round", value=rounded, nonzero=s.nonzero, outcome=s.outcome)

    # Tininess is judged here, after rounding: a value that rounds up to the smallest normal is kept.
    biased = s.value[fraction_bits:].as_signed()
    vanishes = ~s.nonzero | (biased <= 0)
    too_large = ~biased[-1] & (biased[fmt.EXPONENT_BITS : -1].any() | biased[: fmt.EXPONENT_BITS].all())
    infinite = s.outcome.infinite | s.outcome.nan | too_large
    clear = vanishes | infinite
    # As a multiplexer to a constant, the clearing becomes the output register's synchronous reset and costs no LUT.
    s = cut(
        "pack",
        fraction=Mux(clear, 0, s.value[: fraction_bits - 1]),
        quiet=s.outcome.nan | (~clear & s.value[fraction_bits - 1]),
        exponent=Mux(infinite, fmt.EXPONENT_SPECIAL, Mux(vanishes, 0, biased[: fmt.EXPONENT_BITS])),
        sign=s.outcome.sign & ~s.outcome.nan,
    )
    return Cat(s.fraction, s.quiet, s.exponent, s.sign)
