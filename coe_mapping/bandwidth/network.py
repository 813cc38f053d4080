"""Streams between units: when beats leave outputs and reach inputs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coe_mapping.bandwidth.timing import Timing
from coe_mapping.curves import Curve, Times, merged, served
from coe_mapping.program import Port, Program
from coe_mapping.routing import Route
from hdl.params import RDUParams
from hdl.rdn.config import Fabric


@dataclass(frozen=True, eq=False)
class Crossing:
    """A link between sockets, one way, which its streams share: cycles a vector, and from the first that leaves to the
    first that arrives."""

    interval: float
    latency: float


class Network:
    """Streams between units: what left the outputs, and (from the pass before) when the inputs took it."""

    def __init__(self, params: RDUParams, program: Program, routes: Sequence[Route], timing: Timing) -> None:
        self.sources: dict[tuple[Fabric, Port], list[tuple[Fabric, Port]]] = defaultdict(list)
        self.sinks: dict[tuple[Fabric, Port], list[tuple[Fabric, Port]]] = defaultdict(list)
        for stream in program.streams:
            for sink in stream.sinks:
                self.sources[stream.fabric, sink].append((stream.fabric, stream.source))
                self.sinks[stream.fabric, stream.source].append((stream.fabric, sink))
        self.cycles = _ways(params, routes)
        links = round(timing.reach * (params.rows + params.columns * params.tiles))
        self.average = 2 * max(0, links + 1)
        self.crossings: dict[tuple[tuple[Fabric, Port], tuple[Fabric, Port]], Crossing] = {}
        self.sent: dict[tuple[Fabric, Port], Curve] = {}
        self.taken: dict[tuple[Fabric, Port], Curve] = {}

    def arrival(self, fabric: Fabric, port: Port) -> Curve | None:
        """When beats reach an input; None if nothing is known to come."""
        sink = fabric, port
        curves = [
            self._crossed(source, sink, self.sent[source].later(self.cycles.get((source, sink), self.average)))
            for source in self.sources[sink]
            if source in self.sent
        ]
        return merged(curves) if curves else None

    def _crossed(self, source: tuple[Fabric, Port], sink: tuple[Fabric, Port], curve: Curve) -> Curve:
        """What arrives of a stream that goes over a link between sockets."""
        way = self.crossings.get((source, sink))
        if way is None:
            return curve
        lines = [s for (s, _), other in self.crossings.items() if other is way and s in self.sent]
        others = [self.sent[s] for s in dict.fromkeys(lines) if s != source]
        return served([curve, *others], [way.interval] * (1 + len(others)))[0].later(way.latency)

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
