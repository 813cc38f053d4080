"""One station of the mesh: its switches and the units they serve. Composition only."""

from collections.abc import Callable, Mapping
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.agcu.agcu import AGCU
from hdl.agcu.config import fault_layout
from hdl.clock_gate import Sleeper
from hdl.config import COMMIT, config_port
from hdl.floorplan import COMPUTE, STATION, Kind, Side, has_agcu
from hdl.memory.port import memory_port
from hdl.once import once
from hdl.params import PCUParams, PMUParams, RDUParams
from hdl.pcu.pcu import PCU
from hdl.pmu.pmu import PMU
from hdl.rdn.config import (
    COLUMN_BITS,
    ROW_BITS,
    SIDES,
    Fabric,
    TokenSizes,
    local_inputs,
    local_outputs,
    switch_sizes,
    token_sizes,
)
from hdl.rdn.link import link_signature
from hdl.rdn.sleeper import SleepingSwitch
from hdl.rdn.switch import Switch
from hdl.rdn.tokens import TokenSwitch

PACKETS = (Fabric.VECTOR, Fabric.SCALAR)


def edge_signature(params: RDUParams) -> wiring.Signature:
    """What leaves a station on one side, seen from the sender."""
    vector, scalar = (switch_sizes(params, fabric, 0) for fabric in PACKETS)
    return wiring.Signature(
        {
            "vector": Out(link_signature(vector)),
            "scalar": Out(link_signature(scalar)),
            "token": Out(params.rdn.token_wires),
        }
    )


def sleeping_pcu(params: PCUParams, fast: bool = False) -> Sleeper:
    """A PCU that sleeps, and whose unused body always does; ``fast``: :class:`hdl.pcu.pcu.PCU`."""
    return Sleeper(PCU(params, gated=True, fast=fast))


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


class Station(wiring.Component):
    """A vector, a scalar and a token switch, a PCU and a PMU, and an AGCU where ``column`` of a tile has one.

    - ``kinds``: of its units, in the order of the floorplan; ``buses`` are theirs.
    - ``row``, ``where``: of the station in its socket, constants to whoever instantiates it.
    - ``side_in``, ``side_out``: links to the neighbours, by :class:`~hdl.floorplan.Side`.
    - ``start``, ``done``: of the compute units in order. ``halt``, ``quiet``, ``fault``, ``memory``: of the AGCU.
    """

    def __init__(self, params: RDUParams, column: int, gated: bool = False, fast: bool = False) -> None:
        """``gated``: units that have nothing to do are not clocked (:mod:`hdl.clock_gate`); ``fast``: a simulator
        computes arithmetic in C (:mod:`hdl.arith.fast`)."""
        self.params, self.column, self.gated, self.fast = params, column, gated, fast
        self.kinds = station_kinds(params, column)
        compute = sum(kind in COMPUTE for kind in self.kinds)
        edge = edge_signature(params)
        ports: dict[str, Any] = {
            "row": In(ROW_BITS),
            "where": In(COLUMN_BITS),
            "side_in": In(edge).array(SIDES),
            "side_out": Out(edge).array(SIDES),
            "buses": In(config_port()).array(len(self.kinds)),
            "commit": In(COMMIT),
            "start": In(compute),
            "done": Out(compute),
        }
        if Kind.AGCU in self.kinds:
            ports |= {
                "halt": In(1),
                "quiet": Out(1),
                "fault": Out(fault_layout()),
                "memory": Out(memory_port(params)),
            }
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.units = {kind: self._unit(kind) for kind in self.kinds}
        for bus, (kind, unit) in zip(self.buses, self.units.items(), strict=True):
            m.submodules[kind.name.lower()] = unit
            connect(m, flipped(bus), unit.bus)
            m.d.comb += unit.commit.eq(self.commit)
        for fabric in PACKETS:
            self._packets(m, fabric)
        self._tokens(m)
        computing = [self.units[kind] for kind in self.kinds if kind in COMPUTE]
        for i, unit in enumerate(computing):
            m.d.comb += [unit.start.eq(self.start[i]), self.done[i].eq(unit.done)]
        if Kind.AGCU in self.units:
            agcu = self.units[Kind.AGCU]
            connect(m, agcu.memory, flipped(self.memory))
            m.d.comb += [agcu.halt.eq(self.halt), self.quiet.eq(agcu.quiet), self.fault.eq(agcu.fault)]
        return m

    def _unit(self, kind: Kind) -> Any:
        params, column = self.params, self.column
        variants = ASLEEP if self.gated else AWAKE
        match kind:
            case Kind.VECTOR_SWITCH:
                return once(variants[Switch], switch_sizes(params, Fabric.VECTOR, column))
            case Kind.SCALAR_SWITCH:
                return once(variants[Switch], switch_sizes(params, Fabric.SCALAR, column))
            case Kind.TOKEN_SWITCH:
                return once(variants[TokenSwitch], token_sizes(params, column))
            case Kind.PCU:
                return once(variants[PCU], params.pcu, **({"fast": True} if self.fast else {}))
            case Kind.PMU:
                return once(variants[PMU], params.pmu)
            case Kind.AGCU:
                return once(variants[AGCU], params)

    def _packets(self, m: Module, fabric: Fabric) -> None:
        """Joins a packet switch to the sides and to the units."""
        name, switch = fabric.name.lower(), self.units[fabric.value]
        m.d.comb += [switch.row.eq(self.row), switch.column.eq(self.where)]
        for side in Side:
            connect(m, switch.side_out[side], flipped(getattr(self.side_out[side], name)))
            connect(m, flipped(getattr(self.side_in[side], name)), switch.side_in[side])
        for k, port in enumerate(local_inputs(self.params, fabric, self.column)):
            connect(m, getattr(self.units[port.kind], f"{name}_out")[port.index], switch.local_in[k])
        for k, port in enumerate(local_outputs(self.params, fabric, self.column)):
            connect(m, switch.local_out[k], getattr(self.units[port.kind], f"{name}_in")[port.index])

    def _tokens(self, m: Module) -> None:
        switch = self.units[Kind.TOKEN_SWITCH]
        for side in Side:
            m.d.comb += [
                self.side_out[side].token.eq(switch.side_out[side]),
                switch.side_in[side].eq(self.side_in[side].token),
            ]
        for k, port in enumerate(local_inputs(self.params, Fabric.TOKEN, self.column)):
            m.d.comb += switch.local_in[k].eq(self.units[port.kind].token_out[port.index])
        for k, port in enumerate(local_outputs(self.params, Fabric.TOKEN, self.column)):
            m.d.comb += self.units[port.kind].token_in[port.index].eq(switch.local_out[k])


def station_kinds(params: RDUParams, column: int) -> tuple[Kind, ...]:
    """The units of a station, in order."""
    return tuple(kind for kind in STATION if kind is not Kind.AGCU or has_agcu(params, column))
