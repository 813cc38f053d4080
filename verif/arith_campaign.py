"""Multiply, add and multiply-add: RTL against the golden model on operands where bugs live, by the million."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

from golden_model import numerics as golden
from hdl.arith.add import Add
from hdl.arith.formats import BF16, FP32, FloatFormat
from hdl.arith.multiply import Multiply
from hdl.arith.multiply_add import MultiplyAdd
from verif import operands, units
from verif.campaign import Part, Result, Shard

Bits = NDArray[Any]
Fields = dict[str, Bits]


@dataclass(frozen=True)
class Operation:
    """How to build the unit at a depth, draw operand bits for its fields, and compute the right result bits."""

    name: str
    unit: Callable[[int], wiring.Component]
    deepest: int
    draw: Callable[[np.random.Generator, int], Fields]
    formats: dict[str, FloatFormat]  # of the float fields
    golden: Callable[..., Bits]
    flags: tuple[str, ...] = ()  # fields of one bit

    def check(self, fields: Fields, depth: int | None = None) -> tuple[Bits, Bits]:
        """(RTL's, golden model's) result bits for operands given field by field."""
        depth = depth or self.deepest // 2
        got = units.results(self.unit(depth), f"{self.name}_{depth}", **fields)
        return got.astype(np.int64), self.golden(**fields).astype(np.int64)


def _add(fmt: FloatFormat) -> Operation:
    def draw(rng: np.random.Generator, count: int) -> Fields:
        a, b = operands.pairs(fmt, rng, count)
        return {"a": a, "b": b, "subtract": rng.integers(0, 2, count)}

    def want(a: Bits, b: Bits, subtract: Bits) -> Bits:
        x, y = golden.from_bits(a, fmt), golden.from_bits(b, fmt)
        return np.where(subtract, golden.to_bits(golden.subtract(x, y)), golden.to_bits(golden.add(x, y)))

    return Operation(
        f"add_{fmt.name}",
        lambda depth: Add(fmt, depth),
        len(Add.STEPS),
        draw,
        {"a": fmt, "b": fmt},
        want,
        ("subtract",),
    )


def _multiply(operand: FloatFormat, result: FloatFormat) -> Operation:
    def draw(rng: np.random.Generator, count: int) -> Fields:
        return dict(zip("ab", operands.pairs(operand, rng, count), strict=True))

    def want(a: Bits, b: Bits) -> Bits:
        product = golden.multiply(golden.from_bits(a, operand), golden.from_bits(b, operand), to=result)
        return golden.to_bits(product)

    def unit(depth: int) -> Multiply:
        return Multiply(operand, result, depth)

    name = f"multiply_{operand.name}" + (f"_{result.name}" if result is not operand else "")
    return Operation(name, unit, len(Multiply.steps(operand)), draw, {"a": operand, "b": operand}, want)


def _multiply_add() -> Operation:
    def draw(rng: np.random.Generator, count: int) -> Fields:
        return dict(zip("abc", operands.triples(rng, count), strict=True))

    def want(a: Bits, b: Bits, c: Bits) -> Bits:
        x, y, z = golden.from_bits(a, BF16), golden.from_bits(b, BF16), golden.from_bits(c, FP32)
        return golden.to_bits(golden.multiply_add(x, y, z))

    formats = {"a": BF16, "b": BF16, "c": FP32}
    return Operation("multiply_add", MultiplyAdd, len(MultiplyAdd.STEPS), draw, formats, want)


OPERATIONS = {
    operation.name: operation
    for operation in (
        _multiply_add(),
        _add(BF16),
        _add(FP32),
        _multiply(BF16, BF16),
        _multiply(BF16, FP32),
        _multiply(FP32, FP32),
    )
}


def corners(operation: Operation) -> Fields:
    """Every combination of both signs, exponents at the ends of the range and around 1, and extreme fractions."""
    columns = {
        name: np.array(
            [
                sign << (fmt.width - 1) | exponent << fmt.fraction_bits | fraction
                for sign in (0, 1)
                for exponent in (0, 1, 2, 64, 126, 127, 128, 254, 255)
                for fraction in (0, 1, (1 << fmt.fraction_bits) - 1)
            ]
        )
        for name, fmt in operation.formats.items()
    }
    columns |= {name: np.array([0, 1]) for name in operation.flags}
    grid = np.meshgrid(*columns.values(), indexing="ij")
    return {name: axis.ravel() for name, axis in zip(columns, grid, strict=True)}


def measure(operation: str, count: int, seed: int, depth: int | None = None) -> int:
    """On how many of ``count`` operand tuples drawn from ``seed`` the RTL differs from the golden model."""
    chosen = OPERATIONS[operation]
    got, want = chosen.check(chosen.draw(np.random.default_rng(seed), count), depth)
    return int(np.count_nonzero(got != want))


def parts(count: int = 20_000_000, shards: int = 10) -> list[Part]:
    """The long campaign: ``count`` operand tuples for every operation, then every depth on fewer."""
    return [_part(operation, count // shards, shards) for operation in OPERATIONS.values()]


def _part(operation: Operation, count: int, shards: int) -> Part:
    drawn = [Shard(f"seed_{seed}", partial(_shard, operation.name, count, seed)) for seed in range(shards)]
    depths = range(1, operation.deepest + 1)
    shaped = [Shard(f"depth_{d}", partial(_shard, operation.name, count // 10, 1000 + d, d)) for d in depths]
    declared = _fma_figures if operation.name == "multiply_add" else _no_figures
    return Part("arith", operation.name, (*drawn, *shaped), declared, _failures)


def _shard(operation: str, count: int, seed: int, depth: int | None = None) -> Result:
    return {"checked": count, "mismatches": measure(operation, count, seed, depth)}


def _fma_figures(results: Sequence[Result]) -> dict[str, float]:
    return {
        "fma_triples_checked": sum(r["checked"] for r in results),
        "fma_mismatches": sum(r["mismatches"] for r in results),
    }


def _no_figures(results: Sequence[Result]) -> dict[str, float]:
    return {}


def _failures(results: Sequence[Result]) -> list[str]:
    wrong, checked = (sum(r[name] for r in results) for name in ("mismatches", "checked"))
    return [f"RTL and golden model differ on {wrong:,.0f} of {checked:,.0f} operand tuples"] if wrong else []
