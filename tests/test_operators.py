"""Operators of the golden model: the orders they state, bit for bit, and nearness to plain float64."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from golden_model import numerics as golden
from golden_model.numerics.special import evaluate
from golden_model.operators import ContractArithmetic, PlainArithmetic
from hdl.arith.special_tables import Function
from verif.agreement import assert_equal

PLAIN = PlainArithmetic()
FREQUENCIES = (1.0, 0.1, 0.013, 0.0017, 0.0002)
HEAD_SIZE = 2 * len(FREQUENCIES)
HALF_ULP = 2.0**-8  # what rounding to BF16 may change a number by, as a share of it


def normal(rng: np.random.Generator, *shape: int) -> Any:
    return golden.to_bf16(rng.standard_normal(shape).astype(np.float32))


def wide(values: Any) -> NDArray[np.float64]:
    return np.asarray(values).astype(np.float64)


def fp32(value: float) -> Any:
    return np.float32(value)


def sum_in_order(values: Any, lanes: int) -> Any:
    """The sum as the machine forms it, one scalar addition after the other."""
    total = None
    for start in range(0, len(values), lanes):
        level = [*values[start : start + lanes], *[fp32(0)] * max(0, start + lanes - len(values))]
        while len(level) > 1:
            level = [golden.add(level[i], level[i + 1]) for i in range(0, len(level), 2)]
        total = level[0] if total is None else golden.add(total, level[0])
    return total


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_a_norm_sums_squares_by_the_lane_tree_and_then_vector_by_vector(lanes: int, rng: np.random.Generator) -> None:
    x, weight = normal(rng, 1, 29), normal(rng, 29)
    got = ContractArithmetic(lanes).rms_norm(x, weight, epsilon=1e-5)
    single = golden.to_fp32(x[0])
    total = sum_in_order([golden.multiply(v, v) for v in single], lanes)
    mean = golden.add(golden.multiply(total, fp32(1 / 29)), fp32(1e-5))
    scale = evaluate(Function.RSQRT, mean)
    want = [golden.multiply(golden.multiply(v, scale), w) for v, w in zip(single, golden.to_fp32(weight), strict=True)]
    assert_equal(golden.to_bits(got[0]), golden.to_bits(golden.to_bf16(np.array(want))), what="norm")


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_softmax_weights_are_rounded_before_they_are_summed(lanes: int, rng: np.random.Generator) -> None:
    """Scores so far apart that sums are inexact and their order shows."""
    scores = rng.standard_normal((12, 1, 61)).astype(np.float32) * 8
    weights, reciprocal = ContractArithmetic(lanes).softmax(scores)
    for row in range(len(scores)):
        differences = golden.subtract(scores[row, 0], scores[row].max())
        want = golden.to_bf16(evaluate(Function.EXP, differences))
        assert_equal(golden.to_bits(weights[row, 0]), golden.to_bits(want), what=f"weights of row {row}")
        total = sum_in_order(golden.to_fp32(want), lanes)
        assert reciprocal[row, 0] == evaluate(Function.RECIPROCAL, total), f"row {row}"


def test_an_activation_acts_on_the_fp32_sum_before_it_is_rounded(rng: np.random.Generator) -> None:
    x, weight = normal(rng, 3, 11), normal(rng, 7, 11)
    total = golden.gemm(x, weight.T)
    arithmetic = ContractArithmetic()
    got = arithmetic.linear(x, weight, activation="silu")
    assert_equal(golden.to_bits(got), golden.to_bits(golden.to_bf16(evaluate(Function.SILU, total))), what="gate")
    assert_equal(golden.to_bits(arithmetic.linear(x, weight, wide=True)), golden.to_bits(total), what="logits")


def test_rotary_turns_neighbours_with_two_products_and_a_sum(rng: np.random.Generator) -> None:
    arithmetic = ContractArithmetic()
    cos, sin = arithmetic.rotary_tables(FREQUENCIES, 1.0, 9)
    x, position = golden.to_fp32(normal(rng, HEAD_SIZE)), 7
    got = arithmetic.rotary(golden.to_bf16(x)[np.newaxis], np.array([position]), cos, sin)[0]
    for pair in range(len(FREQUENCIES)):
        c, s = golden.to_fp32(cos[position, pair]), golden.to_fp32(sin[position, pair])
        even, odd = x[2 * pair], x[2 * pair + 1]
        want_even = golden.to_bf16(golden.add(golden.multiply(even, c), golden.multiply(odd, -s)))
        want_odd = golden.to_bf16(golden.add(golden.multiply(odd, c), golden.multiply(even, s)))
        assert (got[2 * pair], got[2 * pair + 1]) == (want_even, want_odd)


def test_attention_is_bit_for_bit_a_loop_over_heads_and_rows(rng: np.random.Generator) -> None:
    arithmetic, sequences, tokens, heads, kv_heads, capacity = ContractArithmetic(4), 2, 3, 4, 2, 13
    rows = sequences * tokens
    queries = normal(rng, rows, heads * HEAD_SIZE)
    keys, values = (normal(rng, sequences, kv_heads, capacity, HEAD_SIZE) for _ in range(2))
    positions = np.tile(np.arange(5, 5 + tokens, dtype=np.int32), sequences)
    scores = arithmetic.scores(queries, keys, positions, scale=0.31)
    weights, reciprocal = arithmetic.softmax(scores)
    got = arithmetic.values(weights, reciprocal, values).reshape(rows, heads, HEAD_SIZE)
    for row in range(rows):
        sequence, live = row // tokens, int(positions[row]) + 1
        for head in range(heads):
            query = queries[row, head * HEAD_SIZE : (head + 1) * HEAD_SIZE][np.newaxis]
            product = golden.gemm(query, keys[sequence, head // 2, :live].T)
            p, r = arithmetic.softmax(golden.multiply(product, fp32(0.31))[np.newaxis])
            total = golden.gemm(p[0], values[sequence, head // 2, :live])
            want = golden.to_bf16(golden.multiply(total, r[0]))
            assert_equal(golden.to_bits(got[row, head]), golden.to_bits(want[0]), what=f"row {row} head {head}")


def test_nothing_beyond_a_rows_own_position_changes_a_bit_of_attention(rng: np.random.Generator) -> None:
    arithmetic, live = ContractArithmetic(), 6
    queries = normal(rng, 1, 2 * HEAD_SIZE)
    keys, values = (normal(rng, 1, 1, 11, HEAD_SIZE) for _ in range(2))
    positions = np.array([live - 1], np.int32)

    def attention() -> Any:
        weights, reciprocal = arithmetic.softmax(arithmetic.scores(queries, keys, positions, scale=0.3))
        return arithmetic.values(weights, reciprocal, values)

    before = attention()
    keys[:, :, live:], values[:, :, live:] = 1e3, -1e3
    assert_equal(golden.to_bits(attention()), golden.to_bits(before), what="attention")
    keys[:, :, live - 1] = 2.0
    assert (attention() != before).any()


def test_append_writes_each_row_at_its_position_and_leaves_the_old_cache_alone(rng: np.random.Generator) -> None:
    cache = normal(rng, 2, 3, 5, 4)
    old = cache.copy()
    x = normal(rng, 4, 12)
    new = ContractArithmetic().append(cache, x, np.array([1, 2, 1, 2]))
    assert (cache == old).all()
    for sequence in range(2):
        for token in range(2):
            assert (new[sequence, :, 1 + token].reshape(-1) == x[2 * sequence + token]).all()
    assert (new[:, :, [0, 3, 4]] == old[:, :, [0, 3, 4]]).all()


def test_the_last_row_of_each_sequence_is_taken() -> None:
    x = np.arange(12).reshape(6, 2)
    assert ContractArithmetic().last_rows(x, sequences=2).tolist() == [[4, 5], [10, 11]]


def test_arg_max_takes_the_lowest_index_among_equals() -> None:
    logits = np.array([[1, 3, 3], [0, -0.0, -1]], np.float32)
    assert ContractArithmetic().arg_max(logits).tolist() == [1, 0]
    assert PLAIN.arg_max(logits).tolist() == [1, 0]


def test_every_operator_is_within_its_tolerance_of_float64(rng: np.random.Generator) -> None:
    contract = ContractArithmetic()
    x, y, weight = normal(rng, 6, 30), normal(rng, 6, 30), normal(rng, 30)
    matrix = golden.to_bf16((rng.standard_normal((25, 30)) / 30**0.5).astype(np.float32))
    cases = {
        "norm": (contract.rms_norm(x, weight, epsilon=1e-5), PLAIN.rms_norm(wide(x), wide(weight), epsilon=1e-5)),
        "add": (contract.add(x, y), PLAIN.add(wide(x), wide(y))),
        "multiply": (contract.multiply(x, y), PLAIN.multiply(wide(x), wide(y))),
        "linear": (contract.linear(x, matrix), PLAIN.linear(wide(x), wide(matrix))),
        "gate": (contract.linear(x, matrix, activation="silu"), PLAIN.linear(wide(x), wide(matrix), activation="silu")),
    }
    for name, (got, want) in cases.items():
        # one rounding to BF16, and what FP32 inside adds: nothing that is seen but where a sum cancels
        np.testing.assert_allclose(wide(got), want, rtol=1.001 * HALF_ULP, atol=4e-6, err_msg=name)


def test_rotary_and_attention_are_within_their_tolerance_of_float64(rng: np.random.Generator) -> None:
    contract, positions = ContractArithmetic(), np.arange(6, dtype=np.int32)
    x = normal(rng, 6, 4 * HEAD_SIZE)
    keys, values = (normal(rng, 1, 2, 9, HEAD_SIZE) for _ in range(2))
    turned = contract.rotary(x, positions, *contract.rotary_tables(FREQUENCIES, 1.1, 9))
    exact = PLAIN.rotary(wide(x), positions, *PLAIN.rotary_tables(FREQUENCIES, 1.1, 9))
    # two roundings, the table's and the result's, of numbers no longer than the pair
    np.testing.assert_allclose(wide(turned), exact, rtol=0, atol=2 * HALF_ULP * 1.1 * 2**0.5 * np.abs(wide(x)).max())
    scores = contract.scores(x, keys, positions, scale=0.3)
    np.testing.assert_allclose(scores, PLAIN.scores(wide(x), wide(keys), positions, scale=0.3), rtol=1e-5, atol=1e-5)
    got = contract.values(*contract.softmax(scores), values)
    want = PLAIN.values(*PLAIN.softmax(wide(scores)), wide(values))
    # weights, their sum and the result are off by one rounding each; the weights add up to one
    np.testing.assert_allclose(wide(got), want, rtol=0, atol=3 * HALF_ULP * np.abs(wide(values)).max())
