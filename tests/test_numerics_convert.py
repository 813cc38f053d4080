"""The golden model's conversions against exact rationals and ml_dtypes, exhaustively where the source is small."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from golden_model import numerics as golden
from hdl.arith.formats import BF16, FP32, FloatFormat
from verif import exact, operands
from verif.agreement import assert_equal

SEED = 7301
EVERY_BF16 = np.arange(1 << 16)
EVERY_INT8 = np.arange(-128, 128).astype(np.int8)
LOW_HALVES = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])


def whole(bits: int, fmt: FloatFormat, bits_out: int, toward_zero: bool) -> int:
    """The conversion to an integer in rationals."""
    x = exact.decode(bits, fmt)
    limit = 1 << (bits_out - 1)
    if x is None:
        return 0
    if x.magnitude is None:
        return -limit if x.negative else limit - 1
    return min(max(math.trunc(x.value) if toward_zero else round(x.value), -limit), limit - 1)


def around_integers(fmt: FloatFormat, rng: np.random.Generator) -> np.ndarray:
    """Bits of floats where rounding to an integer is hard: halves, their neighbours, the limits of INT8 and INT32."""
    numbers = np.concatenate([
        np.arange(-1200, 1200) / 8,
        *[sign * (limit + np.arange(-24, 24) / 8) for sign in (-1, 1) for limit in (2.0**7, 2.0**23, 2.0**31)],
    ])  # fmt: skip
    near = golden.to_bits(numbers.astype(np.float32)).astype(np.int64)
    near = (near[:, np.newaxis] + np.arange(-2, 3)).ravel() >> (FP32.width - fmt.width)
    return np.concatenate([near, operands.singles(fmt, rng, 20_000)])


@pytest.mark.parametrize("toward_zero", [False, True])
@pytest.mark.parametrize(("convert", "width"), [(golden.to_int32, 32), (golden.to_int8, 8)], ids=["int32", "int8"])
def test_every_bf16_becomes_the_right_integer(convert: Callable[..., Any], width: int, toward_zero: bool) -> None:
    want = [whole(x, BF16, width, toward_zero) for x in EVERY_BF16.tolist()]
    assert_equal(convert(golden.from_bits(EVERY_BF16, BF16), toward_zero), want, x=EVERY_BF16)


@pytest.mark.parametrize("toward_zero", [False, True])
@pytest.mark.parametrize(("convert", "width"), [(golden.to_int32, 32), (golden.to_int8, 8)], ids=["int32", "int8"])
def test_fp32_becomes_the_right_integer(convert: Callable[..., Any], width: int, toward_zero: bool) -> None:
    x = around_integers(FP32, np.random.default_rng(SEED))
    want = [whole(bits, FP32, width, toward_zero) for bits in x.tolist()]
    assert_equal(convert(golden.from_bits(x, FP32), toward_zero), want, seed=SEED, x=x)


def test_every_bf16_widens_to_the_same_number() -> None:
    want = [exact.encode(exact.decode(x, BF16), FP32) for x in EVERY_BF16.tolist()]
    assert_equal(golden.to_bits(golden.to_fp32(golden.from_bits(EVERY_BF16, BF16))), want, x=EVERY_BF16)


def test_every_bf16_stays_itself_through_fp32() -> None:
    values = golden.from_bits(EVERY_BF16, BF16)
    there_and_back = golden.to_bf16(golden.to_fp32(values))
    assert_equal(golden.to_bits(there_and_back), golden.to_bits(golden.canonicalize(values)), x=EVERY_BF16)


def test_fp32_to_bf16_is_ml_dtypes_where_nothing_is_subnormal_or_nan() -> None:
    x = (EVERY_BF16[:, np.newaxis] << 16 | LOW_HALVES).ravel()
    x = np.concatenate([x, np.random.default_rng(SEED).integers(0, 1 << 32, 100_000)])
    values = golden.from_bits(x, FP32)
    compared = (np.abs(values) >= 2.0**-126) | (values == 0)
    assert compared.sum() > 400_000
    with np.errstate(invalid="ignore"):
        want = values.astype(bfloat16)
    assert_equal(golden.to_bits(golden.to_bf16(values))[compared], golden.to_bits(want)[compared], seed=SEED)


def test_fp32_to_bf16_of_subnormals_and_nans_is_zero_and_the_canonical_nan() -> None:
    x = [0x00000001, 0x007FFFFF, 0x807FFFFF, 0x7F800001, 0xFFFFFFFF]
    assert golden.to_bits(golden.to_bf16(golden.from_bits(x, FP32))).tolist() == [0, 0, 0x8000, 0x7FC0, 0x7FC0]


@pytest.mark.parametrize("fmt", [BF16, FP32], ids=["bf16", "fp32"])
def test_int32_becomes_the_nearest_float(fmt: FloatFormat) -> None:
    rng = np.random.default_rng(SEED)
    powers = 1 << np.arange(31, dtype=np.int64)
    near = (powers[:, np.newaxis] + np.arange(-300, 300)).ravel()
    halves = (powers[:, np.newaxis] + (powers >> 8 + 1)[:, np.newaxis] * np.arange(-5, 6)).ravel()
    x = np.concatenate([near, -near, halves, -halves, rng.integers(-(1 << 31), 1 << 31, 20_000)])
    x = np.clip(x, -(1 << 31), (1 << 31) - 1).astype(np.int32)
    convert = golden.to_bf16 if fmt is BF16 else golden.to_fp32
    want = [exact.encode(exact.Number(n < 0, abs(exact.Fraction(n))), fmt) for n in x.tolist()]
    assert_equal(golden.to_bits(convert(x)), want, seed=SEED, x=x)
    if fmt is FP32:
        assert_equal(golden.to_bits(convert(x)), golden.to_bits(x.astype(np.float32)), seed=SEED, x=x)


def test_every_int8_becomes_the_same_number_in_every_type() -> None:
    for convert in (golden.to_bf16, golden.to_fp32, golden.to_int32, golden.to_int8):
        assert convert(EVERY_INT8).astype(np.int64).tolist() == list(range(-128, 128))


def test_int32_saturates_to_int8() -> None:
    x = np.array([-(1 << 31), -129, -128, -1, 0, 127, 128, 255, (1 << 31) - 1], np.int32)
    assert golden.to_int8(x).tolist() == [-128, -128, -128, -1, 0, 127, 127, 127, 127]


def test_stochastic_rounding_rounds_up_in_proportion_to_what_is_lost() -> None:
    """Over all 65,536 random numbers the mean of the result is the operand itself, exactly."""
    rng = np.random.default_rng(SEED)
    x = np.concatenate([operands.singles(FP32, rng, 200), [0x3F800001, 0x3F808000, 0x3F80FFFF, 0xC2F6FFFF]])
    x = x[(x >> 23 & 255 != 0) & (x >> 23 & 255 != 255)]
    got = golden.to_bf16(golden.from_bits(x[:, np.newaxis], FP32), random=np.arange(1 << 16))
    mean = golden.to_bits(got).astype(np.int64).mean(axis=1)  # bits are linear in value between neighbours
    assert_equal(np.rint(mean * (1 << 16)), x, seed=SEED, x=x)


def test_stochastic_rounding_keeps_infinities_and_nans_and_flushes_subnormals() -> None:
    x = golden.from_bits([0x7F800000, 0xFF800000, 0x7F800001, 0x807FFFFF, 0x80000000, 0x7F7F8000, 0x7F7F8000], FP32)
    random = [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0x7FFF, 0x8000]
    got = golden.to_bits(golden.to_bf16(x, random=random)).tolist()
    assert got == [0x7F80, 0xFF80, 0x7FC0, 0x8000, 0x8000, 0x7F7F, 0x7F80]


def test_stochastic_rounding_wants_fp32() -> None:
    with pytest.raises(TypeError, match="stochastic rounding wants float32"):
        golden.to_bf16(np.zeros(1, bfloat16), random=[0])
