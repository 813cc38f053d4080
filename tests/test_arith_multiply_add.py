"""The multiply-add's RTL equals the golden model where bugs live, at every depth."""

import numpy as np
import pytest

from hdl.arith.multiply_add import MultiplyAdd
from hdl.errors import ParameterError
from verif import operands
from verif.agreement import assert_equal
from verif.arith_campaign import OPERATIONS, corners

MULTIPLY_ADD = OPERATIONS["multiply_add"]
DEPTHS = range(1, len(MultiplyAdd.STEPS) + 1)
ONE, MINUS_ONE, INFINITY, NAN = 0x3F80, 0xBF80, 0x7F80, 0x7FC00000


def results(*triples: tuple[int, int, int]) -> list[int]:
    a, b, c = np.array(triples).T
    return [int(x) for x in MULTIPLY_ADD.check({"a": a, "b": b, "c": c})[0]]


def test_a_million_triples_equal_the_golden_model(seed: int) -> None:
    fields = MULTIPLY_ADD.draw(np.random.default_rng(seed), 1_000_000)
    assert_equal(*MULTIPLY_ADD.check(fields), seed=seed, **fields)


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_depth_computes_the_same(depth: int, seed: int) -> None:
    fields = MULTIPLY_ADD.draw(np.random.default_rng(seed), 50_000)
    assert_equal(*MULTIPLY_ADD.check(fields, depth), seed=seed, **fields)


def test_every_triple_of_corner_values_equals_the_golden_model() -> None:
    fields = corners(MULTIPLY_ADD)
    assert_equal(*MULTIPLY_ADD.check(fields), **fields)


def test_the_published_failure_near_cancellation_is_right() -> None:
    """fma(-0.001511, -3.625, -0.007538), which a published unit gets wrong; the bits by exact rational arithmetic."""
    a, b, c = operands.NEAR_CANCELLATION
    assert results((a, b, c)) == [0xBB0722A8]


def test_special_values_follow_the_contract() -> None:
    infinity, minus_infinity, one = INFINITY << 16, 0xFF80 << 16, ONE << 16
    assert results(
        (INFINITY, ONE, one),
        (INFINITY, ONE, minus_infinity),  # inf - inf
        (INFINITY, MINUS_ONE, minus_infinity),
        (INFINITY, 0x0000, one),  # inf x 0
        (INFINITY, 0x0001, one),  # a subnormal is a zero
        (ONE, ONE, minus_infinity),
        (ONE, ONE, 0xFF812345),  # any NaN, quiet or not, gives the canonical one
        (0x7F7F, 0x7F7F, 0),  # overflow
        (0x7F7F, 0xFF7F, infinity),
    ) == [infinity, NAN, minus_infinity, NAN, NAN, minus_infinity, NAN, infinity, infinity]


def test_zeros_have_the_sign_that_ieee_754_gives_them() -> None:
    assert results(
        (ONE, ONE, 0xBF800000),  # exact cancellation
        (0x8000, ONE, 0x80000000),
        (0x8000, ONE, 0x00000000),
        (0x8001, ONE, 0x80000001),  # subnormals
        (0x0080, 0x8080, 0x00000000),  # far below the smallest normal
    ) == [0, 0x80000000, 0, 0x80000000, 0x80000000]


def test_tininess_is_judged_after_rounding() -> None:
    """2^-126 less 2^-152, and less 2^-151 (a tie), round to 2^-126; less 2^-150, the next float down, it vanishes."""
    smallest = 0x00800000
    assert results((0x1980, 0x9980, smallest), (0x1980, 0x9A00, smallest), (0x1A00, 0x9A00, smallest)) == [
        smallest,
        smallest,
        0,
    ]


def test_a_depth_that_cannot_be_built_is_refused_with_a_sentence() -> None:
    with pytest.raises(ParameterError, match=r"MultiplyAdd: depth 12 is not in 1\.\.11"):
        MultiplyAdd(12)
