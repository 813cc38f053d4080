"""Loads and stores of AGCUs: what they ask of memory, and what comes of the answers."""

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from coe_mapping.assembler.agcu import Access, AGCUProgram, Load, Store
from coe_mapping.bandwidth.units import limits_of
from coe_mapping.curves import Curve, Times, pace
from coe_mapping.program import Port
from hdl.params import TIER_SHIFT
from hdl.rdn.config import Fabric

if TYPE_CHECKING:
    from coe_mapping.bandwidth.launch import Launch


class MemoryStream:
    """A load or a store of an AGCU: what it asks of memory, and what comes of the answers."""

    def __init__(self, launch: "Launch", unit: str, program: AGCUProgram, number: int, stream: Load | Store) -> None:
        self.launch, self.unit, self.program, self.number = launch, unit, program, number
        self.timing, self.store = launch.timing, isinstance(stream, Store)
        self.access: Access = stream.access
        self.words, self.source = stream.words, number - (launch.params.agcu.loads if self.store else 0)
        self.limits = limits_of(self.access.counters, unit)
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
        agcu = self.launch.params.agcu
        ready = np.full_like(numbers, self.timing.agcu_start + agcu.alu_cycles * agcu.alu_stages)
        for fabric, events in ((Fabric.SCALAR, self.program.scalar_in), (Fabric.TOKEN, self.program.token_in)):
            for index, event in enumerate(events):
                if event is not None and event.stream == self.number and not event.carried:
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
