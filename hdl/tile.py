"""One tile: a mesh of switches with their units, and the tile's end of the configuration network. Composition only."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.agcu.agcu import AGCU
from hdl.clock_gate import Sleeper
from hdl.floorplan import Kind, Place, Side, floorplan
from hdl.host.config_network import TileControl, tile_link
from hdl.memory.port import memory_port
from hdl.once import once
from hdl.params import PCUParams, PMUParams, RDUParams
from hdl.pcu.pcu import PCU
from hdl.pmu.pmu import PMU
from hdl.rdn.config import COLUMN_BITS, Fabric, TokenSizes, local_inputs, local_outputs, switch_sizes, token_sizes
from hdl.rdn.link import link_signature
from hdl.rdn.sleeper import SleepingSwitch
from hdl.rdn.switch import Switch
from hdl.rdn.tokens import TokenSwitch
from hdl.unit_map import unit_map

EDGES = (Side.EAST, Side.WEST)
"""Sides on which a tile may have a neighbour in its socket."""


def edge_signature(params: RDUParams) -> wiring.Signature:
    """What leaves a tile on one side in one row, seen from the sender."""
    vector, scalar = (switch_sizes(params, fabric, 0) for fabric in (Fabric.VECTOR, Fabric.SCALAR))
    return wiring.Signature(
        {
            "vector": Out(link_signature(vector)),
            "scalar": Out(link_signature(scalar)),
            "token": Out(params.rdn.token_wires),
        }
    )


def sleeping_pcu(params: PCUParams) -> Sleeper:
    """A PCU that sleeps, and whose unused body always does."""
    return Sleeper(PCU(params, gated=True))


def sleeping_pmu(params: PMUParams) -> Sleeper:
    return Sleeper(PMU(params))


def sleeping_agcu(params: RDUParams) -> Sleeper:
    return Sleeper(AGCU(params))


def sleeping_token_switch(sizes: TokenSizes) -> Sleeper:
    return Sleeper(TokenSwitch(sizes))


Variants = Mapping[Any, Callable[..., wiring.Component]]
AWAKE: Variants = {Switch: Switch, TokenSwitch: TokenSwitch, PCU: PCU, PMU: PMU, AGCU: AGCU}
ASLEEP: Variants = {
    Switch: SleepingSwitch,
    TokenSwitch: sleeping_token_switch,
    PCU: sleeping_pcu,
    PMU: sleeping_pmu,
    AGCU: sleeping_agcu,
}
"""What stands in for a unit: that is always clocked, or only while it has something to do."""


class Tile(wiring.Component):
    """``rows`` x ``columns`` switches, a PCU and a PMU at each, AGCUs in the outer columns.

    - ``control``: from the launch sequencer. Its clear resets every unit and switch, and nothing else.
    - ``first_column``: of the tile in its socket, a constant to whoever instantiates it.
    - ``edge_in``, ``edge_out``: links to the neighbouring tiles, east ones first, by row. At the border of a socket
      they are left unconnected.
    - ``memory``: of each AGCU, in the order of the floorplan.
    """

    def __init__(self, params: RDUParams, gated: bool = False) -> None:
        """``gated``: units that have nothing to do are not clocked (:mod:`hdl.clock_gate`)."""
        self.params, self.gated = params, gated
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
        params = self.params
        m.submodules.control = control = TileControl(unit_map(params))
        connect(m, flipped(self.control), control.link)
        m.domains.cleared = domain = ClockDomain(local=True)
        m.d.comb += [domain.clk.eq(ClockSignal()), domain.rst.eq(ResetSignal() | control.clear)]
        self.units = {}
        for place in floorplan(params).tile(0):
            self.units[place] = unit = self._unit(place)
            name = f"{place.kind.name.lower()}_{place.row}_{place.column}"
            m.submodules[name] = DomainRenamer("cleared")(unit)
            connect(m, control.buses[place.number], unit.bus)
            m.d.comb += unit.commit.eq(control.commit)
        for fabric in (Fabric.VECTOR, Fabric.SCALAR):
            self._mesh(m, fabric)
        self._token_mesh(m)
        self._control(m, control)
        return m

    def _unit(self, place: Place) -> Any:
        params, column = self.params, place.column
        variants = ASLEEP if self.gated else AWAKE
        match place.kind:
            case Kind.VECTOR_SWITCH:
                return once(variants[Switch], switch_sizes(params, Fabric.VECTOR, column))
            case Kind.SCALAR_SWITCH:
                return once(variants[Switch], switch_sizes(params, Fabric.SCALAR, column))
            case Kind.TOKEN_SWITCH:
                return once(variants[TokenSwitch], token_sizes(params, column))
            case Kind.PCU:
                return once(variants[PCU], params.pcu)
            case Kind.PMU:
                return once(variants[PMU], params.pmu)
            case Kind.AGCU:
                return once(variants[AGCU], params)

    def _at(self, kind: Kind, row: int, column: int) -> Any:
        return next(u for p, u in self.units.items() if (p.kind, p.row, p.column) == (kind, row, column))

    def _nodes(self) -> Iterable[tuple[int, int]]:
        return ((row, column) for row in range(self.params.rows) for column in range(self.params.columns))

    def _neighbour(self, row: int, column: int, side: Side) -> tuple[int, int] | None:
        """The switch on that side in this tile."""
        down, right = {Side.NORTH: (-1, 0), Side.EAST: (0, 1), Side.SOUTH: (1, 0), Side.WEST: (0, -1)}[side]
        row, column = row + down, column + right
        inside = 0 <= row < self.params.rows and 0 <= column < self.params.columns
        return (row, column) if inside else None

    def _mesh(self, m: Module, fabric: Fabric) -> None:
        """Joins the packet switches of a fabric to each other, to the edges of the tile and to their units."""
        name = fabric.name.lower()
        for row, column in self._nodes():
            switch = self._at(fabric.value, row, column)
            m.d.comb += [switch.row.eq(row), switch.column.eq(self.first_column + column)]
            for side in Side:
                neighbour = self._neighbour(row, column, side)
                if neighbour:
                    connect(m, switch.side_out[side], self._at(fabric.value, *neighbour).side_in[side.opposite])
                elif side in EDGES:
                    edge = EDGES.index(side)
                    connect(m, switch.side_out[side], flipped(getattr(self.edge_out[edge][row], name)))
                    connect(m, flipped(getattr(self.edge_in[edge][row], name)), switch.side_in[side])
            for k, port in enumerate(local_inputs(self.params, fabric, column)):
                unit = self._at(port.kind, row, column)
                connect(m, getattr(unit, f"{name}_out")[port.index], switch.local_in[k])
            for k, port in enumerate(local_outputs(self.params, fabric, column)):
                unit = self._at(port.kind, row, column)
                connect(m, switch.local_out[k], getattr(unit, f"{name}_in")[port.index])

    def _token_mesh(self, m: Module) -> None:
        for row, column in self._nodes():
            switch = self._at(Kind.TOKEN_SWITCH, row, column)
            for side in Side:
                neighbour = self._neighbour(row, column, side)
                if neighbour:
                    m.d.comb += self._at(Kind.TOKEN_SWITCH, *neighbour).side_in[side.opposite].eq(switch.side_out[side])
                elif side in EDGES:
                    edge = EDGES.index(side)
                    m.d.comb += self.edge_out[edge][row].token.eq(switch.side_out[side])
                    m.d.comb += switch.side_in[side].eq(self.edge_in[edge][row].token)
            for k, port in enumerate(local_inputs(self.params, Fabric.TOKEN, column)):
                m.d.comb += switch.local_in[k].eq(self._at(port.kind, row, column).token_out[port.index])
            for k, port in enumerate(local_outputs(self.params, Fabric.TOKEN, column)):
                m.d.comb += self._at(port.kind, row, column).token_in[port.index].eq(switch.local_out[k])

    def _control(self, m: Module, control: TileControl) -> None:
        """Starts and dones of the compute units, stops and faults of the AGCUs, their memory ports."""
        for i, place in enumerate(unit_map(self.params).compute):
            unit = self.units[place]
            m.d.comb += [unit.start.eq(control.starts[i]), control.dones[i].eq(unit.done)]
        moves = []
        for i, place in enumerate(self.agcus):
            unit, port = self.units[place], self.memory[i]
            connect(m, unit.memory, flipped(port))
            moves.append(port.response.valid & port.response.ready)
            m.d.comb += [
                unit.halt.eq(control.halt),
                control.quiets[i].eq(unit.quiet),
                control.faults[i].eq(unit.fault),
            ]
        m.d.comb += control.progress.eq(Cat(moves).any())
