"""Special functions, bit for bit as the hardware computes them: FP32 (or BF16) in, FP32 out.

Every function is a power of two whose logarithm is read from a table of quadratics (``hdl.arith.special_tables``); a
second table turns the logarithm into a mantissa. All arithmetic is on integers; ``docs/special_functions.md`` gives the
formats, the errors and the value of each function at zeros, infinities and NaN.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden_model.numerics.formats import Floats, round_once, single, to_bits
from hdl.arith import special_tables as tables
from hdl.arith.formats import BF16, FP32
from hdl.arith.special_tables import Factor, Function, Page, Recipe

Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]

HIDDEN_ONE = 1 << FP32.fraction_bits
ROW = 1 << tables.OFFSET_BITS  # one row of |x|, and below one STEP, in units of 2^-22
STEP = tables.STEP << tables.ARGUMENT_FRACTION
BEYOND = tables.BEYOND << tables.LOG_FRACTION


@dataclass(frozen=True)
class _Operand:
    """FP32 operands taken apart, one array a field; subnormals have lost their hidden one, and so read as zeros."""

    sign: Truths
    exponent: Integers
    significand: Integers
    is_nan: Truths


def evaluate(function: Function, x: ArrayLike) -> NDArray[np.float32]:
    """``function`` of every element of a float32 or bfloat16 array, as float32 of the same shape.

    Raises:
        TypeError: the array is neither.
    """
    recipe = tables.RECIPES[function]
    operand = _unpack(x)
    logarithm = _mantissa_logarithm(recipe, operand) if recipe.mantissa else _argument_logarithm(recipe, operand)
    if recipe.halve:
        logarithm >>= 1
    shrinks = operand.sign if recipe.grows and not recipe.mantissa else not recipe.grows
    exponent, mantissa = _power_of_two(np.where(shrinks, -logarithm, logarithm))
    magnitude = _round(*_times_x(recipe.factor, operand, exponent, mantissa))
    bits = magnitude | (operand.sign.astype(np.int64) << (FP32.width - 1) if recipe.odd else 0)
    invalid = operand.is_nan | (operand.sign & (operand.exponent > 0) if recipe.domain_error else False)
    return np.where(invalid, FP32.canonical_nan, bits).astype(np.uint32).view(np.float32)


def rotary_tables(positions: ArrayLike, head_size: int, base: float = 10000.0) -> tuple[Floats, Floats]:
    """Cosine and sine of rotary position embeddings, rounded to bfloat16, each ``(*positions.shape, head_size // 2)``.

    The unit has no sine: the angles of a model are known when it is mapped, so the mapping layer makes tables, in
    float64, whose argument ``position * base^(-2 i / head_size)`` is good to 2^-30 for positions below 2^20.
    """
    frequencies = base ** (-np.arange(0, head_size, 2, dtype=np.float64) / head_size)
    angles = np.asarray(positions, np.float64)[..., np.newaxis] * frequencies
    return round_once(np.cos(angles), BF16), round_once(np.sin(angles), BF16)


def _unpack(x: ArrayLike) -> _Operand:
    bits = to_bits(single(x)).astype(np.int64)
    exponent = bits >> FP32.fraction_bits & FP32.EXPONENT_SPECIAL
    fraction = bits & (HIDDEN_ONE - 1)
    return _Operand(
        sign=bits >> (FP32.width - 1) != 0,
        exponent=exponent,
        significand=fraction | np.where(exponent > 0, HIDDEN_ONE, 0),
        is_nan=(exponent == FP32.EXPONENT_SPECIAL) & (fraction != 0),
    )


def _argument_logarithm(recipe: Recipe, x: _Operand) -> Integers:
    """L(|x|) from the page of each operand's side of zero, in units of 2^-23."""
    # |x| is read to 2^-22; from 128 on its bits do not matter
    right = tables.ARGUMENT_INTEGER - 1 + FP32.BIAS - x.exponent
    a = x.significand << (tables.ARGUMENT_INTEGER + tables.ARGUMENT_FRACTION - FP32.precision) >> np.clip(right, 0, 63)
    huge = right < 0
    negative, positive = (_placed(page) for page in (recipe.negative, recipe.positive))
    inside = ~huge & (a < np.where(x.sign, negative.limit, positive.limit))
    whole = np.where(huge, len(negative.beyond) - 1, a // STEP)
    added = np.where(inside, 0, np.where(x.sign, negative.beyond[whole], positive.beyond[whole]))
    within = a % STEP
    outside = np.where(x.sign, negative.outside[within // ROW], positive.outside[within // ROW])
    row = np.where(inside, np.where(x.sign, negative.first, positive.first) + a // ROW, outside)
    return added + _quadratic(row, within % ROW)


def _mantissa_logarithm(recipe: Recipe, x: _Operand) -> Integers:
    """Exponent plus log2 of the mantissa; far below and above every logarithm for zeros and infinities."""
    fraction = (x.significand & (HIDDEN_ONE - 1)) << 2  # 8 (m - 1) in units of 2^-22
    exponent = (x.exponent - FP32.BIAS) << tables.LOG_FRACTION
    exponent = np.where(x.exponent == 0, -BEYOND, np.where(x.exponent == FP32.EXPONENT_SPECIAL, BEYOND, exponent))
    return exponent + _quadratic(_placed(recipe.positive).first + fraction // ROW, fraction % ROW)


def _quadratic(row: Integers, offset: Integers) -> Integers:
    """c0 + t (c1 + t c2), every product rounded down to the unit of the sum it enters."""
    c0, c1, c2 = _coefficients()
    t = offset - ROW // 2
    slope = c1[row] + (t * c2[row] >> tables.OFFSET_BITS + tables.C2_FRACTION - tables.C1_FRACTION)
    return c0[row] + (t * slope >> tables.OFFSET_BITS + tables.C1_FRACTION - tables.C0_FRACTION)


def _power_of_two(y: Integers) -> tuple[Integers, Integers]:
    """2^y as an exponent and a mantissa in [2^23, 2^24), y in units of 2^-23."""
    start, rise = _chords()
    fraction = y & (1 << tables.LOG_FRACTION) - 1
    index, offset = fraction >> tables.CHORD_OFFSET_BITS, fraction & (1 << tables.CHORD_OFFSET_BITS) - 1
    # from units of 2^-22 to 2^-23, half a unit added so that the product is rounded to nearest
    drop = tables.CHORD_OFFSET_BITS - 1
    rest = (rise[index] * offset + (1 << drop - 1)) >> drop
    return y >> tables.LOG_FRACTION, HIDDEN_ONE + (start[index] << 1) + rest


def _times_x(factor: Factor, x: _Operand, exponent: Integers, mantissa: Integers) -> tuple[Integers, Integers]:
    """The exact product with |x| where the recipe asks for it: 48 bits, 46 of them a fraction, of a biased exponent."""
    if factor is Factor.NEVER:
        return exponent + FP32.BIAS, mantissa << FP32.fraction_bits
    times = x.exponent <= FP32.BIAS if factor is Factor.BELOW_TWO else np.True_
    return (
        exponent + np.where(times, x.exponent, FP32.BIAS),
        mantissa * np.where(times, x.significand, HIDDEN_ONE),
    )


def _round(exponent: Integers, product: Integers) -> Integers:
    """FP32 magnitude bits of ``product`` times a power of two: normalised, rounded once to nearest even, flushed."""
    carry = product >> 2 * FP32.precision - 1
    drop = FP32.fraction_bits + carry
    last = product >> drop & 1
    significand = (product + (np.int64(1) << drop - 1) - 1 + last) >> drop
    # the carry of a rounding runs into the exponent, as it stands above the fraction
    bits = ((exponent + carry - 1) << FP32.fraction_bits) + significand
    return np.where(bits < HIDDEN_ONE, 0, np.minimum(bits, FP32.infinity))


@dataclass(frozen=True)
class _Placed:
    """A page within the table of all pages.

    Attributes:
        first: its first row.
        limit: it covers |x| below this, in units of 2^-22.
        outside: for each row within a step, the row that serves |x| beyond the limit.
        beyond: for each whole step in |x|, what is added to L beyond the limit; last for |x| of 128 and more.
    """

    first: int
    limit: int
    outside: Integers
    beyond: Integers


@cache
def _placed(page: Page) -> _Placed:
    first = tables.pages(Function)
    rows = np.arange(tables.STEP << tables.ROW_BITS)
    if page.continues:
        successor = tables.successor(page)
        outside, beyond = first[successor] + rows, [*tables.steps(successor), BEYOND]
    else:
        outside, beyond = np.full_like(rows, first[page] + page.rows - 1), [0] * (len(tables.steps(page)) + 1)
    return _Placed(first[page], page.rows * ROW, outside, np.array(beyond))


@cache
def _coefficients() -> tuple[Integers, Integers, Integers]:
    rows = [row for page in tables.pages(Function) for row in tables.rows(page)]
    return np.array([r.c0 for r in rows]), np.array([r.c1 for r in rows]), np.array([r.c2 for r in rows])


@cache
def _chords() -> tuple[Integers, Integers]:
    chords = tables.chords()
    return np.array([chord.start for chord in chords]), np.array([chord.rise for chord in chords])
