"""Conversions between BF16, FP32, INT32 and INT8: a function for each destination, the source is the array's type."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden_model.numerics.formats import (
    BITS_TYPES,
    Floats,
    canonicalize,
    exact,
    format_of,
    from_bits,
    round_once,
    to_bits,
)
from hdl.arith.formats import BF16, FP32, FloatFormat


def to_bf16(values: ArrayLike, random: ArrayLike | None = None) -> Floats:
    """BF16 from floats or integers, to nearest even; from FP32 stochastically if given 16-bit ``random`` numbers."""
    if random is not None:
        return _stochastic(values, random)
    return _to_float(values, BF16)


def to_fp32(values: ArrayLike) -> Floats:
    """FP32 from floats (exact) or integers (to nearest even)."""
    return _to_float(values, FP32)


def to_int32(values: ArrayLike, toward_zero: bool = False) -> NDArray[np.int32]:
    """INT32 from floats (to nearest even or toward zero; saturates; NaN gives 0) or from INT8."""
    return _to_integer(values, np.int32, toward_zero)


def to_int8(values: ArrayLike, toward_zero: bool = False) -> NDArray[np.int8]:
    """INT8 from floats (to nearest even or toward zero; saturates; NaN gives 0) or from INT32 (saturates)."""
    return _to_integer(values, np.int8, toward_zero)


def _to_float(values: ArrayLike, fmt: FloatFormat) -> Floats:
    # float64 holds every float of the contract and every INT32 exactly
    return round_once(_number(values), fmt)


def _to_integer(values: ArrayLike, to: type[Any], toward_zero: bool) -> NDArray[Any]:
    numbers = _number(values)
    whole = np.trunc(numbers) if toward_zero else np.rint(numbers)
    limits = np.iinfo(to)
    return np.asarray(np.clip(np.where(np.isnan(whole), 0.0, whole), limits.min, limits.max).astype(to))


def _number(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype in (np.int32, np.int8) else exact(array)


def _stochastic(values: ArrayLike, random: ArrayLike) -> Floats:
    if format_of(values) is not FP32:
        raise TypeError("stochastic rounding wants float32")
    bits = to_bits(canonicalize(values))
    noise = np.asarray(random).astype(np.uint32) & np.uint32(0xFFFF)
    magnitude = bits & np.uint32(0x7FFFFFFF)
    kept = (magnitude == 0) | (magnitude >= np.uint32(FP32.infinity))
    summed = np.where(kept, bits, bits + noise)  # a carry past the largest finite number gives infinity by itself
    return from_bits((summed >> np.uint32(16)).astype(BITS_TYPES[BF16]), BF16)
