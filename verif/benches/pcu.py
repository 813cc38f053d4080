"""Bench of :class:`hdl.pcu.pcu.PCU`: programs, data, stalls; every output compared with the golden model."""

import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from hypothesis import strategies as st

from coe_mapping.assembler.pcu import PCUProgram, Simd, assemble
from golden_model import pcu as golden
from hdl.arith.special_tables import Function
from hdl.config import STATUS_BASE
from hdl.params import PCUParams
from hdl.pcu.config import SharedSource
from hdl.pcu.pcu import PCU
from verif import pcu_coverage
from verif import pcu_kernels as kernels
from verif.forall import forall, stalls
from verif.strategies.pcu import programs, supply
from verif.streams import Bench, BenchError, Stalls

EXAMPLES = "OPENRDU_EXAMPLES"
"""Environment variable: random programs to run."""

COVERAGE = "OPENRDU_COVERAGE"
"""Environment variable: file to which the random programs' coverage is written, as JSON."""


def design(lanes: int = 4, stages: int = 2, fifo_depth: int = 4) -> PCU:
    return PCU(PCUParams(lanes=lanes, stages=stages, fifo_depth=fifo_depth))


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
        dut.config__write.value = 1
        for address, word in enumerate(words):
            dut.config__address.value = address
            dut.config__write_data.value = word
            await self.bench.step()
        dut.config__write.value = 0
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
        bench, dut = self.bench, self.bench.dut
        for j, vectors in enumerate(run.inputs.vectors):
            bench.send(f"vector_in__{j}", [{"elements": beat.tolist(), "sequence": 0} for beat in vectors])
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
        await bench.until(self._finished, "done and every output")
        dut.token_in.value = 0
        for _ in range(4):
            await bench.step()
            self._sample()
        if self._done != 1:
            raise BenchError(f"done was pulsed {self._done} times in one start")
        if tuple(self._tokens_seen) != outputs.tokens_out:
            raise BenchError(f"tokens out {self._tokens_seen}, expected {list(outputs.tokens_out)}")

    async def status(self) -> dict[str, int]:
        """All status words."""
        dut, words = self.bench.dut, {}
        for i, name in enumerate(PCU.STATUS):
            dut.config__address.value = STATUS_BASE + i
            await self.bench.step(2)
            words[name] = int(dut.config__read_data.value)
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


@cocotb.test()
async def a_matrix_product_of_any_shape_is_exact(dut: Any) -> None:
    bench = await PCUBench.start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    shapes = random.Random(cocotb.RANDOM_SEED)
    for case in range(12):
        slots, rows = shapes.randint(1, bench.params.interleave), shapes.randint(1, bench.params.stages)
        program = kernels.gemm(
            shapes.randint(1, 3), shapes.randint(1, 11), slots, rows,
            columns=bool(case & 1), initial=bool(case & 2),
        )  # fmt: skip
        pressure = 0.0 if case < 4 else 0.5
        bench.stall(Stalls.random(bench.bench.rng, pressure), Stalls.random(bench.bench.rng, pressure))
        await bench.run(plan(bench.params, program, random_supply(bench.params, rng)))


def patterns(params: PCUParams) -> dict[str, PCUProgram]:
    """The kernels that fit a PCU of these sizes."""
    lanes = params.lanes
    programs = {
        "gemv": kernels.gemm(3, 20, params.interleave, 1),
        "split k": kernels.gemm(1, 10, 2, params.stages, initial=True),
        "causal scores": kernels.causal_scores(4 * lanes, lanes, 9, params.stages, lanes + 1, 0.125),
        "inverse rms": kernels.inverse_rms(3, 5, 5 * lanes, 1e-5),
        "scale rows": kernels.scale_rows(3, 4),
        "row maximum": kernels.row_extremum(2, 6),
        "exponentials": kernels.exponentials(2, 4),
        "arg-max": kernels.arg_max(40, lanes),
        "rotary": kernels.rotary(8),
        "prefix sums": kernels.prefix_sums(8, lanes),
        "running sums": kernels.running_sums(2, 6),
        "silu": kernels.activation(10, Function.SILU),
        "gelu": kernels.activation(10, Function.GELU),
    }
    return {
        name: program
        for name, program in programs.items()
        if not isinstance(program.body, Simd) or len(program.body.stages) <= params.stages
    }


@cocotb.test()
async def the_patterns_of_real_kernels_are_exact(dut: Any) -> None:
    bench = await PCUBench.start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    for pressure in (0.0, 0.4):
        bench.stall(Stalls.random(bench.bench.rng, pressure), Stalls.random(bench.bench.rng, pressure))
        for program in patterns(bench.params).values():
            await bench.run(plan(bench.params, program, random_supply(bench.params, rng)))


@cocotb.test()
async def a_steady_gemm_keeps_every_cell_busy_every_cycle(dut: Any) -> None:
    """From the fire counters: 97 % end to end with k of 512; the cycles lost do not grow with the work."""
    bench = await PCUBench.start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    lost = {}
    for tiles, steps in ((1, 512), (4, 64), (4, 128)):
        slots, rows = bench.params.interleave, bench.params.stages
        program = kernels.gemm(tiles, steps, slots, rows)
        await bench.bench.reset()
        await bench.run(plan(bench.params, program, random_supply(bench.params, rng, tiles * steps * slots)))
        status = await bench.status()
        assert status["fires"] == tiles * steps * slots, status
        lost[tiles, steps] = status["busy"] - status["fires"]
        if steps == 512:
            assert status["fires"] / status["busy"] >= 0.97, status
    assert lost[4, 64] == lost[4, 128], f"cycles lost {lost}: they grow with k, so the steady state loses some"


@cocotb.test()
async def simd_moves_one_vector_a_cycle(dut: Any) -> None:
    bench = await PCUBench.start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    for program, rate in ((kernels.activation(300, Function.EXP), 1.0), (kernels.prefix_sums(150, 4), 1.0)):
        await bench.bench.reset()
        await bench.run(plan(bench.params, program, random_supply(bench.params, rng)))
        bench.bench.check_rate("vector_out__0", rate)


@cocotb.test()
async def a_program_started_again_reads_on_where_it_was(dut: Any) -> None:
    bench = await PCUBench.start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    for program in (kernels.gemm(1, 6, 2, bench.params.stages), kernels.inverse_rms(2, 3, 12, 1e-5)):
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
    await forall(check, examples=examples, program=programs(bench.params), data=seeds, gaps=stalls(), pressure=stalls())
    if report := os.environ.get(COVERAGE):
        Path(report).write_text(json.dumps(sorted(covered)))
