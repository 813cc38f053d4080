"""Directed programs of the AGCU: rates, gather and scatter, partial vectors, faults, halts, order of writes and reads.

Expected data come from NumPy on the bytes of the memory where that is possible, not only from the golden model.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from coe_mapping.assembler.agcu import (
    Access,
    AGCUProgram,
    Bit,
    Counter,
    Event,
    Load,
    Register,
    Segment,
    Stage,
    Store,
    argument_words,
    assemble,
    immediate,
)
from golden_model.agcu import Fault
from golden_model.pmu import VectorBeats
from hdl.agcu.config import Cause, Status
from hdl.params import TIER_SHIFT, RDUParams
from hdl.pmu.config import AddressOp
from verif.benches import agcu
from verif.benches.agcu import AGCUBench, Halter, payloads
from verif.benches.agcu_memory import Burst

design = agcu.design
HBM, DDR = 0, 1 << TIER_SHIFT
SIZE = 1 << 13  # bytes of either tier
DIRECTED = [
    "a_load_brings_a_beat_every_cycle_however_late_the_memory_answers",
    "a_store_takes_a_beat_every_cycle",
    "a_copy_fills_the_port_both_ways",
    "rows_named_by_scalars_are_gathered_and_scattered",
    "the_last_vector_of_a_row_may_be_partial_and_the_segment_end_with_it",
    "every_kind_of_forbidden_access_is_reported_and_never_reaches_memory",
    "an_error_of_the_memory_stops_the_unit_and_the_wrong_data_go_nowhere",
    "a_halt_in_any_cycle_leaves_nothing_under_way_and_the_program_goes_on",
    "a_fence_makes_a_read_see_every_write_before_it",
    "a_store_sends_its_tokens_in_order_when_the_writes_are_answered",
    "a_token_is_sent_even_if_the_last_accesses_before_it_are_dropped",
    "a_load_that_nobody_takes_does_not_starve_the_others",
    "a_lone_vector_is_not_held_back_for_a_burst",
    "token_ids_are_read_as_scalars_and_results_written_as_words",
    "arguments_move_a_segment_and_leave_the_program_as_it_is",
]
OVERHEAD = 12  # cycles of ``outstanding`` x granule that a tag is held besides the memory's latency


async def start(dut: Any, latency: int = 10) -> AGCUBench:
    """A bench with both tiers full of random bytes and a memory that answers in order after ``latency`` cycles."""
    unit = await AGCUBench.start(dut)
    rng = np.random.default_rng(unit.rng.getrandbits(32))
    unit.memory.tiers = {tier: rng.integers(0, 256, SIZE).astype(np.uint8) for tier in (0, 1)}
    unit.memory.in_order, unit.memory.latency = True, lambda: latency
    return unit


def row(params: RDUParams, count: int, segment: int = 0, **settings: Any) -> Access:
    """``count`` consecutive vectors."""
    loop = (Counter(count, params.beat_bytes),)
    return Access(segment, **{"counters": loop, "registers": (Register(counters=(0,)),), **settings})


def elements(unit: AGCUBench, tier: int = 0) -> NDArray[np.uint16]:
    """A tier as rows of ``lanes`` elements."""
    return unit.memory.tiers[tier].view(np.uint16).reshape(-1, unit.params.lanes)


def random_vectors(unit: AGCUBench, count: int) -> VectorBeats:
    rng = np.random.default_rng(unit.rng.getrandbits(32))
    return VectorBeats(
        rng.integers(0, 1 << 16, (count, unit.params.lanes)).astype(np.uint16), np.zeros(count, np.int64)
    )


def lies_at(place: int, burst: Burst) -> bool:
    """Whether a burst begins at byte ``place`` of its tier."""
    return burst.address % (1 << TIER_SHIFT) == place


READ = Segment(HBM, SIZE, read=True)
WRITE = Segment(DDR, SIZE, write=True)


@cocotb.test()
async def a_load_brings_a_beat_every_cycle_however_late_the_memory_answers(dut: Any) -> None:
    """Up to a latency of outstanding x granule cycles less the overhead; beyond, the tags bound the rate."""
    unit = await start(dut)
    params, count = unit.params, 200
    reach = params.agcu.outstanding * params.memory.granule
    program = AGCUProgram((READ,), (Load(row(params, count)),))
    for latency in (1, reach - OVERHEAD):
        unit.memory.latency = partial(int, latency)
        out = await unit.run(program, floors={"vector_out__0": 1.0})
        assert (out.vectors[0].elements == elements(unit)[:count]).all()
        assert len(unit.memory.served) == count // params.memory.granule, "bursts are not whole granules"
    unit.memory.latency = lambda: 2 * reach
    await unit.run(program)
    bound = reach / (2 * reach + OVERHEAD)
    assert unit.bench.monitors["vector_out__0"].log.rate >= 0.98 * bound
    assert unit.memory.most == params.agcu.outstanding
    assert await unit.status(Status.MOST_IN_FLIGHT) == params.agcu.outstanding
    assert await unit.status(Status.WAIT_TAG) > reach


@cocotb.test()
async def a_store_takes_a_beat_every_cycle(dut: Any) -> None:
    unit = await start(dut)
    params, count = unit.params, 200
    beats = random_vectors(unit, count)
    program = AGCUProgram((WRITE,), (), (Store(row(params, count)),))
    await unit.run(program, [beats], floors={"memory__request": 1.0})
    assert (elements(unit, 1)[:count] == beats.elements).all()
    assert len(unit.memory.served) == count // params.memory.granule


@cocotb.test()
async def a_copy_fills_the_port_both_ways(dut: Any) -> None:
    """A granule takes one request to read and its beats to write: so many beats in one cycle more, each way."""
    unit = await start(dut, latency=2)  # a short one, because eight tags serve both
    params, count, granule = unit.params, 400, unit.params.memory.granule
    source = VectorBeats(elements(unit)[:count].copy(), np.zeros(count, np.int64))
    program = AGCUProgram((READ, WRITE), (Load(row(params, count)),), (Store(row(params, count, 1)),))
    await unit.run(program, [source], floors={"memory__request": 0.99})
    assert (elements(unit, 1)[:count] == source.elements).all()
    best = granule / (granule + 1)
    assert unit.bench.monitors["vector_out__0"].log.rate >= 0.98 * best
    assert await unit.status(Status.BUSY) <= count / best + 60


@cocotb.test()
async def rows_named_by_scalars_are_gathered_and_scattered(dut: Any) -> None:
    """A row of three vectors for every number; the row's pitch is a constant of the address pipeline."""
    unit = await start(dut)
    unit.memory.in_order, unit.memory.latency = False, lambda: unit.rng.randint(0, 40)
    params, width, pitch = unit.params, 3, 4
    rows = [unit.rng.randrange(SIZE // params.beat_bytes // pitch) for _ in range(24)]
    targets = unit.rng.sample(range(SIZE // params.beat_bytes // pitch), len(rows))

    def named(segment: int, scalar: int) -> Access:
        """Register 0 is the row times its bytes, plus register 1, the place within."""
        beat = params.beat_bytes
        return Access(
            segment,
            (Counter(len(rows)), Counter(width, beat)),
            (Register(scalar=scalar), Register(counters=(1,))),
            (Stage(AddressOp.MULTIPLY, 0, 0, constant=pitch * beat), Stage(AddressOp.ADD, 0, 0, b=1)),
        )

    data = random_vectors(unit, width * len(rows))
    before = elements(unit, 1).reshape(-1, pitch, params.lanes).copy()
    program = AGCUProgram(
        (READ, WRITE),
        (Load(named(0, 1)),),
        (Store(named(1, 2)),),
        scalar_in=(None, Event(0, 1), Event(params.agcu.loads, 1)),
    )
    out = await unit.run(program, [data], ((), rows, targets, ()))
    table = elements(unit).reshape(-1, pitch, params.lanes)
    assert (out.vectors[0].elements == table[rows, :width].reshape(-1, params.lanes)).all()
    before[targets, :width] = data.elements.reshape(-1, width, params.lanes)
    assert (elements(unit, 1).reshape(-1, pitch, params.lanes) == before).all()


@cocotb.test()
async def the_last_vector_of_a_row_may_be_partial_and_the_segment_end_with_it(dut: Any) -> None:
    """Rows of 2 x lanes + 1 elements, held in three vectors each; the segment ends with the last element."""
    unit = await start(dut)
    lanes, beat = unit.params.lanes, unit.params.beat_bytes
    rows, width = 5, 2 * lanes + 1
    limit = Register((-1) % (1 << 32), counters=())
    access = Access(
        0,
        (Counter(rows, 3 * beat), Counter(3, beat)),
        (Register(counters=(0, 1)), Register(width * 2 % (1 << 32)), Register(counters=(1,)), limit),
        (Stage(AddressOp.SUBTRACT, 1, a=1, b=2), immediate(AddressOp.SHIFT_RIGHT, 1, 1, 1)),
        limit=1,
    )
    size = (rows - 1) * 3 * beat + width * 2
    for whole in (False, True):
        program = AGCUProgram((Segment(HBM, size, read=True), Segment(DDR, size, write=True)), (Load(access),))
        program = replace(program, stores=(Store(replace(access, segment=1)),)) if whole else program
        data = random_vectors(unit, 3 * rows)
        before = elements(unit, 1)[: 3 * rows].reshape(rows, -1).copy()
        out = await unit.run(program, [data])
        padded = elements(unit)[: 3 * rows].reshape(rows, -1).copy()
        padded[:, width:] = 0
        assert (out.vectors[0].elements == padded.reshape(-1, lanes)).all()
    before[:, :width] = data.elements.reshape(rows, -1)[:, :width]
    assert (elements(unit, 1)[: 3 * rows].reshape(rows, -1) == before).all()
    short = replace(program, segments=(Segment(HBM, size - 2, read=True), program.segments[1]))
    out = await unit.run(short, [data])
    assert out.faults[0] == Fault(Cause.OUTSIDE, 0, 0, False, (3 * rows - 1) * beat)


@cocotb.test()
async def every_kind_of_forbidden_access_is_reported_and_never_reaches_memory(dut: Any) -> None:
    """The access before it is made, it is not; the unit becomes quiet, and a new program runs."""
    unit = await start(dut)
    params, beat = unit.params, unit.params.beat_bytes
    write = params.agcu.loads
    good, bad = 3, 3 * beat  # vectors before it, offset

    def load(segment: Segment, **settings: Any) -> AGCUProgram:
        return AGCUProgram((READ, WRITE, segment), (Load(row(params, good + 2, 2, **settings)),))

    def store(segment: Segment, **settings: Any) -> AGCUProgram:
        return AGCUProgram((READ, WRITE, segment), (), (Store(row(params, good + 2, 2, **settings)),))

    jump = {"stages": (immediate(AddressOp.EQUAL, 1, 0, bad), Stage(AddressOp.ADD, 0, 0, b=1))}  # one byte too far
    off = Stage(AddressOp.ADD, 0, 0, b=0, b_constant=True, constant=(1 << 32) - beat)
    cases: list[tuple[AGCUProgram, Fault]] = [
        (load(Segment(HBM, bad, read=True)), Fault(Cause.OUTSIDE, 0, 2, False, bad)),
        (store(Segment(HBM, bad, write=True)), Fault(Cause.OUTSIDE, write, 2, True, bad)),
        (load(Segment(HBM, SIZE, read=True), **jump), Fault(Cause.MISALIGNED, 0, 2, False, bad + 1)),
        (store(Segment(HBM, SIZE, write=True), **jump), Fault(Cause.MISALIGNED, write, 2, True, bad + 1)),
        (load(Segment(HBM, SIZE, write=True)), Fault(Cause.PERMISSION, 0, 2, False, 0)),
        (store(Segment(HBM, SIZE, read=True)), Fault(Cause.PERMISSION, write, 2, True, 0)),
        (load(Segment(HBM, 0, read=True)), Fault(Cause.OUTSIDE, 0, 2, False, 0)),
        (load(Segment(HBM, SIZE, read=True), stages=(off,)), Fault(Cause.OUTSIDE, 0, 2, False, (1 << 32) - beat)),
    ]
    for program, fault in cases:
        before = {tier: bytes_of.copy() for tier, bytes_of in unit.memory.tiers.items()}
        out = await unit.run(program, [random_vectors(unit, good + 2)])
        assert out.faults[fault.stream] == fault, f"{out.faults} for {fault}"
        assert unit.fault() == fault
        changed = np.flatnonzero(before[0] != unit.memory.tiers[0])
        assert not len(changed) or changed.max() < bad, "the refused write, or one behind it, was made"
    await unit.run(AGCUProgram((READ,), (Load(row(params, 8)),)))


@cocotb.test()
async def an_error_of_the_memory_stops_the_unit_and_the_wrong_data_go_nowhere(dut: Any) -> None:
    """In a read and in a write, at the first and at a later burst."""
    unit = await start(dut)
    params, granule, beat = unit.params, unit.params.memory.granule, unit.params.beat_bytes
    write = params.agcu.loads
    count = 6 * granule
    for stream in (0, write):
        for wrong in (0, 3):
            place = wrong * granule * beat
            unit.memory.fails = partial(lies_at, place)
            loads = (Load(row(params, count)),) if stream == 0 else ()
            stores = (Store(row(params, count, 1)),) if stream else ()
            program = AGCUProgram((READ, WRITE), loads, stores)
            words = assemble(params, program)
            await unit.begin(program, words, 0)
            unit.bench.send("vector_in__0", payloads(random_vectors(unit, count if stream else 0)))
            await unit.pulse(dut.start)
            await unit.bench.until(lambda: bool(int(dut.quiet.value)), "quiet")
            await unit.bench.step(30)
            assert unit.fault() == Fault(Cause.MEMORY, stream, int(stream > 0), stream > 0, place)
            assert not unit.memory.pending
            received = unit.bench.monitors["vector_out__0"].received
            mask = (1 << beat * 8) - 1
            good = [int.from_bytes(e.tobytes(), "little") for e in elements(unit)[: wrong * granule]]
            assert [bits & mask for bits in received] == good[: len(received)]
            assert int(dut.dones.value) == 0
    unit.memory.fails = lambda _: False
    await unit.run(AGCUProgram((READ,), (Load(row(params, 8)),)))


@cocotb.test()
async def a_halt_in_any_cycle_leaves_nothing_under_way_and_the_program_goes_on(dut: Any) -> None:
    """Gather, store and words at once, halted once in each of its cycles."""
    unit = await start(dut, latency=15)
    params, count = unit.params, 12
    program = AGCUProgram((READ, WRITE), (Load(row(params, count)),), (Store(row(params, count, 1)),))
    await unit.run(program, [random_vectors(unit, count)])
    for cycle in range(1, await unit.status(Status.BUSY)):
        unit.memory.tiers[1][:] = 0
        await unit.run(program, [random_vectors(unit, count)], tick=Halter(unit, cycle, 5).tick)


@cocotb.test()
async def a_fence_makes_a_read_see_every_write_before_it(dut: Any) -> None:
    """The load is let go when the writes have been sent and not yet answered: without its fence it reads old data."""
    unit = await start(dut, latency=60)
    params, count = unit.params, 8
    both = Segment(HBM, SIZE, read=True, write=True)
    data = random_vectors(unit, count)
    for fence, right in ((0, True), (None, False)):
        unit.memory.tiers[0][:] = 0
        load = Load(row(params, count, fence=fence))
        program = AGCUProgram((both,), (load,), (Store(row(params, count)),), token_in=(Event(0, 0),))
        await unit.begin(program, assemble(params, program), 0)
        unit.bench.send("vector_in__0", payloads(data))
        await unit.pulse(dut.start)
        await unit.bench.until(lambda: unit.memory.requests.log.count == count, "the writes")
        assert not unit.memory.served
        unit.bench.expect("vector_out__0", payloads(data if right else VectorBeats(0 * data.elements, data.sequence)))
        await unit.pulse(dut.token_in)
        await unit.bench.until(lambda: int(dut.dones.value) == 1, "done")
        await unit.bench.finish()
        assert (await unit.status(Status.WAIT_FENCE) > 20) is right


@cocotb.test()
async def a_store_sends_its_tokens_in_order_when_the_writes_are_answered(dut: Any) -> None:
    """A token a granule, the answers of the memory in reverse."""
    unit = await start(dut)
    params, granule, blocks = unit.params, unit.params.memory.granule, 4
    access = row(
        params, 0, counters=(Counter(blocks, granule * params.beat_bytes), Counter(granule, params.beat_bytes))
    )
    access = replace(access, segment=0, registers=(Register(counters=(0, 1)),))
    program = AGCUProgram((WRITE,), (), (Store(access),), token_out=(Event(params.agcu.loads, 1),))
    unit.memory.in_order = False
    late = iter([80, 60, 40, 20])
    unit.memory.latency = lambda: next(late)
    await unit.begin(program, assemble(params, program), 0)
    unit.bench.send("vector_in__0", payloads(random_vectors(unit, blocks * granule)))
    await unit.pulse(dut.start)
    await unit.bench.until(lambda: len(unit.memory.served) == blocks - 1, "all answers but the first's")
    await unit.bench.step(10)
    assert int(dut.tokens.value) == 0, "a token before an earlier write was answered"
    assert int(dut.dones.value) == 0
    await unit.bench.until(lambda: int(dut.dones.value) == 1, "done")
    assert int(dut.tokens.value) & 0xFFFF == blocks


@cocotb.test()
async def a_token_is_sent_even_if_the_last_accesses_before_it_are_dropped(dut: Any) -> None:
    """Of the vectors of every block only those below ``kept`` are moved, by predicate or by a limit of no lanes."""
    unit = await start(dut)
    params, blocks, width = unit.params, 3, 3
    beat, spread = params.beat_bytes, unit.params.memory.granule * unit.params.beat_bytes
    for kept in range(width + 1):
        for how in ({"keep_bit": Bit(1)}, {"limit": 1}):
            access = Access(
                0,
                (Counter(blocks, spread), Counter(width, beat)),
                (Register(counters=(0, 1)), Register(counters=(1,))),
                (immediate(AddressOp.LESS, 1, 1, kept * beat),),
                **how,
            )
            program = AGCUProgram(
                (READ, WRITE),
                (Load(access),),
                (Store(replace(access, segment=1)),),
                token_out=(Event(0, 1), Event(params.agcu.loads, 1)),
            )
            out = await unit.run(program, [random_vectors(unit, blocks * width)])
            assert out.tokens[:2] == (blocks, blocks)


@cocotb.test()
async def a_load_that_nobody_takes_does_not_starve_the_others(dut: Any) -> None:
    """Load 0 holds every tag it may while its output is held back; load 1 and the store still get to their end."""
    unit = await start(dut)
    params, count = unit.params, 30 * unit.params.memory.granule
    data = random_vectors(unit, count)
    program = AGCUProgram(
        (READ, WRITE), (Load(row(params, count)), Load(row(params, count))), (Store(row(params, count, 1)),)
    )
    await unit.begin(program, assemble(params, program), 0)
    unit.bench.hold("vector_out__0")
    await unit.pulse(dut.start)
    unit.bench.expect("vector_out__1", payloads(VectorBeats(elements(unit)[:count], data.sequence)))
    await unit.bench.step(150)
    unit.bench.send("vector_in__0", payloads(data))
    await unit.bench.finish()
    await unit.bench.until(lambda: sum(b.beats for b in unit.memory.served if b.write) == count, "the writes")
    assert (elements(unit, 1)[:count] == data.elements).all()
    assert int(dut.dones.value) == 0
    unit.bench.release("vector_out__0")
    unit.bench.expect("vector_out__0", payloads(VectorBeats(elements(unit)[:count], data.sequence)))
    await unit.bench.until(lambda: int(dut.dones.value) == 1, "done")


@cocotb.test()
async def a_lone_vector_is_not_held_back_for_a_burst(dut: Any) -> None:
    """The second access waits for a scalar that does not come; the first is made all the same."""
    unit = await start(dut)
    params = unit.params
    access = row(params, 2, registers=(Register(counters=(0,)), Register(scalar=0)))
    store = replace(access, segment=1, registers=(Register(counters=(0,)), Register(scalar=1)))
    operands = (Event(0, 1), Event(params.agcu.loads, 1))
    program = AGCUProgram((READ, WRITE), (Load(access),), (Store(store),), scalar_in=operands)
    data = random_vectors(unit, 2)
    await unit.begin(program, assemble(params, program), 0)
    unit.bench.send("scalar_in__0", [0])
    unit.bench.send("scalar_in__1", [0])
    unit.bench.send("vector_in__0", payloads(data))
    await unit.pulse(dut.start)
    await unit.bench.step(60)
    assert unit.bench.monitors["vector_out__0"].log.count == 1
    assert (elements(unit, 1)[0] == data.elements[0]).all()


@cocotb.test()
async def token_ids_are_read_as_scalars_and_results_written_as_words(dut: Any) -> None:
    """An odd number of words, in vectors whose last is partial; words go to any multiple of four bytes."""
    unit = await start(dut)
    params, count = unit.params, 4 * unit.params.lanes // 2 + 1
    per_vector = params.lanes // 2
    ids = row(
        params, -(-count // per_vector), registers=(Register(counters=(0,)), Register(count), Register(counters=(0,)))
    )
    words = params.beat_bytes // per_vector
    ids = replace(
        ids,
        stages=(immediate(AddressOp.SHIFT_RIGHT, 2, 2, words.bit_length() - 1), Stage(AddressOp.SUBTRACT, 1, 1, 2)),
        limit=1,
    )
    places = [4 * k for k in unit.rng.sample(range(SIZE // 4), 20)]
    values = [unit.rng.getrandbits(32) for _ in places]
    put = Access(1, (Counter(len(places)),), (Register(scalar=3),))
    program = AGCUProgram(
        (READ, WRITE),
        (Load(ids, words=True),),
        (Store(put, words=2),),
        scalar_in=(None, None, None, Event(params.agcu.loads, 1)),
    )
    expected = unit.memory.tiers[1].view(np.uint32).copy()
    expected[[p // 4 for p in places]] = values
    out = await unit.run(program, scalars=((), (), values, places))
    assert out.scalars.tolist() == unit.memory.tiers[0].view(np.uint32)[:count].tolist()
    assert (unit.memory.tiers[1].view(np.uint32) == expected).all()


@cocotb.test()
async def arguments_move_a_segment_and_leave_the_program_as_it_is(dut: Any) -> None:
    """Only the words that ``argument_words`` names are written again, and committed."""
    unit = await start(dut)
    params, count = unit.params, 8
    program = AGCUProgram((WRITE, Segment(HBM, 0, read=True)), (Load(row(params, count, 1)),))
    await unit.begin(program, assemble(params, program), 0)
    unit.memory.allowed = None
    for base in (HBM + 1024, DDR + 2048):
        for name, value in (("base", base), ("limit", count * params.beat_bytes)):
            for place in argument_words(params, 1)[name]:
                dut.bus__address.value = place.word
                dut.bus__write_data.value = value >> place.shift & ((1 << place.width) - 1)
                await unit.pulse(dut.bus__write)
        await unit.pulse(dut.commit)
        first = base % (1 << TIER_SHIFT) // params.beat_bytes
        there = elements(unit, base >> TIER_SHIFT)[first : first + count]
        unit.bench.expect("vector_out__0", payloads(VectorBeats(there, np.zeros(count, np.int64))))
        await unit.pulse(dut.start)
        await unit.bench.until(lambda: int(dut.dones.value) == 1, "done")
        await unit.bench.finish()
        assert unit.fault() is None
