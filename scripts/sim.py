"""``make sim``: one attention head, every operation of it on compiled RTL, compared bit for bit.

RMSNorm, projections, scores, softmax and the product with the values run through the RTL's arithmetic units, one
operand a cycle. Every tensor is compared with the golden model bit for bit, and with float64 mathematics for accuracy.
"""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from golden_model import numerics as golden
from golden_model.numerics import special
from hdl.arith.add import Add
from hdl.arith.convert import Fp32ToBf16
from hdl.arith.formats import BF16, FP32, FloatFormat
from hdl.arith.multiply import Multiply
from hdl.arith.multiply_add import MultiplyAdd
from hdl.arith.special import SpecialFunction
from hdl.arith.special_tables import Function
from verif import operands
from verif.sim import compile_python
from verif.sources import ROOT

TOKENS, WIDTH, HEAD = 16, 64, 32
SEED = 7
Array = NDArray[Any]


class Arithmetic(Protocol):
    """The operations an attention head needs, elementwise on arrays that broadcast (``docs/numerics.md``)."""

    def multiply_add(self, a: Array, b: Array, c: Array) -> Array: ...
    def multiply(self, a: Array, b: Array) -> Array: ...
    def add(self, a: Array, b: Array) -> Array: ...
    def special(self, function: Function, x: Array) -> Array: ...
    def to_bf16(self, x: Array) -> Array: ...


class Golden:
    """In the golden model."""

    multiply_add = staticmethod(golden.multiply_add)
    multiply = staticmethod(golden.multiply)
    add = staticmethod(golden.add)
    special = staticmethod(special.evaluate)
    to_bf16 = staticmethod(golden.to_bf16)


class Rtl:
    """On compiled RTL, a unit for each; ``operations`` counts what went through each of them, one a cycle."""

    def __init__(self) -> None:
        self._units: dict[str, Any] = {
            "multiply_add": MultiplyAdd(),
            "multiply": Multiply(FP32, FP32),
            "add": Add(FP32),
            "special": SpecialFunction(),
            "to_bf16": Fp32ToBf16(),
        }
        build = track(self._units.items(), "building the units", transient=True)
        self._models = {name: compile_python(unit, f"sim_{name}") for name, unit in build}
        self.operations = dict.fromkeys(self._units, 0)

    def multiply_add(self, a: Array, b: Array, c: Array) -> Array:
        return self._run("multiply_add", FP32, a=a, b=b, c=c)

    def multiply(self, a: Array, b: Array) -> Array:
        return self._run("multiply", FP32, a=a, b=b)

    def add(self, a: Array, b: Array) -> Array:
        return self._run("add", FP32, a=a, b=b)

    def special(self, function: Function, x: Array) -> Array:
        return self._run("special", FP32, function=np.full(x.shape, function.value), x=x)

    def to_bf16(self, x: Array) -> Array:
        return self._run("to_bf16", BF16, value=x)

    def _run(self, name: str, result: FloatFormat, **fields: Array) -> Array:
        """Streams the broadcast fields through unit ``name``; fields not given are zero."""
        unit, shape = self._units[name], np.broadcast_shapes(*(f.shape for f in fields.values()))
        bits = {k: f if f.dtype.kind in "iu" else golden.to_bits(f) for k, f in fields.items()}
        columns = {k: np.broadcast_to(f, shape).reshape(-1).astype(np.int64) for k, f in bits.items()}
        layout = unit.signature.members["i"].shape
        zero = np.zeros(int(np.prod(shape)), np.int64)
        packed = operands.pack(layout, **{key: columns.get(key, zero) for key, _ in layout})
        self.operations[name] += len(zero)
        return golden.from_bits(self._models[name].stream(packed), result).reshape(shape)


def gemm(on: Arithmetic, a: Array, b: Array) -> Array:
    """a (m, k) @ b (k, n) in FP32: k ascending in one accumulator an output, all outputs in turn."""
    total = np.zeros((len(a), b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        total = on.multiply_add(a[:, k, None], b[None, k, :], total)
    return total


def row_sum(on: Arithmetic, x: Array) -> Array:
    """(rows, 1) sums along each row of FP32, columns ascending in one accumulator."""
    total = np.zeros((len(x), 1), np.float32)
    for column in x.T:
        total = on.add(total, column[:, None])
    return total


def attention_head(on: Arithmetic, x: Array, weights: dict[str, Array]) -> dict[str, Array]:
    """Every tensor of one causal attention head on BF16 input ``x`` (tokens, width), by name."""
    tokens, width = x.shape
    wide = golden.to_fp32(x)
    mean = on.multiply(row_sum(on, on.multiply(wide, wide)), np.array([[1 / width]], np.float32))
    out = {
        "norm": on.to_bf16(on.multiply(wide, on.special(Function.RSQRT, on.add(mean, np.array([[1e-5]], np.float32)))))
    }
    for name in ("query", "key", "value"):
        out[name] = on.to_bf16(gemm(on, out["norm"], weights[name]))
    scale = np.array([[HEAD**-0.5]], np.float32)
    hidden = np.triu(np.ones((tokens, tokens), bool), 1)  # a token does not see later ones
    out["scores"] = np.where(hidden, np.float32(-np.inf), on.multiply(gemm(on, out["query"], out["key"].T), scale))
    peak = out["scores"].max(axis=1, keepdims=True)
    out["exp"] = on.special(Function.EXP, on.add(out["scores"], -peak))
    unscaled = gemm(on, on.to_bf16(out["exp"]), out["value"])
    out["head"] = on.to_bf16(on.multiply(unscaled, on.special(Function.RECIPROCAL, row_sum(on, out["exp"]))))
    return out


def reference(x: Array, weights: dict[str, Array]) -> dict[str, Array]:
    """The same tensors in float64 mathematics, no rounding in between."""
    x = x.astype(np.float64)
    out = {"norm": x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5)}
    for name in ("query", "key", "value"):
        out[name] = out["norm"] @ weights[name].astype(np.float64)
    hidden = np.triu(np.ones((len(x), len(x)), bool), 1)
    out["scores"] = np.where(hidden, -np.inf, out["query"] @ out["key"].T * HEAD**-0.5)
    out["exp"] = np.exp(out["scores"] - out["scores"].max(axis=1, keepdims=True))
    out["head"] = out["exp"] @ out["value"] / out["exp"].sum(axis=1, keepdims=True)
    return out


@dataclass(frozen=True)
class Row:
    """One tensor: how many of its elements differ from the golden model, and its error against float64."""

    tensor: str
    shape: str
    mismatches: int
    relative_error: float


def compare(rtl: dict[str, Array], expected: dict[str, Array], true: dict[str, Array]) -> list[Row]:
    """A row a tensor; the error is the largest difference over the largest magnitude."""
    rows = []
    for name, value in rtl.items():
        seen = np.isfinite(true[name])
        error = np.abs(value[seen].astype(np.float64) - true[name][seen]).max() / np.abs(true[name][seen]).max()
        mismatches = int((golden.to_bits(value) != golden.to_bits(expected[name])).sum())
        rows.append(Row(name, " x ".join(map(str, value.shape)), mismatches, float(error)))
    return rows


def main() -> int:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((TOKENS, WIDTH)).astype(bfloat16)
    weights = {
        n: (rng.standard_normal((WIDTH, HEAD)) * WIDTH**-0.5).astype(bfloat16) for n in ("query", "key", "value")
    }
    rtl = Rtl()
    rows = compare(attention_head(rtl, x, weights), attention_head(Golden(), x, weights), reference(x, weights))
    table = Table("tensor", "shape", "differs from golden", "error against float64", title="attention head on RTL")
    for row in rows:
        table.add_row(row.tensor, row.shape, str(row.mismatches), f"{row.relative_error:.1e}")
    console = Console()
    console.print(table)
    counts = ", ".join(f"{count:,} {name}" for name, count in rtl.operations.items())
    console.print(f"operations on RTL: {counts}", highlight=False)
    out = ROOT / "build" / "sim" / "result.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"tensors": [asdict(r) for r in rows], "operations": rtl.operations}, indent=1) + "\n")
    console.print(f"written to {out.relative_to(ROOT)}", highlight=False)
    return 1 if any(row.mismatches for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
