"""Matrix product in the machine's order: one accumulator an output, k ascending, one :func:`multiply_add` a step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden_model.numerics.formats import SMALLEST_NORMAL, Floats, canonicalize, exact, format_of, single, to_bits
from hdl.arith.formats import BF16, FP32

TILE_ROWS = 32
TILE_SIZE = 1 << 14  # outputs computed together; accumulators and scratch stay in the cache through all of k

# Half a unit of FP32 below the smallest normal: from here on a sum rounds up to it and is kept
_KEPT = SMALLEST_NORMAL - 2.0**-151


def gemm(a: ArrayLike, b: ArrayLike, c: ArrayLike | None = None) -> Floats:
    """a (m, k) BF16 @ b (k, n) BF16 + c (m, n) FP32 -> (m, n) FP32, equal to a loop of multiply-adds over k.

    Without ``c`` the accumulators start from +0. Tile by tile, in float32 where that is proved exact from the operands'
    exponents (:func:`is_exact_in_fp32`), with a rounding from float64 each step elsewhere, five times slower.

    Raises:
        TypeError: the operands are not bfloat16, bfloat16, float32.
        ValueError: their shapes do not fit.
    """
    left, right = np.asarray(a), np.asarray(b)
    start = np.zeros((*left.shape[:1], *right.shape[1:]), np.float32) if c is None else np.asarray(c)
    if (format_of(left), format_of(right), format_of(start)) != (BF16, BF16, FP32):
        raise TypeError("gemm wants bfloat16 operands and a float32 start")
    if left.ndim != 2 or right.ndim != 2 or start.shape != (len(left), right.shape[1]) or left.shape[1] != len(right):
        raise ValueError(f"gemm: shapes {left.shape} @ {right.shape} + {start.shape} do not fit")
    if len(left) > right.shape[1]:
        return gemm(right.T, left.T, start.T).T  # the longer side innermost, where NumPy is fast
    return _tiled(canonicalize(left), canonicalize(right), canonicalize(start))


def _tiled(a: Floats, b: Floats, c: Floats) -> Floats:
    rows = max(1, min(TILE_ROWS, len(a)))
    columns = TILE_SIZE // rows
    result = np.empty_like(c)
    for i in range(0, c.shape[0], rows):
        for j in range(0, c.shape[1], columns):
            tile = np.s_[i : i + rows, j : j + columns]
            operands = a[i : i + rows], b[:, j : j + columns], c[tile]
            result[tile] = (_accumulate_fp32 if is_exact_in_fp32(*operands) else _accumulate_exact)(*operands)
    return canonicalize(result)


@dataclass(frozen=True)
class _Exponents:
    """Least and greatest unbiased exponent of the non-zero values; 128 stands for infinities and NaN."""

    least: int
    greatest: int


def is_exact_in_fp32(a: Floats, b: Floats, c: Floats) -> bool:
    """Whether NumPy's float32 arithmetic gives the contract's bits for ``a @ b + c`` (canonical operands).

    Products are multiples of 2^(least a + least b - 14), ``c`` of 2^(least c - 23). If these powers are no less than
    2^-126, then every sum is a multiple of the smallest normal, and stays one when it is rounded, since rounding only
    clears low bits. So nothing is ever subnormal: products are exact (16 bits, below 2^128 by the last condition), and
    the one rounding of each float32 sum is the multiply-add's. Infinities and NaN are float32's own.
    """
    ea, eb, ec = _exponents(a), _exponents(b), _exponents(c)
    return ea.least + eb.least - 14 >= -126 and ec.least - 23 >= -126 and ea.greatest + eb.greatest + 2 <= 128


def _exponents(values: Floats) -> _Exponents:
    fmt = format_of(values)
    biased = (to_bits(values) >> fmt.fraction_bits) & fmt.EXPONENT_SPECIAL
    biased = biased[biased != 0].astype(np.int32)
    if biased.size == 0:
        return _Exponents(0, 0)
    return _Exponents(int(biased.min()) - fmt.BIAS, int(biased.max()) - fmt.BIAS)


@np.errstate(over="ignore", invalid="ignore")
def _accumulate_fp32(a: Floats, b: Floats, c: Floats) -> NDArray[np.float32]:
    total = np.array(c)
    product = np.empty_like(total)
    for column, row in zip(_columns(single(a)), _rows(single(b)), strict=True):
        np.multiply(column, row, out=product)
        np.add(total, product, out=total)
    return total


@np.errstate(over="ignore", invalid="ignore")
def _accumulate_exact(a: Floats, b: Floats, c: Floats) -> NDArray[np.float32]:
    """The same with each sum in float64, which rounds as :func:`multiply_add` shows, flushed, then cut to float32."""
    result = np.array(c)
    total = result.astype(np.float64)
    scratch = np.empty_like(total)
    kept = np.empty(total.shape, np.bool)
    for column, row in zip(_columns(exact(a)), _rows(exact(b)), strict=True):
        np.multiply(column, row, out=scratch)
        np.add(total, scratch, out=total)
        np.greater_equal(np.abs(total, out=scratch), _KEPT, out=kept)
        np.multiply(total, kept, out=total)  # by zero, so that the sign stays; a NaN stays one
        result[...] = total
        total[...] = result
    return result


def _columns(a: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.ascontiguousarray(a.T)[:, :, np.newaxis]


def _rows(b: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.ascontiguousarray(b)[:, np.newaxis, :]
