"""From a placed and routed program to the configuration words of every unit and switch of a socket."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coe_mapping.assembler import agcu, links, pcu, pmu, rdn
from coe_mapping.assembler.agcu import AGCUProgram
from coe_mapping.assembler.links import LinksProgram
from coe_mapping.assembler.pcu import PCUProgram
from coe_mapping.assembler.pmu import PMUProgram
from coe_mapping.assembler.rdn import Forward, LocalWire, SideWire, Source, SwitchProgram, TokenSwitchProgram, Wire
from coe_mapping.program import Placed, UnitProgram
from coe_mapping.routing import Link, Node, Route
from hdl.floorplan import COMPUTE, LINKS_COLUMN, Side, floorplan
from hdl.params import RDUParams
from hdl.rdn.config import Fabric, local_inputs, local_outputs, switch_sizes, token_sizes

Words = dict[int, list[int]]
"""Configuration words by unit number."""


@dataclass(frozen=True)
class Image:
    """What a socket is configured with: words of every unit and switch it uses, and the units that run."""

    words: Mapping[int, Sequence[int]]
    active: frozenset[int]


def link(params: RDUParams, placed: Placed, routes: Sequence[Route]) -> Image:
    """The image of a program.

    Raises:
        ParameterError: the program of a unit or a switch breaks a rule; the message names it.
    """
    words: Words = {
        placed.placement[name].number: assemble_unit(params, unit) for name, unit in placed.program.units.items()
    }
    active = frozenset(p.number for p in placed.placement.values() if p.kind in COMPUTE)
    for fabric in (Fabric.VECTOR, Fabric.SCALAR):
        mine = [route for route in routes if route.stream.fabric is fabric]
        for (row, column), program in _switches(params, fabric, mine).items():
            number = floorplan(params).find(fabric.value, row, column).number
            words[number] = rdn.assemble(switch_sizes(params, fabric, column), program)
    tokens = [route for route in routes if route.stream.fabric is Fabric.TOKEN]
    for (row, column), wires in _token_switches(params, tokens).items():
        number = floorplan(params).find(Fabric.TOKEN.value, row, column).number
        words[number] = rdn.assemble_tokens(token_sizes(params, column), TokenSwitchProgram(wires))
    return Image(words, active)


def assemble_unit(params: RDUParams, unit: UnitProgram) -> list[int]:
    """The configuration words of one compute unit, or of the links.

    Raises:
        ParameterError: its program breaks a rule.
    """
    match unit:
        case PCUProgram():
            return pcu.assemble(params.pcu, unit)
        case PMUProgram():
            return pmu.assemble(params.pmu, unit)
        case AGCUProgram():
            return agcu.assemble(params, unit)
        case LinksProgram():
            return links.assemble(params, unit)


def _forward(params: RDUParams, fabric: Fabric, route: Route, node: Node) -> Forward:
    outputs = local_outputs(params, fabric, node[1])
    return Forward(
        sides={out.side: route.ids[out] for out in route.outputs(node)},
        outputs=tuple(sorted(next(i for i, port in enumerate(outputs) if port == end) for end in route.locals(node))),
    )


def _switches(params: RDUParams, fabric: Fabric, routes: Sequence[Route]) -> dict[Node, SwitchProgram]:
    flows: dict[Node, dict[tuple[Side, int], Forward]] = defaultdict(dict)
    sources: dict[Node, dict[int, Source]] = defaultdict(dict)
    for route in routes:
        node, port = route.source
        if node[1] != LINKS_COLUMN:  # from another socket
            index = local_inputs(params, fabric, node[1]).index(port)
            sources[node][index] = Source(_forward(params, fabric, route, node), route.stream.throttle)
        for hop, flow in route.ids.items():
            if hop.end[1] == LINKS_COLUMN:  # to one
                continue
            flows[hop.end][hop.side.opposite, flow] = _forward(params, fabric, route, hop.end)
    return {node: SwitchProgram(flows[node], sources[node]) for node in sorted({*flows, *sources})}


def _token_switches(params: RDUParams, routes: Sequence[Route]) -> dict[Node, dict[Wire, Wire]]:
    wires: dict[Node, dict[Wire, Wire]] = defaultdict(dict)

    def follow(route: Route, node: Node, source: Wire) -> None:
        for out in route.outputs(node):
            wires[node][SideWire(out.side, route.ids[out])] = source
        outputs = local_outputs(params, Fabric.TOKEN, node[1])
        for end in route.locals(node):
            wires[node][LocalWire(outputs.index(end))] = source

    for route in routes:
        node, port = route.source
        follow(route, node, LocalWire(local_inputs(params, Fabric.TOKEN, node[1]).index(port)))
        for hop, wire in route.ids.items():
            follow(route, hop.end, SideWire(hop.side.opposite, wire))
    return wires


def used_links(routes: Sequence[Route]) -> dict[Link, int]:
    """Streams on every link in use."""
    count: dict[Link, int] = defaultdict(int)
    for route in routes:
        for hop in route.ids:
            count[hop] += 1
    return dict(count)
