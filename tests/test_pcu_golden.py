"""The PCU's golden model against plain float64 mathematics, on the patterns of real kernels."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping.assembler.pcu import PCUProgram, assemble
from golden_model import numerics
from golden_model.pcu import Inputs, Outputs, run
from hdl.arith.formats import BF16, FP32
from hdl.arith.special_tables import Function
from hdl.params import PCUParams
from verif import pcu_kernels as kernels

PARAMS = PCUParams(lanes=8, stages=4)
LANES, ROWS = PARAMS.lanes, PARAMS.stages
BF16_STEP = 2.0**-8


def execute(program: PCUProgram, vectors: dict[int, Any], scalars: dict[int, Any] | None = None) -> Outputs:
    """Runs with streams given as arrays of float64 (beats of BF16) or uint16."""
    nothing = np.zeros((0, LANES), np.uint16)
    streams = [_beats(vectors[j]) if j in vectors else nothing for j in range(PARAMS.VECTOR_INPUTS)]
    words = [np.asarray((scalars or {}).get(j, []), np.uint32) for j in range(PARAMS.SCALAR_INPUTS)]
    return run(PARAMS, assemble(PARAMS, program), Inputs(streams, words))


def _beats(values: Any) -> NDArray[np.uint16]:
    array = np.asarray(values)
    return array if array.dtype == np.uint16 else numerics.to_bits(numerics.to_bf16(array.astype(np.float32)))


def bf16(outputs: Outputs, port: int = 0) -> NDArray[np.float64]:
    return numerics.from_bits(outputs.vectors[port], BF16).astype(np.float64)


def fp32(outputs: Outputs, port: int = 0) -> NDArray[np.float64]:
    words = np.ascontiguousarray(outputs.vectors[port]).view(np.uint32).reshape(-1, LANES)
    return numerics.from_bits(words, FP32).astype(np.float64)


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """To BF16 and back: operands that both sides read alike."""
    return numerics.to_bf16(values.astype(np.float32)).astype(np.float64)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize(("steps", "slots", "rows"), [(1, 1, 1), (13, 3, 2), (32, 4, 4), (300, 4, 3)])
def test_a_gemm_is_a_matrix_product(steps: int, slots: int, rows: int, columns: bool, rng: np.random.Generator) -> None:
    left, right = rounded(rng.normal(size=(rows, steps))), rounded(rng.normal(size=(steps, slots * LANES)))
    start = rng.normal(size=(rows, slots * LANES)).astype(np.float32)
    blocks = -(-steps // LANES)
    if columns:
        broadcast = np.zeros((steps, LANES))
        broadcast[:, :rows] = left.T
    else:
        padded = np.pad(left, ((0, 0), (0, blocks * LANES - steps)))
        broadcast = padded.reshape(rows, blocks, LANES).swapaxes(0, 1).reshape(-1, LANES)
    initial = start.reshape(rows, slots, LANES).swapaxes(0, 1).reshape(-1, LANES)
    outputs = execute(
        kernels.gemm(1, steps, slots, rows, columns, initial=True),
        {
            0: right.reshape(-1, LANES),
            1: broadcast,
            2: np.ascontiguousarray(initial).view(np.uint16).reshape(-1, LANES),
        },
    )
    product = fp32(outputs).reshape(slots, rows, LANES).swapaxes(0, 1).reshape(rows, -1)
    np.testing.assert_allclose(product, left @ right + start, rtol=1e-4, atol=1e-4)
    assert outputs.vector_beats[:3] == (steps * slots, len(broadcast), 2 * slots * rows)


def test_causal_scores_are_minus_infinity_after_the_query(rng: np.random.Generator) -> None:
    keys, steps, query = 3 * LANES, 2 * LANES, 9
    queries, key = rounded(rng.normal(size=(ROWS, steps))), rounded(rng.normal(size=(keys, steps)))
    broadcast = queries.reshape(ROWS, -1, LANES).swapaxes(0, 1).reshape(-1, LANES)
    vectors = key.reshape(-1, LANES, steps).swapaxes(1, 2).reshape(-1, LANES)
    program = kernels.causal_scores(keys, LANES, steps, ROWS, query, 0.25)
    scores = bf16(execute(program, {0: vectors, 1: np.tile(broadcast, (3, 1))}))
    scores = scores.reshape(-1, ROWS, LANES).swapaxes(0, 1).reshape(ROWS, keys)
    seen = np.arange(keys) <= query + np.arange(ROWS)[:, np.newaxis]
    assert np.isneginf(scores[~seen]).all()
    np.testing.assert_allclose(scores[seen], (queries @ key.T * 0.25)[seen], rtol=BF16_STEP, atol=1e-6)


def test_rms_norm_in_two_programs(rng: np.random.Generator) -> None:
    x, weight = rounded(rng.normal(size=(3, 5 * LANES))), rounded(rng.normal(size=5 * LANES))
    vectors = x.reshape(-1, LANES)
    inverse = execute(kernels.inverse_rms(3, 5, 5 * LANES, 1e-5), {0: vectors}).scalars[0]
    assert len(inverse) == 3
    weights = np.tile(weight.reshape(-1, LANES), (3, 1))
    normed = bf16(execute(kernels.scale_rows(3, 5), {0: vectors, 1: weights}, {0: inverse})).reshape(x.shape)
    expected = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5) * weight
    np.testing.assert_allclose(normed, expected, rtol=BF16_STEP)


def test_softmax_pieces(rng: np.random.Generator) -> None:
    x = rounded(rng.normal(size=(4, 6 * LANES)) * 5)
    vectors = x.reshape(-1, LANES)
    greatest = execute(kernels.row_extremum(4, 6), {0: vectors}).scalars[0]
    np.testing.assert_array_equal(numerics.from_bits(greatest, FP32), x.max(axis=1))
    powers = bf16(execute(kernels.exponentials(4, 6), {0: vectors}, {0: greatest})).reshape(x.shape)
    np.testing.assert_allclose(powers, np.exp(x - x.max(axis=1, keepdims=True)), rtol=BF16_STEP)


def test_arg_max_over_a_vocabulary_finds_the_first_of_equals(rng: np.random.Generator) -> None:
    logits = rounded(rng.normal(size=1000 * LANES))
    logits[[4321, 777, 5000]] = 9.0
    index = execute(kernels.arg_max(1000, LANES), {0: logits.reshape(-1, LANES)}).scalars[0]
    assert index.tolist() == [777]


def test_rotary_turns_neighbouring_pairs(rng: np.random.Generator) -> None:
    x, angle = rounded(rng.normal(size=(6, LANES))), rng.uniform(0, 6, size=(6, LANES // 2))
    cosine = rounded(np.repeat(np.cos(angle), 2, axis=1))
    sine = rounded(np.repeat(np.sin(angle), 2, axis=1)) * np.tile([-1, 1], LANES // 2)
    turned = bf16(execute(kernels.rotary(6), {0: x, 1: cosine, 2: sine}))
    swapped = x.reshape(6, -1, 2)[:, :, ::-1].reshape(6, LANES)
    np.testing.assert_allclose(turned, x * cosine + swapped * sine, rtol=BF16_STEP, atol=1e-3)


def test_prefix_sums_across_lanes_and_running_sums_over_time(rng: np.random.Generator) -> None:
    x = rounded(rng.normal(size=(12, LANES)))
    across = fp32(execute(kernels.prefix_sums(12, LANES), {0: x}))
    np.testing.assert_allclose(across, np.cumsum(x, axis=1), rtol=1e-5, atol=1e-5)
    running = fp32(execute(kernels.running_sums(3, 4), {0: x}))
    np.testing.assert_allclose(running.reshape(3, 4, LANES), np.cumsum(x.reshape(3, 4, LANES), axis=1), atol=1e-5)


def test_a_running_sum_of_negative_zeros_is_a_negative_zero() -> None:
    sums = fp32(execute(kernels.running_sums(1, 3), {0: np.full((3, LANES), -0.0)}))
    assert np.signbit(sums).all()


def test_a_special_function_of_every_element(rng: np.random.Generator) -> None:
    x = rounded(rng.normal(size=(10, LANES)))
    sigmoid = bf16(execute(kernels.activation(10, Function.SIGMOID), {0: x}))
    np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-x)), rtol=BF16_STEP)


def test_a_stream_that_ends_early_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="vector input 0 holds 2 elements, the program takes 10"):
        execute(kernels.activation(10, Function.EXP), {0: np.zeros((2, LANES))})
    with pytest.raises(ValueError, match="the program takes 4 broadcast beats on vector input 1, 1 are given"):
        execute(kernels.gemm(1, 8, 1, 4), {0: np.zeros((8, LANES)), 1: np.zeros((1, LANES))})
