"""The RTL of compare and min/max equals the golden model on every corner and every relation of two floats."""

import numpy as np
import pytest

from golden_model import numerics as golden
from hdl.arith.compare import Compare, MinMax
from hdl.arith.formats import BF16, FP32, FloatFormat
from hdl.arith.operations import CompareOp
from hdl.errors import ParameterError
from verif import operands, units
from verif.agreement import assert_equal

SEED = 1985
COUNT = 250_000
FORMATS = [pytest.param(fmt, id=fmt.name) for fmt in (BF16, FP32)]
DEPTHS = (1, 2)
CORNERS = np.array([0, 1, 0x7F, 0x80, 0x81, 0x3F7F, 0x3F80, 0x3F81, 0x7F7F, 0x7F80, 0x7F81, 0x7FC0, 0x7FFF])


def pairs(fmt: FloatFormat) -> tuple[np.ndarray, np.ndarray]:
    corners = np.concatenate([CORNERS, CORNERS | 0x8000]) << (fmt.width - BF16.width)
    a, b = operands.pairs(fmt, np.random.default_rng(SEED), COUNT)
    a, b = np.concatenate([a, np.repeat(corners, len(corners))]), np.concatenate([b, np.tile(corners, len(corners))])
    return np.concatenate([a, a]), np.concatenate([b, a])  # every value also against itself


@pytest.mark.parametrize("fmt", FORMATS)
def test_compare_equals_the_golden_model_at_every_depth(fmt: FloatFormat) -> None:
    a, b = pairs(fmt)
    operation = np.arange(len(a)) % len(CompareOp)
    made = {f"depth_{depth}": Compare(fmt, depth) for depth in DEPTHS}
    got = units.bank_results(made, f"compare_{fmt.name}", operation=operation, a=a, b=b)
    x, y = golden.from_bits(a, fmt), golden.from_bits(b, fmt)
    want = np.select([operation == op.value for op in CompareOp], [golden.compare(op, x, y) for op in CompareOp])
    for unit in made:
        assert_equal(got[unit], want, what=unit, seed=SEED, operation=operation, a=a, b=b)


@pytest.mark.parametrize("fmt", FORMATS)
def test_min_and_max_equal_the_golden_model_at_every_depth(fmt: FloatFormat) -> None:
    a, b = pairs(fmt)
    maximum = np.arange(len(a)) & 1
    made = {f"depth_{depth}": MinMax(fmt, depth) for depth in DEPTHS}
    got = units.bank_results(made, f"min_max_{fmt.name}", maximum=maximum, a=a, b=b)
    x, y = golden.from_bits(a, fmt), golden.from_bits(b, fmt)
    want = np.where(maximum, golden.to_bits(golden.maximum(x, y)), golden.to_bits(golden.minimum(x, y)))
    for unit in made:
        assert_equal(got[unit], want, what=unit, seed=SEED, maximum=maximum, a=a, b=b)


def test_a_depth_that_cannot_be_built_is_refused_with_a_sentence() -> None:
    with pytest.raises(ParameterError, match=r"Compare: depth 3 is not in 1\.\.2"):
        Compare(BF16, 3)
    with pytest.raises(ParameterError, match=r"MinMax: depth 0 is not in 1\.\.2"):
        MinMax(BF16, 0)
