"""Bench of the AGCU: random legal programs and directed ones, streams and memory equal to the golden model."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cocotb.triggers import FallingEdge
from hypothesis import strategies as st
from numpy.typing import NDArray

from coe_mapping.assembler.agcu import AGCUProgram, assemble
from golden_model import agcu as golden
from golden_model.pmu import VectorBeats
from hdl.agcu.agcu import AGCU
from hdl.agcu.config import Cause, Status, fault_layout
from hdl.clock_gate import Sleeper
from hdl.config import STATUS_BASE
from hdl.params import TEST, AGCUParams, MemoryParams, PCUParams, PMUParams, RDUParams
from verif.benches.agcu_memory import MemoryResponder, Range
from verif.forall import forall, stalls
from verif.loaded import Pair
from verif.sim.runner import bench_parameters
from verif.strategies.agcu import LONGEST, TIERS, Case, cases
from verif.streams import Bench, Stalls
from verif.streams.payload import decode

COUNT_BITS = 16
EXAMPLES = "OPENRDU_EXAMPLES"  # environment variable: random programs to run
NOTHING = VectorBeats(np.zeros((0, 1), np.uint16), np.zeros(0, np.int64))
Tick = Callable[[], None]


class LoopedAGCU(wiring.Component):
    """An AGCU whose tokens in ``loop`` go straight back in, with a count of the tokens it sent and of its dones.

    ``gated``: one that sleeps, beside one that does not; ``differs`` once an output of theirs does.
    """

    def __init__(self, params: RDUParams, gated: bool = False) -> None:
        self.params, self.gated = params, gated
        self.unit: Any = Pair(AGCU(params), Sleeper(AGCU(params))) if gated else AGCU(params)
        super().__init__(
            {
                **dict(self.unit.signature.members.items()),
                "loop": In(params.agcu.TOKENS),
                "tokens": Out(data.ArrayLayout(COUNT_BITS, params.agcu.TOKENS)),
                "dones": Out(COUNT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        for name in ("vector_in", "scalar_in", "vector_out", "scalar_out"):
            for inner, outer in zip(getattr(unit, name), getattr(self, name), strict=True):
                connect(m, inner, flipped(outer))
        connect(m, unit.memory, flipped(self.memory))
        connect(m, flipped(self.bus), unit.bus)
        m.d.comb += [
            unit.commit.eq(self.commit),
            unit.start.eq(self.start),
            unit.halt.eq(self.halt),
            unit.token_in.eq(self.token_in | (unit.token_out & self.loop)),
            self.token_out.eq(unit.token_out),
            self.done.eq(unit.done),
            self.quiet.eq(unit.quiet),
            self.fault.eq(unit.fault),
        ]
        if self.gated:
            m.d.comb += self.differs.eq(unit.differs)
        with m.If(self.start):
            m.d.sync += [self.dones.eq(0), *(count.eq(0) for count in self.tokens)]
        with m.Else():
            m.d.sync += self.dones.eq(self.dones + unit.done)
            m.d.sync += [self.tokens[i].eq(self.tokens[i] + unit.token_out[i]) for i in range(self.params.agcu.TOKENS)]
        return m


def sizes(lanes: int = 4, granule: int = 4, **agcu: Any) -> RDUParams:
    """The sizes of a bench: small, so that edges are near, unless given."""
    return RDUParams(
        "bench",
        PCUParams(lanes=lanes, stages=2),
        PMUParams(lanes=lanes),
        TEST.rdn,
        AGCUParams(**{"outstanding": 8, "segments": 4, "fifo_depth": 4, **agcu}),
        MemoryParams(TEST.memory.hbm, TEST.memory.ddr, granule=granule),
    )


def design(gated: bool = False, **parameters: Any) -> LoopedAGCU:
    return LoopedAGCU(sizes(**parameters), gated)


class AGCUBench:
    """Runs programs on the AGCU, with a memory, and compares with the golden model."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.dut = bench, bench.dut
        settings: Any = bench_parameters()
        self.gated = bool(settings.pop("gated", False))
        self.params = sizes(**settings)
        self.memory = MemoryResponder(bench, self.params)
        self.edge = FallingEdge(bench.dut.clk)
        self.rng = bench.rng

    @classmethod
    async def start(cls, dut: Any, **settings: Any) -> "AGCUBench":
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

    async def status(self, word: Status) -> int:
        self.dut.bus__address.value = STATUS_BASE + word
        await self.edge
        return int(self.dut.bus__read_data.value)

    def fault(self) -> golden.Fault | None:
        """What the unit says of a refused access."""
        fault = decode(fault_layout(), int(self.dut.fault.value))
        if not fault.valid:
            return None
        return golden.Fault(Cause(fault.cause), fault.stream, fault.segment, bool(fault.write), fault.address)

    async def run(
        self,
        program: AGCUProgram,
        vectors: Sequence[VectorBeats] = (),
        scalars: Sequence[Sequence[int]] = ((), (), (), ()),
        order: Sequence[int] | None = None,
        loop: int = 0,
        tick: Tick = lambda: None,
        floors: dict[str, float] | None = None,
    ) -> golden.Outputs:
        """Runs ``program`` from reset; returns what the golden model says, which everything was equal to.

        The memory is ``self.memory.tiers``. ``tick`` is called in every cycle. Where an access must be refused, the
        unit must report it, stop, and become quiet; then nothing else is compared.

        Raises:
            BenchError: a stream differed; AssertionError: memory, tokens, counts or the fault did.
        """
        words = assemble(self.params, program)
        tiers = {tier: bytes_of.copy() for tier, bytes_of in self.memory.tiers.items()}
        given = [*vectors, *[NOTHING] * (self.params.agcu.stores - len(vectors))]
        expected = golden.run(self.params, words, given, scalars, tiers, order)
        await self.begin(program, words, loop)
        self.send(expected, given, scalars)
        await self.pulse(self.dut.start)
        owed = list(expected.consumed_tokens)

        def ended() -> bool:
            tick()
            self._send_tokens(owed, loop)
            return int(self.dut.dones.value) == 1 or self.fault() is not None

        await self.bench.until(ended, "done, or a fault")
        if any(expected.faults):
            await self.compare_fault(expected)
            return expected
        assert self.fault() is None, f"{self.fault()} was not expected"
        await self.bench.finish(floors=floors, extra=4)
        await self.compare(expected, tiers)
        return expected

    async def begin(self, program: AGCUProgram, words: Sequence[int], loop: int) -> None:
        """Resets, and loads the program."""
        await self.bench.reset(1)
        self.dut.halt.value = 0
        self.dut.token_in.value = 0
        self.dut.loop.value = loop
        self.memory.allowed = [range_of(self.params, program, s) for s in self._used(program)]
        await self.configure(words)

    def _used(self, program: AGCUProgram) -> list[int]:
        return [s for s, stream in enumerate(program.streams(self.params.agcu)) if stream is not None]

    def send(self, expected: golden.Outputs, vectors: Sequence[VectorBeats], scalars: Sequence[Sequence[int]]) -> None:
        """Queues what the program consumes and nothing else, and expects its outputs."""
        for k, (beats, count) in enumerate(zip(vectors, expected.consumed_vectors, strict=True)):
            self.bench.send(f"vector_in__{k}", payloads(VectorBeats(beats.elements[:count], beats.sequence[:count])))
        for j, count in enumerate(expected.consumed_scalars):
            self.bench.send(f"scalar_in__{j}", [int(word) for word in scalars[j][:count]])
        if any(expected.faults):
            return
        for k, beats in enumerate(expected.vectors):
            self.bench.expect(f"vector_out__{k}", payloads(beats))
        self.bench.expect("scalar_out__0", [int(word) for word in expected.scalars])

    def _send_tokens(self, owed: list[int], loop: int) -> None:
        """Pulses, at random times, the tokens that the program still waits for and nobody else sends."""
        pulses = 0
        for i in range(len(owed)):
            if owed[i] and not loop >> i & 1 and self.rng.random() < 0.2:
                owed[i] -= 1
                pulses |= 1 << i
        self.dut.token_in.value = pulses

    async def compare(self, expected: golden.Outputs, tiers: dict[int, NDArray[np.uint8]]) -> None:
        for tier, wanted in tiers.items():
            differ = np.flatnonzero(wanted != self.memory.tiers[tier])
            assert not len(differ), f"memory of tier {tier} differs at bytes {differ[:20]}"
        tokens = [int(self.dut.tokens.value) >> COUNT_BITS * i & 0xFFFF for i in range(self.params.agcu.TOKENS)]
        assert tokens == list(expected.tokens), f"tokens sent {tokens}, expected {expected.tokens}"
        assert int(self.dut.dones.value) == 1
        assert not (self.gated and int(self.dut.differs.value)), "an output is not that of the unit that never sleeps"
        served = self.memory.served
        counts = [await self.status(word) for word in COUNTED]
        kinds = ([b for b in served if not b.write], [b for b in served if b.write])
        assert counts == [n for kind in kinds for n in (len(kind), sum(b.beats for b in kind))], counts
        assert await self.status(Status.MOST_IN_FLIGHT) <= self.params.agcu.outstanding
        assert await self.status(Status.ERRORS) == 0

    async def compare_fault(self, expected: golden.Outputs) -> None:
        """The unit reports one of the faults that its streams run into, stops by itself, and says so."""
        fault = self.fault()
        assert fault is not None
        assert fault in expected.faults, f"{fault}, expected one of {expected.faults}"
        await self.bench.until(lambda: bool(int(self.dut.quiet.value)), "quiet")
        sent = self.memory.requests.log.count
        await self.bench.step(20)
        assert self.memory.requests.log.count == sent, "a request after quiet"
        assert not self.memory.pending, "quiet with a request under way"
        assert int(self.dut.dones.value) == 0
        assert self.fault() == fault, "the fault changed"
        word = await self.status(Status.FAULT)
        assert word == fault.cause.value | fault.stream << 8 | fault.segment << 16 | fault.write << 24, f"{word:#x}"
        assert await self.status(Status.FAULT_ADDRESS) == fault.address


COUNTED = (Status.BURSTS_READ, Status.BEATS_READ, Status.BURSTS_WRITTEN, Status.BEATS_WRITTEN)


def range_of(params: RDUParams, program: AGCUProgram, stream: int) -> Range:
    """The bytes, in whole beats, that a stream may touch."""
    used = program.streams(params.agcu)[stream]
    assert used is not None
    segment = program.segments[used.access.segment]
    beats = -(-segment.limit // params.beat_bytes)
    return Range(segment.base, segment.base + beats * params.beat_bytes, stream >= params.agcu.loads)


def payloads(beats: VectorBeats) -> list[dict[str, Any]]:
    return [
        {"elements": [int(e) for e in row], "sequence": int(s)}
        for row, s in zip(beats.elements, beats.sequence, strict=True)
    ]


def random_memory(rng: np.random.Generator) -> dict[int, NDArray[np.uint8]]:
    return {tier: rng.integers(0, 256, size).astype(np.uint8) for tier, size in TIERS.items()}


@cocotb.test()
async def random_programs_equal_the_golden_model_under_random_stalls(dut: Any) -> None:
    """As many as the environment says, each with its own memory latency; in a quarter of them the unit is halted for a
    while and goes on."""
    agcu = await AGCUBench.start(dut, watchdog=800)
    bench, params, rng = agcu.bench, agcu.params, agcu.rng

    async def program_does_what_the_golden_model_says(
        case: Case, data_gaps: Stalls, scalar_gaps: Stalls, pressure: Stalls, memory: Stalls, slowest: int, halts: int
    ) -> None:
        for k in range(params.agcu.stores):
            bench.stall(f"vector_in__{k}", data_gaps)
        for j in range(params.agcu.SCALAR_INPUTS):
            bench.stall(f"scalar_in__{j}", scalar_gaps)
        for name in bench.monitors:
            bench.stall(name, memory if name == "memory__request" else pressure)
        bench.stall("memory__response", memory)
        agcu.memory.tiers = case.memory()
        agcu.memory.latency = lambda: rng.randint(0, slowest)
        vectors = [case.vectors(params, LONGEST * case.program.rounds, k) for k in range(params.agcu.stores)]
        halter = Halter(agcu, halts)
        await agcu.run(case.program, vectors, case.scalars, case.sequence(params), case.loop, halter.tick)

    await forall(
        program_does_what_the_golden_model_says,
        examples=examples(),
        case=cases(params),
        data_gaps=stalls(),
        scalar_gaps=stalls(),
        pressure=stalls(),
        memory=stalls(8),
        slowest=latencies(),
        halts=halts_at(),
    )


class Halter:
    """Halts the unit from a cycle on until it is quiet, and a while longer; then lets it go on."""

    def __init__(self, agcu: AGCUBench, first: int, length: int = 10) -> None:
        self.agcu, self.left, self.length = agcu, first, length
        self.sent: int | None = None

    def tick(self) -> None:
        """One cycle."""
        dut, requests = self.agcu.dut, self.agcu.memory.requests
        self.left -= 1
        if self.left == 0:
            dut.halt.value = 1
        if self.left >= -2 or self.length < 0:
            return
        if self.sent is None and int(dut.quiet.value):
            assert not self.agcu.memory.pending, "quiet with a request under way"
            self.sent = requests.log.count
        if self.sent is not None:
            assert requests.log.count == self.sent, "a request while quiet"
            self.length -= 1
            if self.length < 0:
                dut.halt.value = 0


def latencies() -> Any:

    return st.integers(0, 60)


def halts_at() -> Any:
    """0: never."""

    return st.integers(0, 400).map(lambda n: n if n < 100 else 0)


def examples() -> int:
    return int(os.environ.get(EXAMPLES, "100"))
