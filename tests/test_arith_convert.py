"""The RTL of the converters equals the golden model: on every operand where there are 65,536, on corners elsewhere."""

from typing import Any

import numpy as np
import pytest

from golden_model import numerics as golden
from hdl.arith.convert import Bf16ToFp32, FloatToInteger, Fp32ToBf16, IntegerToFloat, IntegerToInteger
from hdl.arith.formats import BF16, FP32, FloatFormat
from hdl.errors import ParameterError
from verif import operands, units
from verif.agreement import assert_equal

SEED = 754
COUNT = 250_000
EVERY_BF16 = np.arange(1 << 16)
FORMATS = [pytest.param(fmt, id=fmt.name) for fmt in (BF16, FP32)]
TYPES = {32: np.int32, 8: np.int8}
TO_INTEGER: dict[int, Any] = {32: golden.to_int32, 8: golden.to_int8}
TO_FLOAT: dict[FloatFormat, Any] = {BF16: golden.to_bf16, FP32: golden.to_fp32}


def floats(fmt: FloatFormat) -> np.ndarray:
    """Bits: every BF16; of FP32 the generator's, and numbers around halves, integers and the integer types' limits."""
    if fmt is BF16:
        return EVERY_BF16
    rng = np.random.default_rng(SEED)
    exponents = rng.integers(127 - 3, 127 + 34, COUNT)
    around = rng.integers(0, 2, COUNT) << 31 | exponents << 23 | operands.singles(FP32, rng, COUNT) & 0x7FFFFF
    halves = golden.to_bits((np.arange(-4096, 4096) / 8).astype(np.float32)).astype(np.int64)
    return np.concatenate([around, halves, halves + 1, halves - 1, operands.singles(FP32, rng, COUNT)]) % (1 << 32)


def integers(width: int) -> np.ndarray:
    """Every INT8; of INT32 powers of two and their neighbours, halves of a unit of either format, and any."""
    if width == 8:
        return np.arange(-128, 128)
    rng = np.random.default_rng(SEED)
    size = rng.integers(0, 32, COUNT)
    any_size = rng.integers(0, 1 << 31, COUNT) >> size
    sparse = any_size & ~((np.int64(1) << rng.integers(0, 31, COUNT)) - 1)
    near = ((np.int64(1) << np.arange(32))[:, np.newaxis] + np.arange(-300, 301)).ravel()
    magnitudes = np.concatenate([any_size, sparse, sparse - 1, sparse + 1, near])
    return np.clip(np.concatenate([magnitudes, -magnitudes]), -(1 << 31), (1 << 31) - 1)


def test_every_bf16_widens_as_in_the_golden_model() -> None:
    got = units.results(Bf16ToFp32(), "bf16_to_fp32", value=EVERY_BF16)
    assert_equal(got, golden.to_bits(golden.to_fp32(golden.from_bits(EVERY_BF16, BF16))), value=EVERY_BF16)


def test_fp32_rounds_to_bf16_as_in_the_golden_model() -> None:
    rng = np.random.default_rng(SEED)
    low = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
    x = np.concatenate([(EVERY_BF16[:, np.newaxis] << 16 | low).ravel(), operands.singles(FP32, rng, COUNT)])
    random = rng.integers(0, 1 << 16, len(x))
    made = {f"depth_{depth}": Fp32ToBf16(depth) for depth in (1, 2)}
    for stochastic in (0, 1):
        got = units.bank_results(made, "fp32_to_bf16", value=x, stochastic=stochastic, random=random)
        want = golden.to_bf16(golden.from_bits(x, FP32), random=random if stochastic else None)
        for unit in made:
            assert_equal(got[unit], golden.to_bits(want), what=unit, seed=SEED, value=x, random=random)


@pytest.mark.parametrize("fmt", FORMATS)
def test_floats_become_integers_as_in_the_golden_model(fmt: FloatFormat) -> None:
    x = floats(fmt)
    made = {f"int{width}_depth_{d}": FloatToInteger(fmt, width, d) for width in TO_INTEGER for d in (1, 2, 3)}
    for toward_zero in (False, True):
        got = units.bank_results(made, f"{fmt.name}_to_integers", value=x, toward_zero=int(toward_zero))
        for width, convert in TO_INTEGER.items():
            want = convert(golden.from_bits(x, fmt), toward_zero)
            for d in (1, 2, 3):
                unit = f"int{width}_depth_{d}"
                assert_equal(units.signed(got[unit], width), want, what=unit, seed=SEED, value=x)


@pytest.mark.parametrize("width", [8, 32])
def test_integers_become_floats_and_other_integers_as_in_the_golden_model(width: int) -> None:
    x = integers(width)
    other = 40 - width
    made: dict[str, Any] = {
        f"{fmt.name}_depth_{d}": IntegerToFloat(width, fmt, d) for fmt in TO_FLOAT for d in (1, 2, 3, 4)
    }
    got = units.bank_results(
        {**made, "other_integer": IntegerToInteger(width, other)}, f"int{width}_to_others", value=x
    )
    typed = x.astype(TYPES[width])
    for fmt, convert in TO_FLOAT.items():
        want = golden.to_bits(convert(typed))
        for d in (1, 2, 3, 4):
            unit = f"{fmt.name}_depth_{d}"
            assert_equal(got[unit], want, what=unit, seed=SEED, value=x)
    assert_equal(units.signed(got["other_integer"], other), TO_INTEGER[other](typed), seed=SEED, value=x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Bf16ToFp32(2),
        lambda: Fp32ToBf16(3),
        lambda: FloatToInteger(BF16, 8, 4),
        lambda: IntegerToFloat(8, BF16, 0),
        lambda: IntegerToInteger(8, 32, 2),
    ],
)
def test_a_depth_that_cannot_be_built_is_refused_with_a_sentence(make: Any) -> None:
    with pytest.raises(ParameterError, match=r"\w+: depth \d is not in 1\.\.\d"):
        make()
