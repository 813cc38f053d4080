"""``ARITH=fast`` held against the RTL: every vector unit in C beside as many units in RTL, on the same operands."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from amaranth.hdl import C, Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from golden_model.numerics.formats import to_bits
from hdl.arith.convert import Fp32ToBf16
from hdl.arith.fast import Fast, Kind
from hdl.arith.formats import FP32, Bf16, Fp32
from hdl.arith.multiply_add import MultiplyAdd
from hdl.arith.operations import ReduceOp
from hdl.arith.special import SpecialFunction
from hdl.arith.special_tables import Function
from hdl.clock_gate import CELL
from hdl.params import DEMO, PCUParams
from hdl.pcu import fast
from hdl.pcu.config import Operation
from hdl.pcu.queues import Delayed
from hdl.pcu.reduce import Combine
from hdl.pcu.simd import Lane, unit_codes
from hdl.pcu.timing import operation_latency
from verif import fast as models
from verif import operands
from verif.benches.pcu import EXAMPLES
from verif.campaign import Part, Result, Shard
from verif.sim import Model, SimulationError, compile_python, run_bench
from verif.special_campaign import random_operands

Words = NDArray[np.uint32]
"""One row a vector: its operands as the unit takes them, or its results."""

PROGRAMS = 250
"""Of a shard."""

ENOUGH = 100_000_000
"""Operands that the campaign checks at least."""


class Beside(wiring.Component):
    """A unit in C, and units in RTL for each of its results: ``o`` has what the one gives, then what the others do."""

    def __init__(self, params: PCUParams, unit: Fast) -> None:
        self.params, self.unit = params, unit
        self.latency = unit.latency
        members = unit.signature.members
        results = data.StructLayout(dict.fromkeys(("fast", "rtl"), members["o"].shape))
        super().__init__({"en": In(1), "i": In(members["i"].shape), "o": Out(results)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fast = unit = self.unit
        m.d.comb += [unit.en.eq(self.en), unit.i.eq(self.i), self.o.fast.eq(unit.o)]
        m.d.comb += Cat(self.o.rtl).eq(Cat(_RTL[unit.kind](self, m)))
        return m

    def add(self, m: Module, number: int, rtl: Any) -> Any:
        """One unit in RTL, as late as the others."""
        m.submodules[f"rtl_{number}"] = rtl
        m.d.comb += rtl.en.eq(self.en)
        return rtl

    def multiply_adds(self, m: Module) -> list[Value]:
        lanes, stages = self.unit.sizes
        results = []
        for number in range(lanes * stages):
            stage, lane = divmod(number, lanes)
            rtl = self.add(m, number, MultiplyAdd(self.latency))
            a, b, c = self.i.a[lane], self.i.b[stage], self.i.c[stage][lane]
            m.d.comb += [rtl.i.a.eq(Bf16(a[16:])), rtl.i.b.eq(Bf16(b)), rtl.i.c.eq(Fp32(c))]
            results.append(Value.cast(rtl.o))
        return results

    def operations(self, m: Module) -> list[Value]:
        operation = Signal(Operation)
        m.d.comb += Value.cast(operation).eq(self.i.operation)
        integer, compare = unit_codes(m, operation)
        results = []
        for number in range(*self.unit.sizes):
            rtl = self.add(m, number, Lane(self.params))
            told = {"operation": operation, "integer": integer, "compare": compare}
            m.d.comb += [rtl.a.eq(self.i.a[number]), rtl.b.eq(self.i.b[number])]
            m.d.comb += [getattr(rtl, name).eq(value) for name, value in told.items()]
            results.append(rtl.o)
        return results

    def combinations(self, m: Module) -> list[Value]:
        results = []
        for number in range(*self.unit.sizes):
            rtl = self.add(m, number, Combine(self.params))
            for name, candidate in (("a", self.i.candidates[2 * number]), ("b", self.i.candidates[2 * number + 1])):
                m.d.comb += Value.cast(getattr(rtl.i, name)).eq(Value.cast(candidate))
            m.d.comb += rtl.i.operation.eq(self.i.operation)
            results.append(Value.cast(rtl.o))
        return results

    def specials(self, m: Module) -> list[Value]:
        results = []
        for number in range(*self.unit.sizes):
            rtl = self.add(m, number, SpecialFunction(depth=self.latency))
            m.d.comb += [rtl.i.x.eq(Fp32(self.i.x[number])), rtl.i.function.eq(self.i.function)]
            results.append(Value.cast(rtl.o))
        return results

    def roundings(self, m: Module) -> list[Value]:
        results = []
        for number in range(*self.unit.sizes):
            rtl = self.add(m, number, Fp32ToBf16(min(2, self.latency)))
            random, stochastic = self.i.random[number], self.i.stochastic
            m.d.comb += [rtl.i.value.eq(Fp32(self.i.x[number])), rtl.i.random.eq(random)]
            m.d.comb += rtl.i.stochastic.eq(stochastic)
            result = Value.cast(rtl.o)
            if self.latency > rtl.latency:
                wait = self.add(m, -number - 1, Delayed(16, self.latency - rtl.latency))
                m.d.comb += wait.i.eq(result)
                result = wait.o
            results.append(Cat(C(0, 16), result))
        return results


_RTL: dict[Kind, Callable[[Beside, Module], list[Value]]] = {
    Kind.MULTIPLY_ADD: Beside.multiply_adds,
    Kind.OPERATE: Beside.operations,
    Kind.COMBINE: Beside.combinations,
    Kind.SPECIAL: Beside.specials,
    Kind.ROUND: Beside.roundings,
}


@dataclass(frozen=True)
class Check:
    """A unit and how its operands are drawn, a code for the whole vector: ``draw(rng, rows, code)``."""

    unit: Callable[[PCUParams], Fast]
    draw: Callable[[np.random.Generator, int, int], Words]
    codes: Sequence[int] = (0,)

    def mismatches(self, params: PCUParams, rows: int, seed: int) -> tuple[int, int]:
        """(operands checked, results that differ), ``rows`` vectors shared out over the codes."""
        unit = self.unit(params)
        model = _model(params, unit)
        checked = wrong = 0
        rng = np.random.default_rng(seed)
        for code in self.codes:
            words = self.draw(rng, rows // len(self.codes), code)
            got = np.asarray(model.stream(words), np.uint32)
            size = got.shape[1] // 2
            differ = got[:, :size] != got[:, size:]
            if unit.kind is Kind.COMBINE and code < ReduceOp.ARG_MAX.value:
                differ = differ[:, ::2]  # the index means nothing
            checked += len(words) * size // (2 if unit.kind is Kind.COMBINE else 1)
            wrong += int(np.count_nonzero(differ))
        return checked, wrong


def _model(params: PCUParams, unit: Fast) -> Model:
    name = f"beside_{unit.kind.value}_{params.lanes}x{params.stages}"
    return compile_python(Beside(params, unit), name, sources=models.written([unit]))


LANES, STAGES = DEMO.pcu.lanes, DEMO.pcu.stages


def _rows(*parts: NDArray[Any]) -> Words:
    """Operands side by side, each (rows, words)."""
    return np.concatenate([part.astype(np.int64) & 0xFFFF_FFFF for part in parts], axis=1).astype(np.uint32)


def _multiply_adds(rng: np.random.Generator, rows: int, code: int) -> Words:
    """a and b as in :func:`operands.triples`, every c of its own product."""
    a, b, _ = (x.reshape(rows, LANES) for x in operands.triples(rng, rows * LANES))
    b = b[:, :STAGES]
    each_a, each_b = np.broadcast_arrays(a[:, None, :], b[:, :, None])
    c = operands.addends(rng, each_a.ravel(), each_b.ravel()).reshape(rows, -1)
    low = rng.integers(0, 1 << 16, a.shape)  # what stands below a BF16 does not matter
    return _rows(a << 16 | low, c, _halves(b))


def _halves(values: NDArray[Any]) -> NDArray[Any]:
    """Two of 16 bits a word."""
    return np.asarray(values[:, ::2] | values[:, 1::2] << 16)


def _pairs(rng: np.random.Generator, rows: int, code: int) -> Words:
    if Operation.FROM_INTEGER.value == code or code in _INTEGERS:
        a, b = rng.integers(0, 1 << 32, (2, rows, LANES)) >> rng.integers(0, 32, (2, rows, 1))
    else:
        a, b = (x.reshape(rows, LANES) for x in operands.pairs(FP32, rng, rows * LANES))
    return _rows(a, b, np.full((rows, 1), code))


_INTEGERS = {operation.value for operation in Operation if operation.name.startswith("INT_")} | {0, 1}


def _candidates(rng: np.random.Generator, rows: int, code: int) -> Words:
    a, b = (x.reshape(rows, -1) for x in operands.pairs(FP32, rng, rows * LANES // 2))
    index = rng.integers(0, 1 << 32, a.shape), rng.integers(0, 1 << 32, b.shape)
    return _rows(np.stack([a, index[0], b, index[1]], axis=2).reshape(rows, -1), np.full((rows, 1), code))


def _function_operands(rng: np.random.Generator, rows: int, code: int) -> Words:
    x = to_bits(random_operands(rows * LANES, int(rng.integers(1 << 32)))).reshape(rows, LANES)
    return _rows(x, np.full((rows, 1), code))


def _roundings(rng: np.random.Generator, rows: int, code: int) -> Words:
    x = operands.singles(FP32, rng, rows * LANES).reshape(rows, LANES)
    return _rows(x, _halves(rng.integers(0, 1 << 16, x.shape)), np.full((rows, 1), code))


CHECKS = {
    "multiply_add": Check(fast.multiply_adds, _multiply_adds),
    "operate": Check(
        lambda params: fast.operate(params, operation_latency(params.arith)),
        _pairs,
        [operation.value for operation in Operation],
    ),
    "combine": Check(
        lambda params: fast.combine(params, params.lanes // 2), _candidates, [operation.value for operation in ReduceOp]
    ),
    "special": Check(fast.special, _function_operands, [function.value for function in Function]),
    "round": Check(fast.rounding, _roundings, (0, 1)),
}

SHARES = {"multiply_add": 0.6, "operate": 0.2, "combine": 0.05, "special": 0.15, "round": 0.05}
"""Of the operands, a little more than all together."""


def part(count: int = ENOUGH, shards: int = 10) -> Part:
    """The long campaign, on units of a demo PCU."""
    pieces = [
        Shard(f"{name}_{seed}", partial(_shard, name, int(count * share) // shards, seed))
        for seed in range(shards)
        for name, share in SHARES.items()
    ]
    return Part("arith", "fast", pieces, _figures, _failures)


def _shard(name: str, count: int, seed: int) -> Result:
    check = CHECKS[name]
    results = {"multiply_add": LANES * STAGES, "combine": LANES // 2}.get(name, LANES)
    checked, wrong = check.mismatches(DEMO.pcu, count // results, seed)
    return {"checked": checked, "mismatches": wrong}


def programs(shards: int = 2) -> Part:
    """Random programs on PCUs with arithmetic in C, against the golden model; the RTL's are in the PCU's campaign."""
    pieces = [
        Shard(f"{name}_{k}", partial(_programs, name, k)) for k in range(shards) for name in ("4x2", "8x4", "4x2_by_2")
    ]
    return Part("arith", "fast programs", pieces, lambda _: {}, _program_failures)


def _programs(name: str, shard: int) -> Result:
    """Programs that were run, and one mismatch if a counter-example was found, which is then printed."""
    size, _, passes = name.partition("_by_")
    lanes, stages = map(int, size.split("x"))
    params = PCUParams(lanes=lanes, stages=stages, fifo_depth=4, passes=int(passes or 1))
    sizes = {size: getattr(params, size) for size in ("lanes", "stages", "fifo_depth", "passes")}
    count = os.environ.get(EXAMPLES)
    os.environ[EXAMPLES] = str(PROGRAMS)
    try:
        run_bench(
            "verif.benches.pcu",
            name=f"fast_pcu_{name}",
            parameters=sizes | {"fast": True},
            sources=[CELL, *models.sources(params)],
            test="any_legal_program",
            seed=shard + 1,
            timeout_s=3600,
        )
    except SimulationError as error:
        print(error, file=sys.stderr)
        return {"programs": 0, "mismatches": 1}
    finally:
        os.environ.pop(EXAMPLES) if count is None else os.environ.update({EXAMPLES: count})
    return {"programs": PROGRAMS, "mismatches": 0}


def _program_failures(results: Sequence[Result]) -> list[str]:
    wrong = sum(r["mismatches"] for r in results)
    return [f"a random program with ARITH=fast differs in {wrong:.0f} shards, see above"] if wrong else []


def _figures(results: Sequence[Result]) -> dict[str, float]:
    return {"fast_arith_operands_checked": sum(r["checked"] for r in results)}


def _failures(results: Sequence[Result]) -> list[str]:
    wrong, checked = (sum(r[name] for r in results) for name in ("mismatches", "checked"))
    return [f"RTL and ARITH=fast differ on {wrong:,.0f} of {checked:,.0f} operands"] if wrong else []
