"""Addition and subtraction in RTL equal the golden model where bugs live, at every depth."""

import numpy as np
import pytest

from hdl.arith.add import Add
from hdl.arith.formats import BF16
from hdl.errors import ParameterError
from verif.agreement import assert_equal
from verif.arith_campaign import OPERATIONS, Operation, corners

ADDITIONS = [OPERATIONS["add_bf16"], OPERATIONS["add_fp32"]]
each = pytest.mark.parametrize("operation", ADDITIONS, ids=lambda operation: operation.name)


@each
def test_a_million_pairs_equal_the_golden_model(operation: Operation, seed: int) -> None:
    fields = operation.draw(np.random.default_rng(seed), 1_000_000)
    assert_equal(*operation.check(fields), seed=seed, **fields)


@each
@pytest.mark.parametrize("depth", range(1, len(Add.STEPS) + 1))
def test_every_depth_computes_the_same_on_corners_and_drawn_pairs(operation: Operation, depth: int, seed: int) -> None:
    drawn = operation.draw(np.random.default_rng(seed), 50_000)
    fields = {name: np.concatenate([drawn[name], extreme]) for name, extreme in corners(operation).items()}
    assert_equal(*operation.check(fields, depth), seed=seed, **fields)


def test_zeros_have_the_sign_that_ieee_754_gives_them() -> None:
    a = np.array([0x0000, 0x8000, 0x8000, 0x0000, 0x3F80, 0x8001])
    b = np.array([0x8000, 0x8000, 0x8000, 0x8000, 0x3F80, 0x8001])
    subtract = np.array([0, 0, 1, 1, 1, 0])
    got, _ = OPERATIONS["add_bf16"].check({"a": a, "b": b, "subtract": subtract})
    assert got.tolist() == [0, 0x8000, 0, 0, 0, 0x8000]


def test_ties_go_to_even() -> None:
    """In BF16, 256 + 1 and 258 + 1 lie halfway between neighbours 2 apart."""
    a, b = np.array([0x4380, 0x4381]), np.array([0x3F80, 0x3F80])
    got, _ = OPERATIONS["add_bf16"].check({"a": a, "b": b, "subtract": np.array([0, 0])})
    assert got.tolist() == [0x4380, 0x4382]


def test_a_depth_that_cannot_be_built_is_refused_with_a_sentence() -> None:
    with pytest.raises(ParameterError, match=r"Add: depth 0 is not in 1\.\.11"):
        Add(BF16, 0)
