"""One tile: a mesh of stations, and the tile's end of the configuration network. Composition only."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.floorplan import COMPUTE, Kind, Side, floorplan, has_agcu
from hdl.host.config_network import TileControl, tile_link
from hdl.memory.port import memory_port
from hdl.once import once
from hdl.params import RDUParams
from hdl.rdn.config import COLUMN_BITS
from hdl.station import Station, edge_signature, station_kinds
from hdl.unit_map import unit_map

EDGES = (Side.EAST, Side.WEST)
"""Sides on which a tile may have a neighbour in its socket."""


class Tile(wiring.Component):
    """``rows`` x ``columns`` stations; those of the outer columns have AGCUs.

    - ``control``: from the launch sequencer. Its clear resets every unit and switch, and nothing else.
    - ``first_column``: of the tile in its socket, a constant to whoever instantiates it.
    - ``edge_in``, ``edge_out``: links to the neighbouring tiles, east ones first, by row. At the border of a socket
      they are left unconnected.
    - ``memory``: of each AGCU, in the order of the floorplan.
    """

    def __init__(self, params: RDUParams, gated: bool = False, fast: bool = False) -> None:
        """``gated``, ``fast``: of its stations."""
        self.params, self.gated, self.fast = params, gated, fast
        self.agcus = [place for place in floorplan(params).tile(0) if place.kind is Kind.AGCU]
        edge = edge_signature(params)
        super().__init__(
            {
                "control": In(tile_link(unit_map(params))),
                "first_column": In(COLUMN_BITS),
                "edge_in": In(edge).array(len(EDGES), params.rows),
                "edge_out": Out(edge).array(len(EDGES), params.rows),
                "memory": Out(memory_port(params)).array(len(self.agcus)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.control = control = TileControl(unit_map(self.params))
        connect(m, flipped(self.control), control.link)
        m.domains.cleared = domain = ClockDomain(local=True)
        m.d.comb += [domain.clk.eq(ClockSignal()), domain.rst.eq(ResetSignal() | control.clear)]
        buses = iter(control.buses)
        stations: dict[tuple[int, int], Any] = {}
        for row, column in self._places():
            stations[row, column] = station = once(Station, self.params, self._like(column), self.gated, self.fast)
            m.submodules[f"station_{row}_{column}"] = DomainRenamer("cleared")(station)
            m.d.comb += [
                station.row.eq(row),
                station.where.eq(self.first_column + column),
                station.commit.eq(control.commit),
            ]
            for bus, own in zip(islice(buses, len(station.buses)), station.buses, strict=True):
                connect(m, bus, own)
        self._mesh(m, stations)
        self._control(m, control, stations)
        return m

    def _places(self) -> Iterable[tuple[int, int]]:
        return ((row, column) for row in range(self.params.rows) for column in range(self.params.columns))

    def _like(self, column: int) -> int:
        """The first column whose stations are the same, so that equal stations are one module."""
        return next(c for c in range(column + 1) if station_kinds(self.params, c) == station_kinds(self.params, column))

    def _mesh(self, m: Module, stations: dict[tuple[int, int], Any]) -> None:
        """Joins the stations to each other and to the edges of the tile."""
        for (row, column), station in stations.items():
            for side in Side:
                neighbour = stations.get(_beside(row, column, side))
                if neighbour is not None:
                    connect(m, station.side_out[side], neighbour.side_in[side.opposite])
                elif side in EDGES:
                    edge = EDGES.index(side)
                    connect(m, station.side_out[side], flipped(self.edge_out[edge][row]))
                    connect(m, flipped(self.edge_in[edge][row]), station.side_in[side])

    def _control(self, m: Module, control: TileControl, stations: dict[tuple[int, int], Any]) -> None:
        """Starts and dones of the compute units, stops and faults of the AGCUs, their memory ports."""
        compute = [len([kind for kind in station_kinds(self.params, c) if kind in COMPUTE]) for _, c in stations]
        first = 0
        for station, count in zip(stations.values(), compute, strict=True):
            m.d.comb += [
                station.start.eq(control.starts[first : first + count]),
                control.dones[first : first + count].eq(station.done),
            ]
            first += count
        moves = []
        with_agcu = (station for (_, column), station in stations.items() if has_agcu(self.params, column))
        for i, (station, port) in enumerate(zip(with_agcu, self.memory, strict=True)):
            connect(m, station.memory, flipped(port))
            moves.append(port.response.valid & port.response.ready)
            m.d.comb += [
                station.halt.eq(control.halt),
                control.quiets[i].eq(station.quiet),
                control.faults[i].eq(station.fault),
            ]
        m.d.comb += control.progress.eq(Cat(moves).any())


def _beside(row: int, column: int, side: Side) -> tuple[int, int]:
    down, right = {Side.NORTH: (-1, 0), Side.EAST: (0, 1), Side.SOUTH: (1, 0), Side.WEST: (0, -1)}[side]
    return row + down, column + right
