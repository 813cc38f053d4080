"""Reductions of the golden model: the order of additions, the lone element, the index of the winner."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from golden_model import numerics as golden
from hdl.arith.formats import FP32
from hdl.arith.operations import ReduceOp
from verif import operands
from verif.agreement import assert_equal

SEED = 9002


def recursive_sum(lanes: list[np.float32]) -> np.float32:
    """The balanced tree as a person would say it: pair neighbours, pass the odd one, again on the half."""
    if len(lanes) == 1:
        return lanes[0]
    sums = [np.float32(golden.add(a, b)) for a, b in zip(lanes[::2], lanes[1::2], strict=False)]
    return recursive_sum(sums + lanes[len(sums) * 2 :])


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 32])
def test_a_lane_tree_adds_neighbours_level_by_level(lanes: int) -> None:
    values = np.random.default_rng(SEED).standard_normal((50, lanes)).astype(np.float32)
    want = np.array([recursive_sum(list(row)) for row in values])
    got = golden.lane_tree(ReduceOp.SUM, values)
    assert_equal(golden.to_bits(got.value), golden.to_bits(want), seed=SEED)
    assert not got.index.any()


def test_the_tree_and_the_order_in_time_differ_where_they_should() -> None:
    values = np.array([1.0, 2.0**-24, 2.0**-24, 2.0**-24], np.float32)
    assert golden.time_reduce(ReduceOp.SUM, values).value == 1.0  # each tie goes to even
    assert golden.lane_tree(ReduceOp.SUM, values).value == 1.0 + 2.0**-23  # the last two meet first


def test_a_reduction_in_time_adds_one_after_the_other() -> None:
    steps = np.random.default_rng(SEED).standard_normal((20, 7)).astype(np.float32)
    want = steps[0]
    for step in steps[1:]:
        want = want + step
    got = golden.time_reduce(ReduceOp.SUM, steps)
    assert_equal(golden.to_bits(got.value), golden.to_bits(want), seed=SEED)


@pytest.mark.parametrize("reduce", [golden.lane_tree, golden.time_reduce])
def test_max_and_min_are_those_of_the_pairs_in_any_order(reduce: object) -> None:
    values = golden.from_bits(operands.singles(FP32, np.random.default_rng(SEED), 9 * 400).reshape(400, 9), FP32)
    for operation, pair in ((ReduceOp.MAX, golden.maximum), (ReduceOp.MIN, golden.minimum)):
        want = values[:, 8]
        for i in reversed(range(8)):
            want = pair(want, values[:, i])
        got = (
            golden.lane_tree(operation, values, axis=1)
            if reduce is golden.lane_tree
            else golden.time_reduce(operation, values, axis=1)
        )
        assert_equal(golden.to_bits(got.value), golden.to_bits(want), seed=SEED)
        assert not got.index.any()


def test_arg_reductions_give_the_winner_and_its_index() -> None:
    values = golden.from_bits(operands.singles(FP32, np.random.default_rng(SEED), 9 * 400).reshape(400, 9), FP32)
    for operation, arg in ((ReduceOp.ARG_MAX, golden.arg_max), (ReduceOp.ARG_MIN, golden.arg_min)):
        got = golden.lane_tree(operation, values)
        assert_equal(got.index, arg(values), seed=SEED)
        winners = golden.canonicalize(values)[np.arange(400), got.index]
        assert_equal(golden.to_bits(got.value), golden.to_bits(winners), seed=SEED)


def test_a_lone_element_comes_out_canonical() -> None:
    lone = golden.from_bits([0x80000001], FP32)
    for reduce in (golden.lane_tree, golden.time_reduce):
        for operation in ReduceOp:
            assert golden.to_bits(reduce(operation, lone).value) == 0x80000000


def test_arg_max_keeps_the_sign_of_the_winning_zero() -> None:
    zeros = np.array([-0.0, 0.0], np.float32)
    assert golden.to_bits(golden.lane_tree(ReduceOp.ARG_MAX, zeros).value) == 0x80000000
    assert golden.to_bits(golden.lane_tree(ReduceOp.MAX, zeros).value) == 0


def test_bf16_reduces_in_bf16() -> None:
    assert golden.lane_tree(ReduceOp.SUM, np.array([256, 1, 1], bfloat16)).value == 256


def test_an_empty_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to reduce"):
        golden.lane_tree(ReduceOp.SUM, np.zeros((3, 0), np.float32))
