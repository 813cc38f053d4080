"""What units make of the curves of their inputs."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from coe_mapping.assembler.address import Counter as AddressCounter
from coe_mapping.assembler.pcu import Counter, PCUProgram, Systolic
from coe_mapping.assembler.pmu import Pipeline, PMUProgram
from coe_mapping.curves import Curve, Times, pace
from coe_mapping.program import Port
from hdl.params import RDUParams, require
from hdl.pcu.config import Conversion
from hdl.pmu.config import Side
from hdl.rdn.config import Fabric

if TYPE_CHECKING:
    from coe_mapping.bandwidth.launch import Launch


def limits_of(counters: Sequence[Counter] | Sequence[AddressCounter], unit: str) -> tuple[int, ...]:
    """The loops of a unit.

    Raises:
        ParameterError: one takes its limit from a stream.
    """
    for counter in counters:
        popped = counter.popped if isinstance(counter, Counter) else counter.scalar
        require(popped is None, f"bandwidth: a loop of {unit} takes its limit from a stream: give it a number instead")
    return tuple(counter.limit for counter in counters)


class PCUModel:
    """Iterations at the rate of the accumulators, results through drain and tail."""

    def __init__(self, launch: "Launch", name: str, program: PCUProgram) -> None:
        self.launch, self.name, self.program = launch, name, program
        self.limits = limits_of(program.counters, name)
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
        distance = arith.multiply_add if isinstance(body, Systolic) else operation(self.launch.params)
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
        cycles += self.pcu.stages * (1 + operation(self.launch.params))
        if body.reduce:
            levels = (self.pcu.lanes - 1).bit_length() + body.reduce.over_time
            cycles += levels * max(arith.add, arith.compare)
        return cycles

    def run(self) -> float:
        """One pass; returns when the last iteration was issued."""
        numbers = self.launch.sample(self.count, self.limits[0])
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
            numbers = self.launch.sample(max(1, round(emits // each * rows * beats)), self.limits[0])
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


def operation(params: RDUParams) -> int:
    """Latency of every SIMD operation: that of the slowest unit."""
    arith = params.pcu.arith
    return max(arith.add, arith.multiply, arith.compare, arith.convert, arith.integer)


class PMUModel:
    """Accesses one a cycle; a buffer is read when it is full and written when it is free."""

    macs = 0

    def __init__(self, launch: "Launch", name: str, program: PMUProgram) -> None:
        self.launch, self.name, self.program, self.timing = launch, name, program, launch.timing
        self.released: Curve | None = None
        for side, pipeline in (("write", program.write), ("read", program.read)):
            if pipeline is not None:
                count = prod(limits_of(pipeline.counters, name))
                launch.busy[f"PMU {name} {side} port"] = count * (2 if pipeline.convert else 1)

    def run(self) -> float:
        """One pass; returns when the last access was made."""
        full = self._write(self.program.write) if self.program.write else None
        return self._read(self.program.read, full) if self.program.read else full.last if full else 0.0

    def _write(self, p: Pipeline) -> Curve:
        """When each buffer (each access, if there are none) has been written."""
        limits, port, net = limits_of(p.counters, self.name), Port(self.name), self.launch.net
        count, width = prod(limits), 2 if p.convert else 1
        numbers = self.launch.sample(count, limits[0])
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
        limits, port, net = limits_of(p.counters, self.name), Port(self.name), self.launch.net
        count, width = prod(limits), 2 if p.convert else 1
        numbers = self.launch.sample(count, limits[0])
        size = count if p.buffer is None else prod(limits[p.buffer :])
        ready = np.full_like(numbers, self.timing.pmu_start + self.launch.params.pmu.alu_cycles * self._read_stages)
        ready = np.maximum(ready, self._events(Side.READ, limits, numbers))
        indices = net.arrival(Fabric.VECTOR, Port(self.name, 1))
        if indices is not None:
            ready = np.maximum(ready, indices.at(numbers))
        if full is not None and p.buffer is not None:
            ready = np.maximum(ready, full.at(numbers // size))
        ahead = self.launch.params.pmu.fifo_depth + self.timing.slack
        first, sends = _kept(p, limits)
        ready = np.maximum(ready, net.room(Fabric.VECTOR, port, (numbers - first) * width, ahead))
        made = Curve(count, numbers, pace(ready, numbers * width))
        net.take(Fabric.VECTOR, Port(self.name, 1), numbers, made.times)
        beats = self.launch.sample(sends * width)
        times = made.at(first + beats // width) + beats % width + self.timing.pmu_read
        net.sent[Fabric.VECTOR, port] = Curve(sends * width, beats, times)
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


def _kept(pipeline: Pipeline, limits: Sequence[int]) -> tuple[int, int]:
    """The first access that is kept, and how many are: all of them, or of the outermost loop the iterations that begin
    in the range that is kept."""
    count = prod(limits)
    if pipeline.keep_range is None:
        return 0, count
    low, high = pipeline.keep_range
    base = pipeline.registers[0].constant
    starts = (base + position * pipeline.counters[0].stride for position in range(limits[0]))
    kept = [position for position, start in enumerate(starts) if low <= start < high]
    inner = count // limits[0]
    return kept[0] * inner, len(kept) * inner
