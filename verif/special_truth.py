"""True values of the special functions, and how far results are from them.

Nothing here knows how the golden model or the hardware compute.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from golden_model.numerics.formats import Floats, exact, from_bits
from hdl.arith.formats import BF16
from hdl.arith.special_tables import Function

Doubles = NDArray[np.float64]
OfReal = Callable[[Any], Any]
OfDoubles = Callable[[Doubles], Doubles]

SMALLEST_NORMAL = 2.0**-126
TOO_LARGE = 2.0**128
TINY, LARGE = 2.0**-24, 2.0**8
BITS = 120  # nothing cancels more than 60 bits between TINY and LARGE

ALL_BF16 = from_bits(np.arange(1 << BF16.width), BF16)
"""Every BF16 bit pattern once."""

ALGEBRAIC: dict[Function, OfReal] = {
    Function.RECIPROCAL: lambda x: 1 / x,
    Function.RSQRT: lambda x: 1 / mpmath.sqrt(x),
    Function.SQRT: mpmath.sqrt,
}
"""Functions that mpmath computes for every finite operand but zero; the values there and at infinity are limits."""

AT_ZERO = {Function.RECIPROCAL: np.inf, Function.RSQRT: np.inf, Function.SQRT: 0.0}
AT_INFINITY = {Function.RECIPROCAL: 0.0, Function.RSQRT: 0.0, Function.SQRT: np.inf}


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _gelu_tanh(x: Any) -> Any:
    # x (1 + tanh u) / 2 in a form that does not cancel for negative x
    return x * _sigmoid(mpmath.sqrt(8 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))


TRANSCENDENTAL: dict[Function, OfReal] = {
    Function.EXP: mpmath.exp,
    Function.EXP2: lambda x: mpmath.power(2, x),
    Function.SIGMOID: _sigmoid,
    Function.SILU: lambda x: x * _sigmoid(x),
    Function.TANH: mpmath.tanh,
    Function.GELU: lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    Function.GELU_TANH: _gelu_tanh,
}
"""Functions that mpmath computes for TINY <= |x| < LARGE; below and beyond, the tables that follow are exact enough."""

NEAR_ZERO: dict[Function, OfDoubles] = {
    Function.EXP: lambda x: 1 + x,
    Function.EXP2: lambda x: 1 + x * math.log(2),
    Function.SIGMOID: lambda x: 0.5 + x / 4,
    Function.SILU: lambda x: x / 2 + x * x / 4,
    Function.TANH: lambda x: x,
    Function.GELU: lambda x: x / 2 + x * x / math.sqrt(2 * math.pi),
    Function.GELU_TANH: lambda x: x / 2 + x * x / math.sqrt(2 * math.pi),
}
"""First terms of each series: below 2^-24 the terms left out are under 2^-46 of the value."""

FAR_BELOW = {Function.TANH: -1.0}  # every other is a zero: under 2^-360
FAR_ABOVE: dict[Function, OfDoubles] = {
    Function.EXP: lambda x: np.full_like(x, np.inf),
    Function.EXP2: lambda x: np.full_like(x, np.inf),
    Function.SIGMOID: np.ones_like,
    Function.SILU: lambda x: x,
    Function.TANH: np.ones_like,
    Function.GELU: lambda x: x,
    Function.GELU_TANH: lambda x: x,
}
"""Values beyond LARGE, to 2^-360 of the value, or infinity for what exceeds every FP32."""


@cache
def true_values(function: Function) -> Doubles:
    """The value of ``function`` at each of :data:`ALL_BF16`, correct to 2^-46 of itself; NaN where there is none.

    mpmath rounds its value to float64 once. Subnormals are read as zeros. Where a float64 loses a value below 2^-1074,
    the result is a zero whatever it is.
    """
    x = exact(ALL_BF16)
    return _algebraic(function, x) if function in ALGEBRAIC else _transcendental(function, x)


def _algebraic(function: Function, x: Doubles) -> Doubles:
    out = np.full_like(x, np.nan)
    out[x == 0] = np.copysign(AT_ZERO[function], x[x == 0])
    out[np.isinf(x)] = np.copysign(AT_INFINITY[function], x[np.isinf(x)])
    usual = np.isfinite(x) & (x != 0)
    if function is not Function.RECIPROCAL:
        out[x == -np.inf] = np.nan
        usual &= x > 0
    out[usual] = _by_mpmath(ALGEBRAIC[function], x[usual])
    return out


def _transcendental(function: Function, x: Doubles) -> Doubles:
    out = np.full_like(x, np.nan)
    near, far = np.abs(x) < TINY, np.abs(x) >= LARGE
    out[near] = NEAR_ZERO[function](x[near])
    out[far & (x < 0)] = FAR_BELOW.get(function, 0.0)
    out[far & (x > 0)] = FAR_ABOVE[function](x[far & (x > 0)])
    usual = ~near & ~far & ~np.isnan(x)
    out[usual] = _by_mpmath(TRANSCENDENTAL[function], x[usual])
    return out


def _by_mpmath(formula: OfReal, x: Doubles) -> list[float]:
    with mpmath.workprec(BITS):
        return [float(formula(mpmath.mpf(value))) for value in x.tolist()]


def double_values(function: Function, x: Doubles) -> Doubles:
    """The value in plain float64, good to 2^-40 of itself (a test asks mpmath): a yardstick for FP32 results."""
    return np.asarray(_DOUBLE[function](x), np.float64)


_erfc = np.vectorize(math.erfc, otypes=[np.float64])

_DOUBLE: dict[Function, OfDoubles] = {
    Function.EXP: np.exp,
    Function.EXP2: np.exp2,
    Function.RECIPROCAL: lambda x: 1 / x,
    Function.RSQRT: lambda x: 1 / np.sqrt(x),
    Function.SQRT: np.sqrt,
    Function.SIGMOID: lambda x: 1 / (1 + np.exp(-x)),
    Function.SILU: lambda x: x / (1 + np.exp(-x)),
    Function.TANH: np.tanh,
    Function.GELU: lambda x: x * _erfc(-x / math.sqrt(2)) / 2,
    Function.GELU_TANH: lambda x: x / (1 + np.exp(-math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))),
}


def ulps(result: Floats, true: Doubles) -> Doubles:
    """Distance of BF16 results from true values in units of the true value's last BF16 place.

    The numbers of the contract are 0 and the normals, so below 2^-126 the unit is 2^-126; infinity counts as 2^128,
    and so does every true value beyond. NaN in only one of the two is infinitely far, in both no distance.
    """
    value = np.clip(exact(result), -TOO_LARGE, TOO_LARGE)
    target = np.clip(true, -TOO_LARGE, TOO_LARGE)
    binade = np.frexp(target)[1] - BF16.precision
    place = np.where(np.abs(target) >= SMALLEST_NORMAL, np.exp2(binade.astype(np.float64)), SMALLEST_NORMAL)
    either, both = np.isnan(value) | np.isnan(true), np.isnan(value) & np.isnan(true)
    return np.where(both, 0.0, np.where(either, np.inf, np.abs(value - target) / place))


def relative_errors(result: NDArray[np.float32], true: Doubles) -> Doubles:
    """|result / true - 1| where the true value is a normal FP32; 0 elsewhere, where rounding is all there is to err."""
    usual = (np.abs(true) >= SMALLEST_NORMAL) & (np.abs(true) < TOO_LARGE * (1 - 2.0**-20))
    safe = np.where(usual, true, 1.0)
    return np.where(usual, np.abs(result.astype(np.float64) / safe - 1), 0.0)
