"""The RTL of the INT32 unit equals the golden model, every operation on corners and on random operands."""

from functools import cache

import numpy as np
import pytest

from golden_model import numerics as golden
from hdl.arith.integer import IntegerUnit
from hdl.arith.operations import IntegerOp
from hdl.errors import ParameterError
from verif import units
from verif.agreement import assert_equal

SEED = 32
COUNT = 400_000
DEPTHS = (1, 2, 3)


@cache
def random_operands() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Operations in turn; integers of every length, both signs, often equal or neighbours."""
    rng = np.random.default_rng(SEED)
    a, b = (rng.integers(-(1 << 31), 1 << 31, COUNT) >> rng.integers(0, 32, COUNT) for _ in range(2))
    close = rng.integers(0, 4, COUNT) == 0
    b = np.where(close, np.clip(a + rng.integers(-1, 2, COUNT), -(1 << 31), (1 << 31) - 1), b)
    corners = np.array([0, 1, -1, (1 << 31) - 1, -(1 << 31), 31, 32, 33, 0xFFFF, 0x10000, -0x10000])
    picked = rng.integers(0, 8, (2, COUNT)) == 0
    a = np.where(picked[0], rng.choice(corners, COUNT), a)
    b = np.where(picked[1], rng.choice(corners, COUNT), b)
    return np.arange(COUNT) % len(IntegerOp), a.astype(np.int32), b.astype(np.int32)


@pytest.fixture(scope="module")
def results() -> dict[str, np.ndarray]:
    operation, a, b = random_operands()
    made = {**{f"depth_{d}": IntegerUnit(d) for d in DEPTHS}, "no_multiplier": IntegerUnit(1, multiplier=False)}
    return units.bank_results(made, "integer", operation=operation, a=a, b=b)


@pytest.mark.parametrize("operation", IntegerOp)
@pytest.mark.parametrize("depth", DEPTHS)
def test_every_operation_equals_the_golden_model(
    operation: IntegerOp, depth: int, results: dict[str, np.ndarray]
) -> None:
    operations, a, b = random_operands()
    chosen = operations == operation.value
    got = units.signed(results[f"depth_{depth}"][chosen], 32)
    assert_equal(got, golden.integer(operation, a[chosen], b[chosen]), seed=SEED, a=a[chosen], b=b[chosen])


def test_without_a_multiplier_only_products_are_lost(results: dict[str, np.ndarray]) -> None:
    operation, _, _ = random_operands()
    want = np.where(operation == IntegerOp.MUL.value, 0, results["depth_1"])
    assert_equal(results["no_multiplier"], want, seed=SEED, operation=operation)


def test_a_depth_that_cannot_be_built_is_refused_with_a_sentence() -> None:
    with pytest.raises(ParameterError, match=r"IntegerUnit: depth 4 is not in 1\.\.3"):
        IntegerUnit(4)
