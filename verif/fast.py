"""``ARITH=fast``: the arithmetic of PCUs as C in a compiled simulation; everything else stays RTL.

The RTL has instances of modules that nobody has (:mod:`hdl.arith.fast`). Here they are written: in Verilog, pipelines
around one call a result; in C++, what is called, with the tables of the special functions. A simulation is built with
:func:`sources` besides its own Verilog.
"""

import ctypes
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.arith import special_tables as tables
from hdl.arith.fast import Fast, Kind
from hdl.params import PCUParams
from hdl.pcu.fast import units
from verif.sim import cache, tools

ARITHMETIC = Path(__file__).with_name("models") / "openrdu_fast.h"


def sources(params: PCUParams) -> tuple[Path, ...]:
    """What a simulation of PCUs with fast arithmetic is built with."""
    return written(units(params))


def written(fast: Iterable[Fast]) -> tuple[Path, ...]:
    """The Verilog and the C++ that ``fast`` stand for, one of each name."""
    modules = {unit.module: _module(unit) for unit in fast}
    functions = {unit.function: _function(unit) for unit in fast}
    verilog = "\n".join(modules.values())
    cpp = "\n".join([*_tables(), ARITHMETIC.read_text(), *functions.values()])
    return tuple(_kept(text, suffix) for text, suffix in ((verilog, ".v"), (cpp, ".cpp")))


@dataclass(frozen=True)
class Library:
    """The C functions of a PCU's units, to be called from Python."""

    functions: Any
    units: dict[str, Fast]

    def results(self, kind: Kind, operands: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """What the first unit of ``kind`` gives; operands (n, words) as it takes them, results (n, words)."""
        unit = next(unit for unit in self.units.values() if unit.kind is kind)
        call = getattr(self.functions, unit.function)
        call.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        rows = np.ascontiguousarray(operands)
        results = np.zeros((len(rows), -(-unit.widths()[1] // 32)), np.uint32)
        for row, result in zip(rows, results, strict=True):
            call(row.ctypes.data, result.ctypes.data)
        return results


def library(params: PCUParams) -> Library:
    """Compiles them, in seconds: no RTL is in it."""
    source = sources(params)[1]
    include = tools.verilator_root() / "include"
    flags = ["-std=gnu++20", "-O2", "-fPIC", "-shared", f"-I{include / 'vltstd'}", f"-I{include}"]

    def build(folder: Path) -> None:
        command = [*tools.compiler(), *flags, "-o", str(folder / "fast.so"), str(source)]
        tools.call(command, what="the arithmetic in C")

    folder = cache.built("fast", [source.read_text(), *flags, *tools.versions()], build)
    return Library(ctypes.CDLL(str(folder / "fast.so")), {unit.function: unit for unit in units(params)})


def _kept(text: str, suffix: str) -> Path:
    return cache.kept(tools.build_root() / f"fast-{cache.digest([text])}{suffix}", text)


def _module(unit: Fast) -> str:
    operands, result = unit.widths()
    stages = [f"after_{k + 1}" for k in range(unit.latency)]
    return _MODULE.substitute(
        module=unit.module,
        function=unit.function,
        i=operands - 1,
        o=result - 1,
        stages=", ".join(stages),
        moves=" ".join(f"{after} <= {before};" for before, after in zip(["result", *stages], stages, strict=False)),
        last=stages[-1],
    )


_MODULE = Template("""module $module(input clk, input en, input [$i:0] i, output [$o:0] o);
  import "DPI-C" function void $function(input bit [$i:0] i, output bit [$o:0] o);
  bit [$o:0] result;
  reg [$o:0] $stages;
  assign o = $last;
  always @(posedge clk)
    if (en) begin
      $function(i, result);
      $moves
    end
endmodule
""")


def _function(unit: Fast) -> str:
    """The C function of a unit: where its operands stand in words, and what is called with them."""
    count, *more = unit.sizes
    match unit.kind:
        case Kind.MULTIPLY_ADD:
            stages = more[0]
            c, b = count, count + count * stages
            call = f"multiply_add<{count}, {stages}>(i, halves(i + {b}), i + {c}, o)"
        case Kind.OPERATE:
            call = f"operate<{count}>(i[{2 * count}] & 255, i, i + {count}, o)"
        case Kind.COMBINE:
            call = f"combine<{count}>(i, i[{4 * count}] & 7, o)"
        case Kind.SPECIAL:
            call = f"special<{count}>(i, i[{count}] & 15, o)"
        case Kind.ROUND:
            at = count + count // 2
            call = f"round<{count}>(i, halves(i + {count}), i[{at}] & 1, o)"
    return f"FUNCTION({unit.function}, openrdu::{call})\n"


def _tables() -> Iterator[str]:
    """The tables of :mod:`hdl.arith.special_tables`, and how each function reads them."""
    first = tables.pages(tables.Function)
    numbers = {page: number for number, page in enumerate(first)}
    yield "// Written by verif/fast.py."
    yield "#include <cstdint>\nnamespace openrdu {"
    names = (
        *("OFFSET_BITS", "ARGUMENT_INTEGER", "ARGUMENT_FRACTION", "LOG_FRACTION", "CHORD_OFFSET_BITS"),
        *("C0_FRACTION", "C1_FRACTION", "C2_FRACTION"),
    )
    constants = {name: getattr(tables, name) for name in names} | {"FUNCTIONS": len(tables.Function)}
    constants |= {factor.name: factor.value for factor in tables.Factor}
    yield from (f"constexpr int {name} = {value};" for name, value in constants.items())
    steps = (1 << tables.ARGUMENT_INTEGER) // tables.STEP
    yield f"constexpr int STEPS = {steps};"
    yield f"constexpr int64_t STEP = {tables.STEP << tables.ARGUMENT_FRACTION};"
    beyond = tables.BEYOND << tables.LOG_FRACTION
    yield f"constexpr int64_t BEYOND = {beyond};"
    yield "struct Row { int64_t c0; int32_t c1, c2; };\nstruct Chord { int32_t start, rise; };"
    yield "struct Page { int64_t first, limit; bool continues; int64_t outside, beyond[STEPS + 1]; };"
    yield "struct Recipe { int negative, positive; bool mantissa, grows, halve; int factor; bool odd, domain_error; };"
    yield _array("Row", "ROWS", (astuple(row) for page in first for row in tables.rows(page)))
    yield _array("Chord", "CHORDS", map(astuple, tables.chords()))
    yield _array("Page", "PAGES", (_page(page, first, beyond, steps) for page in first))
    yield _array(
        "Recipe",
        "RECIPES",
        (
            (
                numbers[r.negative],
                numbers[r.positive],
                r.mantissa,
                r.grows,
                r.halve,
                r.factor.value,
                r.odd,
                r.domain_error,
            )
            for r in (tables.RECIPES[function] for function in tables.Function)
        ),
    )
    yield "}  // namespace openrdu"


def _page(page: tables.Page, first: dict[tables.Page, int], beyond: int, steps: int) -> tuple[object, ...]:
    """First row, end of what it covers, and what serves larger arguments: rows of another page, or its last."""
    if page.continues:
        successor = tables.successor(page)
        outside, added = first[successor], (*tables.steps(successor), beyond)
    else:
        outside, added = first[page] + page.rows - 1, (0,) * (steps + 1)
    return first[page], page.rows << tables.OFFSET_BITS, bool(page.continues), outside, added


def _array(kind: str, name: str, rows: Iterable[tuple[object, ...]]) -> str:
    body = ",\n".join(_braced(row) for row in rows)
    return f"constexpr {kind} {name}[] = {{\n{body}\n}};"


def _braced(value: object) -> str:
    if isinstance(value, tuple):
        return "{" + ", ".join(map(_braced, value)) + "}"
    return str(int(value)) if isinstance(value, int) else str(value)
