"""A socket in NumPy: executes the configuration words of all its units and switches on memory."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from golden_model.agcu import Memory
from golden_model.fabric import Actor, Data, End, Result, Unit, agcu_actors, execute, pcu_actor, pmu_actor
from golden_model.pmu import VectorBeats
from golden_model.rdn import Choice, Endpoint, Network, resolve
from hdl.floorplan import Kind, Place, floorplan
from hdl.params import RDUParams
from hdl.rdn.config import Fabric


@dataclass(frozen=True)
class At:
    """A unit of one of several sockets."""

    socket: int
    place: Place

    def __str__(self) -> str:
        return f"{self.place} of socket {self.socket}"


@dataclass
class Socket:
    """The state of a socket that outlives a kernel: its memory tiers and its scratchpads.

    ``memory``: bytes of each tier by number. ``scratchpads``: (lanes, rows) of each PMU by unit number, made as needed.
    ``number``: of the socket in its node; units are then called :class:`At`, otherwise by their place.
    """

    params: RDUParams
    memory: Memory
    scratchpads: dict[int, NDArray[np.uint16]] = field(default_factory=dict)
    number: int | None = None

    def run(self, words: Mapping[int, Sequence[int]], active: frozenset[int]) -> dict[End, Data]:
        """Executes one kernel; returns what left every output, its unit given as a :class:`~hdl.floorplan.Place`.

        Args:
            words: of every unit and switch, by number. active: the units that take part.

        Raises:
            ParameterError: the switches' tables make no sense. FabricError: units wait for each other, a stream is too
                long, or an access was refused.
        """
        actors, connections = self.units(words, active)
        return execute(actors, connections, self.params.lanes)

    def units(
        self, words: Mapping[int, Sequence[int]], active: frozenset[int]
    ) -> tuple[list[Actor], dict[End, list[End]]]:
        """What :meth:`run` executes: units, and the inputs that every output feeds; the links count as a unit.

        Raises:
            ParameterError: the switches' tables make no sense.
        """
        network = resolve(self.params, words)
        actors: list[Actor] = []
        for place in floorplan(self.params).units:
            if place.number in active:
                actors += self._actors(place, words[place.number])
        connections: dict[End, list[End]] = defaultdict(list)
        actors += self._connect(network, connections)
        return actors, connections

    def unit(self, place: Place) -> Unit:
        """What a unit is called."""
        return place if self.number is None else At(self.number, place)

    def _actors(self, place: Place, words: Sequence[int]) -> list[Actor]:
        unit = self.unit(place)
        match place.kind:
            case Kind.PCU:
                return [pcu_actor(self.params, unit, words)]
            case Kind.PMU:
                shape = self.params.lanes, self.params.pmu.rows
                store = self.scratchpads.setdefault(place.number, np.zeros(shape, np.uint16))
                return [pmu_actor(self.params, unit, words, store)]
            case _:
                return list(agcu_actors(self.params, unit, words, self.memory))

    def _connect(self, network: Network, connections: dict[End, list[End]]) -> list[Actor]:
        """Fills ``connections``; returns actors for sources whose data choose where they go."""
        choices = []
        for fabric in (Fabric.VECTOR, Fabric.SCALAR):
            for start, route in network.streams(fabric).items():
                if isinstance(route, Choice):
                    choices.append(self._choice(fabric, start, route, connections))
                else:
                    connections[self._end(fabric, start)] += [self._end(fabric, end) for end in route.ends]
        for start, route in network.token.items():
            connections[self._end(Fabric.TOKEN, start)] += [self._end(Fabric.TOKEN, end) for end in route.ends]
        return choices

    def _end(self, fabric: Fabric, endpoint: Endpoint) -> End:
        place = floorplan(self.params).find(endpoint.kind, endpoint.row, endpoint.column)
        return End(self.unit(place), fabric, endpoint.port)

    def _choice(self, fabric: Fabric, start: Endpoint, choice: Choice, connections: dict[End, list[End]]) -> Actor:
        """Sorts a stream by where each element goes."""
        name = f"destinations of {start}{'' if self.number is None else f' of socket {self.number}'}"
        source = End(name, fabric, 0)
        connections[self._end(fabric, start)].append(source)
        outputs = [End(name, fabric, 1 + k) for k in range(len(choice.ends))]
        for output, end in zip(outputs, choice.ends, strict=True):
            connections[output].append(self._end(fabric, end))

        def run(inputs: Mapping[End, Data], _: int) -> Result:
            data = inputs[source]
            selectors = data.sequence if isinstance(data, VectorBeats) else np.asarray(data, np.int64)
            which = selectors >> choice.shift & 3
            sorted_: dict[End, Data] = {}
            for k, output in enumerate(outputs):
                if isinstance(data, VectorBeats):
                    sorted_[output] = VectorBeats(data.elements[which == k], data.sequence[which == k])
                else:
                    sorted_[output] = np.asarray(data, np.uint32)[which == k]
            return Result(sorted_, {source: len(selectors)})

        return Actor(name, [source], outputs, run)
