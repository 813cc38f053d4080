"""A program under construction: units are added, outputs joined to inputs, memory regions bound to segments."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from coe_mapping.program import Port, Program, Stream, UnitProgram
from hdl.params import RDUParams, require
from hdl.rdn.config import Fabric


@dataclass(frozen=True)
class Rows:
    """A matrix on its way: blocks of ``group`` rows of ``width`` elements, one vector a beat.

    The sequence id of a vector is its element address in its block: row * ``pitch`` + column. ``sources`` together
    carry every vector once, in an order that the receiver must not depend on unless it is said to be row by row.

    Attributes:
        blocks: of the whole kernel.
        pitch: elements from a row to the next in a block, a multiple of the lanes.
    """

    sources: tuple[Port, ...]
    blocks: int
    group: int
    width: int
    pitch: int

    def vectors(self, lanes: int) -> int:
        """Of one block."""
        return self.group * self.width // lanes

    @property
    def elements(self) -> int:
        """Addresses that a block takes."""
        return self.group * self.pitch


@dataclass
class Builder:
    """Collects units and streams; :meth:`program` is what was collected."""

    params: RDUParams
    name: str
    units: dict[str, UnitProgram] = field(default_factory=dict)
    _sinks: dict[tuple[Fabric, Port], list[Port]] = field(default_factory=lambda: defaultdict(list))
    _weights: dict[tuple[Fabric, Port], float] = field(default_factory=dict)

    @property
    def lanes(self) -> int:
        return self.params.lanes

    def add(self, name: str, unit: UnitProgram) -> str:
        """A unit of that name."""
        require(name not in self.units, f"{self.name}: two units are called {name}")
        self.units[name] = unit
        return name

    def vector(self, source: Port | Sequence[Port], *sinks: Port, weight: float = 1.0) -> None:
        """Joins vector outputs to vector inputs; ``weight``: beats a kernel."""
        for output in (source,) if isinstance(source, Port) else source:
            self._join(Fabric.VECTOR, output, sinks, weight)

    def scalar(self, source: Port, *sinks: Port, weight: float = 1.0) -> None:
        self._join(Fabric.SCALAR, source, sinks, weight)

    def token(self, source: Port, *sinks: Port) -> None:
        self._join(Fabric.TOKEN, source, sinks, 1.0)

    def _join(self, fabric: Fabric, source: Port, sinks: Sequence[Port], weight: float) -> None:
        self._sinks[fabric, source] += sinks
        self._weights[fabric, source] = max(weight, self._weights.get((fabric, source), 0.0))

    def program(self) -> Program:
        streams = tuple(
            Stream(fabric, source, tuple(sinks), weight=self._weights[fabric, source])
            for (fabric, source), sinks in self._sinks.items()
        )
        return Program(dict(self.units), streams, self.name)
