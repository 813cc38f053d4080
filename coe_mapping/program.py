"""A program of a socket before it has a place: units, each with its program, and the streams between them.

:func:`coe_mapping.routing.route` gives the streams their way through the mesh, :func:`coe_mapping.link.link` makes the
configuration words of every unit and switch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from coe_mapping.assembler.agcu import AGCUProgram
from coe_mapping.assembler.links import LinksProgram
from coe_mapping.assembler.pcu import PCUProgram
from coe_mapping.assembler.pmu import PMUProgram
from hdl.errors import ParameterError
from hdl.floorplan import Kind, Place
from hdl.params import RDUParams, require
from hdl.rdn.config import Fabric

UnitProgram = PCUProgram | PMUProgram | AGCUProgram | LinksProgram

KINDS: Mapping[type[UnitProgram], Kind] = {
    PCUProgram: Kind.PCU,
    PMUProgram: Kind.PMU,
    AGCUProgram: Kind.AGCU,
    LinksProgram: Kind.LINKS,
}


@dataclass(frozen=True)
class Port:
    """One port of a unit, named by the program."""

    unit: str
    index: int = 0

    def __str__(self) -> str:
        return f"{self.unit}.{self.index}"


@dataclass(frozen=True)
class Stream:
    """From one output to one or more inputs. ``throttle``: cycles at least from one flit to the next (0: none).

    ``weight`` is beats a kernel, by which the router decides who goes first.
    """

    fabric: Fabric
    source: Port
    sinks: tuple[Port, ...]
    throttle: int = 0
    weight: float = 1.0

    def __str__(self) -> str:
        return f"{self.fabric.name.lower()} stream {self.source} to {', '.join(map(str, self.sinks)) or 'nothing'}"


@dataclass(frozen=True)
class Program:
    """Units by name, and the streams between them."""

    units: Mapping[str, UnitProgram]
    streams: tuple[Stream, ...]
    name: str = "program"

    def kind(self, unit: str) -> Kind:
        return KINDS[type(self.units[unit])]

    @property
    def rounds(self) -> int:
        """How often its units run."""
        return max((unit.rounds for unit in self.units.values()), default=1)

    def check(self, params: RDUParams) -> None:
        """Refuses streams from or to what is not there, and units that run different numbers of rounds.

        Raises:
            ParameterError: which stream, and what it lacks; or which unit.
        """
        for name, unit in self.units.items():
            require(
                unit.rounds == self.rounds,
                f"{self.name}: {name} runs {unit.rounds} rounds, others {self.rounds}: give all units the same number",
            )
        sources: set[tuple[Fabric, Port]] = set()
        for stream in self.streams:
            require(bool(stream.sinks), f"{self.name}: {stream} goes nowhere")
            self._check_port(params, stream, stream.source, output=True)
            for sink in stream.sinks:
                self._check_port(params, stream, sink, output=False)
            source = (stream.fabric, stream.source)
            require(source not in sources, f"{self.name}: another stream leaves by the output of {stream}")
            sources.add(source)

    def _check_port(self, params: RDUParams, stream: Stream, port: Port, *, output: bool) -> None:
        if port.unit not in self.units:
            raise ParameterError(f"{self.name}: {stream} names unit {port.unit!r}, which the program does not have")
        ports = stream.fabric.ports(params, self.kind(port.unit))
        count, word = (ports.outputs, "outputs") if output else (ports.inputs, "inputs")
        require(
            0 <= port.index < count,
            f"{self.name}: {stream}: {port.unit} is a {self.kind(port.unit).name} and has {count} "
            f"{stream.fabric.name.lower()} {word}, so there is no number {port.index}",
        )


Placement = Mapping[str, Place]
"""Where each unit of a program stands."""


@dataclass(frozen=True)
class Placed:
    """A program and its placement."""

    program: Program
    placement: Placement = field(default_factory=dict)

    def check(self, params: RDUParams) -> None:
        """Raises ParameterError: a unit without a place, on one of another kind, or two on one."""
        self.program.check(params)
        taken: dict[int, str] = {}
        for unit in self.program.units:
            place, kind = self.placement.get(unit), self.program.kind(unit)
            if place is None:
                raise ParameterError(f"{self.program.name}: unit {unit} has no place")
            require(place.kind is kind, f"{self.program.name}: {unit} is a {kind.name} and was placed on a {place}")
            other = taken.setdefault(place.number, unit)
            require(other == unit, f"{self.program.name}: {unit} and {other} were both placed on {place}")
