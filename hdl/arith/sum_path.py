"""The sum of two terms, rounded once: the datapath that Add and MultiplyAdd share.

Exponents alone decide which term is *big* and stays, and which is *small* and is shifted right to meet it, so the
decision is ready while a product is still being multiplied. Of terms close in exponent the small one may turn out the
larger, and the difference negative. All that is done about it is to invert it. The one's complement is the magnitude
less one unit in its last place; ones are shifted in below; and rounding, which sees "all but one", adds that unit. It
had nothing else to do, for a negative difference is exact.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, C, Cat, Mux, Value

from hdl.arith.carry import add_with_carry
from hdl.arith.formats import FloatFormat
from hdl.arith.pipeline import Cuts
from hdl.arith.rounding import STEPS as ROUNDING_STEPS
from hdl.arith.rounding import jammed, outcome, round_and_pack
from hdl.arith.shifters import count_leading, shift_left, shift_right_sticky
from hdl.arith.unpack import Term

STEPS = {
    "select": 1.7,
    "align_coarse": 2.0,
    "align_fine": 2.7,
    "add": 3.2,
    "count": 3.0,
    "normalise_coarse": 2.5,
    "normalise_fine": 2.6,
    **ROUNDING_STEPS,
}
"""Steps of :func:`rounded_sum` after its first, which the unit names, and their delays on ECP5 in ns."""

GROUP = 4  # leading signs are counted in groups of four first, then within the first group that has another digit


def rounded_sum(cut: Cuts, first: str, fmt: FloatFormat, x: Term, y: Term, *, nan: Value, bias: int = 0) -> Value:
    """Bits of ``x + y`` in ``fmt``, rounded once.

    Args:
        first: the step in which the exponents are compared; the unit names it.
        x: a number (1 integer bit) or a product (2 integer bits, the upper one perhaps 0).
        y: a number.
        nan: the result is NaN, whatever the rest says.
        bias: what the terms' exponents are biased by beyond the format's own bias.
    """
    window = _Window(fmt.precision, x.integers)
    s = _compare(cut, first, window, x, y, nan)
    s = _align(cut, window, s)
    s = _add(cut, window, s)
    s = _normalise(cut, window, s)
    # A table: one so small takes fewer LUTs than a subtraction on a carry chain.
    table = [C(x.integers - bias - shifted, len(s.exponent) + 1) for shifted in range(1 << len(s.shifted))]
    return round_and_pack(
        cut,
        fmt,
        significand=s.significand,
        exponent=s.exponent,
        adjust=Array(table)[s.shifted],
        outcome=s.outcome,
    )


@dataclass(frozen=True)
class _Window:
    """Where the terms meet. From the top: the carry's place, x's integer bits, the fraction, guard bits, a sticky bit.

    A difference that is inexact begins at most one place below the big term's first digit, and a product's first digit
    may be its second bit; so two guard bits serve a number, three a product.
    """

    precision: int
    integers: int

    @property
    def width(self) -> int:
        return self.precision + 3 + self.integers

    @property
    def unit(self) -> int:
        """The place of a big term's last integer bit."""
        return self.width - 1 - self.integers

    @property
    def levels(self) -> int:
        """Levels of a shifter that can push a term out of the window."""
        return (self.width - 1).bit_length()

    @property
    def fine_levels(self) -> int:
        return self.levels - 2


def _compare(cut: Cuts, step: str, window: _Window, x: Term, y: Term, nan: Value) -> Any:
    """Which term is big, and by how many places the small one is to be shifted."""
    difference = x.exponent - y.exponent
    y_exceeds = difference[-1]
    # One's complement: a negative difference comes out one too small, so a small x is wired one place lower instead.
    distance = difference[:-1] ^ y_exceeds.replicate(len(difference) - 1)
    beyond = distance[window.levels :].any()
    special = x.special | y.special
    y_big = (y_exceeds | x.zero | y.special) & ~x.special
    return cut(
        step,
        x=x.significand,
        y=y.significand,
        x_is_big=~y_big & ~x.zero,
        y_is_big=y_big & ~y.zero,
        x_is_small=y_big & ~x.zero,
        y_is_small=~y_big & ~y.zero,
        places=distance[: window.levels] | beyond.replicate(window.levels),
        exponent=Mux(y_big, y.exponent, x.exponent),
        subtract=(x.sign ^ y.sign) & ~special,  # whatever is added to an infinity, it keeps its sign
        outcome=outcome(sign=Mux(y_big, y.sign, x.sign), infinite=special, nan=nan),
    )


def _align(cut: Cuts, window: _Window, s: Any) -> Any:
    """The big term, and the small one in its place, complemented for a subtraction, its lowest bit the sticky bit."""
    x = _placed(s.x, top=window.unit + window.integers - 1)
    y = _placed(s.y, top=window.unit)
    big = _where(s.x_is_big, x) | _where(s.y_is_big, y)
    small = _where(s.x_is_small, x[1:]) | _where(s.y_is_small, y)
    s = cut("select", big=big, small=small, places=s.places, **_late(s))

    fine = window.fine_levels
    small, lost = shift_right_sticky(s.small, s.places[fine:], unit=1 << fine)
    s = cut("align_coarse", big=s.big, small=small, lost=lost, places=s.places[:fine], **_late(s))

    small, lost = shift_right_sticky(s.small[1:], s.places)
    sticky = s.small[0] | s.lost | lost
    addend = Cat(sticky, small, C(0, 1)) ^ s.subtract.replicate(window.width)
    return cut("align_fine", big=s.big, addend=addend, **_late(s))


def _add(cut: Cuts, window: _Window, s: Any) -> Any:
    total = add_with_carry(s.big, s.addend, s.subtract)[: window.width]
    return cut("add", total=total, negative=s.subtract & total[-1], **_late(s))


def _normalise(cut: Cuts, window: _Window, s: Any) -> Any:
    """The magnitude (or one less) with its first digit at the top, how far it was shifted, and its sign."""
    groups = [s.total[max(top - GROUP, 0) : top] for top in range(window.width, 0, -GROUP)]
    coarse = count_leading([Mux(s.negative, group.all(), ~group.any()) for group in groups])
    s = cut("count", total=s.total, coarse=coarse, negative=s.negative, **_late(s))

    # Four leading signs or more mean that the terms were close and their difference is exact: the lowest two bits are
    # 0 then, and need no shifter.
    total = Cat(s.total[:2], shift_left(s.total[2:], s.coarse, unit=GROUP))
    s = cut("normalise_coarse", total=total, coarse=s.coarse, negative=s.negative, **_late(s))

    fine = count_leading([bit == s.negative for bit in reversed(s.total[-GROUP:])])
    total = shift_left(s.total, fine) ^ s.negative.replicate(window.width)
    # An exact cancellation is +0; a zero that is no difference has the sign of its terms.
    sign = (s.outcome.sign ^ s.negative) & (total[-1] | ~s.subtract)
    return cut(
        "normalise_fine",
        significand=jammed(total, window.precision + 2),
        shifted=Cat(fine, s.coarse),
        exponent=s.exponent,
        outcome=outcome(sign, s.outcome.infinite, s.outcome.nan),
    )


def _late(s: Any) -> dict[str, Value]:
    """What is known from the first step and wanted in the last."""
    return {"exponent": s.exponent, "subtract": s.subtract, "outcome": s.outcome}


def _placed(significand: Value, top: int) -> Value:
    """``significand`` with its top bit at place ``top`` of the window."""
    return Cat(C(0, top + 1 - len(significand)), significand)


def _where(condition: Value, value: Value) -> Value:
    return value & condition.replicate(len(value))
