"""Float operations, each rounded once: multiply, add, multiply-add, compare, minimum, maximum, arg-max, arg-min.

Arrays are ``bfloat16`` or ``float32`` of any shapes that broadcast. float64 carries the exact result or one that
rounds the same way; why is said at each function.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden_model.numerics.formats import (
    Floats,
    canonicalize,
    common_format,
    exact,
    format_of,
    from_bits,
    round_once,
    to_bits,
)
from hdl.arith.formats import BF16, FP32, FloatFormat
from hdl.arith.operations import CompareOp


@np.errstate(over="ignore", invalid="ignore")
def multiply(a: ArrayLike, b: ArrayLike, to: FloatFormat | None = None) -> Floats:
    """a * b in the operands' format, or in format ``to``.

    The float64 product is exact: 2 x 24 significand bits are fewer than 53, and no exponent leaves float64's range.
    """
    fmt = to or common_format(a, b)
    return round_once(exact(a) * exact(b), fmt)


@np.errstate(invalid="ignore")
def add(a: ArrayLike, b: ArrayLike) -> Floats:
    """a + b in the operands' format.

    The float64 sum may be rounded, but rounding it again does no harm: 53 >= 2 * 24 + 2 (Figueroa, "When is double
    rounding innocuous?", 1995). A sum near or below the smallest normal is exact.
    """
    fmt = common_format(a, b)
    return round_once(exact(a) + exact(b), fmt)


@np.errstate(invalid="ignore")
def subtract(a: ArrayLike, b: ArrayLike) -> Floats:
    """a - b in the operands' format; float64 is safe as in :func:`add`."""
    fmt = common_format(a, b)
    return round_once(exact(a) - exact(b), fmt)


@np.errstate(over="ignore", invalid="ignore")
def multiply_add(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Floats:
    """a * b + c rounded once, BF16 x BF16 + FP32 -> FP32: the step of every GEMM.

    The product p (16 significand bits) is exact in float64. So is p + c, unless the smaller of the two lies more than
    28 binades below the larger. In that case the sum is within a relative 2^-27 of the larger, a number of at most 24
    bits, and the points where FP32 rounding (or the flush to zero, or overflow) changes its mind are at least 2^-25
    away from that: rounding to float64 crosses none of them.

    Raises:
        TypeError: the operands are not bfloat16, bfloat16, float32.
    """
    if (format_of(a), format_of(b), format_of(c)) != (BF16, BF16, FP32):
        raise TypeError("multiply_add wants bfloat16, bfloat16 and float32")
    return round_once(exact(a) * exact(b) + exact(c), FP32)


_COMPARISONS: dict[CompareOp, Callable[[Any, Any], Any]] = {
    CompareOp.LT: np.less,
    CompareOp.LE: np.less_equal,
    CompareOp.EQ: np.equal,
    CompareOp.NE: np.not_equal,
    CompareOp.GT: np.greater,
    CompareOp.GE: np.greater_equal,
}


def compare(operation: CompareOp, a: ArrayLike, b: ArrayLike) -> NDArray[np.bool]:
    """``a operation b``: false with a NaN unless ``NE``; -0 equals +0; subnormals count as zero."""
    common_format(a, b)
    return np.asarray(_COMPARISONS[operation](exact(a), exact(b)))


def minimum(a: ArrayLike, b: ArrayLike) -> Floats:
    """The lesser; NaN if either is; -0 is less than +0; subnormals come out as zero."""
    return _extremum(np.minimum, a, b)


def maximum(a: ArrayLike, b: ArrayLike) -> Floats:
    """The greater; NaN if either is; -0 is less than +0; subnormals come out as zero."""
    return _extremum(np.maximum, a, b)


def arg_max(values: ArrayLike, axis: int = -1) -> NDArray[np.int32]:
    """Index of the greatest along ``axis``: the lowest among equals (-0 equals +0); the first NaN beats all numbers."""
    # NumPy's arg-max has these rules but for subnormals
    return np.asarray(np.argmax(exact(values), axis=axis), np.int32)


def arg_min(values: ArrayLike, axis: int = -1) -> NDArray[np.int32]:
    """Index of the least along ``axis``, by the rules of :func:`arg_max`."""
    return np.asarray(np.argmin(exact(values), axis=axis), np.int32)


def _extremum(choose: Callable[[Any, Any], Any], a: ArrayLike, b: ArrayLike) -> Floats:
    fmt = common_format(a, b)
    chosen = _from_ordinal(choose(_ordinal(a), _ordinal(b)), fmt)
    return canonicalize(np.where(np.isnan(exact(a)) | np.isnan(exact(b)), np.array(np.nan, chosen.dtype), chosen))


def _ordinal(values: ArrayLike) -> NDArray[Any]:
    """Signed integers in the order of the floats, -0 just below +0: negative numbers have their magnitude inverted."""
    bits = to_bits(canonicalize(values))
    signed = bits.view(np.dtype(f"i{bits.itemsize}"))
    return np.asarray(signed ^ ((signed >> (8 * bits.itemsize - 1)) & np.iinfo(signed.dtype).max))


def _from_ordinal(ordinal: NDArray[Any], fmt: FloatFormat) -> Floats:
    return from_bits(ordinal ^ ((ordinal >> (fmt.width - 1)) & np.iinfo(ordinal.dtype).max), fmt)
