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
    return Placed(program, _Annealing(program, available, random.Random(seed)).run())


class _Annealing:
    """Units in slots; a move swaps what two slots of one kind hold."""

    def __init__(self, program: Program, available: dict[Kind, list[Place]], rng: random.Random) -> None:
        self.rng = rng
        self.slots = available
        self.holds: dict[Place, str | None] = {}
        self.at: dict[str, Place] = {}
        for kind, places in available.items():
            units = [unit for unit in program.units if program.kind(unit) is kind]
            for i, slot in enumerate(places):
                self.holds[slot] = units[i] if i < len(units) else None
                if i < len(units):
                    self.at[units[i]] = slot
        heaviest = max((stream.weight for stream in program.streams), default=1.0)
        self.weights = [max(stream.weight / heaviest, PRESENCE) for stream in program.streams]
        self.ends = [_ends(stream) for stream in program.streams]
        self.of: dict[str, list[int]] = {unit: [] for unit in program.units}
        for i, ends in enumerate(self.ends):
            for unit in ends:
                self.of[unit].append(i)
        self.kinds = [kind for kind in available if any(program.kind(unit) is kind for unit in program.units)]

    def run(self) -> dict[str, Place]:
        moves = MOVES_A_UNIT * len(self.at)
        hot, cold = 2.0, 0.005
        for move in range(moves):
            temperature = hot * (cold / hot) ** (move / moves)
            self._try(temperature)
        return dict(self.at)

    def _try(self, temperature: float) -> None:
        slots = self.slots[self.rng.choice(self.kinds)]
        a, b = self.rng.choice(slots), self.rng.choice(slots)
        touched = {i for slot in (a, b) if (unit := self.holds[slot]) is not None for i in self.of[unit]}
        if a == b or not touched:
            return
        before = self._length(touched)
        self._swap(a, b)
        worse = self._length(touched) - before
        if worse > 0 and self.rng.random() >= math.exp(-worse / temperature):
            self._swap(a, b)

    def _swap(self, a: Place, b: Place) -> None:
        self.holds[a], self.holds[b] = self.holds[b], self.holds[a]
        for slot in (a, b):
            unit = self.holds[slot]
            if unit is not None:
                self.at[unit] = slot

    def _length(self, streams: set[int]) -> float:
        return sum(self.weights[i] * self._perimeter(self.ends[i]) for i in sorted(streams))

    def _perimeter(self, ends: Sequence[str]) -> int:
        rows = [self.at[unit].row for unit in ends]
        columns = [self.at[unit].column for unit in ends]
        return max(rows) - min(rows) + max(columns) - min(columns)


def _ends(stream: Stream) -> tuple[str, ...]:
    return tuple(dict.fromkeys((stream.source.unit, *(sink.unit for sink in stream.sinks))))
