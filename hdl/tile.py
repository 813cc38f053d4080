"""One tile: a mesh of nodes, and the tile's end of the configuration network. Composition only."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.floorplan import COMPUTE, Kind, Side, floorplan, has_agcu
from hdl.host.config_network import TileControl, tile_link
from hdl.memory.port import memory_port
from hdl.node import Node, edge_signature, node_kinds
from hdl.once import once
from hdl.params import RDUParams
from hdl.rdn.config import COLUMN_BITS
from hdl.unit_map import unit_map

EDGES = (Side.EAST, Side.WEST)
"""Sides on which a tile may have a neighbour in its socket."""


class Tile(wiring.Component):
    """``rows`` x ``columns`` nodes; those of the outer columns have AGCUs.

    - ``control``: from the launch sequencer. Its clear resets every unit and switch, and nothing else.
    - ``first_column``: of the tile in its socket, a constant to whoever instantiates it.
    - ``edge_in``, ``edge_out``: links to the neighbouring tiles, east ones first, by row. At the border of a socket
      they are left unconnected.
    - ``memory``: of each AGCU, in the order of the floorplan.
    """

    def __init__(self, params: RDUParams, gated: bool = False, fast: bool = False) -> None:
        """``gated``, ``fast``: of its nodes."""
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
        nodes: dict[tuple[int, int], Any] = {}
        for row, column in self._places():
            nodes[row, column] = node = once(Node, self.params, self._like(column), self.gated, self.fast)
            m.submodules[f"node_{row}_{column}"] = DomainRenamer("cleared")(node)
            m.d.comb += [node.row.eq(row), node.where.eq(self.first_column + column), node.commit.eq(control.commit)]
            for bus, own in zip(islice(buses, len(node.buses)), node.buses, strict=True):
                connect(m, bus, own)
        self._mesh(m, nodes)
        self._control(m, control, nodes)
        return m

    def _places(self) -> Iterable[tuple[int, int]]:
        return ((row, column) for row in range(self.params.rows) for column in range(self.params.columns))

    def _like(self, column: int) -> int:
        """The first column whose nodes are the same, so that equal nodes are one module."""
        return next(c for c in range(column + 1) if node_kinds(self.params, c) == node_kinds(self.params, column))

    def _mesh(self, m: Module, nodes: dict[tuple[int, int], Any]) -> None:
        """Joins the nodes to each other and to the edges of the tile."""
        for (row, column), node in nodes.items():
            for side in Side:
                neighbour = nodes.get(_beside(row, column, side))
                if neighbour is not None:
                    connect(m, node.side_out[side], neighbour.side_in[side.opposite])
                elif side in EDGES:
                    edge = EDGES.index(side)
                    connect(m, node.side_out[side], flipped(self.edge_out[edge][row]))
                    connect(m, flipped(self.edge_in[edge][row]), node.side_in[side])

    def _control(self, m: Module, control: TileControl, nodes: dict[tuple[int, int], Any]) -> None:
        """Starts and dones of the compute units, stops and faults of the AGCUs, their memory ports."""
        compute = [len([kind for kind in node_kinds(self.params, c) if kind in COMPUTE]) for _, c in nodes]
        first = 0
        for node, count in zip(nodes.values(), compute, strict=True):
            m.d.comb += [
                node.start.eq(control.starts[first : first + count]),
                control.dones[first : first + count].eq(node.done),
            ]
            first += count
        moves = []
        with_agcu = (node for (_, column), node in nodes.items() if has_agcu(self.params, column))
        for i, (node, port) in enumerate(zip(with_agcu, self.memory, strict=True)):
            connect(m, node.memory, flipped(port))
            moves.append(port.response.valid & port.response.ready)
            m.d.comb += [
                node.halt.eq(control.halt),
                control.quiets[i].eq(node.quiet),
                control.faults[i].eq(node.fault),
            ]
        m.d.comb += control.progress.eq(Cat(moves).any())


def _beside(row: int, column: int, side: Side) -> tuple[int, int]:
    down, right = {Side.NORTH: (-1, 0), Side.EAST: (0, 1), Side.SOUTH: (1, 0), Side.WEST: (0, -1)}[side]
    return row + down, column + right
