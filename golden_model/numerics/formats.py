"""Arrays of the contract's formats: their bits, their values, and the one rounding every float operation ends with."""

from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import ArrayLike, NDArray

from hdl.arith.formats import BF16, FP32, FloatFormat

Floats = NDArray[Any]
"""Array of ``ml_dtypes.bfloat16`` or ``np.float32``; NumPy's types cannot say so."""

VALUE_TYPES: dict[FloatFormat, np.dtype[Any]] = {BF16: np.dtype(bfloat16), FP32: np.dtype(np.float32)}
BITS_TYPES: dict[FloatFormat, np.dtype[Any]] = {BF16: np.dtype(np.uint16), FP32: np.dtype(np.uint32)}

SMALLEST_NORMAL = 2.0**-126  # of both formats


def format_of(values: ArrayLike) -> FloatFormat:
    """The format of an array.

    Raises:
        TypeError: the array is neither bfloat16 nor float32.
    """
    dtype = np.asarray(values).dtype
    for fmt, value_type in VALUE_TYPES.items():
        if dtype == value_type:
            return fmt
    raise TypeError(f"an array of bfloat16 or float32 is wanted, not of {dtype}")


def common_format(*operands: ArrayLike) -> FloatFormat:
    """The one format of all operands.

    Raises:
        TypeError: the operands differ in type, or are no floats of the contract.
    """
    formats = {format_of(x) for x in operands}
    if len(formats) > 1:
        raise TypeError(f"operands must have one type, not {' and '.join(sorted(f.name for f in formats))}")
    return formats.pop()


def to_bits(values: ArrayLike) -> NDArray[Any]:
    """The bits of a float array as ``uint16`` or ``uint32``, same shape, no copy where NumPy allows it."""
    array = np.asarray(values)
    return array.view(BITS_TYPES[format_of(array)])


def from_bits(bits: ArrayLike, fmt: FloatFormat) -> Floats:
    """The float array that has these bits (any integer type; the low bits count)."""
    return np.asarray(bits).astype(BITS_TYPES[fmt]).view(VALUE_TYPES[fmt])


def canonicalize(values: ArrayLike) -> Floats:
    """Subnormals become zeros of their sign, every NaN the canonical one; all else stays."""
    fmt, bits = format_of(values), to_bits(values)
    scalar = bits.dtype.type
    magnitude = bits & scalar((1 << (fmt.width - 1)) - 1)
    bits = np.where(magnitude < scalar(1 << fmt.fraction_bits), bits & scalar(1 << (fmt.width - 1)), bits)
    bits = np.where(magnitude > scalar(fmt.infinity), scalar(fmt.canonical_nan), bits)
    return from_bits(bits, fmt)


@np.errstate(invalid="ignore")  # a signalling NaN
def exact(values: ArrayLike) -> NDArray[np.float64]:
    """The values in float64, which holds them all exactly; subnormals are read as zeros of their sign."""
    wide = single(values).astype(np.float64)
    return np.where(np.abs(wide) < SMALLEST_NORMAL, np.copysign(0.0, wide), wide)


def single(values: ArrayLike) -> NDArray[np.float32]:
    """The same values as float32 (BF16 is its upper half), subnormals untouched."""
    if format_of(values) is FP32:
        return np.asarray(values)
    return (to_bits(values).astype(np.uint32) << np.uint32(16)).view(np.float32)


@np.errstate(over="ignore", invalid="ignore")
def round_once(values: NDArray[np.float64], fmt: FloatFormat) -> Floats:
    """Rounds float64 to ``fmt``: to nearest even, subnormal results to zero, overflow to infinity, NaN canonical.

    Right only if the float64 is the exact result or one that rounds like it; each caller says why it is.

    The significand is cut in the bits, so a carry runs into the exponent by itself; float64's exponent range is so
    much wider that this is the rounding with an unbounded exponent on which the contract judges tininess.
    """
    bits = np.asarray(values, np.float64).view(np.int64)
    dropped = 53 - fmt.precision
    last = (bits >> dropped) & 1
    rounded = ((bits + ((1 << (dropped - 1)) - 1) + last) & -(1 << dropped)).view(np.float64)
    rounded = np.where(np.abs(rounded) < SMALLEST_NORMAL, np.copysign(0.0, rounded), rounded)
    result = np.where(np.isnan(values), np.float32(np.nan), rounded.astype(np.float32)).view(np.uint32)
    return from_bits(result >> np.uint32(FP32.width - fmt.width), fmt)
