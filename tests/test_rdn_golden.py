"""Where streams go, from configuration words alone; broken routes are refused by their sentence."""

from dataclasses import replace

import numpy as np
import pytest

from coe_mapping.assembler.rdn import (
    Destination,
    Dynamic,
    Forward,
    LocalWire,
    SideWire,
    Source,
    SwitchProgram,
    TokenSwitchProgram,
    assemble,
    assemble_tokens,
)
from coe_mapping.deadlock import Channel, check, shared
from golden_model.rdn import Choice, Endpoint, Hop, Route, resolve
from hdl.errors import ParameterError
from hdl.floorplan import Kind, Side, floorplan
from hdl.params import DEMO, TEST, RDNParams, RDUParams
from hdl.rdn.config import Fabric, switch_sizes, token_sizes
from verif.strategies.rdn import configure, configure_tokens, random_plan

PARAMS = replace(TEST, rows=2, columns=2)
N, E, S, W = Side.NORTH, Side.EAST, Side.SOUTH, Side.WEST
START = Endpoint(0, 0, Kind.PCU, 0)
VECTOR = {place: place.number for place in floorplan(PARAMS).of(Kind.VECTOR_SWITCH)}


def words(programs: dict[tuple[int, int], SwitchProgram], params: RDUParams = PARAMS) -> dict[int, list[int]]:
    plan = floorplan(params)
    return {
        plan.find(Kind.VECTOR_SWITCH, *node).number: assemble(switch_sizes(params, Fabric.VECTOR, node[1]), program)
        for node, program in programs.items()
    }


def start(route: Forward | Dynamic) -> SwitchProgram:
    return SwitchProgram(sources={0: Source(route)})


def test_a_multicast_stream_ends_where_its_flow_ids_lead() -> None:
    network = resolve(
        PARAMS,
        words(
            {
                (0, 0): start(Forward({E: 3, S: 5}, (4,))),
                (0, 1): SwitchProgram(flows={(W, 3): Forward({S: 0}, (0,))}),
                (1, 1): SwitchProgram(flows={(N, 0): Forward(outputs=(6,))}),
                (1, 0): SwitchProgram(flows={(N, 5): Forward(outputs=(5,))}),
            }
        ),
    )
    route = network.vector[START]
    assert isinstance(route, Route)
    assert dict(zip(route.ends, route.lengths, strict=True)) == {
        Endpoint(0, 0, Kind.PMU, 0): 0,
        Endpoint(0, 1, Kind.PCU, 0): 1,
        Endpoint(1, 0, Kind.PMU, 1): 1,
        Endpoint(1, 1, Kind.AGCU, 0): 2,
    }
    assert set(route.hops) == {Hop(0, 0, E, 3), Hop(0, 0, S, 5), Hop(0, 1, S, 0)}
    assert len(network.vector) == 1


def test_two_bits_of_the_data_choose_a_dynamic_destination() -> None:
    ends = tuple(Destination(row, column, row + 2 * column) for row in range(2) for column in range(2))
    choice = resolve(PARAMS, words({(0, 0): start(Dynamic(ends, shift=3))})).vector[START]
    assert isinstance(choice, Choice)
    assert [choice.end(selector << 3 | 0b101) for selector in range(4)] == [
        Endpoint(0, 0, Kind.PCU, 0),
        Endpoint(0, 1, Kind.PCU, 2),
        Endpoint(1, 0, Kind.PCU, 1),
        Endpoint(1, 1, Kind.PCU, 3),
    ]


BROKEN = [
    ({(0, 0): start(Forward({N: 2}))}, "leaves the mesh: flow 2 on the link north of row 0, column 0"),
    ({(0, 0): start(Forward({E: 1}))}, "arrives nowhere: row 0, column 1 does not know flow 1 on the link east"),
    (
        {
            (0, 0): SwitchProgram({(S, 3): Forward({E: 0})}, {0: Source(Forward({E: 0}))}),
            (0, 1): SwitchProgram({(W, 0): Forward({S: 1})}),
            (1, 1): SwitchProgram({(N, 1): Forward({W: 2})}),
            (1, 0): SwitchProgram({(E, 2): Forward({N: 3})}),
        },
        "comes twice to flow 0 on the link east of row 0, column 0: its route has a loop",
    ),
    (
        {
            (0, 0): start(Forward({E: 0, S: 0})),
            (0, 1): SwitchProgram({(W, 0): Forward({S: 1})}),
            (1, 0): SwitchProgram({(N, 0): Forward({E: 1})}),
            (1, 1): SwitchProgram({(N, 1): Forward(outputs=(2,)), (W, 1): Forward(outputs=(2,))}),
        },
        "reaches port 2 of the PCU at row 1, column 1 twice",
    ),
    ({(0, 0): start(Dynamic((Destination(0, 2, 0),) * 4))}, "a destination at row 0, column 2, local output 0, which"),
    ({(0, 0): start(Dynamic((Destination(1, 1, 7),) * 4))}, "a destination at row 1, column 1, local output 7, which"),
]


@pytest.mark.parametrize(("programs", "says"), BROKEN, ids=[says for _, says in BROKEN])
def test_a_broken_route_is_refused_by_its_sentence(programs: dict[tuple[int, int], SwitchProgram], says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        resolve(PARAMS, words(programs))


@pytest.mark.parametrize("fabric", [Fabric.VECTOR, Fabric.SCALAR])
def test_random_plans_resolve_to_what_was_planned(fabric: Fabric, rng: np.random.Generator) -> None:
    plan = random_plan(DEMO, fabric, rng)
    network = resolve(DEMO, configure(DEMO, fabric, plan))
    streams = network.streams(fabric)
    assert len(streams) == len(plan.streams) + len(plan.choices) > 50
    for stream in plan.streams:
        route = streams[stream.source]
        assert isinstance(route, Route)
        assert set(route.ends) == set(stream.ends)
        assert set(route.hops) == set(stream.hops)
    assert {source: streams[source] for source in plan.choices} == plan.choices
    assert {source: t for (_, source), t in network.throttles.items()} == {
        source: t for source, t in plan.throttles.items() if source in streams
    }


# Tokens


def tokens(programs: dict[tuple[int, int], TokenSwitchProgram]) -> dict[int, list[int]]:
    plan = floorplan(PARAMS)
    return {
        plan.find(Kind.TOKEN_SWITCH, *node).number: assemble_tokens(token_sizes(PARAMS, node[1]), program)
        for node, program in programs.items()
    }


def test_random_token_plans_resolve_to_what_was_planned(rng: np.random.Generator) -> None:
    plan = random_plan(DEMO, Fabric.TOKEN, rng)
    outputs = {end: stream.source for stream in plan.streams for end in stream.ends}  # the last wins a shared input
    network = resolve(DEMO, configure_tokens(DEMO, plan.streams))
    found = {end: source for source, route in network.token.items() for end in route.ends}
    assert found == outputs
    assert len(found) > 20


BROKEN_TOKENS = [
    ({(0, 0): TokenSwitchProgram({LocalWire(0): SideWire(N, 0)})}, "comes in from outside the mesh, north of"),
    ({(0, 0): TokenSwitchProgram({LocalWire(0): SideWire(E, 2)})}, "comes from nowhere: flow 2 on the link west"),
    (
        {
            (0, 0): TokenSwitchProgram({LocalWire(0): SideWire(E, 2), SideWire(E, 1): SideWire(E, 2)}),
            (0, 1): TokenSwitchProgram({SideWire(W, 2): SideWire(W, 1)}),
        },
        "goes round in a loop",
    ),
]


@pytest.mark.parametrize(("programs", "says"), BROKEN_TOKENS, ids=[says for _, says in BROKEN_TOKENS])
def test_a_broken_token_wire_is_refused_by_its_sentence(
    programs: dict[tuple[int, int], TokenSwitchProgram], says: str
) -> None:
    with pytest.raises(ParameterError, match=says):
        resolve(PARAMS, tokens(programs))


# Deadlock


def ring(flow: int) -> list[list[Hop]]:
    """Four streams, each from a corner of a square two links round it, all on one flow id."""
    corners = [Hop(0, 0, E, flow), Hop(0, 1, S, flow), Hop(1, 1, W, flow), Hop(1, 0, N, flow)]
    return [[corners[i], corners[(i + 1) % 4]] for i in range(4)]


def test_streams_round_a_ring_on_one_channel_are_refused_and_the_cycle_is_named() -> None:
    with pytest.raises(ParameterError, match=r"can deadlock: (channel 1 \w+ of row \d, column \d waits for ){4}"):
        check(PARAMS, ring(1))


def test_a_ring_cut_by_another_channel_is_accepted() -> None:
    routes = ring(1)
    routes[3][1] = replace(routes[3][1], flow=2)
    check(PARAMS, routes)
    single = replace(PARAMS, rdn=RDNParams(flows=4, channels=1))  # there, every flow shares the one channel
    with pytest.raises(ParameterError, match="can deadlock"):
        check(single, routes)


def test_routes_that_share_a_channel_are_named() -> None:
    one = Route((Hop(0, 0, E, 1),), (), ())
    other = Route((Hop(0, 0, E, 5), Hop(0, 1, S, 0)), (), ())
    assert shared(PARAMS, [one, other]) == {Channel(0, 0, E, 1): 2}
