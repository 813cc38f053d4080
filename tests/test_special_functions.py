"""The golden model's special functions: errors against mpmath on every BF16 input, order, exact and limiting values."""

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise

import mpmath
import numpy as np
import pytest

from golden_model.numerics.convert import to_bf16
from golden_model.numerics.formats import canonicalize, exact, from_bits, to_bits
from golden_model.numerics.special import evaluate, rotary_tables
from hdl.arith import special_tables as tables
from hdl.arith.formats import BF16, FP32
from hdl.arith.special_tables import Function
from verif import operands
from verif.agreement import assert_equal
from verif.special_campaign import Errors, golden_errors, random_operands, table
from verif.special_truth import ALGEBRAIC, ALL_BF16, BITS, TRANSCENDENTAL, double_values, true_values, ulps

SEED = 71
EVERY = [pytest.param(f, id=f.name.lower()) for f in Function]
STATED = 2.0**-19  # docs/special_functions.md

INF, NAN = np.inf, np.nan


def of(function: Function, *values: float) -> list[float]:
    """Results for float32 operands, as Python floats."""
    return evaluate(function, np.array(values, np.float32)).tolist()


def bits_of(values: np.ndarray) -> np.ndarray:
    return to_bits(values).astype(np.int64)


@cache
def errors(function: Function) -> Errors:
    return golden_errors(function)


@pytest.mark.parametrize("function", EVERY)
def test_every_bf16_result_is_within_one_ulp_of_the_true_value(
    function: Function, record_property: Callable[[str, object], None]
) -> None:
    worst = errors(function)
    print("\n" + table({function: worst}))
    record_property("worst error", table({function: worst}))
    assert worst.max_ulp <= 1.0
    # nothing but the rounding itself: the FP32 result is 2^11 times finer
    assert worst.max_ulp_normal <= 0.5 + 2.0**-9


@pytest.mark.parametrize("function", EVERY)
def test_the_fp32_result_errs_by_no_more_than_is_stated(function: Function) -> None:
    assert 2.0**-24 < errors(function).relative <= STATED


def test_the_ulp_metric_sees_a_result_that_is_two_places_off() -> None:
    true = true_values(Function.EXP)
    right = to_bits(to_bf16(evaluate(Function.EXP, ALL_BF16)))
    off = right.copy()
    at = int(np.flatnonzero(exact(ALL_BF16) == 2.0)[0])
    off[at] += 2
    assert 1.4 < ulps(from_bits(off, BF16), true)[at] < 2.6
    nan = right.copy()
    nan[at] = BF16.canonical_nan
    assert ulps(from_bits(nan, BF16), true)[at] == INF


@pytest.mark.parametrize("function", EVERY)
def test_the_float64_yardstick_agrees_with_mpmath(function: Function) -> None:
    x = exact(random_operands(2000, SEED))
    formula = {**ALGEBRAIC, **TRANSCENDENTAL}[function]
    domain = (x > 0) | (function not in (Function.RSQRT, Function.SQRT))
    x = x[np.isfinite(x) & (np.abs(x) > 2.0**-100) & (np.abs(x) < 85) & domain][:300]
    with mpmath.workprec(BITS):
        true = np.array([float(formula(mpmath.mpf(value))) for value in x.tolist()])
    usual = np.abs(true) > 2.0**-130
    assert np.count_nonzero(usual) > 60
    assert np.max(np.abs(double_values(function, x[usual]) / true[usual] - 1)) < 2.0**-40


TURNS = {Function.SILU: -1.2784645, Function.GELU: -0.7517916, Function.GELU_TANH: -0.7524614}
"""Where the functions that are not monotone have their one minimum."""

FALLS = (Function.RECIPROCAL, Function.RSQRT)


@pytest.mark.parametrize("function", EVERY)
def test_results_are_monotone_where_the_function_is(function: Function) -> None:
    x = exact(ALL_BF16)
    result = evaluate(function, ALL_BF16)
    if function in (Function.RSQRT, Function.SQRT):
        sides = [np.isfinite(x) & (x > 0)]
    elif function is Function.RECIPROCAL:
        sides = [x < 0, x > 0]
    elif function in TURNS:
        sides = [x <= TURNS[function], x >= TURNS[function]]
    else:
        sides = [~np.isnan(x)]
    for side, chosen in enumerate(sides):
        order = np.argsort(x[chosen], kind="stable")
        for values in (exact(to_bf16(result)), exact(result)):  # BF16, and even the FP32 results
            y = values[chosen][order]
            falling = function in FALLS or (function in TURNS and side == 0)
            assert len(y) > 30_000 // len(sides) // 2
            assert np.all(y[1:] <= y[:-1] if falling else y[1:] >= y[:-1])


def test_powers_of_two_come_out_exactly() -> None:
    k = np.arange(-126, 128)
    powers = np.exp2(k.astype(np.float64)).astype(np.float32)
    for sign in (1, -1):
        # 2^-127 is flushed
        expected = canonicalize((sign / powers.astype(np.float64)).astype(np.float32))
        assert_equal(bits_of(evaluate(Function.RECIPROCAL, sign * powers)), bits_of(expected))
    even = powers[k % 2 == 0]
    root = np.sqrt(even)
    assert_equal(bits_of(evaluate(Function.RSQRT, even)), bits_of(1 / root))
    assert_equal(bits_of(evaluate(Function.SQRT, even)), bits_of(root))
    assert_equal(bits_of(evaluate(Function.EXP2, k.astype(np.float32))), bits_of(powers))
    assert of(Function.EXP, 0.0, -0.0) == [1.0, 1.0]
    assert of(Function.SIGMOID, 0.0, -0.0) == [0.5, 0.5]


# function: results at +0, -0, +inf, -inf
LIMITS = {
    Function.EXP: (1.0, 1.0, INF, 0.0),
    Function.EXP2: (1.0, 1.0, INF, 0.0),
    Function.RECIPROCAL: (INF, -INF, 0.0, -0.0),
    Function.RSQRT: (INF, -INF, 0.0, NAN),
    Function.SQRT: (0.0, -0.0, INF, NAN),
    Function.SIGMOID: (0.5, 0.5, 1.0, 0.0),
    Function.SILU: (0.0, -0.0, INF, -0.0),
    Function.TANH: (0.0, -0.0, 1.0, -1.0),
    Function.GELU: (0.0, -0.0, INF, -0.0),
    Function.GELU_TANH: (0.0, -0.0, INF, -0.0),
}


@pytest.mark.parametrize("function", EVERY)
def test_zeros_infinities_nans_and_subnormals_give_what_the_book_says(function: Function) -> None:
    plus_zero, minus_zero, plus_infinity, minus_infinity = LIMITS[function]
    subnormal, nans = 2.0**-127, from_bits([FP32.infinity + 1, 0xFFFFFFFF], FP32)
    numbers = np.array([0.0, -0.0, INF, -INF, subnormal, -subnormal], np.float32)
    results = [plus_zero, minus_zero, plus_infinity, minus_infinity, plus_zero, minus_zero, NAN, NAN]
    x = np.concatenate([numbers, nans])
    want = np.array(results, np.float32)
    assert_equal(bits_of(evaluate(function, x)), bits_of(want), x=bits_of(x))


def test_roots_of_negative_numbers_are_nan() -> None:
    for function in (Function.SQRT, Function.RSQRT):
        assert np.isnan(of(function, -1.0, -4.0, -(2.0**-126), -3e38)).all()


def test_overflow_gives_infinity_and_underflow_a_zero_of_the_right_sign() -> None:
    nearly = partial(pytest.approx, rel=1e-5)
    assert of(Function.EXP, 88.5, 88.75, 1e9) == [nearly(math.exp(88.5)), INF, INF]
    assert of(Function.EXP2, 127.75, 128.0, 130.0, 3e38) == [nearly(2**127.75), INF, INF, INF]
    assert of(Function.EXP, -87.25, -87.5, -3e38) == [nearly(math.exp(-87.25)), 0.0, 0.0]
    assert of(Function.EXP2, -126.0, -126.01, -1e30) == [2.0**-126, 0.0, 0.0]
    assert of(Function.RECIPROCAL, 2.0**126, 2.0**127) == [2.0**-126, 0.0]
    assert of(Function.RECIPROCAL, 2.0**-126) == [2.0**126]
    for function, kept, lost in ((Function.SILU, -91.0, -92.5), (Function.GELU, -13.1, -13.3)):
        small, zero = of(function, kept, lost)
        assert -1e-36 < small < 0
        assert zero == 0
        assert np.signbit(zero)
    assert bits_of(evaluate(Function.GELU, np.array([-1e30, -16.0], np.float32))).tolist() == [1 << 31] * 2


def test_bounded_functions_stay_within_their_bounds() -> None:
    x = random_operands(300_000, SEED)
    x = x[~np.isnan(x)]
    assert np.abs(evaluate(Function.TANH, x)).max() == 1.0
    sigmoid = evaluate(Function.SIGMOID, x)
    assert (sigmoid.min(), sigmoid.max()) == (0.0, 1.0)
    magnitude = np.abs(canonicalize(x))
    for function in (Function.SILU, Function.GELU, Function.GELU_TANH, Function.TANH):
        assert np.all(np.abs(evaluate(function, x)) <= magnitude), function


def test_odd_functions_are_odd_to_the_bit() -> None:
    x = operands.singles(FP32, np.random.default_rng(SEED), 100_000)
    x = x[np.abs(exact(from_bits(x, FP32))) <= INF]  # NaN has no sign
    for function in (Function.TANH, Function.RECIPROCAL):
        positive, negative = (bits_of(evaluate(function, from_bits(x ^ flip, FP32))) for flip in (0, 1 << 31))
        assert_equal(positive, negative ^ (1 << 31), seed=SEED, x=x)


def test_any_shape_is_taken_and_bf16_reads_as_fp32() -> None:
    x = from_bits(np.arange(0x3F00, 0x3F00 + 24).reshape(2, 3, 4), BF16)
    assert evaluate(Function.EXP, x).shape == (2, 3, 4)
    assert_equal(bits_of(evaluate(Function.EXP, x)), bits_of(evaluate(Function.EXP, x.astype(np.float32))))
    assert evaluate(Function.EXP, np.float32(0)) == 1.0
    with pytest.raises(TypeError, match="bfloat16 or float32"):
        evaluate(Function.EXP, np.zeros(3))


def test_rows_fit_the_widths_that_the_hardware_reads_them_in() -> None:
    half_row = 1 << tables.C1_FRACTION - tables.C2_FRACTION  # |t| <= 1/2, from units of c2 to units of c1
    for page in tables.PAGES:
        rows = tables.rows(page)
        assert len(rows) == page.rows
        for row in rows:
            assert 0 <= row.c0 < 1 << tables.C0_BITS
            assert abs(row.c1) < 1 << tables.C1_BITS - 1
            assert abs(row.c2) < 1 << tables.C2_BITS - 1
            assert abs(row.c1) + abs(row.c2) * half_row < 1 << tables.C1_BITS - 1, "c1 + t c2 leaves the range of c1"
    for chord in tables.chords():
        assert 0 <= chord.start < 1 << tables.CHORD_FRACTION
        assert 0 < chord.rise < 1 << tables.RISE_BITS


@pytest.mark.parametrize("function", EVERY)
def test_pages_lie_at_multiples_of_their_size_whatever_is_left_out(function: Function) -> None:
    placed = tables.pages([function, Function.TANH])
    used = sorted((first, first + page.rows) for page, first in placed.items())
    assert used[0][0] == 0
    assert all(end == start for (_, end), (start, _) in pairwise(used))
    assert all(first % page.rows == 0 for page, first in placed.items())


def test_rotary_tables_are_correctly_rounded() -> None:
    positions = np.array([0, 1, 5, 77, 4095, 131071])
    cosine, sine = rotary_tables(positions, head_size=16, base=500000.0)
    assert cosine.shape == sine.shape == (6, 8)
    with mpmath.workprec(BITS):
        for p, position in enumerate(positions.tolist()):
            for i in range(8):
                angle = position * mpmath.mpf(500000) ** (-mpmath.mpf(2 * i) / 16)
                true = np.array([float(mpmath.cos(angle)), float(mpmath.sin(angle))])
                got = np.array([cosine[p, i], sine[p, i]])
                assert np.all(ulps(got, true) <= 0.5 + 2.0**-20), (position, i)
