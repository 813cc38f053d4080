"""Bench of :class:`hdl.pcu.pcu.PCU`: programs, data, stalls; every output compared with the golden model."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from hypothesis import strategies as st

from coe_mapping.assembler.pcu import PCUProgram, VectorIn, assemble
from golden_model import pcu as golden
from hdl.arith.special_tables import Function
from hdl.config import STATUS_BASE
from hdl.control.tokens import TOKEN_BITS
from hdl.params import PCUParams
from hdl.pcu.config import STATUS, Conversion, SharedSource
from hdl.pcu.outputs import PORT_DEPTH
from hdl.pcu.pcu import PCU
from hdl.pcu.timing import operation_latency
from verif import pcu_cases as cases
from verif import pcu_coverage
from verif import pcu_kernels as kernels
from verif.forall import forall, stalls
from verif.strategies.pcu import programs, supply
from verif.streams import Bench, BenchError, Stalls

EXAMPLES = "OPENRDU_EXAMPLES"
"""Environment variable: random programs to run."""

COVERAGE = "OPENRDU_COVERAGE"
"""Environment variable: file to which the random programs' coverage is written, as JSON."""

MEASURED = "OPENRDU_MEASURED"
"""Environment variable: file to which the measured utilisation is written, as JSON."""


def design(lanes: int = 4, stages: int = 2, fifo_depth: int = 4, passes: int = 1, fast: bool = False) -> PCU:
    """``fast``: behind gates and with arithmetic in C, as in a large simulation."""
    params = PCUParams(lanes=lanes, stages=stages, fifo_depth=fifo_depth, passes=passes)
    return PCU(params, gated=fast, fast=fast)


@dataclass(frozen=True)
class Run:
    """What one start of a program needs and must give."""

    program: PCUProgram
    inputs: golden.Inputs
    outputs: golden.Outputs


def plan(params: PCUParams, program: PCUProgram, supply: golden.Inputs) -> Run:
    """Runs the golden model on ``supply`` and cuts it to what the program consumes."""
    outputs = golden.run(params, assemble(params, program), supply)
    vectors = [stream[:count] for stream, count in zip(supply.vectors, outputs.vector_beats, strict=True)]
    scalars = [stream[:count] for stream, count in zip(supply.scalars, outputs.scalar_words, strict=True)]
    return Run(program, golden.Inputs(vectors, scalars), outputs)


@dataclass
class PCUBench:
    """Drives a PCU: configuration bus, tokens, streams."""

    bench: Bench
    params: PCUParams
    token_period: Sequence[int] = (1, 1, 1, 1)
    _tokens_left: list[int] = field(default_factory=list)
    _tokens_seen: list[int] = field(default_factory=list)
    _done: int = 0

    @classmethod
    async def start(cls, dut: Any) -> "PCUBench":
        bench = await Bench.start(dut, design, watchdog=400)
        return cls(bench, bench.component.params)

    async def load(self, words: Sequence[int]) -> None:
        """Writes the configuration and commits it."""
        dut = self.bench.dut
        dut.bus__write.value = 1
        for address, word in enumerate(words):
            dut.bus__address.value = address
            dut.bus__write_data.value = word
            await self.bench.step()
        dut.bus__write.value = 0
        dut.commit.value = 1
        await self.bench.step()
        dut.commit.value = 0

    async def run(self, run: Run, starts: int = 1) -> None:
        """Configures, starts, feeds and checks one program; expects its outputs and nothing else."""
        await self.load(assemble(self.params, run.program))
        for _ in range(starts):
            await self.execute(run)

    async def execute(self, run: Run) -> None:
        """One start of the program that is loaded."""
        await self.begin(run)
        await self.complete(run)

    async def begin(self, run: Run) -> None:
        """Offers the inputs, all but the tokens, and starts."""
        bench, dut = self.bench, self.bench.dut
        for j, vectors in enumerate(run.inputs.vectors):
            bench.send(f"vector_in__{j}", [{"elements": beat, "sequence": 0} for beat in vectors.tolist()])
        for j, scalars in enumerate(run.inputs.scalars):
            bench.send(f"scalar_in__{j}", scalars.tolist())
        outputs = run.outputs
        for k, (beats, sequences) in enumerate(zip(outputs.vectors, outputs.sequences, strict=True)):
            expected = zip(beats.tolist(), sequences.tolist(), strict=True)
            bench.expect(f"vector_out__{k}", [{"elements": b, "sequence": s} for b, s in expected])
        for k, values in enumerate(outputs.scalars):
            bench.expect(f"scalar_out__{k}", values.tolist())
        self._tokens_left, self._tokens_seen, self._done = list(outputs.tokens_in), [0] * self.params.TOKENS, 0
        dut.start.value = 1
        await bench.step()
        dut.start.value = 0

    async def complete(self, run: Run) -> None:
        """Sends the tokens; waits for the end and checks that all has come, once."""
        bench = self.bench
        await bench.until(self._finished, "done and every output")
        bench.dut.token_in.value = 0
        for _ in range(4):
            await bench.step()
            self._sample()
        if self._done != 1:
            raise BenchError(f"done was pulsed {self._done} times in one start")
        if tuple(self._tokens_seen) != run.outputs.tokens_out:
            raise BenchError(f"tokens out {self._tokens_seen}, expected {list(run.outputs.tokens_out)}")

    async def play(self, case: cases.Case) -> None:
        """Runs the launches of a case, each equal to the golden model, up to its verdict against float64."""
        try:
            launch = next(case)
            while True:
                run = plan(self.params, launch.program, launch.inputs(self.params))
                cases.check_consumed(launch, run.outputs)
                await self.run(run)
                launch = case.send(run.outputs)
        except StopIteration:
            return

    async def status(self) -> dict[str, int]:
        """All status words."""
        dut, words = self.bench.dut, {}
        for i, name in enumerate(STATUS):
            dut.bus__address.value = STATUS_BASE + i
            await self.bench.step(2)
            words[name] = int(dut.bus__read_data.value)
        return words

    def stall(self, inputs: Stalls, outputs: Stalls) -> None:
        """Sets gaps on every input and back-pressure on every output."""
        for name in self.bench.drivers:
            self.bench.stall(name, inputs)
        for name in self.bench.monitors:
            self.bench.stall(name, outputs)

    def _finished(self) -> bool:
        """Samples what the last edge made, sends tokens, and says whether all is over."""
        self._sample()
        pulses = 0
        for i, left in enumerate(self._tokens_left):
            if left and self.bench.cycle % self.token_period[i] == 0:
                pulses |= 1 << i
                self._tokens_left[i] -= 1
        self.bench.dut.token_in.value = pulses
        return bool(self._done) and not any(e.pending for e in self.bench.endpoints)

    def _sample(self) -> None:
        self._done += int(self.bench.dut.done.value)
        pulses = int(self.bench.dut.token_out.value)
        for i in range(self.params.TOKENS):
            self._tokens_seen[i] += pulses >> i & 1


def random_supply(params: PCUParams, rng: np.random.Generator, beats: int = 400) -> golden.Inputs:
    """More random input than a small program takes: BF16 around one, scalars of any bits."""
    normal = rng.integers(0x3F00, 0x4100, (params.VECTOR_INPUTS, beats, params.lanes)).astype(np.uint16)
    sign = rng.integers(0, 2, normal.shape).astype(np.uint16) << np.uint16(15)
    scalars = rng.integers(0x3F000000, 0x41000000, (params.SCALAR_INPUTS, beats)).astype(np.uint32)
    return golden.Inputs(list(normal | sign), list(scalars))


def limited(supply: golden.Inputs, limit: int) -> golden.Inputs:
    """The same, but every scalar input begins with ``limit``."""
    return golden.Inputs(supply.vectors, [np.concatenate([[np.uint32(limit)], words]) for words in supply.scalars])


async def play_all(dut: Any, makers: dict[str, cases.CaseMaker], pressures: Sequence[float]) -> None:
    """Every case, on every port at each of these probabilities of a stall."""
    bench = await PCUBench.start(dut)
    for pressure in pressures:
        bench.stall(Stalls.random(bench.bench.rng, pressure), Stalls.random(bench.bench.rng, pressure))
        for name, make in makers.items():
            dut._log.info("%s, stalls %g", name, pressure)
            await bench.play(make(bench.params, np.random.default_rng(cocotb.RANDOM_SEED)))


@cocotb.test()
async def matrix_products_of_awkward_shapes_are_exact_and_right(dut: Any) -> None:
    await play_all(dut, cases.AWKWARD, (0.0, 0.5))


@cocotb.test()
async def the_kernels_of_a_model_are_exact_and_right(dut: Any) -> None:
    await play_all(dut, cases.KERNELS, (0.0, 0.4))


@cocotb.test()
async def the_largest_kernels_are_exact_and_right(dut: Any) -> None:
    """Minutes, so not among the quick ones."""
    await play_all(dut, cases.LARGEST, (0.0,))


@cocotb.test()
async def a_steady_gemm_keeps_every_cell_busy_every_cycle(dut: Any) -> None:
    """From the fire counters. Steady: what four more tiles take. Fill and drain: what one takes beside its fires."""
    bench = await PCUBench.start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    fires, busy = {}, {}
    for tiles, steps in ((1, 512), (2, 64), (6, 64)):
        slots = bench.params.interleave
        program = kernels.gemm(tiles, steps, slots, bench.params.stages)
        await bench.bench.reset()
        await bench.run(plan(bench.params, program, random_supply(bench.params, rng, tiles * steps * slots)))
        status = await bench.status()
        fires[tiles], busy[tiles] = status["fires"], status["busy"]
        assert status["fires"] == tiles * steps * slots, status
    measured = {
        "steady": (fires[6] - fires[2]) / (busy[6] - busy[2]),
        "k512": fires[1] / busy[1],
        "fill_and_drain_cycles": busy[1] - fires[1],
    }
    dut._log.info("utilisation: %s", measured)
    if report := os.environ.get(MEASURED):
        Path(report).write_text(json.dumps(measured))
    assert measured["steady"] >= 0.99, measured
    assert measured["k512"] >= 0.97, measured


@cocotb.test()
async def simd_moves_one_vector_a_cycle(dut: Any) -> None:
    """Every stage and the whole tail in use; INT8 sends a beat for two vectors, 32-bit words two for one.

    A vector in ``passes`` cycles, where there is more than one.
    """
    bench = await PCUBench.start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    program = kernels.busiest(300, bench.params.stages)
    for conversion in (Conversion.BF16, Conversion.BF16_STOCHASTIC, Conversion.INT8):
        await bench.bench.reset()
        chosen = replace(program, tail=replace(program.tail, conversion=conversion))
        await bench.run(plan(bench.params, chosen, random_supply(bench.params, rng)))
        rate = 0.5 if conversion is Conversion.INT8 else 1.0
        bench.bench.check_rate("vector_out__0", rate / bench.params.passes)
    await bench.bench.reset()
    await bench.run(plan(bench.params, kernels.running_sums(1, 150), random_supply(bench.params, rng)))
    status = await bench.status()
    latency = operation_latency(bench.params.arith)
    assert status["stall_accumulator"] >= 149 * (latency - 1), "one accumulator goes round in an operation's latency"


@cocotb.test()
async def a_program_started_again_reads_on_where_it_was(dut: Any) -> None:
    bench = await PCUBench.start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    programs_ = (
        kernels.gemm(1, 6, 2, bench.params.stages),
        kernels.inverse_rms(2, 3, 12, 1e-5),
        replace(kernels.quantise(3, 1.0), vector_in=(VectorIn(pop=1), None, None, None)),  # the third goes alone
    )
    for program in programs_:
        await bench.load(assemble(bench.params, program))
        for _ in range(3):
            await bench.execute(plan(bench.params, program, random_supply(bench.params, rng)))


@cocotb.test()
async def a_token_serves_once_and_is_awaited(dut: Any) -> None:
    """Three rows, a token each: without the second token the second row does not begin."""
    bench = await PCUBench.start(dut)
    program = replace(kernels.exponentials(3, 4), scalar_in=(None,) * 4, shared=(SharedSource.ZERO,) * 4)
    program = replace(program, token_in=(None, 1, None, None))
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    run = plan(bench.params, program, random_supply(bench.params, rng))
    assert run.outputs.tokens_in == (0, 3, 0, 0)
    await bench.load(assemble(bench.params, program))
    bench.bench.send("vector_in__0", [{"elements": beat.tolist(), "sequence": 0} for beat in run.inputs.vectors[0]])
    dut.start.value = 1
    await bench.bench.step()
    dut.start.value = 0
    for rows in range(4):
        await bench.bench.step(80)
        taken = bench.bench.monitors["vector_out__0"].log.count
        assert taken == 4 * rows, f"after {rows} tokens {taken} vectors have come, not {4 * rows}"
        dut.token_in.value = 0b0010
        await bench.bench.step()
        dut.token_in.value = 0


@cocotb.test()
async def a_token_leaves_with_the_last_vector_of_its_tile(dut: Any) -> None:
    """A slow receiver: when the token comes, no more is left than the queue of the port holds."""
    bench = await PCUBench.start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    program = replace(kernels.gemm(1, 3, 4, bench.params.stages), token_out=(0, None, None, None))
    run = plan(bench.params, program, random_supply(bench.params, rng))
    beats = len(run.outputs.vectors[0])
    assert run.outputs.tokens_out == (1, 0, 0, 0)
    assert beats > 2 * PORT_DEPTH
    await bench.load(assemble(bench.params, program))
    bench.bench.hold("vector_out__0")
    await bench.begin(run)
    await bench.bench.step(300)
    log = bench.bench.monitors["vector_out__0"].log
    came: list[int] = []
    while log.count < beats:
        bench.bench.release("vector_out__0")
        await bench.bench.step()
        bench.bench.hold("vector_out__0")
        for _ in range(6):
            await bench.bench.step()
            came += [log.count] * (int(dut.token_out.value) & 1)
    assert came == [beats - PORT_DEPTH], f"of {beats} beats {came} were taken when the token came"


@cocotb.test()
async def a_token_beyond_the_counter_is_lost_and_counted(dut: Any) -> None:
    bench = await PCUBench.start(dut)
    program = replace(kernels.activation(3, Function.EXP), token_in=(None, None, None, 1))
    await bench.load(assemble(bench.params, program))
    most = (1 << TOKEN_BITS) - 1
    dut.token_in.value = 0b1000
    await bench.bench.step(most + 20)
    dut.token_in.value = 0
    assert (await bench.status())["tokens_lost"] == 20
    run = plan(bench.params, program, random_supply(bench.params, np.random.default_rng(cocotb.RANDOM_SEED)))
    await bench.execute(replace(run, outputs=replace(run.outputs, tokens_in=(0,) * 4)))


@cocotb.test()
async def every_cycle_lost_is_counted_under_its_cause(dut: Any) -> None:
    """An input, a token or an output that is late by 50 cycles more costs 50 under its name and none elsewhere."""
    bench = await PCUBench.start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    causes: dict[str, str | None] = {f"vector_in_{j}": f"vector_in__{j}" for j in range(4)}
    causes |= {f"scalar_in_{j}": f"scalar_in__{j}" for j in range(4)}
    causes |= {"counter_limit": "scalar_in__0", "token": None, "output_room": "vector_out__0"}
    for cause, late in causes.items():
        program = kernels.of_everything(limit=3 if cause == "scalar_in_0" else 0, token=cause == "token")
        run = plan(bench.params, program, limited(random_supply(bench.params, rng), 200))
        counts = []
        for cycles in (150, 200):
            await bench.bench.reset()
            await bench.load(assemble(bench.params, program))
            if late is not None:
                bench.bench.hold(late)
            await bench.begin(run)
            await bench.bench.step(cycles)
            if late is not None:
                bench.bench.release(late)
            await bench.complete(run)
            counts.append(await bench.status())
        differences = {name: counts[1][name] - counts[0][name] for name in STATUS}
        expected = {name: 50 if name in ("busy", f"stall_{cause}") else 0 for name in STATUS}
        assert differences == expected, f"{cause}: {differences}"
        lost = sum(count for name, count in counts[0].items() if name.startswith("stall"))
        idle = counts[0]["busy"] - counts[0]["fires"] - lost
        leaves = 60 + 20 * bench.params.stages  # that many at most takes the last result
        assert 0 < idle < leaves, f"{cause}: {idle} cycles, more than the last result takes to leave, have no cause"


@cocotb.test()
async def a_cycle_lost_to_two_causes_is_counted_under_the_first(dut: Any) -> None:
    bench = await PCUBench.start(dut)
    program = kernels.of_everything(limit=0, token=False)
    run = plan(bench.params, program, limited(random_supply(bench.params, np.random.default_rng(1)), 200))
    late, counts = ("vector_in__1", "scalar_in__2"), []
    for cycles in (150, 200):
        await bench.bench.reset()
        await bench.load(assemble(bench.params, program))
        for port in late:
            bench.bench.hold(port)
        await bench.begin(run)
        await bench.bench.step(cycles)
        for port in late:
            bench.bench.release(port)
        await bench.complete(run)
        counts.append(await bench.status())
    lost = {name: counts[1][name] - counts[0][name] for name in STATUS if name.startswith("stall")}
    assert {name: count for name, count in lost.items() if count} == {"stall_vector_in_1": 50}


@cocotb.test()
async def any_legal_program_does_what_the_golden_model_says(dut: Any) -> None:
    bench = await PCUBench.start(dut)
    examples = int(os.environ.get(EXAMPLES, "200"))
    covered: set[pcu_coverage.Bin] = set()

    async def check(program: PCUProgram, data: int, gaps: Stalls, pressure: Stalls) -> None:
        await bench.bench.reset(1)
        bench.stall(gaps, pressure)
        run = plan(bench.params, program, supply(bench.params, program, data))
        await bench.run(run)
        covered.update(pcu_coverage.hit(bench.params, assemble(bench.params, program), gaps, pressure))

    seeds = st.integers(0, (1 << 16) - 1)
    some = st.just(Stalls()) | stalls()  # often none, which coverage asks for too
    await forall(check, examples=examples, program=programs(bench.params), data=seeds, gaps=some, pressure=some)
    if report := os.environ.get(COVERAGE):
        pcu_coverage.save(covered, Path(report))
