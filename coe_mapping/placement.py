"""Placement of units on the mesh: least weighted wire, by simulated annealing.

The length of a stream is half the perimeter of the box around its ends, which a multicast tree on a mesh nearly is. A
stream counts as much as the beats it carries, and a little for being there at all. The annealing is that of VPR (Betz
and Rose, "VPR: a new packing, placement and routing tool for FPGA research", 1997), with a fixed number of moves.
"""

import math
import random
from collections.abc import Sequence

from coe_mapping.program import Placed, Program, Stream
from hdl.errors import ParameterError
from hdl.floorplan import COMPUTE, Kind, Place, floorplan
from hdl.params import RDUParams

MOVES_A_UNIT = 400
PRESENCE = 0.05
"""Weight of a stream that carries next to nothing, as a share of the heaviest."""


def place(params: RDUParams, program: Program, seed: int = 0, tiles: Sequence[int] = ()) -> Placed:
    """Gives every unit of ``program`` a place; deterministic for a seed.

    Args:
        tiles: that may be used; default all of the socket.

    Raises:
        ParameterError: there are fewer units of a kind than the program needs, and by how many.
    """
    program.check(params)
    available: dict[Kind, list[Place]] = {
        kind: [p for p in floorplan(params).of(kind) if not tiles or p.tile in tiles] for kind in COMPUTE
    }
    for kind, places in available.items():
        wanted = sum(program.kind(unit) is kind for unit in program.units)
        if wanted > len(places):
            raise ParameterError(
                f"{program.name}: needs {wanted} {kind.name}s, {wanted - len(places)} more than the {len(places)} that "
                f"{params.name} has for it: use fewer units, or a larger machine"
            )
    available[Kind.LINKS] = [floorplan(params).links]
    return Placed(program, _Annealing(program, available, random.Random(seed)).run())


class _Annealing:
    """Units in slots; a move swaps what two slots of one kind hold.

    Slots are numbered, and the length of every stream is remembered: a move only measures the streams it touches.
    """

    def __init__(self, program: Program, available: dict[Kind, list[Place]], rng: random.Random) -> None:
        self.rng = rng
        self.places = [place for places in available.values() for place in places]
        self.kinds: list[range] = []  # the slots of each kind in use
        self.holds: list[str | None] = [None] * len(self.places)
        self.at: dict[str, Place] = {}
        first = 0
        for kind, places in available.items():
            units = [unit for unit in program.units if program.kind(unit) is kind]
            if units:
                self.kinds.append(range(first, first + len(places)))
            for slot, unit in enumerate(units, first):
                self._put(slot, unit)
            first += len(places)
        heaviest = max((stream.weight for stream in program.streams), default=1.0)
        self.weights = [max(stream.weight / heaviest, PRESENCE) for stream in program.streams]
        self.ends = [_ends(stream) for stream in program.streams]
        self.of: dict[str | None, list[int]] = {unit: [] for unit in (None, *program.units)}
        for i, ends in enumerate(self.ends):
            for unit in ends:
                self.of[unit].append(i)
        self.lengths = [self._length(i) for i in range(len(self.ends))]

    def run(self) -> dict[str, Place]:
        moves = MOVES_A_UNIT * len(self.at)
        hot, cold = 2.0, 0.005
        for move in range(moves):
            temperature = hot * (cold / hot) ** (move / moves)
            self._try(temperature)
        return dict(self.at)

    def _try(self, temperature: float) -> None:
        slots = self.rng.choice(self.kinds)
        a, b = self.rng.choice(slots), self.rng.choice(slots)
        touched = sorted({*self.of[self.holds[a]], *self.of[self.holds[b]]})
        if a == b or not touched:
            return
        self._swap(a, b)
        lengths = [self._length(i) for i in touched]
        worse = sum(lengths) - sum(self.lengths[i] for i in touched)
        if worse > 0 and self.rng.random() >= math.exp(-worse / temperature):
            self._swap(a, b)
            return
        for i, length in zip(touched, lengths, strict=True):
            self.lengths[i] = length

    def _swap(self, a: int, b: int) -> None:
        in_a, in_b = self.holds[a], self.holds[b]
        self._put(a, in_b)
        self._put(b, in_a)

    def _put(self, slot: int, unit: str | None) -> None:
        self.holds[slot] = unit
        if unit is not None:
            self.at[unit] = self.places[slot]

    def _length(self, stream: int) -> float:
        """Half the perimeter around its ends, weighted."""
        places = [self.at[unit] for unit in self.ends[stream]]
        rows, columns = [place.row for place in places], [place.column for place in places]
        return self.weights[stream] * (max(rows) - min(rows) + max(columns) - min(columns))


def _ends(stream: Stream) -> tuple[str, ...]:
    return tuple(dict.fromkeys((stream.source.unit, *(sink.unit for sink in stream.sinks))))
