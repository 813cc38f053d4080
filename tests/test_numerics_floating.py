"""The golden model's float operations against exact rationals, NumPy's float32, and hand-made corner cases."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from ml_dtypes import bfloat16

from golden_model import numerics as golden
from golden_model.numerics.formats import Floats
from hdl.arith.formats import BF16, FP32, FloatFormat
from hdl.arith.operations import CompareOp
from verif import exact, operands
from verif.agreement import assert_equal

SEED = 20250
COUNT = 25_000
FORMATS = [pytest.param(fmt, id=fmt.name) for fmt in (BF16, FP32)]


def bits(values: Floats) -> np.ndarray:
    return golden.to_bits(values).astype(np.int64)


def of_bf16(*patterns: int) -> Floats:
    return golden.from_bits(list(patterns), BF16)


def of_fp32(*patterns: int) -> Floats:
    return golden.from_bits(list(patterns), FP32)


def everything_interesting(fmt: FloatFormat) -> np.ndarray:
    """Bits of both signs of: zero, subnormals, the ends of the range, one and its neighbours, infinity, NaNs."""
    one, top = 127 << fmt.fraction_bits, fmt.infinity - 1
    smallest = 1 << fmt.fraction_bits
    positive = [0, 1, smallest - 1, smallest, smallest + 1, one - 1, one, one + 1, top, fmt.infinity]
    nans = [fmt.infinity + 1, fmt.canonical_nan, fmt.canonical_nan + 1, (1 << fmt.width - 1) - 1]
    return np.array([sign << (fmt.width - 1) | x for sign in (0, 1) for x in positive + nans])


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    ("operation", "reference"),
    [
        (golden.multiply, lambda a, b, fmt: exact.multiply(a, b, fmt, fmt)),
        (golden.add, exact.add),
        (golden.subtract, exact.subtract),
    ],
    ids=["multiply", "add", "subtract"],
)
def test_pair_operations_equal_exact_rationals(
    operation: Callable[[Floats, Floats], Floats], reference: Callable[[int, int, FloatFormat], int], fmt: FloatFormat
) -> None:
    a, b = operands.pairs(fmt, np.random.default_rng(SEED), COUNT)
    every = everything_interesting(fmt)
    a, b = np.concatenate([a, np.repeat(every, len(every))]), np.concatenate([b, np.tile(every, len(every))])
    got = operation(golden.from_bits(a, fmt), golden.from_bits(b, fmt))
    want = [reference(x, y, fmt) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert_equal(bits(got), want, seed=SEED, a=a, b=b)


def test_a_bf16_product_in_fp32_equals_exact_rationals() -> None:
    a, b = operands.pairs(BF16, np.random.default_rng(SEED), COUNT)
    got = golden.multiply(golden.from_bits(a, BF16), golden.from_bits(b, BF16), to=FP32)
    want = [exact.multiply(x, y, BF16, FP32) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert_equal(bits(got), want, seed=SEED, a=a, b=b)


def test_multiply_add_equals_exact_rationals() -> None:
    a, b, c = operands.triples(np.random.default_rng(SEED), 4 * COUNT)
    got = golden.multiply_add(golden.from_bits(a, BF16), golden.from_bits(b, BF16), golden.from_bits(c, FP32))
    want = [exact.multiply_add(*abc, BF16) for abc in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]
    assert_equal(bits(got), want, seed=SEED, a=a, b=b, c=c)


def test_multiply_add_of_every_two_special_products_and_sums_equals_exact_rationals() -> None:
    few = [x for x in everything_interesting(BF16).tolist() if x & 0x7FFF not in (1, 0x7F, 0x81, 0x3F7F)]
    cases = list(product(few, few, everything_interesting(FP32).tolist()))
    a, b, c = np.array(cases).T
    got = golden.multiply_add(golden.from_bits(a, BF16), golden.from_bits(b, BF16), golden.from_bits(c, FP32))
    assert_equal(bits(got), [exact.multiply_add(*abc, BF16) for abc in cases], a=a, b=b, c=c)


def test_the_published_near_cancellation_is_right() -> None:
    a, b, c = operands.NEAR_CANCELLATION
    assert (float(of_bf16(a)[0]), float(of_bf16(b)[0]), float(of_fp32(c)[0])) == pytest.approx(
        (-0.001511, -3.625, -0.007538), rel=1e-3
    )
    got = golden.multiply_add(of_bf16(a), of_bf16(b), of_fp32(c))
    assert bits(got) == 0xBB0722A8 == exact.multiply_add(a, b, c, BF16)


@pytest.mark.parametrize("operation", [golden.add, golden.subtract, golden.multiply])
def test_fp32_operations_are_numpys_where_nothing_is_subnormal(operation: Callable[[Floats, Floats], Floats]) -> None:
    rng = np.random.default_rng(SEED)
    a, b = (golden.from_bits(rng.integers(0, 1 << 32, 300_000), FP32) for _ in range(2))
    with np.errstate(all="ignore"):
        want = {golden.add: np.add, golden.subtract: np.subtract, golden.multiply: np.multiply}[operation](a, b)
    normal = [np.isfinite(x) & (np.abs(x) >= 2.0**-125) for x in (a, b, want)]
    compared = np.logical_and.reduce(normal)
    assert compared.sum() > 50_000
    assert_equal(bits(operation(a, b))[compared], bits(want)[compared], seed=SEED)


def test_tininess_is_judged_after_rounding_with_an_unbounded_exponent() -> None:
    smallest = of_fp32(0x00800000)
    # (1 + 2^-23)(1 - 2^-24) 2^-126 rounds up to the smallest normal; (1 - 2^-24) 2^-126 needs no rounding and vanishes
    assert bits(golden.multiply(of_fp32(0x00800001), of_fp32(0x3F7FFFFF))) == 0x00800000
    assert bits(golden.multiply(smallest, of_fp32(0x3F7FFFFF))) == 0
    assert bits(golden.multiply(-smallest, of_fp32(0x3F7FFFFF))) == 0x80000000


def test_signs_of_zero_are_ieees() -> None:
    plus, minus, one = of_fp32(0), of_fp32(0x80000000), of_fp32(0x3F800000)
    assert bits(golden.add(one, -one)) == 0
    assert bits(golden.add(minus, minus)) == 0x80000000
    assert bits(golden.add(plus, minus)) == 0
    assert bits(golden.subtract(minus, plus)) == 0x80000000
    assert bits(golden.multiply(-one, plus)) == 0x80000000
    assert bits(golden.multiply_add(of_bf16(0x8000), of_bf16(0x3F80), minus)) == 0x80000000


def test_subnormals_are_read_as_zeros_of_their_sign() -> None:
    assert bits(golden.canonicalize(of_bf16(0x0001, 0x807F))).tolist() == [0, 0x8000]
    assert bits(golden.add(of_fp32(0x807FFFFF), of_fp32(0x80000000))) == 0x80000000
    assert bits(golden.multiply(of_fp32(0x7F000000), of_fp32(0x007FFFFF))) == 0
    assert bits(golden.multiply(of_fp32(0x7F800000), of_fp32(0x007FFFFF))) == FP32.canonical_nan  # infinity times zero


def test_canonicalize_changes_only_subnormals_and_nans() -> None:
    every = np.arange(1 << 16)
    got = bits(golden.canonicalize(golden.from_bits(every, BF16)))
    exponent, fraction = every >> 7 & 255, every & 127
    want = np.where(exponent == 0, every & 0x8000, every)
    want = np.where((exponent == 255) & (fraction != 0), BF16.canonical_nan, want)
    assert_equal(got, want, x=every)


def order(a: int, b: int, fmt: FloatFormat) -> int | None:
    """-1, 0, 1 for less, equal, greater; None with a NaN. Plain rationals; -0 equals +0."""
    x, y = exact.decode(a, fmt), exact.decode(b, fmt)
    if x is None or y is None:
        return None
    huge = exact.TOO_LARGE
    left, right = (n.value if n.magnitude is not None else (-huge if n.negative else huge) for n in (x, y))
    return int(left > right) - int(left < right)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("operation", CompareOp)
def test_compare_agrees_with_the_order_of_the_numbers(operation: CompareOp, fmt: FloatFormat) -> None:
    meets = {
        CompareOp.LT: (-1,),
        CompareOp.LE: (-1, 0),
        CompareOp.EQ: (0,),
        CompareOp.NE: (-1, 1, None),
        CompareOp.GT: (1,),
        CompareOp.GE: (0, 1),
    }[operation]
    a, b = pairs_for_comparison(fmt)
    got = golden.compare(operation, golden.from_bits(a, fmt), golden.from_bits(b, fmt))
    want = [order(x, y, fmt) in meets for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert_equal(got, want, seed=SEED, a=a, b=b)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(("operation", "side"), [(golden.minimum, -1), (golden.maximum, 1)], ids=["minimum", "maximum"])
def test_minimum_and_maximum_choose_by_the_order_of_the_numbers(
    operation: Callable[[Floats, Floats], Floats], side: int, fmt: FloatFormat
) -> None:
    def chosen(a: int, b: int) -> int:
        relation = order(a, b, fmt)
        if relation is None:
            return fmt.canonical_nan
        if relation == 0:  # also the two zeros: a negative one is less
            relation = int(b >> (fmt.width - 1)) - int(a >> (fmt.width - 1))
        return exact.encode(exact.decode(a if relation == side else b, fmt), fmt)

    a, b = pairs_for_comparison(fmt)
    got = operation(golden.from_bits(a, fmt), golden.from_bits(b, fmt))
    want = [chosen(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert_equal(bits(got), want, seed=SEED, a=a, b=b)


def pairs_for_comparison(fmt: FloatFormat) -> tuple[np.ndarray, np.ndarray]:
    a, b = operands.pairs(fmt, np.random.default_rng(SEED), 8_000)
    every = everything_interesting(fmt)
    return np.concatenate([a, np.repeat(every, len(every))]), np.concatenate([b, np.tile(every, len(every))])


@pytest.mark.parametrize(
    ("values", "greatest", "least"),
    [
        ([1.0, 3.0, 2.0, 3.0], 1, 0),
        ([-1.0, -3.0, -3.0], 0, 1),
        ([-0.0, 0.0], 0, 0),
        ([0.0, -0.0], 0, 0),
        ([0.0, 1e-40, -1e-40], 0, 0),
        ([np.inf, -np.inf, np.inf], 0, 1),
        ([np.inf, np.nan, 5.0, np.nan], 1, 1),
        ([np.nan], 0, 0),
    ],
)
def test_arg_max_and_arg_min_take_the_first_winner_and_the_first_nan(
    values: list[float], greatest: int, least: int
) -> None:
    for dtype in (np.float32, bfloat16):
        array = np.array(values, dtype)
        assert (golden.arg_max(array), golden.arg_min(array)) == (greatest, least)


def test_arg_max_works_along_any_axis() -> None:
    array = np.random.default_rng(SEED).standard_normal((4, 5, 6)).astype(np.float32)
    for axis in range(3):
        assert_equal(golden.arg_max(array, axis), array.argmax(axis), seed=SEED)
        assert_equal(golden.arg_min(array, axis), array.argmin(axis), seed=SEED)


def test_operands_broadcast() -> None:
    column, row = np.ones((3, 1), bfloat16), np.ones((1, 4), bfloat16)
    assert golden.add(column, row).shape == (3, 4)
    assert golden.multiply_add(column, row, np.float32(1)).shape == (3, 4)
    assert golden.multiply(np.float32(3), np.float32(5)) == 15


def test_mixed_types_are_refused_with_a_sentence() -> None:
    with pytest.raises(TypeError, match="operands must have one type, not bf16 and fp32"):
        golden.add(of_bf16(0), of_fp32(0))
    with pytest.raises(TypeError, match="bfloat16 or float32 is wanted, not of float64"):
        golden.add(np.zeros(1), np.zeros(1))
    with pytest.raises(TypeError, match="multiply_add wants bfloat16, bfloat16 and float32"):
        golden.multiply_add(of_bf16(0), of_bf16(0), of_bf16(0))
