"""Where every unit of a socket stands, and the number by which the configuration bus knows it. Data only.

The tiles of a socket stand side by side, so a socket is one mesh of ``rows`` x (``tiles`` x ``columns``) switches;
coordinates are those of the socket. Row 0 is north, column 0 is west.
"""

import enum
from dataclasses import dataclass
from functools import cache

from hdl.params import AGCUParams, PCUParams, PMUParams, RDUParams


class Kind(enum.Enum):
    """What a unit is, in the order in which the units of a station are numbered; LINKS belongs to none."""

    VECTOR_SWITCH = 0
    SCALAR_SWITCH = 1
    TOKEN_SWITCH = 2
    PCU = 3
    PMU = 4
    AGCU = 5
    LINKS = 6


STATION = (Kind.VECTOR_SWITCH, Kind.SCALAR_SWITCH, Kind.TOKEN_SWITCH, Kind.PCU, Kind.PMU, Kind.AGCU)
"""Units of a station."""

COMPUTE = (Kind.PCU, Kind.PMU, Kind.AGCU)
"""Units that a switch serves: they run, and say when they are done. In the order of their local ports."""


LINKS_COLUMN = -1
"""Where the links stand: channel c ends west of row c."""


class Side(enum.IntEnum):
    """The sides of a switch."""

    NORTH = 0
    EAST = 1
    SOUTH = 2
    WEST = 3

    @property
    def opposite(self) -> "Side":
        return Side((self + 2) % 4)


@dataclass(frozen=True)
class Place:
    """One unit: ``number`` on the configuration bus; ``row`` and ``column`` in the socket's mesh; its tile."""

    number: int
    kind: Kind
    tile: int
    row: int
    column: int

    def __str__(self) -> str:
        return (
            self.kind.name if self.kind is Kind.LINKS else f"{self.kind.name} at row {self.row}, column {self.column}"
        )


@dataclass(frozen=True)
class Floorplan:
    """All units of a socket, tile by tile, row by row; made by :func:`floorplan`."""

    params: RDUParams
    units: tuple[Place, ...]

    @property
    def links(self) -> Place:
        """The socket's links to its peers, west of the mesh: configured, started and cleared with tile 0, numbered
        behind the units that stand for the tiles (:class:`hdl.host.format.UnitMap`)."""
        return Place(len(self.units) + self.params.tiles, Kind.LINKS, 0, 0, LINKS_COLUMN)

    def find(self, kind: Kind, row: int, column: int) -> Place:
        """The unit of that kind at a switch.

        Raises:
            KeyError: there is none.
        """
        if kind is Kind.LINKS:
            return self.links
        for place in self.units:
            if (place.kind, place.row, place.column) == (kind, row, column):
                return place
        raise KeyError(f"{self.params.name}: there is no {kind.name} at row {row}, column {column}")

    def of(self, kind: Kind) -> tuple[Place, ...]:
        return tuple(place for place in self.units if place.kind is kind)

    def tile(self, tile: int) -> tuple[Place, ...]:
        return tuple(place for place in self.units if place.tile == tile)

    @property
    def columns(self) -> int:
        """Of the whole socket."""
        return self.params.columns * self.params.tiles


@cache
def floorplan(params: RDUParams) -> Floorplan:
    """The units of one socket."""
    units: list[Place] = []
    for tile in range(params.tiles):
        for row in range(params.rows):
            for column in range(params.columns):
                for kind in STATION:
                    if kind is not Kind.AGCU or has_agcu(params, column):
                        units.append(Place(len(units), kind, tile, row, tile * params.columns + column))
    return Floorplan(params, tuple(units))


def has_agcu(params: RDUParams, column: int) -> bool:
    """Whether the switches in this column have an AGCU: the outer columns of a tile."""
    return column % params.columns in (0, params.columns - 1)


@dataclass(frozen=True)
class Ports:
    """How many streams a unit of some kind takes and gives on a fabric."""

    inputs: int
    outputs: int


@cache
def vector_ports(params: RDUParams, kind: Kind) -> Ports:
    """AGCU inputs: data of each store stream. Outputs: data of each load stream. LINKS: ``rdn.flows`` of each channel,
    one channel's behind the other's."""
    return {
        Kind.PCU: Ports(params.pcu.VECTOR_INPUTS, params.pcu.VECTOR_OUTPUTS),
        Kind.PMU: Ports(params.pmu.VECTOR_INPUTS, params.pmu.VECTOR_OUTPUTS),
        Kind.AGCU: Ports(params.agcu.stores, params.agcu.loads),
        Kind.LINKS: Ports(params.link.channels * params.rdn.flows, params.link.channels * params.rdn.flows),
    }[kind]


@cache
def scalar_ports(params: RDUParams, kind: Kind) -> Ports:
    if kind is Kind.LINKS:
        return Ports(0, 0)
    unit = _sizes(params, kind)
    return Ports(unit.SCALAR_INPUTS, unit.SCALAR_OUTPUTS)


@cache
def token_ports(params: RDUParams, kind: Kind) -> Ports:
    if kind is Kind.LINKS:
        return Ports(0, 0)
    unit = _sizes(params, kind)
    return Ports(unit.TOKENS, unit.TOKENS)


def _sizes(params: RDUParams, kind: Kind) -> PCUParams | PMUParams | AGCUParams:
    sizes: dict[Kind, PCUParams | PMUParams | AGCUParams] = {
        Kind.PCU: params.pcu,
        Kind.PMU: params.pmu,
        Kind.AGCU: params.agcu,
    }
    return sizes[kind]
