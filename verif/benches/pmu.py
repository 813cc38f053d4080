"""Bench of the PMU: runs a program, every output and the memory equal to the golden model; random legal programs."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cocotb.triggers import FallingEdge
from numpy.typing import NDArray

from coe_mapping.assembler.pmu import (
    Counter,
    Pipeline,
    PMUProgram,
    Region,
    Register,
    assemble,
)
from golden_model import ecc
from golden_model import pmu as golden
from golden_model.pmu import VectorBeats
from hdl.clock_gate import Sleeper
from hdl.config import STATUS_BASE
from hdl.params import ELEMENT_BITS, PMUParams
from hdl.pmu.config import Error, Status
from hdl.pmu.pmu import PMU
from verif import pmu_coverage
from verif.forall import forall
from verif.loaded import Pair
from verif.sim.runner import bench_parameters
from verif.strategies.pmu import LONGEST, Case, Order, cases
from verif.streams import Bench, Stalls
from verif.streams.endpoints import Endpoint
from verif.streams.stalls import NEVER

COUNT_BITS = 16
CYCLES = 10_000  # a program, more than any takes
EXAMPLES = "OPENRDU_EXAMPLES"  # environment variable: random programs to run
COVERAGE = "OPENRDU_COVERAGE"  # environment variable: file for the bins they fell into
NOTHING = VectorBeats(np.zeros((0, 1), np.uint16), np.zeros(0, np.int64))


class LoopedPMU(wiring.Component):
    """A PMU whose tokens in ``loop`` go straight back in, with a count of the tokens it sent and of its dones.

    ``gated``: one that sleeps, beside one that does not; ``differs`` once an output of theirs does.
    """

    def __init__(self, params: PMUParams, gated: bool = False) -> None:
        self.params, self.gated = params, gated
        self.unit: Any = Pair(PMU(params), Sleeper(PMU(params))) if gated else PMU(params)
        super().__init__(
            {
                **dict(self.unit.signature.members.items()),
                "loop": In(params.TOKENS),
                "tokens": Out(data.ArrayLayout(COUNT_BITS, params.TOKENS)),
                "dones": Out(COUNT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        for name in ("vector_in", "scalar_in", "vector_out", "scalar_out"):
            for inner, outer in zip(getattr(unit, name), getattr(self, name), strict=True):
                connect(m, inner, flipped(outer))
        connect(m, flipped(self.bus), unit.bus)
        m.d.comb += [
            unit.commit.eq(self.commit),
            unit.start.eq(self.start),
            unit.token_in.eq(self.token_in | (unit.token_out & self.loop)),
            self.token_out.eq(unit.token_out),
            self.done.eq(unit.done),
        ]
        if self.gated:
            m.d.comb += self.differs.eq(unit.differs)
        with m.If(self.start):
            m.d.sync += [self.dones.eq(0), *(count.eq(0) for count in self.tokens)]
        with m.Else():
            m.d.sync += self.dones.eq(self.dones + unit.done)
            m.d.sync += [self.tokens[i].eq(self.tokens[i] + unit.token_out[i]) for i in range(self.params.TOKENS)]
        return m


def sizes(**parameters: Any) -> PMUParams:
    """The sizes of a bench: small, so that edges are near, unless given."""
    small = {"lanes": 4, "rows": 32, "groups": 4, "alu_stages": 4, "alu_cycles": 3, "fifo_depth": 4}
    return PMUParams(**{**small, **parameters})


def design(gated: bool = False, **parameters: Any) -> LoopedPMU:
    return LoopedPMU(sizes(**parameters), gated)


def public(params: PMUParams, unit: str = "unit") -> list[str]:
    """The memories of the PMU at ``unit``, for ``run_bench(public=...)``; of one that is ``gated`` at ``unit.one``."""
    return [f"{unit}.banks.bank_{b}.group_{g}" for b in range(params.lanes) for g in range(params.groups)]


class PMUBench:
    """Runs programs on the PMU and compares with the golden model."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.dut = bench, bench.dut
        settings = bench_parameters()
        self.gated = bool(settings.pop("gated", False))
        self.params: PMUParams = sizes(**settings)
        self.edge = FallingEdge(bench.dut.clk)

    @classmethod
    async def start(cls, dut: Any, **settings: Any) -> "PMUBench":
        return cls(await Bench.start(dut, design, **settings))

    async def configure(self, words: Sequence[int]) -> None:
        """Writes the words and commits them."""
        self.dut.bus__write.value = 1
        for i, word in enumerate(words):
            self.dut.bus__address.value = i
            self.dut.bus__write_data.value = word
            await self.edge
        self.dut.bus__write.value = 0
        await self.pulse(self.dut.commit)

    async def pulse(self, port: Any) -> None:
        port.value = 1
        await self.edge
        port.value = 0

    async def read(self, address: int) -> int:
        """A word from the configuration bus, in one cycle of the bench."""
        self.dut.bus__address.value = address
        await self.bench.step()
        return int(self.dut.bus__read_data.value)

    async def status(self, word: Status) -> int:
        return await self.read(STATUS_BASE + word)

    def memory(self, bank_shift: int) -> NDArray[np.uint16]:
        """What the banks hold, shape (lanes, rows), as a program with this bank shift sees it."""
        params = self.params
        row = np.arange(params.rows)
        bits = (params.groups - 1).bit_length()
        group = row >> bank_shift & (params.groups - 1)
        inner = row & ((1 << bank_shift) - 1) | row >> (bank_shift + bits) << bank_shift
        store = np.zeros((params.lanes, params.rows), np.uint16)
        unit = self.dut.unit.one if self.gated else self.dut.unit
        for b in range(params.lanes):
            bank = getattr(unit.banks, f"bank_{b}")
            groups = [getattr(bank, f"group_{g}") for g in range(params.groups)]
            words = [int(groups[g][i].value) for g, i in zip(group, inner, strict=True)]
            store[b] = ecc.decode(words, ELEMENT_BITS).data if params.ecc else words
        return store

    async def send_tokens(self, counts: Sequence[int], gaps: Stalls) -> None:
        """Sends so many pulses on each wire, with ``gaps`` between them."""
        left, cycle = list(counts), 0
        while any(left):
            now = 0 if gaps.at(cycle) else sum(1 << i for i, count in enumerate(left) if count)
            self.dut.token_in.value = now
            left = [count - (now >> i & 1) for i, count in enumerate(left)]
            cycle += 1
            await self.edge
        self.dut.token_in.value = 0

    async def run(
        self,
        program: PMUProgram,
        data_in: VectorBeats = NOTHING,
        indices: VectorBeats = NOTHING,
        scalars: Sequence[Sequence[int]] = ((), (), (), ()),
        order: Order = "write first",
        loop: int = 0,
        token_gaps: Stalls = NEVER,
        floors: dict[str, float] | None = None,
    ) -> golden.Outputs:
        """Runs ``program`` from reset; returns what the golden model says, which everything was equal to.

        Args:
            loop: mask of the tokens that the unit sends itself; others that it waits for come from the bench.

        Raises:
            BenchError: a stream differed; AssertionError: memory, tokens, counts or error flags did.
        """
        words = assemble(self.params, program)
        await self.bench.reset(1)
        before = self.memory(program.bank_shift)
        first: Any = "read" if order == "read first" else "write"
        expected = golden.run(self.params, words, [data_in, indices], scalars, before, first)
        self.dut.loop.value = loop
        await self.configure(words)
        self.send(expected, data_in, indices, scalars)
        await self.pulse(self.dut.start)
        wanted = [0 if loop >> i & 1 else count for i, count in enumerate(expected.consumed_tokens)]
        tokens = cocotb.start_soon(self.send_tokens(wanted, token_gaps))
        try:
            await self.bench.until(lambda: int(self.dut.dones.value) == 1, "done")
        finally:
            tokens.cancel()
            self.dut.token_in.value = 0
        await self.bench.finish(floors=floors, extra=4)
        await self.compare(program, expected)
        return expected

    async def begin(self, program: PMUProgram, data_in: VectorBeats) -> None:
        """Starts ``program`` from reset with write data queued, and leaves it to the caller to wait and look."""
        await self.bench.reset(1)
        await self.configure(assemble(self.params, program))
        self.bench.send("vector_in__0", payloads(data_in))
        await self.pulse(self.dut.start)

    def send(
        self, expected: golden.Outputs, data_in: VectorBeats, indices: VectorBeats, scalars: Sequence[Sequence[int]]
    ) -> None:
        """Queues what the program consumes and nothing else, and expects its outputs."""
        for j, (beats, count) in enumerate(zip((data_in, indices), expected.consumed_vectors, strict=True)):
            self.bench.send(f"vector_in__{j}", payloads(VectorBeats(beats.elements[:count], beats.sequence[:count])))
        for j, count in enumerate(expected.consumed_scalars):
            self.bench.send(f"scalar_in__{j}", [int(word) for word in scalars[j][:count]])
        self.bench.expect("vector_out__0", payloads(expected.vector))
        for k, out in enumerate(expected.scalars):
            self.bench.expect(f"scalar_out__{k}", [int(word) for word in out])

    async def compare(self, program: PMUProgram, expected: golden.Outputs) -> None:
        after = self.memory(program.bank_shift)
        assert (after == expected.memory).all(), (
            f"memory differs in (bank, row) {np.argwhere(after != expected.memory)}"
        )
        tokens = [int(self.dut.tokens.value) >> COUNT_BITS * i & 0xFFFF for i in range(self.params.TOKENS)]
        assert tokens == list(expected.tokens), f"tokens sent {tokens}, expected {expected.tokens}"
        counts = [await self.status(word) for word in (Status.WRITES, Status.READS, Status.ERRORS)]
        flags = [Error.WRITE_RANGE * expected.out_of_range[0], Error.READ_RANGE * expected.out_of_range[1]]
        assert counts == [expected.writes, expected.reads, sum(flags)], f"writes, reads, errors: {counts}"
        assert int(self.dut.dones.value) == 1
        assert not (self.gated and int(self.dut.differs.value)), "an output is not that of the unit that never sleeps"


def payloads(beats: VectorBeats) -> list[dict[str, Any]]:
    return [
        {"elements": [int(e) for e in row], "sequence": int(s)}
        for row, s in zip(beats.elements, beats.sequence, strict=True)
    ]


async def fill(pmu: PMUBench) -> None:
    """Writes random elements to all of the memory."""
    rows, lanes = pmu.params.rows, pmu.params.lanes
    rng = np.random.default_rng(pmu.bench.rng.getrandbits(32))
    await pmu.run(PMUProgram(write=plain_rows(pmu.params, rows)), vectors(rng, rows, lanes))


def vectors(rng: np.random.Generator, beats: int, lanes: int) -> VectorBeats:
    return VectorBeats(rng.integers(0, 1 << 16, (beats, lanes)).astype(np.uint16), np.zeros(beats, np.int64))


def plain_rows(params: PMUParams, rows: int, **settings: Any) -> Pipeline:
    """Accesses to rows 0 .. ``rows`` - 1 in order."""
    whole: dict[str, Any] = {"region": Region(0, rows)}
    count = (Counter(rows, params.lanes),)
    return Pipeline(**{**whole, "counters": count, "registers": (Register(counters=(0,)),), **settings})


@cocotb.test()
async def random_programs_equal_the_golden_model_under_random_stalls(dut: Any) -> None:
    """As many as the environment says. Saves the coverage where the environment says."""
    pmu = await PMUBench.start(dut, watchdog=600, limit=CYCLES * examples())
    bench, params = pmu.bench, pmu.params
    covered: set[pmu_coverage.Bin] = set()
    await fill(pmu)

    async def program_does_what_the_golden_model_says(case: Case) -> None:
        held = case.held
        for name in bench.drivers:
            bench.stall(name, {"vector_in__0": held.data, "vector_in__1": held.indices}.get(name, held.scalars))
        for name in bench.monitors:
            bench.stall(name, held.outputs)
        data_in, indices = (case.vectors(params, 2 * LONGEST * case.program.rounds, j) for j in (0, 1))
        await pmu.run(case.program, data_in, indices, case.scalars, case.order, case.loop, held.scalars)
        if COVERAGE in os.environ:
            covered.update(pmu_coverage.hits(params, assemble(params, case.program), stalled(bench)))

    await forall(program_does_what_the_golden_model_says, examples=examples(), case=cases(params))
    if COVERAGE in os.environ:
        pmu_coverage.save(covered, Path(os.environ[COVERAGE]))


def stalled(bench: Bench) -> list[str]:
    """On which side of the unit a stream that was in use had stalls."""
    ends: dict[str, Iterable[Endpoint]] = {"input": bench.drivers.values(), "output": bench.monitors.values()}
    return [side for side, some in ends.items() if any(e.stalls.pattern and e.log.count for e in some)]


def examples() -> int:
    return int(os.environ.get(EXAMPLES, "200"))
