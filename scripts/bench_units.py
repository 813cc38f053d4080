"""How fast a PCU and a PMU simulate, busy and idle, in a compiled model: the units' part of ``make bench``.

Units sit behind their clock gates (:mod:`hdl.clock_gate`), as in a large simulation. Operands are made inside the model
and the clock is the processor time of this process, so neither Python nor other users of the machine are measured.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from coe_mapping.assembler import pcu as pcu_assembler
from coe_mapping.assembler import pmu as pmu_assembler
from hdl.clock_gate import CELL, Sleeper
from hdl.config import STATUS_BASE
from hdl.errors import ToolError
from hdl.params import DEMO
from hdl.pcu.config import STATUS
from hdl.pcu.pcu import PCU
from hdl.pmu.config import Status
from hdl.pmu.pmu import PMU
from verif import fast, figures
from verif import pcu_kernels as kernels
from verif.loaded import Loaded
from verif.sim import Model, compile_python

RUNS = 7
CYCLES = 20_000
IDLE_CYCLES = 10 * CYCLES
STEADY = 200
"""Cycles after a start before anything is measured."""
FOREVER = 1 << 20
"""Iterations of an outer loop: more than is ever waited for."""


@dataclass(frozen=True)
class Speed:
    """One measurement: cycles simulated a second of processor time; ``note`` says what else is known."""

    what: str
    cycles_per_s: float
    note: str = ""


def pcu() -> Iterator[Speed]:
    """A GEMM on the demo PCU with every cell busy in every cycle, and the same unit idle; RTL, and with arithmetic in
    C."""
    params = DEMO.pcu
    yield from _pcu("demo PCU", "pcu_sim_ns_per_mac", *_built(Sleeper(PCU(params, gated=True)), "bench_pcu_demo"))
    unit = Sleeper(PCU(params, gated=True, fast=True))
    built = _built(unit, "bench_fast_pcu_demo", fast.sources(params))
    yield from _pcu("demo PCU, ARITH=fast", "pcu_fast_sim_ns_per_mac", *built)


def _pcu(what: str, figure: str, model: Model, note: str) -> Iterator[Speed]:
    params = DEMO.pcu
    yield Speed(f"{what}, not configured", _speed(model, IDLE_CYCLES), note)
    gemm = kernels.gemm(FOREVER, 256, params.interleave, params.stages)
    _configure(model, pcu_assembler.assemble(params, gemm))
    yield Speed(f"{what}, configured, not started", idle := _speed(model, IDLE_CYCLES))
    _start(model)
    busy = _checked(model, [STATUS.index("fires")], "PCU")
    cells = params.lanes * params.stages
    figures.record(figure, round(1e9 / busy / cells, 1))
    note = f"{1e9 / busy / cells:.1f} ns a multiply-add ({cells} a cycle); idle is {idle / busy:.1f} times as fast"
    yield Speed(f"{what}, GEMM, every cell busy every cycle", busy, note)


def pmu() -> Iterator[Speed]:
    """The demo PMU with a read and a write in every cycle, and idle."""
    params = DEMO.pmu
    model, note = _built(Sleeper(PMU(params)), "bench_pmu_demo")
    yield Speed("demo PMU, not configured", _speed(model, IDLE_CYCLES), note)
    half = params.rows // 2

    def rows(base: int) -> pmu_assembler.Pipeline:
        """Row after row of one half of the memory, over and over."""
        counters = (pmu_assembler.Counter(FOREVER), pmu_assembler.Counter(half, stride=params.lanes))
        registers = (pmu_assembler.Register(counters=(1,)),)
        return pmu_assembler.Pipeline(pmu_assembler.Region(base, half), counters, registers)

    shift = (params.rows // params.groups - 1).bit_length()  # each half has sub-arrays of its own
    program = pmu_assembler.PMUProgram(write=rows(0), read=rows(half), bank_shift=shift)
    _configure(model, pmu_assembler.assemble(params, program))
    yield Speed("demo PMU, configured, not started", idle := _speed(model, IDLE_CYCLES))
    _start(model)
    busy = _checked(model, [Status.WRITES, Status.READS], "PMU")
    note = f"{1e9 / busy:.0f} ns a cycle; idle is {idle / busy:.1f} times as fast"
    yield Speed("demo PMU, a read and a write every cycle", busy, note)


def _built(unit: Any, name: str, sources: Sequence[Path] = ()) -> tuple[Model, str]:
    started = time.perf_counter()
    model = compile_python(Loaded(unit), name, sources=[CELL, *sources])
    model.reset()
    return model, f"built or found in {time.perf_counter() - started:.0f} s"


def _configure(model: Model, words: Sequence[int]) -> None:
    model["bus__write"] = 1
    for address, word in enumerate(words):
        model["bus__address"], model["bus__write_data"] = address, word
        model.tick()
    model["bus__write"], model["commit"] = 0, 1
    model.tick()
    model["commit"] = 0
    model.tick(STEADY)


def _start(model: Model) -> None:
    model["feed"], model["start"] = 1, 1
    model.tick()
    model["start"] = 0
    model.tick(STEADY)


def _speed(model: Model, cycles: int) -> float:
    """Cycles a second, median."""
    model.tick(STEADY)
    seconds = []
    for _ in range(RUNS):
        start = time.process_time()
        model.tick(cycles)
        seconds.append(time.process_time() - start)
    return cycles / median(seconds)


def _checked(model: Model, counters: Sequence[int], what: str) -> float:
    """Speed under load; the unit's own counters must say that it was loaded in every cycle."""

    def counts() -> list[int]:
        read = []
        for counter in counters:
            model["bus__address"] = STATUS_BASE + counter
            model.tick(2)
            read.append(model["bus__read_data"])
        return read

    before = counts()
    speed = _speed(model, CYCLES)
    expected = RUNS * CYCLES + STEADY + 2 * len(counters)
    counted = [after - b for after, b in zip(counts(), before, strict=True)]
    if counted != [expected] * len(counters):
        raise ToolError(f"the {what} was to be busy in all of {expected} cycles, its counters say {counted}")
    return speed
