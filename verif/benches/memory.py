"""Bench of the memory system: network, controllers, DMA, and the models behind them, with NumPy as the reference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from cocotb.triggers import FallingEdge
from numpy.typing import NDArray

from hdl.memory.channel import Tier, code_words, tier_params
from hdl.memory.controller import PATH, window_size
from hdl.memory.counters import ChannelCounter, DMACounter
from hdl.memory.dma import COMPLETION, FULL_SHARE, DMAStatus
from hdl.memory.port import request_layout, response_layout
from hdl.memory.secded import check_width
from hdl.memory.system import BLOCK_BITS, MemorySystem, counter_blocks
from hdl.memory.turn import PATIENCE, batch_size
from hdl.params import TEST, MemoryParams, RDUParams, TierParams
from verif.models.backdoor import Bytes, flip, in_bench
from verif.models.memory import MemoryModel, mask_name, region_name
from verif.sim.runner import bench_parameters
from verif.streams import Bench, Stalls, decode

REQUESTERS = 3
RESERVED = 256
"""Bytes at the top of each tier that no requester touches."""

DIRECTED = [
    "one_requester_reads_and_writes_at_a_beat_a_cycle",
    "requesters_of_one_channel_are_served_in_turn",
    "a_slow_channel_does_not_slow_another",
    "reads_and_writes_of_one_channel_share_it_with_few_turnarounds",
    "a_read_among_writes_and_a_write_among_reads_wait_for_two_batches_at_most",
    "random_descriptors_copy_what_numpy_copies",
    "wrong_descriptors_are_refused_and_touch_nothing",
    "a_halt_ends_a_copy_cleanly_whenever_it_comes",
    "the_dma_sustains_the_slower_tier_both_ways",
    "a_share_bounds_the_dma_and_traffic_beside_it_stays_right",
]
FAULTS = "random_traffic|flipped_bits"
"""Of a machine with ECC; the flips of bits need one."""


class ModelledMemory(wiring.Component):
    """A memory system with the models behind it: nothing but requesters and the DMA's streams is left outside."""

    def __init__(self, params: RDUParams, requesters: int) -> None:
        self.system, self.model = MemorySystem(params, requesters), MemoryModel(params)
        members = dict(self.system.signature.members.items())
        members = {name: member for name, member in members.items() if name not in ("hbm", "ddr")}
        super().__init__({**members, "shake": self.model.signature.members["shake"]})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.system, m.submodules.model = system, model = self.system, self.model
        for master, slave in zip((*system.hbm, *system.ddr), (*model.hbm, *model.ddr), strict=True):
            connect(m, master, slave)
        for outer, inner in zip(self.requesters, system.requesters, strict=True):
            connect(m, flipped(outer), inner)
        for name in ("descriptor", "completion", "counter"):
            connect(m, flipped(getattr(self, name)), getattr(system, name))
        m.d.comb += [
            system.halt.eq(self.halt),
            self.quiet.eq(system.quiet),
            model.shake.eq(self.shake),
        ]
        return m


def sizes(**parameters: Any) -> RDUParams:
    """A small machine with edges near: ``ecc`` for both tiers, any field of ``MemoryParams``.

    ``bursts``, how much random traffic there is, is not a size.
    """
    ecc = parameters.pop("ecc", False)
    parameters.pop("bursts", None)
    hbm = TierParams(channels=2, capacity=1 << 14, latency=20, row_bytes=256, ecc=ecc)
    ddr = TierParams(channels=1, capacity=1 << 15, beats=(4, 9), latency=30, row_bytes=256, ecc=ecc)
    memory = MemoryParams(**{"hbm": hbm, "ddr": ddr, "queue_depth": 8, "dma_outstanding": 16, **parameters})
    return replace(TEST, memory=memory)


def design(**parameters: Any) -> ModelledMemory:
    return ModelledMemory(sizes(**parameters), REQUESTERS)


@dataclass
class Burst:
    """A request under way: what its response must be. ``data``: bytes a read gives, none for a write."""

    write: bool
    beats: int
    data: bytes
    error: bool
    begun: int
    came: int = 0


class Requester:
    """One user of memory: random bursts in regions that are its own, each response checked against ``memory``."""

    def __init__(self, system: "MemoryBench", index: int) -> None:
        self.system, self.index, self.params = system, index, system.params
        self.rng = np.random.default_rng([system.seed, index])
        self.name = f"requesters__{index}"
        self.requests = request_layout(self.params)
        self.responses = response_layout(self.params)
        self.pending: dict[int, Burst] = {}
        self.free = list(range(64))
        self.seen = self.completed = self.beats_read = self.beats_written = 0
        self.latencies: list[int] = []

    def read(self, address: int, beats: int, data: bytes, error: bool = False) -> None:
        """Asks for ``beats`` beats, which must be ``data``."""
        tag = self._begin(Burst(False, beats, data, error, self.system.bench.cycle))
        self._send([{"address": address, "length": beats - 1, "tag": tag, "last": 1}])

    def write(self, address: int, elements: NDArray[np.uint16], strobe: NDArray[np.bool_], error: bool = False) -> None:
        """Writes the elements, shape (beats, lanes), where ``strobe`` is set."""
        tag = self._begin(Burst(True, len(elements), b"", error, self.system.bench.cycle))
        header = {"address": address, "length": len(elements) - 1, "tag": tag, "write": 1}
        bits = [int.from_bytes(row.tobytes(), "little") for row in elements]
        strobes = [sum(int(s) << i for i, s in enumerate(row)) for row in strobe]
        self._send(
            [
                {**header, "data": d, "strobe": s, "last": int(k == len(bits) - 1)}
                for k, (d, s) in enumerate(zip(bits, strobes, strict=True))
            ]
        )

    def collect(self) -> None:
        """Checks the responses that have come since the last call."""
        received = self.system.bench.monitors[f"{self.name}__response"].received
        while self.seen < len(received):
            response = decode(self.responses, received[self.seen])
            self.seen += 1
            self._check(response)

    def random_burst(self) -> None:
        """One burst somewhere in this requester's share of either tier; one in twenty to where nothing is."""
        rng, beat = self.rng, self.params.beat_bytes
        granule = self.params.memory.granule
        tier = Tier(int(rng.integers(2)))
        share = (tier_params(self.params, tier).capacity - RESERVED) // (beat * granule) // REQUESTERS
        hot = min(share, 6)  # few granules, so that reads follow writes closely
        number = self.index * share + int(rng.integers(hot if rng.random() < 0.7 else share))
        start = int(rng.integers(granule))
        beats = int(rng.integers(1, granule - start + 1))
        offset = (number * granule + start) * beat
        address, error = tier.base + offset, bool(rng.random() < 0.05)
        if error:
            address = self._nowhere(tier, offset)
        memory = self.system.golden[tier][offset : offset + beats * beat]
        if rng.random() < 0.5:
            self.read(address, beats, bytes(beats * beat) if error else memory.tobytes(), error)
            return
        lanes = self.params.lanes
        elements = rng.integers(0, 1 << 16, (beats, lanes)).astype(np.uint16)
        strobe = rng.random((beats, lanes)) < rng.choice([0.0, 0.5, 1.0, 1.0])
        self.write(address, elements, strobe, error)
        if not error:
            memory.view(np.uint16)[strobe.reshape(-1)] = elements.reshape(-1)[strobe.reshape(-1)]

    def _nowhere(self, tier: Tier, offset: int) -> int:
        """An address without memory: above the tier, in a tier that is not there, or between beats."""
        above = tier_params(self.params, tier).capacity
        choices = [tier.base + above + offset, (2 << 36) + offset, tier.base + offset + 2]
        return int(choices[int(self.rng.integers(len(choices)))])

    def _begin(self, burst: Burst) -> int:
        tag = self.free.pop(int(self.rng.integers(len(self.free))))
        self.pending[tag] = burst
        return tag

    def _send(self, flits: Sequence[dict[str, int]]) -> None:
        self.system.bench.send(f"{self.name}__request", flits)

    def _check(self, response: Any) -> None:
        where = f"requester {self.index}, response {self.seen}, tag {response.tag}"
        burst = self.pending.get(response.tag)
        assert burst is not None, f"{where}: nothing was asked under this tag"
        assert response.write == burst.write, f"{where}: write is {response.write}"
        assert response.error == burst.error, f"{where}: error is {response.error}"
        if burst.write:
            assert response.last, f"{where}: a write is answered once"
            self.beats_written += burst.beats * (not burst.error)
        else:
            self._check_data(where, response, burst)
            if not response.last:
                begun = [tag for tag, b in self.pending.items() if b.came]
                assert begun == [response.tag], f"{where}: interleaved with {begun}"
                return
            assert burst.came == burst.beats, f"{where}: {burst.came} beats of {burst.beats}"
        del self.pending[response.tag]
        self.free.append(response.tag)
        self.completed += 1
        self.latencies.append(self.system.bench.cycle - burst.begun)

    def _check_data(self, where: str, response: Any, burst: Burst) -> None:
        beat = self.params.beat_bytes
        expected = burst.data[burst.came * beat : (burst.came + 1) * beat]
        got = response.data.to_bytes(beat, "little")
        burst.came += 1
        self.beats_read += not burst.error
        assert burst.error or got == expected, f"{where}, beat {burst.came}: {got.hex()}, expected {expected.hex()}"


class MemoryBench:
    """Memory, requesters and DMA; ``golden`` is what the bytes of each tier must be."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.dut = bench, bench.dut
        self.params = sizes(**bench_parameters())
        self.seed = bench.rng.getrandbits(32)
        self.edge = FallingEdge(bench.dut.clk)
        self.bytes: dict[Tier, Bytes] = {tier: in_bench(region_name(tier)) for tier in Tier}
        rng = np.random.default_rng(self.seed)
        for tier in Tier:
            self.bytes[tier][:] = rng.integers(0, 256, len(self.bytes[tier]))
        self.golden = {tier: self.bytes[tier].copy() for tier in Tier}
        self.requesters = [Requester(self, r) for r in range(REQUESTERS)]

    @classmethod
    async def start(cls, dut: Any, **settings: Any) -> "MemoryBench":
        return cls(await Bench.start(dut, design, **settings))

    def stall_all(self, probability: float) -> None:
        """Random gaps in every requester's requests, and random back-pressure on every response."""
        for name in (*self.bench.drivers, *self.bench.monitors):
            self.bench.stall(name, Stalls.random(self.bench.rng, probability))

    async def traffic(self, bursts: int, in_flight: int = 64) -> None:
        """Random bursts from every requester, until all are answered."""
        left = [bursts] * REQUESTERS
        while any(left) or any(r.pending for r in self.requesters):
            for r, requester in enumerate(self.requesters):
                requester.collect()
                for _ in range(min(4, left[r], in_flight - len(requester.pending))):
                    requester.random_burst()
                    left[r] -= 1
            await self.moved()

    async def moved(self, cycles: int = 4) -> None:
        """Some cycles; an error if nothing has moved for long."""
        await self.bench.step(cycles)
        assert self.bench._quiet < self.bench.watchdog, self.bench._expired("nothing moved", "responses")

    async def answered(self) -> None:
        """Until every request is answered."""
        while any(r.pending for r in self.requesters):
            await self.moved()
            for requester in self.requesters:
                requester.collect()

    def check_memory(self) -> None:
        for tier in Tier:
            wrong = np.flatnonzero(self.bytes[tier] != self.golden[tier])
            assert not len(wrong), f"{len(wrong)} bytes of {tier.name} differ, the first at {wrong[0]:#x}"

    async def counter(self, block: str, counter: int) -> int:
        self.dut.counter__index.value = counter_blocks(self.params).index(block) << BLOCK_BITS | counter
        await self.edge
        await self.edge
        return int(self.dut.counter__value.value)

    async def total(self, counter: ChannelCounter) -> int:
        """Over all channels."""
        return sum([await self.counter(block, counter) for block in counter_blocks(self.params)[1:]])


@cocotb.test()
async def random_traffic_reads_what_was_written_whatever_the_stalls(dut: Any) -> None:
    """Order within a requester and channel, every byte, every error answer, and the counters."""
    memory = await MemoryBench.start(dut)
    bursts: Any = bench_parameters().get("bursts", 60)
    for probability, jitter in ((0.0, 0), (0.5, 0), (0.1, 63), (0.8, 7)):
        dut.shake.value = jitter | memory.seed << 8 & 0xFF_FFFF_FFFF & ~0xFF
        memory.stall_all(probability)
        await memory.traffic(bursts)
    memory.check_memory()
    for counter, expected in (
        (ChannelCounter.BEATS_READ, sum(r.beats_read for r in memory.requesters)),
        (ChannelCounter.BEATS_WRITTEN, sum(r.beats_written for r in memory.requesters)),
    ):
        assert await memory.total(counter) == expected, counter.name


def payload(params: RDUParams, beats: int) -> NDArray[np.uint16]:
    return np.zeros((beats, params.lanes), np.uint16)


@cocotb.test()
async def one_requester_reads_and_writes_at_a_beat_a_cycle(dut: Any) -> None:
    """From HBM, whose channels together give more than that; and a slow tier gives exactly its bandwidth."""
    memory = await MemoryBench.start(dut)
    requester, params = memory.requesters[0], memory.params
    granule, beat = params.memory.granule, params.beat_bytes
    hbm, ddr = memory.golden[Tier.HBM], params.memory.ddr
    bench, port, size = memory.bench, requester.name, granule * beat
    await warm_up(memory)
    for k in range(60):
        requester.read(k * size, granule, hbm[k * size : (k + 1) * size].tobytes())
    bench.monitors[f"{port}__response"].log = type(bench.monitors[f"{port}__response"].log)()
    await memory.answered()
    bench.check_rate(f"{port}__response", 0.97)
    cycles = bench.cycle
    for k in range(60):
        requester.write(k * size, payload(params, granule), np.ones((granule, params.lanes), np.bool_))
        hbm[k * size : (k + 1) * size] = 0
    await memory.answered()
    assert bench.cycle - cycles < 60 * granule + 80, f"{bench.cycle - cycles} cycles for {60 * granule} beats written"
    cycles = bench.cycle
    for k in range(60):
        data = memory.golden[Tier.DDR][k * size : (k + 1) * size].tobytes()
        requester.read(Tier.DDR.base + k * size, granule, data)
    await memory.answered()
    least = 60 * granule * ddr.beats[1] // ddr.beats[0]
    assert least <= bench.cycle - cycles + granule < least + 80, (
        f"{bench.cycle - cycles} cycles, bandwidth says {least}"
    )
    memory.check_memory()


async def warm_up(memory: MemoryBench) -> None:
    """A few requests of every requester, so that the checkers' patient phase is over."""
    await memory.traffic(20)


@cocotb.test()
async def requesters_of_one_channel_are_served_in_turn(dut: Any) -> None:
    memory = await MemoryBench.start(dut)
    params = memory.params
    size, channels = params.memory.granule * params.beat_bytes, params.memory.hbm.channels
    await warm_up(memory)
    done = [r.completed for r in memory.requesters]
    for k in range(60):
        for r in memory.requesters:
            place = (r.index * 60 + k) * size * channels % params.memory.hbm.capacity
            r.read(place, params.memory.granule, memory.golden[Tier.HBM][place : place + size].tobytes())
    for _ in range(30):
        await memory.moved(16)
        for r in memory.requesters:
            r.collect()
        served = [r.completed - before for r, before in zip(memory.requesters, done, strict=True)]
        if max(served) < 60:
            assert max(served) - min(served) <= 2, f"requests served: {served}"
    await memory.answered()


@cocotb.test()
async def a_slow_channel_does_not_slow_another(dut: Any) -> None:
    memory = await MemoryBench.start(dut)
    params = memory.params
    slow, fast, _ = memory.requesters
    granule, size = params.memory.granule, params.memory.granule * params.beat_bytes
    await warm_up(memory)
    log = memory.bench.monitors[f"{fast.name}__response"]
    log.log = type(log.log)()
    for k in range(60):
        slow.read(Tier.DDR.base + k * size, granule, memory.golden[Tier.DDR][k * size : (k + 1) * size].tobytes())
        fast.read(k * size, granule, memory.golden[Tier.HBM][k * size : (k + 1) * size].tobytes())
    await memory.answered()
    memory.bench.check_rate(f"{fast.name}__response", 0.97)


@cocotb.test()
async def reads_and_writes_of_one_channel_share_it_with_few_turnarounds(dut: Any) -> None:
    """A stream of reads and one of writes to different rows of one channel."""
    memory = await MemoryBench.start(dut)
    params = memory.params
    channels = params.memory.hbm.channels
    reader, writer, _ = memory.requesters
    granule, size = params.memory.granule, params.memory.granule * params.beat_bytes
    await warm_up(memory)
    half = params.memory.hbm.capacity // 2
    turns, bursts, sent = await memory.total(ChannelCounter.TURNAROUNDS), 200, 0
    marks: list[int] = []  # when a quarter and three quarters were answered
    done = reader.completed + writer.completed
    while sent < bursts or reader.pending or writer.pending:
        while sent < bursts and len(reader.pending) < 60 and len(writer.pending) < 60:
            place = sent * size * channels % half
            reader.read(place, granule, memory.golden[Tier.HBM][place : place + size].tobytes())
            writer.write(half + place, payload(params, granule), np.ones((granule, params.lanes), np.bool_))
            memory.golden[Tier.HBM][half + place : half + place + size] = 0
            sent += 1
        await memory.moved()
        reader.collect()
        writer.collect()
        if reader.completed + writer.completed - done >= bursts * (len(marks) + 0.5):
            marks.append(memory.bench.cycle)
    rate = bursts * granule / (marks[1] - marks[0])
    turns = await memory.total(ChannelCounter.TURNAROUNDS) - turns
    memory.bench.dut._log.warning(f"reads and writes: {rate:.3f} of bandwidth, {turns} turnarounds")
    assert rate >= 0.95, f"{rate:.3f} of the channel's bandwidth, {turns} turnarounds"
    memory.check_memory()


@cocotb.test()
async def a_read_among_writes_and_a_write_among_reads_wait_for_two_batches_at_most(dut: Any) -> None:
    """One direction saturates a channel, single bursts come the other way: what they wait is bounded, in cycles.

    Issued before it: ``PATIENCE`` batches. Before these in the memory: what a window holds.
    """
    memory = await MemoryBench.start(dut)
    params, hbm = memory.params, memory.params.memory.hbm
    crowd, single, _ = memory.requesters
    granule, size = params.memory.granule, params.memory.granule * params.beat_bytes
    await warm_up(memory)
    half, stride = hbm.capacity // 2, size * hbm.channels
    bursts = PATIENCE * batch_size(params, Tier.HBM) + window_size(params, Tier.HBM)
    bound = bursts * granule + 2 * hbm.turnaround + hbm.latency + hbm.row_miss + PATH + params.memory.granule
    ones = np.ones((granule, params.lanes), np.bool_)
    for crowd_writes in (True, False):
        single.latencies.clear()
        sent = 0
        while len(single.latencies) < 8:
            for _ in range(48 - len(crowd.pending)):
                send(memory, crowd, crowd_writes, sent * stride % half, ones)
                sent += 1
            if not single.pending and sent > 100:
                send(memory, single, not crowd_writes, half + sent * stride % half, ones)
            await memory.moved()
            crowd.collect()
            single.collect()
        memory.bench.dut._log.warning(f"waited {max(single.latencies)} cycles, bound {bound}")
        assert max(single.latencies) <= bound, f"{single.latencies}, bound {bound}"
        await memory.answered()
    memory.check_memory()


def send(memory: MemoryBench, requester: Requester, write: bool, place: int, strobe: NDArray[np.bool_]) -> None:
    """A burst of HBM: zeros written, or what is there read."""
    content = memory.golden[Tier.HBM][place : place + strobe.size * 2]
    if write:
        requester.write(place, np.zeros(strobe.shape, np.uint16), strobe)
        content[:] = 0
    else:
        requester.read(place, len(strobe), content.tobytes())


@dataclass(frozen=True)
class Copy:
    """A descriptor of the tier DMA."""

    source: int
    destination: int
    row_bytes: int
    rows: int = 1
    source_stride: int = 0
    destination_stride: int = 0
    share: int = FULL_SHARE

    def run(self, memory: MemoryBench) -> None:
        """What the copy does, in NumPy."""
        for row in range(self.rows):
            data = _place(memory, self.source + row * self.source_stride, self.row_bytes).copy()
            _place(memory, self.destination + row * self.destination_stride, self.row_bytes)[:] = data


def _place(memory: MemoryBench, address: int, size: int) -> Bytes:
    tier = Tier(address >> 36)
    return memory.golden[tier][address - tier.base : address - tier.base + size]


def random_copy(memory: MemoryBench) -> Copy:
    """Rows from one half of a tier to the other half, or the other tier; any strides in which nothing overlaps."""
    rng, beat = memory.requesters[0].rng, memory.params.beat_bytes
    source, destination = (Tier(int(t)) for t in rng.integers(2, size=2))
    upper = rng.random() < 0.5
    row_beats, rows = int(rng.integers(1, 30)), int(rng.integers(1, 6))
    places = []
    for tier, half in ((source, upper), (destination, not upper)):
        size = tier_params(memory.params, tier).capacity // 2 // beat
        pitch = row_beats + int(rng.integers(0, 9))
        first = int(rng.integers(0, size - pitch * rows))
        stride = pitch * beat
        start = tier.base + (half * size + first) * beat
        if rng.random() < 0.3:  # backwards
            start, stride = start + (rows - 1) * stride, -stride
        places.append((start, stride))
    (a, a_stride), (b, b_stride) = places
    return Copy(a, b, row_beats * beat, rows, a_stride, b_stride, int(rng.choice([256, 256, 100, 30])))


async def run_copies(memory: MemoryBench, copies: Sequence[Copy], expected: Sequence[DMAStatus]) -> int:
    """Runs descriptors one after another; cycles from the first to the last completion."""
    bench = memory.bench
    begun = bench.cycle
    bench.send("descriptor", [_descriptor(copy) for copy in copies])
    monitor = bench.monitors["completion"]
    already = len(monitor.received)
    while len(monitor.received) < already + len(copies):
        await memory.moved()
        for requester in memory.requesters:
            requester.collect()
    got = [DMAStatus(decode(COMPLETION, bits).status) for bits in monitor.received[already:]]
    assert got == list(expected), f"completions {got}"
    return monitor.log.last - begun


def _descriptor(copy: Copy) -> dict[str, int]:
    fields = dict(vars(copy))
    return {**fields, **{name: fields[name] % (1 << 40) for name in ("source_stride", "destination_stride")}}


@cocotb.test()
async def random_descriptors_copy_what_numpy_copies(dut: Any) -> None:
    """Offsets, strides both ways, shares, stalls of the descriptors and random latencies."""
    memory = await MemoryBench.start(dut)
    for probability, jitter in ((0.0, 0), (0.5, 63)):
        dut.shake.value = jitter | (memory.seed & 0xFFFF_FFFF) << 8
        memory.stall_all(probability)
        copies = [random_copy(memory) for _ in range(15)]
        for copy in copies:
            copy.run(memory)
        await run_copies(memory, copies, [DMAStatus.OK] * len(copies))
        memory.check_memory()
    beats = sum(c.row_bytes * c.rows for c in copies) // memory.params.beat_bytes
    assert await memory.counter("dma", DMACounter.BEATS) >= beats
    assert await memory.counter("dma", DMACounter.DESCRIPTORS) == 30


@cocotb.test()
async def wrong_descriptors_are_refused_and_touch_nothing(dut: Any) -> None:
    memory = await MemoryBench.start(dut)
    good = Copy(0, Tier.DDR.base, 64)
    capacity = memory.params.memory.hbm.capacity
    cases = [
        (replace(good, source=2), DMAStatus.MISALIGNED),
        (replace(good, destination_stride=4), DMAStatus.MISALIGNED),
        (replace(good, row_bytes=12), DMAStatus.MISALIGNED),
        (replace(good, rows=0), DMAStatus.EMPTY),
        (replace(good, row_bytes=0), DMAStatus.EMPTY),
        (replace(good, share=0), DMAStatus.BAD_SHARE),
        (replace(good, share=257), DMAStatus.BAD_SHARE),
        (replace(good, source=capacity), DMAStatus.READ_ERROR),
        (replace(good, source=capacity, row_bytes=memory.params.beat_bytes), DMAStatus.READ_ERROR),
        (replace(good, destination=2 << 36, row_bytes=4096), DMAStatus.WRITE_ERROR),
    ]
    await run_copies(memory, [case for case, _ in cases], [status for _, status in cases])
    memory.check_memory()
    good.run(memory)
    await run_copies(memory, [good], [DMAStatus.OK])
    memory.check_memory()


@cocotb.test()
async def a_halt_ends_a_copy_cleanly_whenever_it_comes(dut: Any) -> None:
    memory = await MemoryBench.start(dut)
    size = 2048
    for wait in (0, 1, 2, 3, 5, 17, 40, 90, 170, 300):
        copy = Copy(Tier.DDR.base + size, size, size)
        memory.bytes[Tier.HBM][size : 2 * size] = 0
        memory.bench.send("descriptor", [_descriptor(copy)])
        await memory.bench.step(4 + wait)
        dut.halt.value = 1
        while not int(dut.quiet.value):
            await memory.moved(1)
        taken = not memory.bench.drivers["descriptor"].pending
        written = memory.bytes[Tier.HBM][size : 2 * size].copy()
        await memory.bench.step(100)
        assert (memory.bytes[Tier.HBM][size : 2 * size] == written).all(), "quiet, and still writing"
        source = memory.bytes[Tier.DDR][size : 2 * size]
        assert ((written == 0) | (written == source)).all()
        last = memory.bench.monitors["completion"].received
        assert not taken or DMAStatus(decode(COMPLETION, last[-1]).status) is DMAStatus.HALTED
        dut.halt.value = 0
        done = len(last)
        while memory.bench.drivers["descriptor"].pending or (not taken and len(last) == done):
            await memory.moved(1)
    memory.golden[Tier.HBM][:] = memory.bytes[Tier.HBM]
    await memory.traffic(10)
    memory.check_memory()


@cocotb.test()
async def the_dma_sustains_the_slower_tier_both_ways(dut: Any) -> None:
    memory = await MemoryBench.start(dut, watchdog=20_000)
    await run_copies(memory, [Copy(0, Tier.DDR.base, 64)] * 5, [DMAStatus.OK] * 5)
    size = 6144
    for source, destination in ((Tier.DDR.base, 0), (0, Tier.DDR.base)):
        _place(memory, destination, size)[:] = memory.bytes[Tier(source >> 36)][:size]
        cycles = await run_copies(memory, [Copy(source, destination, size)], [DMAStatus.OK])
        ddr = memory.params.memory.ddr
        rate = size / memory.params.beat_bytes / cycles / (ddr.beats[0] / ddr.beats[1])
        dut._log.warning(f"DMA: {rate:.4f} of DDR bandwidth")
        assert rate >= 0.9, f"{rate:.4f} of DDR's bandwidth, start and end included"


@cocotb.test()
async def a_share_bounds_the_dma_and_traffic_beside_it_stays_right(dut: Any) -> None:
    memory = await MemoryBench.start(dut, watchdog=20_000)
    await run_copies(memory, [Copy(0, 8192, 64)] * 5, [DMAStatus.OK] * 5)
    size = 1024
    beats = size // memory.params.beat_bytes
    for share in (16, 64):
        cycles = await run_copies(memory, [Copy(0, 8192, size, share=share)], [DMAStatus.OK])
        least = (beats - memory.params.memory.granule) * FULL_SHARE // share
        assert least <= cycles <= least * 1.05 + 100, f"share {share}: {cycles} cycles, bound {least}"
    memory.golden[Tier.HBM][:] = memory.bytes[Tier.HBM]
    top = {tier: tier_params(memory.params, tier).capacity - RESERVED for tier in Tier}
    done = len(memory.bench.monitors["completion"].received)
    memory.bench.send(
        "descriptor", [_descriptor(Copy(top[Tier.HBM], top[Tier.DDR] + Tier.DDR.base, RESERVED, share=8))]
    )
    memory.golden[Tier.DDR][top[Tier.DDR] :] = memory.golden[Tier.HBM][top[Tier.HBM] :]
    await memory.traffic(40)
    while len(memory.bench.monitors["completion"].received) == done:
        await memory.moved()
    memory.check_memory()


@cocotb.test()
async def flipped_bits_are_corrected_reported_and_never_hidden(dut: Any) -> None:
    """Of a machine with ECC: one flip, two, and writes that cover a word in part."""
    memory = await MemoryBench.start(dut)
    params, requester = memory.params, memory.requesters[0]
    _, width = code_words(params)
    beat, lanes, check = params.beat_bytes, params.lanes, check_width(width)
    rng = requester.rng

    def flip_bits(tier: Tier, place: int, count: int) -> None:
        for bit in rng.choice(width + check, count, replace=False):
            flip(memory.bytes[tier], in_bench(mask_name(region_name(tier))), place * 8 // width, int(bit), width)

    async def counted() -> tuple[int, int]:
        return await memory.total(ChannelCounter.CORRECTED), await memory.total(ChannelCounter.DETECTED)

    async def read(tier: Tier, place: int, error: bool = False) -> None:
        requester.read(tier.base + place, 1, memory.golden[tier][place : place + beat].tobytes(), error)
        await memory.answered()

    async def write(tier: Tier, place: int, strobe: Sequence[int], error: bool = False) -> None:
        elements = rng.integers(0, 1 << 16, (1, lanes)).astype(np.uint16)
        mask = np.array([strobe], np.bool_)
        requester.write(tier.base + place, elements, mask, error)
        memory.golden[tier][place : place + beat].view(np.uint16)[mask[0]] = elements[mask]
        await memory.answered()

    part, whole = [1] + [0] * (lanes - 1), [1] * lanes
    for tier in Tier:
        for k in range(12):
            place = int(rng.integers(tier_params(params, tier).capacity // beat)) * beat
            corrected, detected = await counted()
            flip_bits(tier, place, 1)
            await read(tier, place)
            assert await counted() == (corrected + 1, detected)
            await write(tier, place, part)  # reads, corrects, writes what is whole again
            assert await counted() == (corrected + 2, detected)
            await read(tier, place)
            assert await counted() == (corrected + 2, detected)
            flip_bits(tier, place, 2)
            await read(tier, place, error=True)
            assert await counted() == (corrected + 2, detected + 1)
            await write(tier, place, part, error=True)
            await read(tier, place, error=True)  # the write did not make a wrong word look right
            assert await counted() == (corrected + 2, detected + 3), k
            await write(tier, place, whole)
            await read(tier, place)
            assert await counted() == (corrected + 2, detected + 3)
    memory.check_memory()
