"""Bench of the PMU: random legal programs and directed ones, every output and the memory equal to the golden model."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cocotb.triggers import FallingEdge
from numpy.typing import NDArray

from coe_mapping.assembler.pmu import (
    Bit,
    Counter,
    Event,
    Pipeline,
    PMUProgram,
    Region,
    Register,
    Stage,
    assemble,
    divide,
)
from golden_model import ecc
from golden_model import pmu as golden
from golden_model.pmu import VectorBeats
from hdl.config import STATUS_BASE
from hdl.params import ELEMENT_BITS, PMUParams
from hdl.pmu.config import AddressOp, Error, Mode, Side, Status
from hdl.pmu.pmu import PMU
from verif.forall import forall, stalls
from verif.sim.runner import bench_parameters
from verif.strategies.pmu import LONGEST, Case, Order, cases
from verif.streams import Bench, Stalls

COUNT_BITS = 16
HANDOVER_CYCLES = 1.0
EXAMPLES = "OPENRDU_EXAMPLES"  # environment variable: random programs to run
DIRECTED = [
    "every_tile_shape_is_transposed_at_full_rate",
    "a_read_and_a_write_every_cycle_are_sustained_from_buffer_to_buffer",
    "handing_over_one_of_two_buffers_costs_at_most_a_cycle",
    "a_conflict_stalls_one_side_at_a_time_and_is_counted",
    "a_table_written_by_replication_is_looked_up_in_every_lane",
    "a_gather_takes_its_address_from_a_scalar",
    "predicates_keep_exactly_the_accesses_they_name",
    "a_writer_stops_when_every_buffer_is_full_and_a_reader_when_none_is",
]
NOTHING = VectorBeats(np.zeros((0, 1), np.uint16), np.zeros(0, np.int64))


class LoopedPMU(wiring.Component):
    """A PMU whose tokens in ``loop`` go straight back in, with a count of the tokens it sent and of its dones."""

    def __init__(self, params: PMUParams) -> None:
        self.params, self.unit = params, PMU(params)
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
        with m.If(self.start):
            m.d.sync += [self.dones.eq(0), *(count.eq(0) for count in self.tokens)]
        with m.Else():
            m.d.sync += self.dones.eq(self.dones + unit.done)
            m.d.sync += [self.tokens[i].eq(self.tokens[i] + unit.token_out[i]) for i in range(self.params.TOKENS)]
        return m


def sizes(**parameters: Any) -> PMUParams:
    """The sizes of a bench: small, so that edges are near, unless given."""
    return PMUParams(**{"lanes": 4, "rows": 32, "groups": 4, "alu_stages": 4, "fifo_depth": 4, **parameters})


def design(**parameters: Any) -> LoopedPMU:
    return LoopedPMU(sizes(**parameters))


def public(params: PMUParams) -> list[str]:
    """The memories, for ``run_bench(public=...)``."""
    return [f"unit.banks.bank_{b}.group_{g}" for b in range(params.lanes) for g in range(params.groups)]


class PMUBench:
    """Runs programs on the PMU and compares with the golden model."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.dut = bench, bench.dut
        self.params: PMUParams = sizes(**bench_parameters())
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
        """A word from the configuration bus."""
        self.dut.bus__address.value = address
        await self.edge
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
        for b in range(params.lanes):
            bank = getattr(self.dut.unit.banks, f"bank_{b}")
            groups = [getattr(bank, f"group_{g}") for g in range(params.groups)]
            words = [int(groups[g][i].value) for g, i in zip(group, inner, strict=True)]
            store[b] = ecc.decode(words, ELEMENT_BITS).data if params.ecc else words
        return store

    async def run(
        self,
        program: PMUProgram,
        data_in: VectorBeats = NOTHING,
        indices: VectorBeats = NOTHING,
        scalars: Sequence[Sequence[int]] = ((), (), (), ()),
        order: Order = "write first",
        loop: int = 0,
        floors: dict[str, float] | None = None,
    ) -> golden.Outputs:
        """Runs ``program`` from reset; returns what the golden model says, which everything was equal to.

        Raises:
            BenchError: a stream differed; AssertionError: memory, tokens, counts or error flags did.
        """
        words = assemble(self.params, program)
        before = self.memory(program.bank_shift)
        first: Any = "read" if order == "read first" else "write"
        expected = golden.run(self.params, words, [data_in, indices], scalars, before, first)
        await self.bench.reset(1)
        self.dut.loop.value = loop
        await self.configure(words)
        self.send(expected, data_in, indices, scalars)
        await self.pulse(self.dut.start)
        await self.bench.until(lambda: int(self.dut.dones.value) == 1, "done")
        await self.bench.finish(floors=floors, extra=4)
        await self.compare(program, expected)
        return expected

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
    """As many as the environment says."""
    pmu = await PMUBench.start(dut, watchdog=600)
    bench, params = pmu.bench, pmu.params
    await fill(pmu)

    async def program_does_what_the_golden_model_says(
        case: Case, data_gaps: Stalls, index_gaps: Stalls, scalar_gaps: Stalls, pressure: Stalls
    ) -> None:
        bench.stall("vector_in__0", data_gaps)
        bench.stall("vector_in__1", index_gaps)
        for j in range(params.SCALAR_INPUTS):
            bench.stall(f"scalar_in__{j}", scalar_gaps)
        for name in bench.monitors:
            bench.stall(name, pressure)
        data_in, indices = (case.vectors(params, 2 * LONGEST, j) for j in (0, 1))
        await pmu.run(case.program, data_in, indices, case.scalars, case.order, case.loop)

    await forall(
        program_does_what_the_golden_model_says,
        examples=examples(),
        case=cases(params),
        data_gaps=stalls(),
        index_gaps=stalls(),
        scalar_gaps=stalls(),
        pressure=stalls(),
    )


def examples() -> int:
    return int(os.environ.get(EXAMPLES, "200"))


def token_first(side: Side) -> dict[str, Any]:
    """Settings of a program in which ``side`` runs to its end before the other begins, by token 0."""
    other = Side.READ if side is Side.WRITE else Side.WRITE
    return {"token_out": (Event(side, 0),), "token_in": (Event(other, 0),)}


def in_order(rows: NDArray[Any]) -> VectorBeats:
    return VectorBeats(rows.astype(np.uint16), np.zeros(len(rows), np.int64))


def by_rows(params: PMUParams, height: int, pitch: int) -> Pipeline:
    """Every row of a diagonally striped tile, ``pitch`` accesses a row."""
    width = pitch * params.lanes
    return Pipeline(
        region=Region(0, params.rows),
        counters=(Counter(height, width), Counter(pitch, params.lanes)),
        registers=(Register(counters=(0, 1)), Register(counters=(0,))),
        stages=(divide(1, 1, width),),
        tile_row=1,
    )


def by_columns(params: PMUParams, height: int, pitch: int) -> Pipeline:
    """Every column of the tile, ``lanes`` elements an access, the last of a column partial."""
    width, lanes = pitch * params.lanes, params.lanes
    return Pipeline(
        region=Region(0, params.rows),
        counters=(Counter(width, 1), Counter(-(-height // lanes), width * lanes)),
        registers=(Register(counters=(0, 1)), Register(counters=(1,)), Register(height * width)),
        stages=(Stage(AddressOp.SUBTRACT, 2, a=2, b=1), divide(2, 2, width)),
        limit=2,
        mode=Mode.COLUMN,
        pitch=pitch,
    )


@cocotb.test()
async def every_tile_shape_is_transposed_at_full_rate(dut: Any) -> None:
    """Written by rows and read by columns, and the other way about; heights that lanes do not divide included."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    rng = np.random.default_rng(pmu.bench.rng.getrandbits(32))
    for pitch in (1, 2, 3):
        for height in range(1, min(params.rows // pitch, 3 * lanes) + 1):
            tile = rng.integers(0, 1 << 16, (height, pitch * lanes))
            padded = np.zeros((-(-height // lanes) * lanes, pitch * lanes), np.int64)
            padded[:height] = tile
            rows, columns = tile.reshape(-1, lanes), padded.T.reshape(-1, lanes)
            straight, across = by_rows(params, height, pitch), by_columns(params, height, pitch)
            floor = {"vector_out__0": 1.0} if height * pitch > 1 else {}
            program = PMUProgram(straight, across, **token_first(Side.WRITE))
            out = await pmu.run(program, in_order(rows), loop=1, floors=floor)
            assert (out.vector.elements == columns).all()
            program = PMUProgram(across, straight, **token_first(Side.WRITE))
            out = await pmu.run(program, in_order(columns), loop=1, floors=floor)
            assert (out.vector.elements == rows).all()


@cocotb.test()
async def a_read_and_a_write_every_cycle_are_sustained_from_buffer_to_buffer(dut: Any) -> None:
    """A buffer a sub-array: no conflicts. In row, column and unaligned mode, one beat out in every cycle."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    depth, rows, blocks = params.groups, params.rows // params.groups, 12
    rng = np.random.default_rng(pmu.bench.rng.getrandbits(32))
    region, outer = Region(0, rows), Counter(blocks)
    write = Pipeline(region, (outer, Counter(rows, lanes)), (Register(counters=(1,)),), buffer=1)
    column = Pipeline(
        region,
        (outer, Counter(rows // lanes, lanes * lanes), Counter(lanes, 1)),
        (Register(counters=(1, 2)),),
        mode=Mode.COLUMN,
        pitch=1,
        buffer=1,
    )
    unaligned = Pipeline(region, (outer, Counter(rows - 1, lanes)), (Register(1, counters=(1,)),), buffer=1)
    shorter = replace(write, counters=(outer, Counter(rows - 1, lanes)))
    for writer, reader in ((write, write), (write, column), (shorter, unaligned)):
        shift = (rows - 1).bit_length()
        program = PMUProgram(writer, reader, buffers=depth, bank_shift=shift)
        beats = blocks * writer.counters[1].limit
        out = await pmu.run(program, vectors(rng, beats, lanes), floors={"vector_out__0": 1.0})
        assert out.reads == out.writes == beats
        assert await pmu.status(Status.CONFLICTS) == 0
        busy = await pmu.status(Status.BUSY)
        assert busy <= beats + rows + 40, f"{busy} cycles for {beats} accesses a side"


@cocotb.test()
async def handing_over_one_of_two_buffers_costs_at_most_a_cycle(dut: Any) -> None:
    """With two buffers the sides wait for one another once a block; with three or more they do not."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    rows, blocks = params.rows // params.groups, 16
    side = Pipeline(Region(0, rows), (Counter(blocks), Counter(rows, lanes)), (Register(counters=(1,)),), buffer=1)
    program = PMUProgram(side, side, buffers=2, bank_shift=(rows - 1).bit_length())
    await pmu.run(program, vectors(np.random.default_rng(4), blocks * rows, lanes))
    log = pmu.bench.monitors["vector_out__0"].log
    lost = (log.last - log.first + 1 - log.count) / (blocks - 1)
    assert lost <= HANDOVER_CYCLES, f"{lost} cycles lost a buffer"


@cocotb.test()
async def a_conflict_stalls_one_side_at_a_time_and_is_counted(dut: Any) -> None:
    """Both sides in one sub-array for as long as they run: each gets every other cycle."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    half = params.rows // params.groups // 2
    await fill(pmu)
    shift = (2 * half - 1).bit_length()
    count = (Counter(8), Counter(half, lanes))
    below, above = (Pipeline(Region(base, half), count, (Register(counters=(1,)),)) for base in (0, half))
    rng = np.random.default_rng(1)
    await pmu.run(PMUProgram(below, above, bank_shift=shift), vectors(rng, 8 * half, lanes))
    conflicts = await pmu.status(Status.CONFLICTS)
    assert 10 * half < conflicts <= 16 * half, conflicts  # were one side preferred: at most 8 * half


@cocotb.test()
async def a_table_written_by_replication_is_looked_up_in_every_lane(dut: Any) -> None:
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    rng = np.random.default_rng(pmu.bench.rng.getrandbits(32))
    entries, base = params.rows // 2, params.rows // 4
    table = rng.integers(0, 1 << 16, entries)
    write = plain_rows(params, entries, region=Region(base, entries), permute=(0,) * lanes)
    read = Pipeline(Region(base, entries), (Counter(20),), mode=Mode.LOOKUP)
    data_in = in_order(np.stack([table, *[rng.integers(0, 1 << 16, entries)] * (lanes - 1)], axis=1))
    indices = in_order(rng.integers(0, entries, (20, lanes)))
    program = PMUProgram(write, read, **token_first(Side.WRITE))
    out = await pmu.run(program, data_in, indices, loop=1, floors={"vector_out__0": 1.0})
    assert (out.vector.elements == table[indices.elements]).all()


@cocotb.test()
async def a_gather_takes_its_address_from_a_scalar(dut: Any) -> None:
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    await fill(pmu)
    store = pmu.memory(0)
    places = [pmu.bench.rng.randrange((params.rows - 1) * lanes) for _ in range(16)]
    read = Pipeline(Region(0, params.rows), (Counter(16),), (Register(scalar=2),))
    program = PMUProgram(read=read, scalar_in=(None, None, Event(Side.READ, 1)))
    out = await pmu.run(program, scalars=((), (), places, ()))
    flat = store.T.reshape(-1)
    assert (out.vector.elements == np.stack([flat[p : p + lanes] for p in places])).all()


@cocotb.test()
async def predicates_keep_exactly_the_accesses_they_name(dut: Any) -> None:
    """A tensor interleaved over several PMUs: each keeps its range, or the addresses with its bit."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    await fill(pmu)
    flat = pmu.memory(0).T.reshape(-1)
    count = (params.rows - 2) * lanes
    read = Pipeline(Region(0, params.rows), (Counter(count, 1),), (Register(counters=(0,)),))
    out = await pmu.run(PMUProgram(read=replace(read, keep_range=(5, 9))))
    assert (out.vector.elements == [flat[a : a + lanes] for a in range(4)]).all()
    out = await pmu.run(PMUProgram(read=replace(read, keep_bit=Bit(0, 2))))
    assert (out.vector.elements == [flat[a : a + lanes] for a in range(count) if a & 4]).all()


@cocotb.test()
async def a_writer_stops_when_every_buffer_is_full_and_a_reader_when_none_is(dut: Any) -> None:
    pmu = await PMUBench.start(dut)
    bench, params, lanes = pmu.bench, pmu.params, pmu.params.lanes
    rows, depth, blocks = 4, 3, 6
    side = Pipeline(Region(0, rows), (Counter(blocks), Counter(rows, lanes)), (Register(counters=(1,)),), buffer=1)
    words = assemble(params, PMUProgram(side, side, buffers=depth))
    data_in = vectors(np.random.default_rng(2), blocks * rows, lanes)
    await pmu.configure(words)
    await pmu.pulse(dut.start)
    await bench.step(60)
    assert await pmu.status(Status.READS) == 0, "a reader went ahead of any writer"
    assert await pmu.status(Status.WAIT_FULL) > 20
    bench.send("vector_in__0", payloads(VectorBeats(data_in.elements[: rows - 1], data_in.sequence[: rows - 1])))
    await bench.step(60)
    assert await pmu.status(Status.READS) == 0, "a reader saw a half-written buffer"
    bench.hold("vector_out__0")
    bench.send("vector_in__0", payloads(VectorBeats(data_in.elements[rows - 1 :], data_in.sequence[rows - 1 :])))
    await bench.step(200)
    done = await pmu.status(Status.READS)
    assert await pmu.status(Status.WRITES) == min(blocks, depth + done // rows) * rows
    bench.release("vector_out__0")
    bench.expect("vector_out__0", payloads(data_in))
    await bench.finish()
