"""The bandwidth model: how many cycles a program takes, and what limits it, from its loops alone.

A unit turns the curves of its inputs (:mod:`coe_mapping.curves`) into those of its outputs: an iteration is issued when
its operands are there and the unit's rate allows, results come a latency later, a stage buffer gives a block when all
of it has come. Memory is one queue that serves beats in the order they are asked for, as fast as all its channels
together. So blocks overlap as they do in the machine, and the fill is the way of the first results (Baccelli et al.,
"Synchronization and linearity", 1992).

What flows backwards (a full FIFO, a stage buffer not yet free, stores in memory's queue) is taken from the pass before,
and passes are repeated until the end stays where it is. In the first passes nobody queues for memory: streams that do
not know yet when their data will be taken would all ask at once, and it takes many passes to forget the queue.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from coe_mapping.assembler.address import Counter as AddressCounter
from coe_mapping.assembler.agcu import Access, AGCUProgram, Load, Store
from coe_mapping.assembler.pcu import Counter, PCUProgram, Systolic
from coe_mapping.assembler.pmu import Pipeline, PMUProgram
from coe_mapping.curves import Curve, Times, merged, pace, sample, served
from coe_mapping.program import Port, Program
from coe_mapping.routing import Route
from hdl.floorplan import Kind, floorplan
from hdl.params import TIER_SHIFT, RDUParams, TierParams, require
from hdl.pcu.config import Conversion
from hdl.pmu.config import Side
from hdl.rdn.config import Fabric

SAMPLES = 2048
"""Beats of a stream whose times are kept, unless told otherwise."""

PASSES = 100
ALONE = 4
"""Passes without a queue."""
SETTLED = 0.0001
"""Passes end when the end of the kernel moves by less than this share."""


@dataclass(frozen=True)
class Timing:
    """Cycles that do not follow from the sizes of the machine alone.

    Those of units are what the units' own counters say of kernels on the RTL of ``test``, with latencies of the
    arithmetic and of the network taken off; ``load`` and ``word`` are a line through the loads of the same kernels.
    """

    start: int = 4  # EXECUTE decoded to `start` at the units (docs/launch.md)
    finish: int = 5  # last unit done, until WAIT has seen it
    pcu_issue: int = 3  # a beat at an input to the issue of the iteration that needs it (FIFO, header)
    pcu_drain: int = 3  # last multiply-add of a tile to the tail (drain queue)
    pcu_result: int = 2  # tail to the output
    pmu_write: int = 6  # a beat at the input until it lies in its bank and the buffer is handed over
    pmu_read: int = 7  # an access to its beat at the output
    pmu_start: int = 4  # start to the first access, besides two cycles an ALU stage
    agcu_start: int = 10  # start to the first request, besides two cycles an ALU stage (docs/agcu.md)
    agcu_load: int = 5  # response to the vector at the output (reorder buffer)
    agcu_store: int = 2  # a beat at the input to the request that carries it (coalescer, data queue)
    agcu_scalar: int = 5  # a scalar or token at an AGCU to the request that waited for it
    memory_path: int = 14  # request to response besides the tier's latency: network both ways, controller
    store_cost: float = 2.25  # beats' time that a written beat takes: writes come in small batches between reads
    reach: float = 0.25  # links from unit to unit where no routes are given, by rows and columns of the mesh
    slack: int = 8  # beats between two units besides the FIFO of the second: its neighbours, switches
    command: int = 60  # a command of a list fetched and decoded: memory's latency and some 20 (docs/launch.md)
    load: int = 280  # a program load besides its words: header, the pause between its two readings (docs/launch.md)
    word: float = 3.8  # a word of a program, both readings together


@dataclass(frozen=True)
class Busy:
    """A resource, and the cycles it works in a launch."""

    resource: str
    cycles: float


@dataclass(frozen=True)
class Prediction:
    """One launch of a program.

    Attributes:
        cycles: from EXECUTE until WAIT is through.
        busy: every resource, the busiest first.
        ideal: cycles if memory moved every byte once at its full bandwidth, or all PCUs of the socket multiplied at
            their peak, whichever is longer.
        beats: moved from and to memory. macs: multiply-adds.
    """

    name: str
    cycles: float
    busy: tuple[Busy, ...]
    ideal: float
    beats: int
    macs: int

    @property
    def binding(self) -> str:
        """The busiest resource; ``fill latency`` if even that rests half of the time."""
        return self.busy[0].resource if self.busy and 2 * self.busy[0].cycles >= self.cycles else "fill latency"


def predict(
    params: RDUParams,
    program: Program,
    *,
    routes: Sequence[Route] = (),
    timing: Timing | None = None,
    samples: int = SAMPLES,
    passes: int = PASSES,
) -> Prediction:
    """What a launch of ``program`` takes that is loaded already.

    Args:
        routes: of its streams; without them all are of average length.
        samples, passes: beats of a stream whose times are kept, and passes at most. 200 and 2 do to compare programs.

    Raises:
        ParameterError: a loop takes its limit from a stream.
    """
    return _Launch(params, program, routes, timing or Timing(), samples).predict(passes)


def bound(params: RDUParams, program: Program) -> float:
    """Cycles of the busiest resource, which no prediction is below; quick."""
    return max(_Launch(params, program, (), Timing(), 1).busy.values())


def launch_overhead(
    params: RDUParams, words: int, arguments: int = 0, *, host: bool, timing: Timing | None = None
) -> float:
    """Cycles to load a program and to begin it, if nothing of that overlaps a kernel.

    Args:
        words: of the bitstream. arguments: of the argument list; none are loaded if there are none.
        host: the load, and then arguments, execute and wait together, come from the host; else each of the four from a
            command list in memory.
    """
    t = timing or Timing()
    commands = 2 * params.host.launch_latency if host else 4 * t.command
    return commands + sum(t.load + t.word * count for count in (words, arguments) if count)


def table(predictions: Sequence[Prediction], measured: Mapping[str, float] | None = None) -> str:
    """A line a kernel: predicted cycles, ideal, what binds; and measured cycles with the error where they are known."""
    lines = [f"{'kernel':<20}{'cycles':>9}{'ideal':>9}{'share':>7}{'measured':>10}{'error':>8}  bound by"]
    for p in predictions:
        cycles = (measured or {}).get(p.name)
        seen = f"{'':>18}" if cycles is None else f"{cycles:>10.0f}{p.cycles / cycles - 1:>+8.1%}"
        lines.append(f"{p.name:<20}{p.cycles:>9.0f}{p.ideal:>9.0f}{p.ideal / p.cycles:>7.0%}{seen}  {p.binding}")
    return "\n".join(lines)


# The passes


class _Launch:
    """One program, pass after pass: what left every output, when every input took it, who was busy for how long."""

    def __init__(
        self, params: RDUParams, program: Program, routes: Sequence[Route], timing: Timing, samples: int
    ) -> None:
        self.params, self.program, self.timing, self.samples = params, program, timing, samples
        self.net = _Network(params, program, routes, timing)
        self.tiers = (params.memory.hbm, params.memory.ddr)
        self.busy: dict[str, float] = {}
        self.queued = False  # whether streams wait for each other at memory
        self.streams = [
            _MemoryStream(self, name, unit, number, stream)
            for name, unit in program.units.items()
            if isinstance(unit, AGCUProgram)
            for number, stream in enumerate(unit.streams(params.agcu))
            if stream is not None
        ]
        self.loads = [s for s in self.streams if not s.store]
        self.stores = [s for s in self.streams if s.store]
        self.units = [
            _PCU(self, name, unit) if isinstance(unit, PCUProgram) else _PMU(self, name, unit)
            for name, unit in _in_order(program)
        ]
        self._memory_busy()

    def sample(self, count: int) -> Times:
        """Numbers of the beats to keep of ``count``."""
        return sample(count, self.samples)

    def predict(self, passes: int) -> Prediction:
        end = 0.0
        for number in range(passes):
            self.queued = number >= min(ALONE, passes - 1)
            before, end = end, self._pass()
            if number > ALONE + 1 and abs(end - before) <= SETTLED * end:
                break
        cycles = self.timing.start + end + self.timing.finish
        busy = sorted((Busy(name, work) for name, work in self.busy.items()), key=lambda b: -b.cycles)
        macs = sum(unit.macs for unit in self.units)
        return Prediction(
            self.program.name, cycles, tuple(busy), self.ideal(macs), sum(s.count for s in self.streams), macs
        )

    def _pass(self) -> float:
        """Everything once, in the order of the data; returns when the last beat has moved."""
        for stream in self.loads:
            stream.ask()
        self._serve()
        for stream in self.loads:
            stream.deliver()
        ends = [unit.run() for unit in self.units]
        for stream in self.stores:
            stream.ask()
        self._serve()
        for stream in self.stores:
            stream.acknowledge()
        return max([*ends, *(stream.answers.last for stream in self.streams)], default=0.0)

    def _serve(self) -> None:
        """Memory's answers to all that was asked: each tier serves all streams, each AGCU takes a beat a cycle."""
        tiers, ports = defaultdict(list), defaultdict(list)
        for stream in self.streams:
            tiers[stream.tier].append(stream)
            if not stream.store:
                ports[stream.unit].append(stream)
        for tier, streams in tiers.items():
            sizes = self.tiers[tier]
            if self.queued:
                _together(streams, [s.requests for s in streams], [_interval(sizes) * s.cost for s in streams])
            for s in streams:
                s.answers = s.answers if self.queued else s.requests
                s.answers = s.answers.later(sizes.latency + sizes.row_miss + self.timing.memory_path)
        for streams in ports.values() if self.queued else ():
            _together(streams, [s.answers for s in streams], [1.0] * len(streams))

    def _memory_busy(self) -> None:
        for tier, name in enumerate(("HBM", "DDR")):
            beats = sum(s.count * s.cost for s in self.streams if s.tier == tier)
            self.busy[name] = beats * _interval(self.tiers[tier])
        for unit in {s.unit for s in self.loads}:
            self.busy[f"loads of {unit}"] = sum(s.count for s in self.loads if s.unit == unit)

    def ideal(self, macs: int) -> float:
        """See :class:`Prediction`."""
        moved = [sum(s.footprint for s in self.streams if s.tier == tier) for tier in range(len(self.tiers))]
        memory = (beats * _interval(sizes) for beats, sizes in zip(moved, self.tiers, strict=True))
        pcus = len(floorplan(self.params).of(Kind.PCU))
        return max(*memory, macs / (pcus * self.params.lanes * self.params.pcu.stages))


def _interval(sizes: TierParams) -> float:
    """Cycles a beat of a whole tier."""
    return sizes.beats[1] / sizes.beats[0] / sizes.channels


def _together(streams: Sequence["_MemoryStream"], requests: Sequence[Curve], intervals: Sequence[float]) -> None:
    for stream, answers in zip(streams, served(requests, intervals), strict=True):
        stream.answers = answers


class _Network:
    """Streams between units: what left the outputs, and (from the pass before) when the inputs took it."""

    def __init__(self, params: RDUParams, program: Program, routes: Sequence[Route], timing: Timing) -> None:
        self.sources: dict[tuple[Fabric, Port], list[tuple[Fabric, Port]]] = defaultdict(list)
        self.sinks: dict[tuple[Fabric, Port], list[tuple[Fabric, Port]]] = defaultdict(list)
        for stream in program.streams:
            for sink in stream.sinks:
                self.sources[stream.fabric, sink].append((stream.fabric, stream.source))
                self.sinks[stream.fabric, stream.source].append((stream.fabric, sink))
        self.cycles = _ways(params, routes)
        self.average = 2 * (round(timing.reach * (params.rows + params.columns * params.tiles)) + 1)
        self.sent: dict[tuple[Fabric, Port], Curve] = {}
        self.taken: dict[tuple[Fabric, Port], Curve] = {}

    def arrival(self, fabric: Fabric, port: Port) -> Curve | None:
        """When beats reach an input; None if nothing is known to come."""
        sink = fabric, port
        curves = [
            self.sent[source].later(self.cycles.get((source, sink), self.average))
            for source in self.sources[sink]
            if source in self.sent
        ]
        return merged(curves) if curves else None

    def room(self, fabric: Fabric, port: Port, beats: Times, ahead: float) -> Times:
        """When an output may send these beats, no more than ``ahead`` before the slowest input takes them."""
        free = np.zeros_like(beats)
        for sink in self.sinks[fabric, port]:
            if sink in self.taken and len(self.sources[sink]) == 1:
                free = np.maximum(free, self.taken[sink].at(beats - ahead))
        return free

    def take(self, fabric: Fabric, port: Port, beats: Times, times: Times, *, first: bool = False) -> None:
        """An input took ``beats``; one that is named several times at the last of them, or the ``first``."""
        moves = np.diff(beats) > 0
        here = np.insert(moves, 0, True) if first else np.append(moves, True)
        self.taken[fabric, port] = Curve(int(beats[-1]) + 1, beats[here], times[here])


def _ways(params: RDUParams, routes: Sequence[Route]) -> dict[tuple[tuple[Fabric, Port], tuple[Fabric, Port]], float]:
    """Cycles from an output to an input: two to the first link, two a link (one in all, of a token), one out."""
    ways = {}
    for route in routes:
        fabric, ((row, column), _) = route.stream.fabric, route.source
        for port, ((to_row, to_column), _) in zip(route.stream.sinks, route.sinks, strict=True):
            links = abs(row - to_row) + abs(column - to_column)
            borders = abs(column // params.columns - to_column // params.columns) * params.rdn.die_latency
            switches = links + 1 if fabric is Fabric.TOKEN else 2 * (links + 1)
            ways[(fabric, route.stream.source), (fabric, port)] = float(switches + borders)
    return ways


def _in_order(program: Program) -> Iterator[tuple[str, PCUProgram | PMUProgram]]:
    """PCUs and PMUs, whoever sends before whoever receives."""
    units = {name: unit for name, unit in program.units.items() if not isinstance(unit, AGCUProgram)}
    before: dict[str, set[str]] = {name: set() for name in units}
    for stream in program.streams:
        for sink in stream.sinks:
            if sink.unit in units and stream.source.unit in units:
                before[sink.unit].add(stream.source.unit)
    done: set[str] = set()
    while len(done) < len(units):
        ready = [name for name in units if name not in done and before[name] <= done]
        require(bool(ready), f"bandwidth: {program.name}: units wait for each other in a circle, which is not modelled")
        for name in ready:
            yield name, units[name]
        done.update(ready)


# Units


def _limits(counters: Sequence[Counter] | Sequence[AddressCounter], unit: str) -> tuple[int, ...]:
    """The loops of a unit.

    Raises:
        ParameterError: one takes its limit from a stream.
    """
    for counter in counters:
        popped = counter.popped if isinstance(counter, Counter) else counter.scalar
        require(popped is None, f"bandwidth: a loop of {unit} takes its limit from a stream: give it a number instead")
    return tuple(counter.limit for counter in counters)


class _PCU:
    """Iterations at the rate of the accumulators, results through drain and tail."""

    def __init__(self, launch: _Launch, name: str, program: PCUProgram) -> None:
        self.launch, self.name, self.program = launch, name, program
        self.limits = _limits(program.counters, name)
        self.count = prod(self.limits)
        self.pcu, self.timing = launch.params.pcu, launch.timing
        launch.busy[f"PCU {name}"] = float(self.clock(np.array([self.count - 1.0]))[0]) + 1

    @property
    def macs(self) -> int:
        body = self.program.body
        return self.count * body.rows * self.pcu.lanes if isinstance(body, Systolic) else 0

    @property
    def group(self) -> int:
        """Iterations of a group, those of all slots together; 1 if nothing is accumulated."""
        return prod(self.limits[self.program.group.begin :]) if self.program.group else 1

    @property
    def slots(self) -> int:
        return self.limits[-1] if self.program.group and self.program.group.slotted else 1

    def clock(self, numbers: Times) -> Times:
        """Cycles from the first issue to these if no operand is ever waited for.

        A slot is in flight for as long as its addition takes, so within a group a round of the slots takes no less; a
        group waits for nothing of the one before.
        """
        arith, body = self.pcu.arith, self.program.body
        distance = arith.multiply_add if isinstance(body, Systolic) else _operation(self.launch.params)
        around = max(self.slots, distance)
        groups, inside = numbers // self.group, numbers % self.group
        whole = (self.group // self.slots - 1) * around + self.slots
        return groups * whole + inside // self.slots * around + inside % self.slots

    @property
    def latency(self) -> float:
        """Cycles from issue to the beat at the output."""
        arith, tail, body = self.pcu.arith, self.program.tail, self.program.body
        steps = (
            (tail.scale, arith.multiply),
            (tail.offset, arith.add),
            (tail.special, arith.special),
            (tail.clamp, 2 * arith.compare),
            (tail.conversion if tail.conversion is not Conversion.NONE else None, arith.convert),
        )
        cycles = 1 + sum(latency for step, latency in steps if step is not None) + self.timing.pcu_result
        if isinstance(body, Systolic):
            return cycles + arith.multiply_add + self.pcu.stages + self.timing.pcu_drain
        cycles += self.pcu.stages * (1 + _operation(self.launch.params))
        if body.reduce:
            levels = (self.pcu.lanes - 1).bit_length() + body.reduce.over_time
            cycles += levels * max(arith.add, arith.compare)
        return cycles

    def run(self) -> float:
        """One pass; returns when the last iteration was issued."""
        numbers = self.launch.sample(self.count)
        operands = list(self._operands(numbers))
        ready = np.zeros_like(numbers)
        for fabric, index, beats in operands:
            arrival = self.launch.net.arrival(fabric, Port(self.name, index))
            if arrival is not None:
                ready = np.maximum(ready, arrival.at(beats))
        issue = pace(ready + self.timing.pcu_issue, self.clock(numbers))
        for fabric, index, beats in operands:
            # broadcast and initial operands go on into buffers of their own
            buffered = isinstance(self.program.body, Systolic) and index > 0
            self.launch.net.take(fabric, Port(self.name, index), beats, issue, first=buffered)
        self._results(Curve(self.count, numbers, issue))
        return float(issue[-1]) + self.latency

    def _operands(self, numbers: Times) -> Iterator[tuple[Fabric, int, Times]]:
        """For every input in use the last beat that each iteration needs."""
        program = self.program
        for index, vector in enumerate(program.vector_in):
            if vector is not None:
                operand = numbers // prod(self.limits[vector.pop :])
                yield Fabric.VECTOR, index, 2 * operand + 1 if vector.wide else operand
        for index, boundary in enumerate(program.scalar_in):
            if boundary is not None:
                yield Fabric.SCALAR, index, numbers // prod(self.limits[boundary:])
        for index, boundary in enumerate(program.token_in):
            if boundary is not None:
                yield Fabric.TOKEN, index, numbers // prod(self.limits[boundary:])
        if isinstance(program.body, Systolic):
            yield from self._systolic_operands(numbers, program.body)

    def _systolic_operands(self, numbers: Times, body: Systolic) -> Iterator[tuple[Fabric, int, Times]]:
        k, slots, lanes = self.group // self.slots, self.slots, self.pcu.lanes
        tile, inside = numbers // self.group, numbers % self.group
        step = inside // slots
        if body.columns:
            yield Fabric.VECTOR, 1, tile * k + step
        else:
            yield Fabric.VECTOR, 1, (tile * -(-k // lanes) + step // lanes + 1) * body.rows - 1
        if body.initial:
            slot = np.where(step == 0, inside % slots, slots - 1)
            yield Fabric.VECTOR, 2, (tile * slots + slot + 1) * 2 * body.rows - 1

    def _results(self, issue: Curve) -> None:
        program, net = self.program, self.launch.net
        running = program.group is None or program.group.running
        emits = self.count if running else self.count // self.group * self.slots
        rows = program.body.rows if isinstance(program.body, Systolic) else 1

        def sent(boundary: int, beats: float) -> Curve:
            """Of an output at that boundary, with so many beats a result."""
            each = max(1, emits // prod(self.limits[:boundary]))  # results to one that is sent
            numbers = self.launch.sample(max(1, round(emits // each * rows * beats)))
            result = np.minimum(numbers // (rows * beats) * each + each - 1, emits - 1)
            group, slot = result // self.slots, result % self.slots
            iteration = result if running else group * self.group + self.group - self.slots + slot
            return Curve(int(numbers[-1]) + 1, numbers, pace(issue.at(iteration) + self.latency, numbers))

        width = {Conversion.NONE: 2.0, Conversion.INT32: 2.0, Conversion.INT8: 0.5}.get(program.tail.conversion, 1.0)
        wide = program.side is not None and program.side.wide
        for index, boundary in enumerate(program.vector_out):
            if boundary is not None:
                beats = width if index == 0 else 1.0 + wide
                net.sent[Fabric.VECTOR, Port(self.name, index)] = sent(boundary, beats)
        for index, scalar in enumerate(program.scalar_out):
            if scalar is not None:
                net.sent[Fabric.SCALAR, Port(self.name, index)] = sent(scalar.at, 1.0)
        for index, boundary in enumerate(program.token_out):
            if boundary is not None:
                net.sent[Fabric.TOKEN, Port(self.name, index)] = sent(boundary, 1.0)


def _operation(params: RDUParams) -> int:
    """Latency of every SIMD operation: that of the slowest unit."""
    arith = params.pcu.arith
    return max(arith.add, arith.multiply, arith.compare, arith.convert, arith.integer)


class _PMU:
    """Accesses one a cycle; a buffer is read when it is full and written when it is free."""

    macs = 0

    def __init__(self, launch: _Launch, name: str, program: PMUProgram) -> None:
        self.launch, self.name, self.program, self.timing = launch, name, program, launch.timing
        self.released: Curve | None = None
        for side, pipeline in (("write", program.write), ("read", program.read)):
            if pipeline is not None:
                count = prod(_limits(pipeline.counters, name))
                launch.busy[f"PMU {name} {side} port"] = count * (2 if pipeline.convert else 1)

    def run(self) -> float:
        """One pass; returns when the last access was made."""
        full = self._write(self.program.write) if self.program.write else None
        return self._read(self.program.read, full) if self.program.read else full.last if full else 0.0

    def _write(self, p: Pipeline) -> Curve:
        """When each buffer (each access, if there are none) has been written."""
        limits, port, net = _limits(p.counters, self.name), Port(self.name), self.launch.net
        count, width = prod(limits), 2 if p.convert else 1
        numbers = self.launch.sample(count)
        beats = numbers * width + width - 1
        arrival = net.arrival(Fabric.VECTOR, port)
        ready = np.zeros_like(numbers) if arrival is None else arrival.at(beats)
        ready = np.maximum(ready, self._events(Side.WRITE, limits, numbers))
        size = 1 if p.buffer is None else prod(limits[p.buffer :])
        if self.released is not None:
            ready = np.maximum(ready, self.released.at(numbers // size - self.program.buffers))
        made = Curve(count, numbers, pace(ready, numbers * width))
        net.take(Fabric.VECTOR, port, beats, made.times)
        self._tell(Side.WRITE, limits, made)
        blocks = self.launch.sample(count // size)
        return Curve(count // size, blocks, made.at(blocks * size + size - 1) + self.timing.pmu_write)

    def _read(self, p: Pipeline, full: Curve | None) -> float:
        limits, port, net = _limits(p.counters, self.name), Port(self.name), self.launch.net
        count, width = prod(limits), 2 if p.convert else 1
        numbers = self.launch.sample(count)
        size = count if p.buffer is None else prod(limits[p.buffer :])
        ready = np.full_like(numbers, self.timing.pmu_start + 2 * self._read_stages)
        ready = np.maximum(ready, self._events(Side.READ, limits, numbers))
        indices = net.arrival(Fabric.VECTOR, Port(self.name, 1))
        if indices is not None:
            ready = np.maximum(ready, indices.at(numbers))
        if full is not None and p.buffer is not None:
            ready = np.maximum(ready, full.at(numbers // size))
        ahead = self.launch.params.pmu.fifo_depth + self.timing.slack
        ready = np.maximum(ready, net.room(Fabric.VECTOR, port, numbers * width, ahead))
        made = Curve(count, numbers, pace(ready, numbers * width))
        net.take(Fabric.VECTOR, Port(self.name, 1), numbers, made.times)
        beats = self.launch.sample(count * width)
        times = made.at(beats // width) + beats % width + self.timing.pmu_read
        net.sent[Fabric.VECTOR, port] = Curve(count * width, beats, times)
        self._tell(Side.READ, limits, made)
        if p.buffer is not None:
            blocks = self.launch.sample(count // size)
            self.released = Curve(count // size, blocks, made.at(blocks * size + size - 1))
        return made.last + self.timing.pmu_read

    @property
    def _read_stages(self) -> int:
        """ALU stages that are not the write side's."""
        return self.launch.params.pmu.alu_stages - (len(self.program.write.stages) if self.program.write else 0)

    def _events(self, side: Side, limits: Sequence[int], numbers: Times) -> Times:
        """When the scalars and tokens that a side's accesses wait for have come."""
        ready, net = np.zeros_like(numbers), self.launch.net
        for fabric, events in ((Fabric.SCALAR, self.program.scalar_in), (Fabric.TOKEN, self.program.token_in)):
            for index, event in enumerate(events):
                if event is not None and event.side is side:
                    arrival = net.arrival(fabric, Port(self.name, index))
                    if arrival is not None:
                        ready = np.maximum(ready, arrival.at(numbers // prod(limits[event.boundary :])))
        return ready

    def _tell(self, side: Side, limits: Sequence[int], made: Curve) -> None:
        """Scalars and tokens that a side sends."""
        for fabric, events in ((Fabric.SCALAR, self.program.scalar_out), (Fabric.TOKEN, self.program.token_out)):
            for index, event in enumerate(events):
                if event is not None and event.side is side:
                    size = prod(limits[event.boundary :])
                    numbers = self.launch.sample(made.count // size)
                    times = made.at(numbers * size + size - 1) + self.timing.pmu_read
                    self.launch.net.sent[fabric, Port(self.name, index)] = Curve(made.count // size, numbers, times)


class _MemoryStream:
    """A load or a store of an AGCU: what it asks of memory, and what comes of the answers."""

    def __init__(self, launch: _Launch, unit: str, program: AGCUProgram, number: int, stream: Load | Store) -> None:
        self.launch, self.unit, self.program, self.number = launch, unit, program, number
        self.timing, self.store = launch.timing, isinstance(stream, Store)
        self.access: Access = stream.access
        self.words, self.source = stream.words, number - (launch.params.agcu.loads if self.store else 0)
        self.limits = _limits(self.access.counters, unit)
        self.count = prod(self.limits)
        self.tier = program.segments[self.access.segment].base >> TIER_SHIFT
        nothing = np.zeros(0)
        self.requests = Curve(0, nothing, nothing)
        self.answers = self.requests

    @property
    def _strides(self) -> list[tuple[int, int]]:
        """(limit, bytes a step) of the loops, outermost first."""
        address = self.access.registers[0].counters
        return [(c.limit, c.stride if i in address else 0) for i, c in enumerate(self.access.counters)]

    @property
    def cost(self) -> float:
        """Beats of memory's time that a beat takes: of a store more, for the turns between reads and writes."""
        return self.timing.store_cost if self.store else 1.0

    @property
    def footprint(self) -> int:
        """Different beats that it touches; of rows chosen by scalars all."""
        chosen = any(register.scalar is not None for register in self.access.registers)
        return prod(limit for limit, stride in self._strides if stride or chosen)

    @property
    def burst(self) -> int:
        """Beats that follow one another in memory, up to a granule."""
        run, beat = 1, self.launch.params.beat_bytes
        for limit, stride in reversed(self._strides):
            if limit > 1 and stride != run * beat:
                break
            run *= limit
        return min(run, self.launch.params.memory.granule)

    @property
    def in_flight(self) -> float:
        """Beats that may be under way: all tags of the AGCU but one for each of its other streams."""
        sharing = sum(s.unit == self.unit for s in self.launch.streams)
        return max(1.0, (self.launch.params.agcu.outstanding + 1 - sharing) * self.burst)

    def ask(self) -> None:
        """When each access goes to memory."""
        numbers, net = self.launch.sample(self.count), self.launch.net
        ready = np.full_like(numbers, self.timing.agcu_start + 2 * self.launch.params.agcu.alu_stages)
        for fabric, events in ((Fabric.SCALAR, self.program.scalar_in), (Fabric.TOKEN, self.program.token_in)):
            for index, event in enumerate(events):
                if event is not None and event.stream == self.number:
                    arrival = net.arrival(fabric, Port(self.unit, index))
                    if arrival is not None:
                        operand = numbers // prod(self.limits[event.boundary :])
                        ready = np.maximum(ready, arrival.at(operand) + self.timing.agcu_scalar)
        if self.store:
            port = Port(self.unit, self.source)
            data = net.arrival(Fabric.VECTOR, port)
            if data is not None:
                ready = np.maximum(ready, data.at(numbers) + self.timing.agcu_store)
        elif not self.words:
            ahead = self.in_flight + self.launch.params.agcu.fifo_depth + self.timing.slack
            ready = np.maximum(ready, net.room(Fabric.VECTOR, Port(self.unit, self.source), numbers, ahead))
        self.requests = Curve(self.count, numbers, pace(ready, self._clock(numbers)))
        if self.store:
            net.take(Fabric.VECTOR, port, numbers, self.requests.times)

    def _clock(self, numbers: Times) -> Times:
        """Cycles from the first access to these: one a cycle, but when all tags are out, a round trip for them."""
        sizes = self.launch.tiers[self.tier]
        trip = sizes.latency + self.timing.memory_path
        return numbers + numbers // self.in_flight * max(0.0, trip - self.in_flight)

    def deliver(self) -> None:
        """Loaded vectors, or words, to the network."""
        port = Port(self.unit, 0 if self.words else self.source)
        answers = self.answers.later(self.timing.agcu_load)
        if not self.words:
            self.launch.net.sent[Fabric.VECTOR, port] = answers
        else:
            each = self._words
            numbers = self.launch.sample(self.count * each)
            times = pace(answers.at(numbers // each), numbers)
            self.launch.net.sent[Fabric.SCALAR, port] = Curve(self.count * each, numbers, times)
        self._tell()

    @property
    def _words(self) -> int:
        """32-bit words of an access."""
        limit = self.access.limit
        return self.launch.params.lanes // 2 if limit is None else self.access.registers[limit].constant

    def acknowledge(self) -> None:
        """Tokens of written data."""
        self._tell()

    def _tell(self) -> None:
        for index, event in enumerate(self.program.token_out):
            if event is not None and event.stream == self.number:
                size = prod(self.limits[event.boundary :])
                numbers = self.launch.sample(self.count // size)
                times = self.answers.at(numbers * size + size - 1) + self.timing.agcu_load
                self.launch.net.sent[Fabric.TOKEN, Port(self.unit, index)] = Curve(self.count // size, numbers, times)
