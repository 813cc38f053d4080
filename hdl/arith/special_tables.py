"""Tables of the special-function unit: which functions there are, how each reads its page, and the coefficients.

Every function is a power of two, ``f(x) = 2^L`` or ``2^-L`` or ``x * 2^-L``, whose logarithm ``L`` is smooth. A *page*
holds ``L`` over ``a = |x|`` in rows 1/16 wide, each a quadratic in the centred offset ``-1/2 <= t < 1/2``::

    L(a) = c0 + t * (c1 + t * c2)        row = floor(16 a), t = 16 a - row - 1/2

A second table turns the logarithm back into a mantissa: 512 chords of ``2^f``, ``0 <= f < 1``.

This is data, read by the RTL and by the golden model; it holds no component. It is computed on first use by mpmath
with 100 bits, so it is the same on every machine. ``docs/special_functions.md`` derives the formats and the errors.
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import mpmath

Real = Any  # an mpmath.mpf: mpmath has no types

# The formats are chosen together: a row is 72 bits and a chord 36, the widths of ECP5 block RAM (512 words of 36 bits).
ROW_BITS = 4  # 2^4 rows a unit of |x|
OFFSET_BITS = 18  # t, signed: one side of an ECP5 multiplier
ARGUMENT_FRACTION = ROW_BITS + OFFSET_BITS  # |x| in units of 2^-22
ARGUMENT_INTEGER = 7  # |x| up to 128; beyond, every function has settled, overflowed or vanished
LOG_FRACTION = 23  # L in units of 2^-23
C0_BITS, C0_FRACTION = 31, LOG_FRACTION  # unsigned, below 256
C1_BITS, C1_FRACTION = 25, 22  # signed, within +-4
C2_BITS, C2_FRACTION = 16, 21  # signed, within +-2^-6
CHORD_INDEX_BITS = 9
CHORD_OFFSET_BITS = LOG_FRACTION - CHORD_INDEX_BITS
CHORD_FRACTION = 22  # start and rise of a chord in units of 2^-22
RISE_BITS = 14

SMALL_PAGE, LARGE_PAGE = 128, 256  # rows: |x| below 8, and below 16
STEP = 16  # a page that continues does so every 16
CEILING = 150  # 2^-150 times the largest x met there (16) is far below the smallest normal, so L need not be told apart
BEYOND = 384  # a logarithm no finite result has: 2^-384 vanishes and 2^384 overflows, whatever x it is multiplied by
MANTISSA_EXPONENT = 3  # 8 m is in [8, 16) and so cut in 128 rows, when m is in [1, 2)


class Function(enum.Enum):
    """What the unit computes. GELU is the erf form ``x Phi(x)``, GELU_TANH its usual approximation by tanh."""

    EXP = 0
    EXP2 = 1
    RECIPROCAL = 2
    RSQRT = 3
    SQRT = 4
    SIGMOID = 5
    SILU = 6
    TANH = 7
    GELU = 8
    GELU_TANH = 9


class Factor(enum.Enum):
    """When the power of two is multiplied by x."""

    NEVER = 0
    ALWAYS = 1
    BELOW_TWO = 2  # tanh: x * (tanh x / x) for |x| < 2; beyond, 2^-L with L >= 0, so that it never exceeds 1


@dataclass(frozen=True)
class Row:
    """One quadratic, as integers in units of 2^-23 (c0), 2^-22 (c1) and 2^-21 (c2)."""

    c0: int
    c1: int
    c2: int


@dataclass(frozen=True)
class Chord:
    """One chord of 2^f: its height above 1 at the left end and its rise, in units of 2^-22."""

    start: int
    rise: int


@dataclass(frozen=True)
class Page:
    """The logarithm ``L`` of one function on one side of zero.

    Attributes:
        rows: 128 or 256, from ``a = 0`` upwards.
        pieces: the formulas of ``L``, each with the row it begins at.
        settles: the last row is zero, where ``L`` is already below 2^-21.
        continues: the page that serves larger ``a``, of which it sees ``a`` modulo 16 (modulo 8 if it is small). Empty:
            the last row stands for every larger ``a``.
        step: what each 16 of ``a`` adds to ``L`` where this page continues another.
    """

    name: str
    rows: int
    pieces: tuple[tuple[int, Callable[[Real], Real]], ...]
    settles: bool = False
    continues: str = ""
    step: Callable[[], Real] = lambda: mpmath.mpf(0)


@dataclass(frozen=True)
class Recipe:
    """How a function uses the datapath.

    Attributes:
        negative, positive: the pages for x < 0 and for x >= 0.
        mantissa: the page is read at the mantissa of x, and the exponent of x is added to L.
        grows: the result is 2^L for x >= 0 (exp, exp2, sqrt) instead of 2^-L.
        halve: L is halved (the square roots).
        factor: when the result is multiplied by x.
        odd: the result carries the sign of x instead of none.
        domain_error: the result is NaN for x < 0 (-0 excepted).
    """

    negative: Page
    positive: Page
    mantissa: bool = False
    grows: bool = False
    halve: bool = False
    factor: Factor = Factor.NEVER
    odd: bool = False
    domain_error: bool = False


def _softplus2(a: Real) -> Real:
    """log2(1 + e^a), which is -log2 sigmoid(-a)."""
    return mpmath.log1p(mpmath.exp(a)) / mpmath.log(2)


def _gelu_tanh_argument(a: Real) -> Real:
    """2 u, where gelu_tanh(x) = x sigmoid(2 u) and u = sqrt(2/pi) (x + 0.044715 x^3)."""
    return mpmath.sqrt(8 / mpmath.pi) * (a + mpmath.mpf("0.044715") * a**3)


def _minus_log2_phi(x: Real) -> Real:
    """-log2 of the normal distribution function."""
    return -mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2, 2)


def _log2_x_over_tanh(a: Real) -> Real:
    return mpmath.log(a / mpmath.tanh(a), 2) if a else mpmath.mpf(0)


EXP = Page("exp", LARGE_PAGE, ((0, lambda a: a / mpmath.log(2)),), continues="exp", step=lambda: STEP / mpmath.log(2))
EXP2 = Page("exp2", LARGE_PAGE, ((0, lambda a: a),), continues="exp2", step=lambda: mpmath.mpf(STEP))
LOG2 = Page("log2", SMALL_PAGE, ((0, lambda a: mpmath.log(1 + a / 8, 2)),), continues="log2")
SIGMOID_NEGATIVE = Page("sigmoid_negative", LARGE_PAGE, ((0, _softplus2),), continues="exp")
SIGMOID_POSITIVE = Page("sigmoid_positive", LARGE_PAGE, ((0, lambda a: _softplus2(-a)),), settles=True)
GELU_NEGATIVE = Page("gelu_negative", LARGE_PAGE, ((0, lambda a: _minus_log2_phi(-a)),))
GELU_POSITIVE = Page("gelu_positive", SMALL_PAGE, ((0, _minus_log2_phi),), settles=True)
GELU_TANH_NEGATIVE = Page("gelu_tanh_negative", LARGE_PAGE, ((0, lambda a: _softplus2(_gelu_tanh_argument(a))),))
GELU_TANH_POSITIVE = Page(
    "gelu_tanh_positive", SMALL_PAGE, ((0, lambda a: _softplus2(-_gelu_tanh_argument(a))),), settles=True
)
TANH = Page("tanh", SMALL_PAGE, ((0, _log2_x_over_tanh), (32, lambda a: -mpmath.log(mpmath.tanh(a), 2))), settles=True)

# Large pages first: each begins at a multiple of its own size, whatever functions are left out.
PAGES = (
    EXP, EXP2, SIGMOID_NEGATIVE, SIGMOID_POSITIVE, GELU_NEGATIVE, GELU_TANH_NEGATIVE,
    GELU_POSITIVE, GELU_TANH_POSITIVE, TANH, LOG2,
)  # fmt: skip

RECIPES = {
    Function.EXP: Recipe(EXP, EXP, grows=True),
    Function.EXP2: Recipe(EXP2, EXP2, grows=True),
    Function.RECIPROCAL: Recipe(LOG2, LOG2, mantissa=True, odd=True),
    Function.RSQRT: Recipe(LOG2, LOG2, mantissa=True, halve=True, odd=True, domain_error=True),
    Function.SQRT: Recipe(LOG2, LOG2, mantissa=True, grows=True, halve=True, odd=True, domain_error=True),
    Function.SIGMOID: Recipe(SIGMOID_NEGATIVE, SIGMOID_POSITIVE),
    Function.SILU: Recipe(SIGMOID_NEGATIVE, SIGMOID_POSITIVE, factor=Factor.ALWAYS, odd=True),
    Function.TANH: Recipe(TANH, TANH, factor=Factor.BELOW_TWO, odd=True),
    Function.GELU: Recipe(GELU_NEGATIVE, GELU_POSITIVE, factor=Factor.ALWAYS, odd=True),
    Function.GELU_TANH: Recipe(GELU_TANH_NEGATIVE, GELU_TANH_POSITIVE, factor=Factor.ALWAYS, odd=True),
}


@cache
def rows(page: Page) -> tuple[Row, ...]:
    """The coefficients of every row of a page: exact at the row's left end, through its middle and its right end."""
    with mpmath.workprec(100):
        bounds = [*(first for first, _ in page.pieces), page.rows]
        out = [
            row
            for (_, formula), (first, end) in zip(page.pieces, pairwise(bounds), strict=True)
            for row in _quadratics(formula, first, end)
        ]
    return (*out[:-1], Row(0, 0, 0)) if page.settles else tuple(out)


def _quadratics(formula: Callable[[Real], Real], first: int, end: int) -> list[Row]:
    half_rows = [formula(mpmath.mpf(node) / (2 << ROW_BITS)) for node in range(2 * first, 2 * end + 1)]
    return [_quadratic(*half_rows[2 * k : 2 * k + 3]) for k in range(end - first)]


def _quadratic(left: Real, middle: Real, right: Real) -> Row:
    if right > CEILING:
        return Row((1 << C0_BITS) - 1, 0, 0)
    c2 = _fixed(2 * (left - 2 * middle + right), C2_FRACTION)
    c1 = _fixed(right - left, C1_FRACTION)
    # At t = -1/2 the sum is the left value to the last bit, so that exp(0) = 1 and 1 / 2^k come out exactly.
    # c1 / 2 and c2 / 4 in units of 2^-23 are c1 and c2 themselves.
    return Row(_fixed(left, C0_FRACTION) + c1 - c2, c1, c2)


@cache
def chords() -> tuple[Chord, ...]:
    """The chords of 2^f - 1, end to end: each starts where the last one ended, so the mantissa never falls."""
    count = 1 << CHORD_INDEX_BITS
    with mpmath.workprec(100):
        heights = [_fixed(mpmath.power(2, mpmath.mpf(k) / count) - 1, CHORD_FRACTION) for k in range(count + 1)]
    return tuple(Chord(a, b - a) for a, b in pairwise(heights))


@cache
def steps(page: Page) -> tuple[int, ...]:
    """What 0, 1, ... 7 whole steps of 16 in ``a`` add to the logarithm on this page, in units of 2^-23."""
    with mpmath.workprec(100):
        return tuple(_fixed(n * page.step(), LOG_FRACTION) for n in range((1 << ARGUMENT_INTEGER) // STEP))


def pages(functions: Iterable[Function]) -> dict[Page, int]:
    """The pages that ``functions`` need, and the first row of each in a memory that holds just these."""
    wanted = {page for f in functions for page in (RECIPES[f].negative, RECIPES[f].positive)}
    wanted |= {successor(page) for page in wanted if page.continues}
    first, out = 0, {}
    for page in PAGES:
        if page in wanted:
            out[page] = first
            first += page.rows
    return out


def successor(page: Page) -> Page:
    """The page that serves larger ``a`` than ``page`` does, for one that continues."""
    return next(p for p in PAGES if p.name == page.continues)


def _fixed(value: Real, fraction: int) -> int:
    return int(mpmath.nint(value * (1 << fraction)))
