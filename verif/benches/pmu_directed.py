"""Directed programs of the PMU: the patterns that kernels use, against NumPy as well as the golden model, and rates."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cocotb
import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from coe_mapping.assembler.pmu import (
    Bit,
    Counter,
    Event,
    Pipeline,
    PMUProgram,
    Region,
    Register,
    ScalarOut,
    Stage,
    assemble,
    divide,
    modulo,
)
from golden_model.pmu import VectorBeats
from hdl.params import PMUParams
from hdl.pmu.config import AddressOp, Error, Mode, Side, Status
from verif.benches.pmu import NOTHING, PMUBench, design, fill, payloads, plain_rows, vectors

__all__ = ["design"]  # what the simulator builds

HANDOVER_CYCLES = 1.0
LATENCY = 12  # cycles from start to the first beat, without ALU stages
SHAPES = 40


def signed(value: int) -> int:
    return value - (value >> 31 << 32)


ARITHMETIC: dict[AddressOp, Callable[[Stage, int, int, int], int]] = {
    AddressOp.ADD: lambda s, a, b, c: a + b,
    AddressOp.SUBTRACT: lambda s, a, b, c: a - b,
    AddressOp.MULTIPLY: lambda s, a, b, c: a * s.constant,
    AddressOp.MULTIPLY_SUBTRACT: lambda s, a, b, c: b - a * s.constant,
    AddressOp.DIVIDE: lambda s, a, b, c: (a + s.increment) * s.constant >> 32 + s.shift,
    AddressOp.SHIFT_LEFT: lambda s, a, b, c: a << b % 32,
    AddressOp.SHIFT_RIGHT: lambda s, a, b, c: a >> b % 32,
    AddressOp.AND: lambda s, a, b, c: a & b,
    AddressOp.EXTRACT: lambda s, a, b, c: (a >> s.shift) % (1 << s.width),
    AddressOp.SHIFT_SET: lambda s, a, b, c: (a << s.shift) + b % (1 << s.shift),
    AddressOp.LESS: lambda s, a, b, c: signed(a) < signed(b),
    AddressOp.EQUAL: lambda s, a, b, c: a == b,
    AddressOp.SELECT: lambda s, a, b, c: a if c % 2 else b,
    AddressOp.MIN: lambda s, a, b, c: min(signed(a), signed(b)),
    AddressOp.MAX: lambda s, a, b, c: max(signed(a), signed(b)),
}
"""What each operation means, in Python's integers."""


def generator(pmu: PMUBench) -> np.random.Generator:
    return np.random.default_rng(pmu.bench.rng.getrandbits(32))


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
    """All pitches and heights that fit; on more than 4 lanes, where each takes long, some of them. Written by rows and
    read by columns, and the other way about."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    rng = generator(pmu)
    shapes = [(p, h) for p in range(1, params.rows + 1) for h in range(1, params.rows // p + 1)]
    for pitch, height in shapes if lanes <= 4 else pmu.bench.rng.sample(shapes, SHAPES):
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
    """A buffer a sub-array, in row, column and unaligned mode on either side. The counters of accesses made rise by one
    in every cycle once both sides run, and beats leave without a gap."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    depth, rows, blocks = params.groups, params.rows // params.groups, 16
    rng = generator(pmu)
    region, outer = Region(0, rows), Counter(blocks)
    row = Pipeline(region, (outer, Counter(rows, lanes)), (Register(counters=(1,)),), buffer=1)
    column = Pipeline(
        region,
        (outer, Counter(rows // lanes, lanes * lanes), Counter(lanes, 1)),
        (Register(counters=(1, 2)),),
        mode=Mode.COLUMN,
        pitch=1,
        buffer=1,
    )
    shorter = replace(row, counters=(outer, Counter(rows - 1, lanes)))
    unaligned = replace(shorter, registers=(Register(1, counters=(1,)),))
    for writer, reader in ((row, row), (row, column), (column, row), (shorter, unaligned), (unaligned, shorter)):
        program = PMUProgram(writer, reader, buffers=depth, bank_shift=(rows - 1).bit_length())
        beats = blocks * (rows if writer in (row, column) else rows - 1)
        data_in = vectors(rng, beats, lanes)
        out = await pmu.run(program, data_in, floors={"vector_out__0": 1.0})
        assert out.reads == out.writes == beats
        assert await pmu.status(Status.CONFLICTS) == 0
        busy = await pmu.status(Status.BUSY)
        assert busy <= beats + rows + 40, f"{busy} cycles for {beats} accesses a side"
        await pmu.begin(program, data_in)
        await pmu.bench.step(beats // 2)
        before = [await pmu.status(word) for word in (Status.WRITES, Status.READS)]
        await pmu.bench.step(beats // 4)
        after = [await pmu.status(word) for word in (Status.WRITES, Status.READS)]
        assert np.subtract(after, before).tolist() == [beats // 4 + 2] * 2, "accesses in as many cycles"


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
async def the_first_beat_leaves_after_the_latency_that_the_manual_states(dut: Any) -> None:
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    for split in range(params.alu_stages + 1):
        write = plain_rows(params, 1, stages=(Stage(AddressOp.NONE),) * split)
        await pmu.begin(PMUProgram(write, plain_rows(params, 4)), vectors(generator(pmu), 1, lanes))
        await pmu.bench.step(100)
        latency = pmu.bench.monitors["vector_out__0"].log.first + 1  # cycle 0 is the one after the start
        assert latency == LATENCY + params.alu_cycles * (params.alu_stages - split)


@cocotb.test()
async def a_conflict_stalls_one_side_at_a_time_and_is_counted(dut: Any) -> None:
    """Both sides in one sub-array for as long as they run: each gets every other cycle."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    half = params.rows // params.groups // 2
    await fill(pmu)
    shift = (2 * half - 1).bit_length()
    count = (Counter(16), Counter(half, lanes))
    below, above = (Pipeline(Region(base, half), count, (Register(counters=(1,)),)) for base in (0, half))
    rng = np.random.default_rng(1)
    await pmu.run(PMUProgram(below, above, bank_shift=shift), vectors(rng, 16 * half, lanes))
    conflicts = await pmu.status(Status.CONFLICTS)
    assert 20 * half < conflicts <= 32 * half, conflicts  # were one side preferred: at most 16 * half
    await fill(pmu)
    await pmu.run(PMUProgram(below, above, bank_shift=(half - 1).bit_length()), vectors(rng, 16 * half, lanes))
    assert await pmu.status(Status.CONFLICTS) == 0, "the halves lie in different sub-arrays by their lower bank bit"


@cocotb.test()
async def a_table_written_by_replication_is_looked_up_in_every_lane(dut: Any) -> None:
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    rng = generator(pmu)
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
async def rows_are_written_and_read_at_any_element_address(dut: Any) -> None:
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    rng, rows = generator(pmu), 5
    whole = plain_rows(params, rows, region=Region(0, params.rows))
    for start in range(2 * lanes):
        await fill(pmu)
        flat = pmu.memory(0).T.reshape(-1)
        data_in = vectors(rng, rows, lanes)
        flat[start : start + rows * lanes] = data_in.elements.reshape(-1)
        shifted = replace(whole, registers=(Register(start, counters=(0,)),))
        out = await pmu.run(PMUProgram(write=shifted), data_in, floors={"vector_in__0": 1.0})
        assert (out.memory.T.reshape(-1) == flat).all()
        away = 2 * lanes - 1 - start
        shifted = replace(whole, registers=(Register(away, counters=(0,)),))
        out = await pmu.run(PMUProgram(read=shifted), floors={"vector_out__0": 1.0})
        assert (out.vector.elements.reshape(-1) == flat[away : away + rows * lanes]).all()


@cocotb.test()
async def lanes_are_permuted_or_replicated_on_either_side(dut: Any) -> None:
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    rng = generator(pmu)
    tables = [(0,) * lanes, tuple(reversed(range(lanes))), *(tuple(map(int, rng.permutation(lanes))) for _ in range(4))]
    for table in [*tables, *(tuple(map(int, rng.integers(0, lanes, lanes))) for _ in range(4))]:
        data_in, mapped = vectors(rng, 4, lanes), plain_rows(params, 4, permute=table)
        out = await pmu.run(PMUProgram(mapped, mapped, **token_first(Side.WRITE)), data_in, loop=1)
        assert (data_in.elements[:, table] == out.memory[:, :4].T).all()
        assert (out.vector.elements == data_in.elements[:, table][:, table]).all()


@cocotb.test()
async def fp32_is_stored_as_bf16_and_comes_back_widened(dut: Any) -> None:
    """Against the casts of ``ml_dtypes``: normal numbers, ties, zeros, infinities; two beats a vector."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    rng, rows = generator(pmu), params.rows
    bits = rng.integers(0x0080_0000, 0x7F7F_0000, rows * lanes) | rng.integers(0, 2, rows * lanes) << 31
    bits[::5] = bits[::5] & ~0xFFFF | 0x8000  # halfway
    bits[::7] = rng.choice([0, 0x8000_0000, 0x7F80_0000, 0xFF80_0000], len(bits[::7]))
    values = bits.astype(np.uint32).view(np.float32)
    stored = values.astype(ml_dtypes.bfloat16)
    data_in = in_order(values.view(np.uint16).reshape(-1, lanes))
    whole = plain_rows(params, rows, convert=True)
    program = PMUProgram(whole, whole, **token_first(Side.WRITE))
    out = await pmu.run(program, data_in, loop=1, floors={"vector_in__0": 1.0, "vector_out__0": 1.0})
    assert (out.memory.T.reshape(-1) == stored.view(np.uint16)).all()
    assert (out.vector.elements.reshape(-1) == stored.astype(np.float32).view(np.uint16)).all()


@cocotb.test()
async def partial_vectors_leave_the_other_lanes_alone_and_read_as_zeros(dut: Any) -> None:
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    await fill(pmu)
    expected, data_in = pmu.memory(0).T.copy(), vectors(generator(pmu), lanes + 1, lanes)
    counted = plain_rows(params, lanes + 1, limit=1)
    counted = replace(counted, counters=(Counter(lanes + 1, 1),), registers=(Register(), Register(counters=(0,))))
    counted = replace(counted, stages=(Stage(AddressOp.MULTIPLY, 0, a=1, constant=lanes),))
    out = await pmu.run(PMUProgram(write=counted), data_in)
    for k in range(lanes + 1):
        expected[k, :k] = data_in.elements[k, :k]
    assert (expected == out.memory.T).all()
    out = await pmu.run(PMUProgram(read=counted))
    assert (out.vector.elements == np.tril(expected[: lanes + 1], -1)[:, :lanes]).all()


@cocotb.test()
async def vectors_that_come_out_of_order_land_by_their_sequence_ids(dut: Any) -> None:
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    rng, rows = generator(pmu), params.rows
    ids = rng.permutation(rows)
    data_in = VectorBeats(vectors(rng, rows, lanes).elements, ids)
    write = plain_rows(params, rows, registers=(Register(sequence=True),))
    write = replace(write, stages=(Stage(AddressOp.MULTIPLY, 0, constant=lanes),))
    out = await pmu.run(PMUProgram(write=write), data_in, floors={"vector_in__0": 1.0})
    assert (out.memory.T[ids] == data_in.elements).all()
    numbered = plain_rows(params, rows, sequence=1, registers=(Register(counters=(0,)), Register(9, counters=(0,))))
    out = await pmu.run(PMUProgram(read=numbered))
    assert out.vector.sequence.tolist() == [9 + k * lanes for k in range(rows)]


@cocotb.test()
async def registers_leave_as_scalars_after_the_last_stage(dut: Any) -> None:
    """Quotient and remainder of a flat index, and the middle bits of it at the end of each inner loop."""
    pmu = await PMUBench.start(dut)
    params = pmu.params
    read = plain_rows(params, 1, counters=(Counter(4, 100), Counter(5, 7)), registers=(Register(counters=(0, 1)),))
    out = (ScalarOut(Side.READ, 2, 1), ScalarOut(Side.READ, 1, 2))
    flat = np.add.outer(np.arange(4) * 100, np.arange(5) * 7)
    never = Bit(3, 0)
    result = await pmu.run(PMUProgram(read=replace(read, stages=modulo(2, 0, 7, 1), keep_bit=never), scalar_out=out))
    assert (result.scalars[0] == flat.reshape(-1) // 7).all()
    assert (result.scalars[1] == flat[:, -1] % 7).all()
    assert result.reads == 0


@cocotb.test()
async def every_operation_of_an_address_stage_is_integer_arithmetic(dut: Any) -> None:
    """Operands of all 32 bits, which addresses that stay in the memory never are."""
    pmu = await PMUBench.start(dut)
    rng, events = generator(pmu), (Event(Side.READ, 1),) * 3
    read = plain_rows(pmu.params, 1, counters=(Counter(24),), registers=tuple(Register(scalar=j) for j in range(3)))
    for op in ARITHMETIC:
        for b_constant, bits in ((False, 4), (True, 4), (False, 5), (True, 5)):  # of field positions and widths
            a, b, c = rng.integers(0, 1 << 32, (3, 24))
            b[::4], a[1::4], b[3::4] = a[::4], rng.integers(0, 64, 6), rng.integers(0, 64, 6)
            constant, shift, width = (int(rng.integers(1 << size)) for size in (32, bits, bits))
            stage = Stage(op, 3, 0, 1, 2, b_constant, constant, shift, width, bool(rng.integers(2)))
            program = PMUProgram(read=replace(read, stages=(stage,)), scalar_in=events)
            program = replace(program, scalar_out=(ScalarOut(Side.READ, 1, 3),))
            out = await pmu.run(program, scalars=(a, b, c, ()))
            operands = [(int(x), constant if b_constant else int(y), int(z)) for x, y, z in zip(a, b, c, strict=True)]
            expected = [ARITHMETIC[op](stage, *three) % (1 << 32) for three in operands]
            assert out.scalars[0].tolist() == expected, stage


@cocotb.test()
async def a_dropped_write_takes_its_beat_and_nothing_else(dut: Any) -> None:
    """Two PMUs that share a tensor, by ranges of addresses and by a bit of them."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    rows = params.rows
    whole, half = plain_rows(params, rows), rows * lanes // 2
    for settings, kept in (
        ({"keep_range": (half, 2 * half)}, [(k, k - rows // 2) for k in range(rows // 2, rows)]),
        ({"keep_bit": Bit(0, lanes.bit_length() - 1)}, [(k, k) for k in range(1, rows, 2)]),
    ):
        await fill(pmu)
        expected, data_in = pmu.memory(0).T.copy(), vectors(generator(pmu), rows, lanes)
        for beat, row in kept:
            expected[row] = data_in.elements[beat]
        out = await pmu.run(PMUProgram(write=replace(whole, **settings)), data_in)
        assert out.consumed_vectors[0] == rows
        assert (expected == out.memory.T).all()


@cocotb.test()
async def lanes_beyond_the_region_are_refused_and_flagged_and_never_wrap(dut: Any) -> None:
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    await fill(pmu)
    flat = pmu.memory(0).T.reshape(-1)
    end = len(flat)
    for address in (end - 1, end, end + 5, 1 << 20, (1 << 32) - 1):
        inside = max(0, end - address)
        access = plain_rows(params, 1, region=Region(0, params.rows), registers=(Register(address),))
        out = await pmu.run(PMUProgram(read=access))
        assert await pmu.status(Status.ERRORS) == Error.READ_RANGE
        assert out.vector.elements[0].tolist() == [*flat[end - inside :], *[0] * (lanes - inside)]
        data_in = vectors(generator(pmu), 1, lanes)
        flat[end - inside :] = data_in.elements[0, :inside]
        out = await pmu.run(PMUProgram(write=access), data_in)
        assert await pmu.status(Status.ERRORS) == Error.WRITE_RANGE
        assert (out.memory.T.reshape(-1) == flat).all()


@cocotb.test()
async def every_cycle_of_waiting_is_put_down_to_its_cause(dut: Any) -> None:
    """A program that lacks one thing counts cycles under that cause and no other."""
    pmu = await PMUBench.start(dut)
    params, lanes = pmu.params, pmu.params.lanes
    many = 4 * (params.fifo_depth + params.alu_stages) + 64  # accesses, more than all queues hold
    plain = Pipeline(Region(0, params.rows), (Counter(many),))
    numbered = replace(plain, registers=(Register(sequence=True),))
    waiting, scalar = replace(plain, buffer=1), replace(plain, registers=(Register(scalar=0),))
    beats = vectors(generator(pmu), many, lanes)
    read_token, scalar_read = (Event(Side.READ, 1),), (Event(Side.READ, 1),)
    lacking = {
        Status.WAIT_DATA: (PMUProgram(write=plain), NOTHING),
        Status.WAIT_INDICES: (PMUProgram(read=replace(plain, mode=Mode.LOOKUP)), NOTHING),
        Status.WAIT_OUTPUT: (PMUProgram(read=plain), NOTHING),
        Status.WAIT_SCALAR: (PMUProgram(read=scalar, scalar_in=scalar_read), NOTHING),
        Status.WAIT_TOKEN: (PMUProgram(read=plain, token_in=read_token), NOTHING),
        Status.WAIT_FREE: (PMUProgram(waiting, replace(waiting, counters=(Counter(1), Counter(many)))), beats),
    }
    causes = [word for word in Status if word.name.startswith("WAIT")]
    cases = [*lacking.items(), (Status.WAIT_DATA, (PMUProgram(write=numbered), NOTHING))]
    for cause, (program, data_in) in cases:
        await pmu.begin(program, data_in)
        pmu.bench.hold("vector_out__0")
        await pmu.bench.step(2 * many)
        before = [await pmu.status(word) for word in causes]
        await pmu.bench.step(100 - len(causes))
        rise = np.subtract([await pmu.status(word) for word in causes], before)
        expected = [100 if word is cause else 0 for word in causes]
        if cause is Status.WAIT_FREE:  # whose reader lacks room for its output
            expected[causes.index(Status.WAIT_OUTPUT)] = 100
        assert rise.tolist() == expected, f"{cause.name}: {dict(zip(causes, rise, strict=True))}"
        pmu.bench.release("vector_out__0")


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
