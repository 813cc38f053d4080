"""Special functions measured: golden model against true values, RTL against golden model, on every BF16 there is."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from golden_model.numerics.convert import to_bf16
from golden_model.numerics.formats import exact, from_bits, to_bits
from golden_model.numerics.special import evaluate
from hdl.arith.formats import FP32
from hdl.arith.special import Operand, SpecialFunction
from hdl.arith.special_tables import Function
from verif import operands
from verif.campaign import Part, Result, Shard
from verif.sim import Model, compile_python
from verif.special_truth import ALL_BF16, SMALLEST_NORMAL, double_values, relative_errors, true_values, ulps

Bits = NDArray[np.integer]

DEEPEST = len(SpecialFunction.STEPS)
ALL_AS_FP32 = to_bits(ALL_BF16).astype(np.int64) << (FP32.width - 16)
"""Every BF16 as the FP32 bits that the unit takes."""


@dataclass(frozen=True)
class Errors:
    """What the golden model errs by.

    Attributes:
        max_ulp: over all BF16 inputs, of the result rounded to BF16; at most 1 where a subnormal is flushed to zero.
        max_ulp_normal: the same where the true value is a normal number; 0.5 is what rounding alone costs.
        relative: of the FP32 result, over all BF16 inputs and random FP32 inputs.
    """

    max_ulp: float
    max_ulp_normal: float
    relative: float


@dataclass(frozen=True)
class Measurement:
    """One function: the golden model's errors, and the BF16 inputs on which the RTL differs from it."""

    errors: Errors
    mismatches: int


def golden_errors(function: Function, random: int = 100_000, seed: int = 1) -> Errors:
    """Errors of one function, ``random`` FP32 operands included."""
    true, result = true_values(function), evaluate(function, ALL_BF16)
    distance = ulps(to_bf16(result), true)
    normal = (np.abs(true) >= SMALLEST_NORMAL) | np.isnan(true)
    x = random_operands(random, seed)
    single = evaluate(function, x)
    with np.errstate(all="ignore"):
        relative = relative_errors(single, double_values(function, exact(x)))
    return Errors(
        max_ulp=float(distance.max()),
        max_ulp_normal=float(distance[normal].max()),
        relative=float(max(relative.max(), relative_errors(result, true).max())),
    )


def random_operands(count: int, seed: int) -> NDArray[np.float32]:
    """FP32 operands: half where bugs live, half of magnitudes 2^-16 to 2^8, where the functions are no constants."""
    rng = np.random.default_rng(seed)
    sign, exponent, fraction = rng.integers((0, 127 - 16, 0), (2, 127 + 8, 1 << 23), (count - count // 2, 3)).T
    curved = operands.pack(FP32.layout, sign=sign, exponent=exponent, fraction=fraction).astype(np.int64)
    everywhere = operands.singles(FP32, rng, count // 2).astype(np.int64)
    values: NDArray[np.float32] = from_bits(np.concatenate([everywhere, curved]), FP32)
    return values


@cache
def model(depth: int = DEEPEST, functions: tuple[Function, ...] = tuple(Function)) -> Model:
    """The RTL unit, built once."""
    chosen = "" if len(functions) == len(Function) else "_" + "_".join(f.name.lower() for f in functions)
    # the tables make the C++ long enough for Verilator to split it, which only slows the build of one small unit
    flags = ("--output-split", "0")
    return compile_python(SpecialFunction(functions, depth), f"special_function{chosen}_{depth}", flags=flags)


def rtl(unit: Model, function: Function, bits: Bits, gaps: NDArray[np.integer] | None = None) -> NDArray[np.int64]:
    """FP32 bits that the RTL gives for FP32 operand bits."""
    words = operands.pack(Operand, function=np.int64(function.value), x=bits)
    return unit.stream(words, gaps).astype(np.int64)


def golden(function: Function, bits: Bits) -> NDArray[np.int64]:
    """FP32 bits that the golden model gives for FP32 operand bits."""
    return to_bits(evaluate(function, from_bits(bits, FP32))).astype(np.int64)


def mismatches(function: Function, bits: Bits, unit: Model | None = None) -> int:
    """On how many of ``bits`` the RTL, by default of all functions at full depth, differs from the golden model."""
    return int(np.count_nonzero(rtl(unit or model(), function, bits) != golden(function, bits)))


def measure(functions: Iterable[Function] = tuple(Function)) -> dict[Function, Measurement]:
    """Every function's errors, and its mismatches on all 65,536 BF16 inputs."""
    return {f: Measurement(golden_errors(f), mismatches(f, ALL_AS_FP32)) for f in functions}


def table(errors: dict[Function, Errors]) -> str:
    """The errors as text, a line a function."""
    lines = [f"{'function':<12}{'BF16 ulp':>10}{'of normals':>12}{'FP32 relative':>15}"]
    lines += [
        f"{f.name.lower():<12}{e.max_ulp:>10.4f}{e.max_ulp_normal:>12.4f}{f'2^{math.log2(e.relative):.2f}':>15}"
        for f, e in errors.items()
    ]
    return "\n".join(lines)


def part(random: int = 2_000_000) -> Part:
    """The long campaign: each function on every BF16 and ``random`` FP32 operands, every depth and choice on fewer."""
    by_function = [Shard(f.name.lower(), partial(_function_shard, f, random)) for f in Function]
    by_depth = [Shard(f"depth_{d}", partial(_unit_shard, d, tuple(Function), random // 20)) for d in range(1, DEEPEST)]
    alone = [Shard(f"only_{f.name.lower()}", partial(_unit_shard, 8, (f,), random // 20)) for f in Function]
    return Part("arith", "special", (*by_function, *by_depth, *alone), _figures, _failures)


def _function_shard(function: Function, random: int) -> Result:
    measured = measure([function])[function]
    extra = mismatches(function, to_bits(random_operands(random, seed=function.value)))
    return {"max_ulp": measured.errors.max_ulp, "mismatches": measured.mismatches, "fp32_mismatches": extra}


def _unit_shard(depth: int, functions: tuple[Function, ...], random: int) -> Result:
    bits = to_bits(random_operands(random, seed=depth))
    return {"fp32_mismatches": sum(mismatches(f, bits, model(depth, functions)) for f in functions)}


def _figures(results: Sequence[Result]) -> dict[str, float]:
    return {
        "special_functions_max_ulp": max(r.get("max_ulp", 0.0) for r in results),
        "special_functions_rtl_mismatches": sum(r.get("mismatches", 0) for r in results),
    }


def _failures(results: Sequence[Result]) -> list[str]:
    figures = _figures(results)
    wrong = sum(r["fp32_mismatches"] for r in results) + figures["special_functions_rtl_mismatches"]
    sentences = [f"RTL and golden model differ on {wrong:.0f} operands"] if wrong else []
    if figures["special_functions_max_ulp"] > 1:
        sentences.append(f"an error of {figures['special_functions_max_ulp']:.4f} BF16 ulp, more than 1")
    return sentences
