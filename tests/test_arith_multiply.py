"""Multiplication in RTL equals the golden model where bugs live, at every depth."""

import numpy as np
import pytest

from hdl.arith.formats import BF16, FP32
from hdl.arith.multiply import Multiply
from hdl.errors import ParameterError
from verif.agreement import assert_equal
from verif.arith_campaign import OPERATIONS, Operation, corners

MULTIPLICATIONS = [
    operation for name, operation in OPERATIONS.items() if name.startswith(("multiply_bf16", "multiply_fp32"))
]
each = pytest.mark.parametrize("operation", MULTIPLICATIONS, ids=lambda operation: operation.name)


@each
def test_a_million_pairs_equal_the_golden_model(operation: Operation, seed: int) -> None:
    fields = operation.draw(np.random.default_rng(seed), 1_000_000)
    assert_equal(*operation.check(fields), seed=seed, **fields)


@each
def test_every_depth_computes_the_same_on_corners_and_drawn_pairs(operation: Operation, seed: int) -> None:
    drawn = operation.draw(np.random.default_rng(seed), 50_000)
    fields = {name: np.concatenate([drawn[name], extreme]) for name, extreme in corners(operation).items()}
    for depth in range(1, operation.deepest + 1):
        assert_equal(*operation.check(fields, depth), seed=seed, **fields)


def test_tininess_is_judged_after_rounding() -> None:
    """1.414^2 x 2^-127 lies within half a BF16 ulp below 2^-126, but is an FP32 number below it."""
    pair = {"a": np.array([0x2035]), "b": np.array([0x1FB5])}
    assert OPERATIONS["multiply_bf16"].check(pair)[0] == [0x0080]
    assert OPERATIONS["multiply_bf16_fp32"].check(pair)[0] == [0]


def test_what_cannot_be_built_is_refused_with_a_sentence() -> None:
    with pytest.raises(ParameterError, match="Multiply: fp32 to bf16 is not one of bf16 to bf16"):
        Multiply(FP32, BF16)
    with pytest.raises(ParameterError, match=r"Multiply: depth 6 is not in 1\.\.5"):
        Multiply(BF16, BF16, 6)
