"""Kernels on data: launches of PCU programs, and what their results are in plain float64 mathematics.

A case is a generator: it yields a :class:`Launch`, is sent what the launch gave, and so on; when all is computed it
compares with float64 and raises AssertionError beyond its tolerance. Who drives it runs each launch on the golden
model, on RTL, or on both. Every case fits any number of lanes and stages.
"""

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coe_mapping.assembler.pcu import PCUProgram
from golden_model import numerics
from golden_model.pcu import Inputs, Outputs
from hdl.arith.formats import BF16, FP32
from hdl.arith.special_tables import Function
from hdl.params import PCUParams
from hdl.pcu.config import Conversion
from verif import pcu_kernels as kernels

Floats = NDArray[np.float64]
Beats = NDArray[np.uint16]

BF16_STEP = 2.0**-7
"""Relative distance of neighbouring BF16 numbers at most: one rounding is half of it off."""
FP32_UNIT = 2.0**-24
SMALLEST_NORMAL = 2.0**-126
SPECIAL = 2.0**-18
"""Relative error of a special function in FP32, and of the operations in FP32 around it."""


@dataclass(frozen=True)
class Launch:
    """A program and exactly the streams it consumes: beats of vector inputs, words of scalar inputs."""

    program: PCUProgram
    vectors: Mapping[int, Beats]
    scalars: Mapping[int, NDArray[np.uint32]] = field(default_factory=dict)

    def inputs(self, params: PCUParams) -> Inputs:
        """All streams, those that are not used empty."""
        nothing = np.zeros((0, params.lanes), np.uint16)
        return Inputs(
            [self.vectors.get(j, nothing) for j in range(params.VECTOR_INPUTS)],
            [self.scalars.get(j, np.zeros(0, np.uint32)) for j in range(params.SCALAR_INPUTS)],
        )


Case = Generator[Launch, Outputs, None]
Computing = Generator[Launch, Outputs, Floats]
"""Part of a case that computes something."""


def check_consumed(launch: Launch, outputs: Outputs) -> None:
    """Raises AssertionError unless the program took what it was given, no less."""
    for j, beats in enumerate(outputs.vector_beats):
        given = len(launch.vectors.get(j, ()))
        assert beats == given, f"vector input {j} was given {given} beats and {beats} were taken"
    for j, words in enumerate(outputs.scalar_words):
        given = len(launch.scalars.get(j, ()))
        assert words == given, f"scalar input {j} was given {given} words and {words} were taken"


# --- streams of numbers ---


def bf16_beats(values: Any, lanes: int) -> Beats:
    """BF16 vectors, one a beat."""
    return np.asarray(numerics.to_bits(numerics.to_bf16(np.asarray(values, np.float32)))).reshape(-1, lanes)


def fp32_beats(values: Any, lanes: int) -> Beats:
    """FP32 vectors, two beats each."""
    return np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint16).reshape(-1, lanes)


def fp32_words(values: Any) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32)


def bf16(outputs: Outputs) -> Floats:
    """(n, lanes): what vector output 0 sent, as BF16."""
    return np.asarray(numerics.from_bits(outputs.vectors[0], BF16).astype(np.float64))


def fp32(outputs: Outputs) -> Floats:
    """(n, lanes): what vector output 0 sent, as FP32."""
    beats = np.ascontiguousarray(outputs.vectors[0])
    return np.asarray(beats.view(np.float32).reshape(-1, beats.shape[1]), np.float64)


def scalars(outputs: Outputs) -> Floats:
    """(n,): what scalar output 0 sent, as FP32."""
    return np.asarray(numerics.from_bits(outputs.scalars[0], FP32), np.float64)


def rounded(values: Any) -> Floats:
    """To BF16 and back: operands that both sides read alike."""
    return np.asarray(numerics.to_bf16(np.asarray(values, np.float32)).astype(np.float64))


# --- matrix products ---


def matmul(
    params: PCUParams, left: Floats, right: Floats, start: Floats | None = None, columns: bool = False
) -> Computing:
    """left (m, k) @ right (k, n), plus ``start``, in FP32: tiles of ``stages`` rows, of ``interleave`` vectors.

    What is left over at the edges takes programs of its own: fewer rows, fewer slots, a mask. Everything beyond the
    edges is NaN, so that nothing of it can have been used.
    """
    (m, k), n = left.shape, right.shape[1]
    result = np.full((m, n), np.nan)
    for rows in _blocks(m, params.stages):
        for across in _blocks(n, params.interleave * params.lanes):
            tiles = [(r, c) for r in rows for c in across]
            height, width = _length(rows[0]), _length(across[0])
            slots = -(-width // params.lanes)
            program = kernels.gemm(len(tiles), k, slots, height, columns, initial=start is not None)
            if width % params.lanes:
                program = kernels.ragged(program, width, params.lanes)
            broadcast = _by_columns if columns else _by_rows
            vectors = {
                0: [bf16_beats(_padded(right[:, c], 1, params.lanes), params.lanes) for _, c in tiles],
                1: [broadcast(params, left[r]) for r, _ in tiles],
            }
            if start is not None:
                vectors[2] = [_start_beats(params, start[r, c]) for r, c in tiles]
            outputs = yield Launch(program, {j: np.concatenate(beats) for j, beats in vectors.items()})
            products = fp32(outputs).reshape(len(tiles), slots, height, params.lanes).swapaxes(1, 2)
            for (r, c), product in zip(tiles, products.reshape(len(tiles), height, -1), strict=True):
                result[r, c] = product[:, :width]
                np.testing.assert_array_equal(product[:, width:], 0.0, "lanes beyond the edge are masked")
    return result


def _blocks(size: int, block: int) -> list[list[slice]]:
    """The full blocks of ``size``, and the rest if there is one."""
    full = [slice(at, at + block) for at in range(0, size - block + 1, block)]
    rest = [slice(len(full) * block, size)] if size % block else []
    return [blocks for blocks in (full, rest) if blocks]


def _length(block: slice) -> int:
    return int(block.stop - block.start)


def _padded(array: Floats, axis: int, multiple: int) -> Floats:
    """NaN behind, up to a multiple of so many."""
    widths = [(0, -array.shape[axis] % multiple if axis == i else 0) for i in range(array.ndim)]
    return np.pad(array, widths, constant_values=np.nan)


def _by_rows(params: PCUParams, left: Floats) -> Beats:
    """Blocks of a beat a row, each ``lanes`` values of k."""
    blocks = _padded(left, 1, params.lanes).reshape(len(left), -1, params.lanes)
    return bf16_beats(blocks.swapaxes(0, 1), params.lanes)


def _by_columns(params: PCUParams, left: Floats) -> Beats:
    """A beat a k, element s for row s."""
    return bf16_beats(_padded(left.T, 1, params.lanes)[:, : params.lanes], params.lanes)


def _start_beats(params: PCUParams, start: Floats) -> Beats:
    """For slot, for row: a vector."""
    vectors = _padded(start, 1, params.lanes).reshape(len(start), -1, params.lanes)
    return fp32_beats(vectors.swapaxes(0, 1), params.lanes)


def _assert_product(result: Floats, left: Floats, right: Floats, start: Floats | float) -> None:
    """Within the bound of k multiply-adds, each rounded once."""
    steps = left.shape[1] * FP32_UNIT
    bound = steps / (1 - steps) * (np.abs(left) @ np.abs(right) + np.abs(start))
    error = np.abs(result - (left @ right + start))
    assert (error <= bound).all(), f"off by up to {np.max(error / bound):.3g} of what rounding allows"


def gemm(
    params: PCUParams,
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    columns: bool = False,
    initial: bool = False,
) -> Case:
    """A product of ``shape`` (m, k, n). Tolerance: the bound of k roundings."""
    m, k, n = shape
    left, right = rounded(rng.normal(size=(m, k))), rounded(rng.normal(size=(k, n)))
    start = rng.normal(size=(m, n)).astype(np.float32).astype(np.float64) if initial else None
    result = yield from matmul(params, left, right, start, columns)
    _assert_product(result, left, right, 0.0 if start is None else start)


def split_k(params: PCUParams, rng: np.random.Generator) -> Case:
    """Half of k on top of the other half: to the bit the product in one go."""
    left, right = rounded(rng.normal(size=(3, 26))), rounded(rng.normal(size=(26, params.lanes + 1)))
    half = yield from matmul(params, left[:, :13], right[:13])
    both = yield from matmul(params, left[:, 13:], right[13:], half)
    whole = yield from matmul(params, left, right)
    np.testing.assert_array_equal(both, whole)
    _assert_product(whole, left, right, 0.0)


def causal_scores(params: PCUParams, rng: np.random.Generator) -> Case:
    """Scaled, minus infinity after each query's own position. Tolerance: one rounding to BF16."""
    lanes, rows = params.lanes, params.stages
    keys, steps, first = 3 * lanes, 2 * lanes + 1, lanes + 1
    query, key = rounded(rng.normal(size=(rows, steps))), rounded(rng.normal(size=(keys, steps)))
    vectors = bf16_beats(key.reshape(-1, lanes, steps).swapaxes(1, 2), lanes)
    program = kernels.causal_scores(keys, lanes, steps, rows, first, 0.25)
    outputs = yield Launch(program, {0: vectors, 1: np.tile(_by_rows(params, query), (3, 1))})
    scores = bf16(outputs).reshape(-1, rows, lanes).swapaxes(0, 1).reshape(rows, keys)
    seen = np.arange(keys) <= first + np.arange(rows)[:, np.newaxis]
    assert np.isneginf(scores[~seen]).all()
    np.testing.assert_allclose(scores[seen], (query @ key.T * 0.25)[seen], rtol=BF16_STEP / 2 + 1e-4, atol=1e-5)


# --- rows: norms, softmax ---

ROWS, CHUNKS = 3, 5
EPSILON = 1e-5


def _rows(params: PCUParams, rng: np.random.Generator, spread: float = 1.0) -> tuple[Floats, Beats]:
    """(ROWS, CHUNKS * lanes) numbers, and their vectors."""
    x = rounded(rng.normal(size=(ROWS, CHUNKS * params.lanes)) * spread + spread / 4)
    return x, bf16_beats(x, params.lanes)


def _per_column(params: PCUParams, rng: np.random.Generator) -> tuple[Floats, Beats]:
    """A number a column, and the vectors for every row."""
    numbers = rounded(rng.normal(size=CHUNKS * params.lanes))
    return numbers, np.tile(bf16_beats(numbers, params.lanes), (ROWS, 1))


def rms_norm(params: PCUParams, rng: np.random.Generator) -> Case:
    """Tolerance: one rounding to BF16."""
    x, vectors = _rows(params, rng)
    weight, weights = _per_column(params, rng)
    outputs = yield Launch(kernels.inverse_rms(ROWS, CHUNKS, x.shape[1], EPSILON), {0: vectors})
    outputs = yield Launch(kernels.scale_rows(ROWS, CHUNKS), {0: vectors, 1: weights}, {0: outputs.scalars[0]})
    expected = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + EPSILON) * weight
    np.testing.assert_allclose(bf16(outputs).reshape(x.shape), expected, rtol=BF16_STEP / 2 + SPECIAL)


def layer_norm(params: PCUParams, rng: np.random.Generator) -> Case:
    """Mean, deviation, normalise, scale and shift. Tolerance: one rounding to BF16."""
    x, vectors = _rows(params, rng)
    (weight, weights), (bias, biases) = _per_column(params, rng), _per_column(params, rng)
    outputs = yield Launch(kernels.row_mean(ROWS, CHUNKS, x.shape[1]), {0: vectors})
    mean = outputs.scalars[0]
    program = kernels.inverse_deviation(ROWS, CHUNKS, x.shape[1], EPSILON)
    outputs = yield Launch(program, {0: vectors}, {0: mean})
    program = kernels.normalised(ROWS, CHUNKS)
    outputs = yield Launch(program, {0: vectors}, {0: mean, 1: outputs.scalars[0]})
    outputs = yield Launch(kernels.affine(ROWS * CHUNKS), {0: outputs.vectors[0], 1: weights, 2: biases})
    centred = x - x.mean(axis=1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPSILON) * weight + bias
    np.testing.assert_allclose(bf16(outputs).reshape(x.shape), expected, rtol=BF16_STEP / 2 + SPECIAL, atol=1e-4)


def softmax(params: PCUParams, rng: np.random.Generator) -> Case:
    """Maximum, exponentials, their sum, scale. Tolerance: the roundings to BF16 of power, sum and result."""
    x, vectors = _rows(params, rng, spread=4.0)
    outputs = yield Launch(kernels.row_extremum(ROWS, CHUNKS), {0: vectors})
    np.testing.assert_array_equal(scalars(outputs), x.max(axis=1))
    outputs = yield Launch(kernels.exponentials(ROWS, CHUNKS), {0: vectors}, {0: outputs.scalars[0]})
    powers = outputs.vectors[0]
    outputs = yield Launch(kernels.row_inverse_sum(ROWS, CHUNKS), {0: powers})
    outputs = yield Launch(kernels.row_scaled(ROWS, CHUNKS), {0: powers}, {0: outputs.scalars[0]})
    power = np.exp(x - x.max(axis=1, keepdims=True))
    result, expected = bf16(outputs).reshape(x.shape), power / power.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result, expected, rtol=1.5 * BF16_STEP)
    np.testing.assert_allclose(result.sum(axis=1), 1.0, rtol=BF16_STEP / 2)


def sums_of_ragged_rows(params: PCUParams, rng: np.random.Generator) -> Case:
    """Rows as long as a stream of limits says. Tolerance: FP32."""
    lengths = np.array([3, 1, 7, 2, 2], np.uint32)
    x = rounded(rng.normal(size=(int(lengths.sum()), params.lanes)))
    outputs = yield Launch(kernels.ragged_row_sums(len(lengths)), {0: bf16_beats(x, params.lanes)}, {0: lengths})
    expected = [part.sum() for part in np.split(x, np.cumsum(lengths)[:-1])]
    np.testing.assert_allclose(scalars(outputs), expected, rtol=1e-5, atol=1e-5)


def arg_max(params: PCUParams, rng: np.random.Generator, vocabulary: int = 2048) -> Case:
    """The first of three equals among the logits: exact."""
    logits = rounded(rng.normal(size=vocabulary))
    greatest = vocabulary * np.array([6, 3, 7]) // 8 + 1
    logits[greatest] = 9.0
    program = kernels.arg_max(vocabulary // params.lanes, params.lanes)
    outputs = yield Launch(program, {0: bf16_beats(logits, params.lanes)})
    assert outputs.scalars[0].tolist() == [greatest.min()]


# --- element by element ---


def rotary(params: PCUParams, rng: np.random.Generator) -> Case:
    """Neighbouring pairs turned by angles. Tolerance: one rounding to BF16 of the result."""
    x, angle = rounded(rng.normal(size=(6, params.lanes))), rng.uniform(0, 6, size=(6, params.lanes // 2))
    cosine, sine = rounded(np.cos(angle)), rounded(np.sin(angle))
    turned = yield from _rotated(params, x, cosine, sine)
    pairs = x.reshape(6, -1, 2)
    expected = np.stack([pairs[..., 0] * cosine - pairs[..., 1] * sine, pairs[..., 1] * cosine + pairs[..., 0] * sine])
    expected = np.moveaxis(expected, 0, -1).reshape(x.shape)
    np.testing.assert_allclose(turned, expected, rtol=BF16_STEP / 2 + 1e-6, atol=1e-6)


def _rotated(params: PCUParams, x: Floats, cosine: Floats, sine: Floats) -> Computing:
    """Pairs of neighbours in x, (..., 2 n), as complex numbers times cosine + i sine, (..., n); in BF16."""
    lanes = params.lanes
    vectors = bf16_beats(x, lanes)
    sines = bf16_beats(np.stack([-sine, sine], axis=-1), lanes)
    outputs = yield Launch(kernels.rotary_sines(len(vectors)), {0: vectors, 1: sines})
    cosines = bf16_beats(np.repeat(cosine, 2, axis=-1), lanes)
    outputs = yield Launch(kernels.rotary(len(vectors)), {0: vectors, 1: cosines, 2: outputs.vectors[0]})
    return bf16(outputs).reshape(x.shape)


def gelu(params: PCUParams, rng: np.random.Generator) -> Case:
    """The erf form. Tolerance: one rounding to BF16; results below the smallest normal are zero."""
    x = rounded(rng.normal(size=(9, params.lanes)) * 3)
    outputs = yield Launch(kernels.activation(9, Function.GELU), {0: bf16_beats(x, params.lanes)})
    np.testing.assert_allclose(bf16(outputs), _gelu(x), rtol=BF16_STEP / 2 + SPECIAL, atol=SMALLEST_NORMAL)


def _gelu(x: Floats) -> Floats:
    below = [math.erfc(-value / math.sqrt(2)) / 2 for value in x.reshape(-1).tolist()]
    return np.asarray(x * np.reshape(below, x.shape))


def silu_gate(params: PCUParams, rng: np.random.Generator) -> Case:
    """silu(gate) * up, FP32 between. Tolerance: one rounding to BF16."""
    gate, up = (rounded(rng.normal(size=(9, params.lanes)) * 2) for _ in range(2))
    program = kernels.activation(9, Function.SILU, Conversion.NONE)
    outputs = yield Launch(program, {0: bf16_beats(gate, params.lanes)})
    outputs = yield Launch(kernels.product(9), {0: outputs.vectors[0], 1: bf16_beats(up, params.lanes)})
    np.testing.assert_allclose(bf16(outputs), gate / (1 + np.exp(-gate)) * up, rtol=BF16_STEP / 2 + SPECIAL)


def quantised(params: PCUParams, rng: np.random.Generator) -> Case:
    """INT8 by a power of two: exact. An odd number of vectors, ties, and values beyond the range among them."""
    x = rng.integers(-600, 600, (7, params.lanes)) / 2.0
    outputs = yield Launch(kernels.quantise(7, 0.5), {0: fp32_beats(x, params.lanes)})
    packed = np.ascontiguousarray(outputs.vectors[0]).view(np.int8).reshape(-1, params.lanes)
    np.testing.assert_array_equal(packed[:7], np.clip(np.rint(x * 0.5), -128, 127))
    np.testing.assert_array_equal(packed[7:], 0)


def stochastic_rounding(params: PCUParams, rng: np.random.Generator) -> Case:
    """Each result is one of two neighbours, and the mean is unbiased within 4.5 standard errors."""
    n, fraction = 256, 0.3
    low, high = 1.0, 1.0 + 2.0**-7
    x = np.full((n, params.lanes), low + fraction * (high - low), np.float32)
    program = kernels.stochastic(n, int(rng.integers(1, 1 << 32)))
    outputs = yield Launch(program, {0: fp32_beats(x, params.lanes)})
    result = bf16(outputs)
    assert set(np.unique(result)) == {low, high}
    share = (result == high).mean()
    assert abs(share - fraction) < 4.5 * np.sqrt(fraction * (1 - fraction) / result.size), share


# --- scans and transforms ---


def prefix_sums(params: PCUParams, rng: np.random.Generator) -> Case:
    """Across the lanes, by shifts; as many levels a launch as there are stages. Tolerance: FP32."""
    x = rounded(rng.normal(size=(10, params.lanes)))
    beats, distance = fp32_beats(x, params.lanes), 1
    while distance < params.lanes:
        program = kernels.prefix_sums(10, distance, min(params.lanes, distance << params.stages))
        outputs = yield Launch(program, {0: beats})
        beats, distance = outputs.vectors[0], distance << params.stages
    np.testing.assert_allclose(fp32(outputs), np.cumsum(x, axis=1), rtol=1e-5, atol=1e-5)


def running_sums(params: PCUParams, rng: np.random.Generator) -> Case:
    """Over time in every lane, each sum sent. Tolerance: FP32."""
    x = rounded(rng.normal(size=(3, 7, params.lanes)))
    outputs = yield Launch(kernels.running_sums(3, 7), {0: bf16_beats(x, params.lanes)})
    np.testing.assert_allclose(fp32(outputs).reshape(x.shape), np.cumsum(x, axis=1), rtol=1e-5, atol=1e-5)


def walsh_hadamard(params: PCUParams, rng: np.random.Generator) -> Case:
    """A butterfly a launch across the lanes. Tolerance: FP32."""
    lanes, n = params.lanes, 5
    x, matrix = rounded(rng.normal(size=(n, lanes))), np.array([[1.0]])
    beats, distance = fp32_beats(x, lanes), 1
    while distance < lanes:
        signs = np.where(np.arange(lanes) & distance, -1.0, 1.0)
        program = kernels.butterfly(n, distance)
        outputs = yield Launch(program, {0: beats, 1: bf16_beats(np.tile(signs, (n, 1)), lanes)})
        matrix = np.asarray(np.kron([[1.0, 1.0], [1.0, -1.0]], matrix), np.float64)
        beats, distance = outputs.vectors[0], 2 * distance
    np.testing.assert_allclose(fp32(outputs), x @ matrix, rtol=1e-5, atol=1e-5)


def fft(params: PCUParams, rng: np.random.Generator, factor: int) -> Case:
    """Of ``factor`` squared points, by Monarch factors: transforms of the columns, twiddles, transforms of the rows.

    Tolerance: 1 % of the transform's root mean square, rms (BF16 factors, twiddles, and values between), 4 % at worst.
    """
    shape, numbers = (factor, factor), np.arange(factor)
    x = rounded(rng.normal(size=shape)) + 1j * rounded(rng.normal(size=shape))
    turn = np.exp(-2j * np.pi * np.outer(numbers, numbers) / factor)
    twiddle = np.exp(-2j * np.pi * np.outer(numbers, numbers) / factor**2)
    inner = yield from _complex_product(params, turn, x)
    pairs = yield from _rotated(params, _interleaved(inner), rounded(twiddle.real), rounded(twiddle.imag))
    outer = yield from _complex_product(params, turn, (pairs[:, ::2] + 1j * pairs[:, 1::2]).T)
    expected = np.fft.fft(x.reshape(-1))
    error = np.abs(outer.reshape(-1) - expected) / np.sqrt(np.mean(np.abs(expected) ** 2))
    assert np.sqrt(np.mean(error**2)) < 0.01, np.sqrt(np.mean(error**2))
    assert error.max() < 0.04, error.max()


def _complex_product(params: PCUParams, left: Any, right: Any) -> Generator[Launch, Outputs, Any]:
    """left @ right, complex: [Re, Im] @ [right; i right], whose columns are pairs of real and imaginary part."""
    stacked = np.vstack([_interleaved(right), _interleaved(1j * right)])
    pairs = yield from matmul(params, np.hstack([left.real, left.imag]), stacked)
    return pairs[:, ::2] + 1j * pairs[:, 1::2]


def _interleaved(values: Any) -> Floats:
    """(n, m) complex as (n, 2 m) real."""
    return np.stack([values.real, values.imag], axis=-1).reshape(len(values), -1)


# --- all of them ---

CaseMaker = Callable[[PCUParams, np.random.Generator], Case]


def _product(m: int, k: int, n: int, columns: bool = False, initial: bool = False) -> CaseMaker:
    return lambda params, rng: gemm(params, rng, (m, k, n), columns, initial)


AWKWARD: dict[str, CaseMaker] = {
    "gemm 1x1x1": _product(1, 1, 1),
    "gemm 1x1x1, columns, start values": _product(1, 1, 1, columns=True, initial=True),
    "gemm 5x17x33": _product(5, 17, 33),
    "gemm 5x17x33, columns": _product(5, 17, 33, columns=True),
    "gemm 7x3x9, start values": _product(7, 3, 9, initial=True),
    "gemm 3x37x5, columns, start values": _product(3, 37, 5, columns=True, initial=True),
    "gemm 2x300x1": _product(2, 300, 1),
    "gemm 13x1x64": _product(13, 1, 64),
    "gemv 1x64x40": _product(1, 64, 40),
}
KERNELS: dict[str, CaseMaker] = {
    "split k": split_k,
    "causal scores": causal_scores,
    "RMSNorm": rms_norm,
    "LayerNorm": layer_norm,
    "softmax": softmax,
    "ragged rows": sums_of_ragged_rows,
    "arg-max": arg_max,
    "rotary": rotary,
    "GELU": gelu,
    "SiLU gate": silu_gate,
    "INT8": quantised,
    "stochastic rounding": stochastic_rounding,
    "prefix sums": prefix_sums,
    "running sums": running_sums,
    "Walsh-Hadamard": walsh_hadamard,
    "FFT of 64 points": lambda params, rng: fft(params, rng, 8),
}
LARGEST: dict[str, CaseMaker] = {
    "FFT of 1024 points": lambda params, rng: fft(params, rng, 32),
    "gemm 64x300x64": _product(64, 300, 64),
    "gemm 63x299x61, columns, start values": _product(63, 299, 61, columns=True, initial=True),
    "arg-max of 49,152": lambda params, rng: arg_max(params, rng, 49_152),
}
CASES = AWKWARD | KERNELS | LARGEST
