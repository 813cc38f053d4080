"""One launch of a program, pass after pass."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from coe_mapping.assembler.agcu import AGCUProgram
from coe_mapping.assembler.pcu import PCUProgram
from coe_mapping.assembler.pmu import PMUProgram
from coe_mapping.bandwidth.memory import MemoryStream
from coe_mapping.bandwidth.network import Network
from coe_mapping.bandwidth.prediction import Busy, Prediction
from coe_mapping.bandwidth.timing import Timing
from coe_mapping.bandwidth.units import PCUModel, PMUModel
from coe_mapping.curves import Curve, Times, sample, served
from coe_mapping.program import Program
from coe_mapping.routing import Route
from hdl.floorplan import Kind, floorplan
from hdl.params import RDUParams, TierParams

SAMPLES = 2048
"""Beats of a stream whose times are kept, unless told otherwise."""

FEW = 4
"""Iterations of an outermost loop whose ends are all kept."""

PASSES = 100
ALONE = 4
"""Passes without a queue."""
SETTLED = 0.0001
"""Passes end when the end of the kernel moves by less than this share."""


class Launch:
    """One program, pass after pass: what left every output, when every input took it, who was busy for how long."""

    def __init__(
        self,
        params: RDUParams,
        program: Program,
        routes: Sequence[Route],
        timing: Timing,
        samples: int,
        sockets: Mapping[str, int] | None = None,
    ) -> None:
        """``sockets``: of each unit, if there are several."""
        self.sockets = sockets or dict.fromkeys(program.units, 0)
        self.params, self.program, self.timing, self.samples = params, program, timing, samples
        self.net = Network(params, program, routes, timing)
        self.tiers = (params.memory.hbm, params.memory.ddr)
        self.busy: dict[str, float] = {}
        self.queued = False  # whether streams wait for each other at memory
        self.streams = [
            MemoryStream(self, name, unit, number, stream)
            for name, unit in program.units.items()
            if isinstance(unit, AGCUProgram)
            for number, stream in enumerate(unit.streams(params.agcu))
            if stream is not None
        ]
        self.loads = [s for s in self.streams if not s.store]
        self.stores = [s for s in self.streams if s.store]
        self.units = [
            PCUModel(self, name, unit) if isinstance(unit, PCUProgram) else PMUModel(self, name, unit)
            for name, unit in in_order(program)
        ]
        self._memory_busy()

    def sample(self, count: int, turns: int = 1) -> Times:
        """Numbers of the beats to keep of ``count``: where there are a few ``turns``, which may be far apart in time,
        the ends of each among them."""
        numbers = sample(count, self.samples)
        if count <= self.samples or not 1 < turns <= FEW:
            return numbers
        starts = np.arange(turns) * (count // turns)
        return np.union1d(numbers, np.concatenate([starts, starts[1:] - 1.0]))

    def predict(self, passes: int) -> Prediction:
        end = 0.0
        for number in range(passes):
            self.queued = number >= min(ALONE, passes - 1)
            before, end = end, self._pass()
            if number > ALONE + 1 and abs(end - before) <= SETTLED * end:
                break
        rounds = self.program.rounds  # each begins when the one before has written its results
        cycles = self.timing.start + rounds * end + self.timing.finish
        busy = sorted((Busy(name, rounds * work) for name, work in self.busy.items()), key=lambda b: -b.cycles)
        macs, beats = sum(unit.macs for unit in self.units), sum(s.count for s in self.streams)
        return Prediction(
            self.program.name, cycles, tuple(busy), rounds * self.ideal(macs), rounds * beats, rounds * macs
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
            tiers[self.sockets[stream.unit], stream.tier].append(stream)
            if not stream.store:
                ports[stream.unit].append(stream)
        for (_, tier), streams in tiers.items():
            sizes = self.tiers[tier]
            if self.queued:
                _together(streams, [s.requests for s in streams], [interval(sizes) * s.cost for s in streams])
            for s in streams:
                s.answers = s.answers if self.queued else s.requests
                s.answers = s.answers.later(sizes.latency + sizes.row_miss + self.timing.memory_path)
        for streams in ports.values() if self.queued else ():
            _together(streams, [s.answers for s in streams], [1.0] * len(streams))

    def _memory_busy(self) -> None:
        many = len(set(self.sockets.values())) > 1
        for socket, (tier, name) in product(sorted(set(self.sockets.values())), enumerate(("HBM", "DDR"))):
            mine = [s for s in self.streams if (self.sockets[s.unit], s.tier) == (socket, tier)]
            label = f"{name} of socket {socket}" if many else name
            self.busy[label] = sum(s.count * s.cost for s in mine) * interval(self.tiers[tier])
        for unit in {s.unit for s in self.loads}:
            self.busy[f"loads of {unit}"] = sum(s.count for s in self.loads if s.unit == unit)

    def ideal(self, macs: int) -> float:
        """See :class:`Prediction`."""
        moved: dict[tuple[int, int], int] = defaultdict(int)
        for s in self.streams:
            moved[self.sockets[s.unit], s.tier] += s.footprint
        memory = [beats * interval(self.tiers[tier]) for (_, tier), beats in moved.items()] or [0.0]
        pcus = len(floorplan(self.params).of(Kind.PCU)) * max(1, len(set(self.sockets.values())))
        return max(*memory, macs / (pcus * self.params.lanes * self.params.pcu.stages))


def interval(sizes: TierParams) -> float:
    """Cycles a beat of a whole tier."""
    return sizes.beats[1] / sizes.beats[0] / sizes.channels


def _together(streams: Sequence[MemoryStream], requests: Sequence[Curve], intervals: Sequence[float]) -> None:
    for stream, answers in zip(streams, served(requests, intervals), strict=True):
        stream.answers = answers


def in_order(program: Program) -> Iterator[tuple[str, PCUProgram | PMUProgram]]:
    """PCUs and PMUs, whoever sends before whoever receives; where they send in a circle, it begins with the unit that
    was added first, which knows from the pass before what comes round."""
    units = {name: unit for name, unit in program.units.items() if isinstance(unit, (PCUProgram, PMUProgram))}
    before: dict[str, set[str]] = {name: set() for name in units}
    for stream in program.streams:
        for sink in stream.sinks:
            if sink.unit in units and stream.source.unit in units:
                before[sink.unit].add(stream.source.unit)
    done: set[str] = set()
    while len(done) < len(units):
        waiting = [name for name in units if name not in done]
        ready = [name for name in waiting if before[name] <= done] or waiting[:1]
        for name in ready:
            yield name, units[name]
        done.update(ready)
