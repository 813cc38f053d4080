"""The golden model's INT32 operations against Python's integers."""

from collections.abc import Callable

import numpy as np
import pytest

from golden_model import numerics as golden
from hdl.arith.operations import IntegerOp
from verif.agreement import assert_equal

SEED = 411
CORNERS = [0, 1, -1, 2, 31, 32, 33, 0x7FFFFFFF, -0x80000000, -0x7FFFFFFF, 0x55555555, -0x55555556, 0xFFFF, 0x10000]

IN_PYTHON: dict[IntegerOp, Callable[[int, int], int]] = {
    IntegerOp.ADD: lambda a, b: a + b,
    IntegerOp.SUB: lambda a, b: a - b,
    IntegerOp.MUL: lambda a, b: a * b,
    IntegerOp.AND: lambda a, b: a & b,
    IntegerOp.OR: lambda a, b: a | b,
    IntegerOp.XOR: lambda a, b: a ^ b,
    IntegerOp.NOT: lambda a, _: -a - 1,
    IntegerOp.SHL: lambda a, b: a * 2 ** (b % 32),
    IntegerOp.SHR: lambda a, b: a % 2**32 // 2 ** (b % 32),
    IntegerOp.SAR: lambda a, b: a // 2 ** (b % 32),
    IntegerOp.MIN: min,
    IntegerOp.MAX: max,
    IntegerOp.EQ: lambda a, b: a == b,
    IntegerOp.NE: lambda a, b: a != b,
    IntegerOp.LT: lambda a, b: a < b,
    IntegerOp.LE: lambda a, b: a <= b,
}


@pytest.mark.parametrize("operation", IntegerOp)
def test_operations_are_pythons_modulo_two_to_the_32(operation: IntegerOp) -> None:
    rng = np.random.default_rng(SEED)
    a = np.concatenate([np.repeat(CORNERS, len(CORNERS)), rng.integers(-(1 << 31), 1 << 31, 5_000)]).astype(np.int32)
    b = np.concatenate([np.tile(CORNERS, len(CORNERS)), rng.integers(-(1 << 31), 1 << 31, 5_000)]).astype(np.int32)
    want = [(IN_PYTHON[operation](x, y) + 2**31) % 2**32 - 2**31 for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    got = golden.integer(operation, a, b)
    assert got.dtype == np.int32
    assert_equal(got, want, seed=SEED, a=a, b=b)


def test_other_types_are_refused_with_a_sentence() -> None:
    with pytest.raises(TypeError, match="two int32 arrays are wanted, not int64 and int32"):
        golden.integer(IntegerOp.ADD, np.zeros(1, np.int64), np.zeros(1, np.int32))
