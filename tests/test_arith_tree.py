"""The RTL of the lane tree equals the golden model for every operation, any number of lanes, any depth."""

import numpy as np
import pytest

from golden_model import numerics as golden
from hdl.arith.formats import BF16, FP32, FloatFormat
from hdl.arith.operations import ReduceOp
from hdl.arith.tree import LaneTree
from hdl.errors import ParameterError
from verif import operands, units
from verif.agreement import assert_equal

SEED = 88
ALL = tuple(ReduceOp)
COMPARING = (ReduceOp.MAX, ReduceOp.ARG_MIN)


def vectors(fmt: FloatFormat, lanes: int, count: int) -> np.ndarray:
    """Bits (count, lanes): a third anything, a third neighbours in relation, a third numbers of few values and NaN."""
    rng = np.random.default_rng(SEED)
    anything = operands.singles(fmt, rng, count // 3 * lanes).reshape(-1, lanes)
    chained = [operands.pairs(fmt, rng, count // 3) for _ in range(-(-lanes // 2))]
    related = np.stack([x for pair in chained for x in pair], axis=1)[:, :lanes]
    few = np.array([0, 1 << (fmt.width - 1), 1, 0x3F80 << (fmt.width - 16), 0xBF80 << (fmt.width - 16)])
    nan = np.array([fmt.infinity + 1, fmt.canonical_nan])
    chosen = rng.choice(np.concatenate([np.tile(few, 8), nan]), (count // 3, lanes))
    return np.concatenate([anything, related, chosen])


@pytest.mark.parametrize(
    ("fmt", "lanes", "depth", "operations", "count"),
    [
        pytest.param(FP32, 1, 2, ALL, 3_000, id="fp32-1-lane"),
        pytest.param(FP32, 5, 3, ALL, 60_000, id="fp32-5-lanes"),
        pytest.param(FP32, 8, 1, ALL, 240_000, id="fp32-8-lanes"),
        pytest.param(BF16, 6, 5, ALL, 60_000, id="bf16-6-lanes"),
        pytest.param(FP32, 7, 2, COMPARING, 60_000, id="fp32-7-lanes-comparing"),
        pytest.param(FP32, 3, 2, (ReduceOp.SUM,), 60_000, id="fp32-3-lanes-sum"),
    ],
)
def test_a_lane_tree_equals_the_golden_model(
    fmt: FloatFormat, lanes: int, depth: int, operations: tuple[ReduceOp, ...], count: int
) -> None:
    x = vectors(fmt, lanes, count)
    operation = np.array([op.value for op in operations])[np.arange(len(x)) % len(operations)]
    tree = LaneTree(fmt, lanes, depth, operations)
    name = f"lane_tree_{fmt.name}_{lanes}_{depth}_{len(operations)}"
    words = units.results(tree, name, operation=operation, lanes=x)
    got = operands.unpack(tree.o.shape(), words)
    for op in operations:
        chosen = operation == op.value
        want = golden.lane_tree(op, golden.from_bits(x[chosen], fmt))
        assert_equal(got["value"][chosen], golden.to_bits(want.value), what=f"{op.name} value", seed=SEED)
        assert_equal(got.get("index", np.zeros(len(x)))[chosen], want.index, what=f"{op.name} index", seed=SEED)


def test_the_latency_is_a_level_for_each_doubling_and_one() -> None:
    assert [LaneTree(FP32, lanes, 4).latency for lanes in (1, 2, 3, 4, 5, 8, 9, 32)] == [1, 5, 9, 9, 13, 13, 17, 21]


@pytest.mark.parametrize(
    ("lanes", "depth", "operations", "sentence"),
    [
        (0, 1, ALL, "LaneTree: 0 lanes; there must be at least one"),
        (4, 0, ALL, r"LaneTree: depth 0 is not in 1\.\."),
        (4, 1, (), "LaneTree: no operations"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_sentence(
    lanes: int, depth: int, operations: tuple[ReduceOp, ...], sentence: str
) -> None:
    with pytest.raises(ParameterError, match=sentence):
        LaneTree(FP32, lanes, depth, operations)
