"""A mesh of switches over two tiles: nothing lost, nothing twice, nothing out of order; as fast as it says."""

from dataclasses import replace

import numpy as np
import pytest

from coe_mapping.deadlock import check
from golden_model.rdn import Endpoint, Hop, resolve
from hdl.errors import ParameterError
from hdl.floorplan import Kind, Side
from hdl.params import TEST, RDNParams
from hdl.rdn.config import Fabric
from verif import network_traffic
from verif.benches.rdn_mesh import MeshBench
from verif.strategies.rdn import Plan, Stream, configure, random_plan

PARAMS = replace(TEST, rows=2, columns=1, tiles=2, rdn=RDNParams(flows=4, channels=2, depth=8, die_latency=2))
N, E, S, W = Side


@pytest.fixture(scope="module")
def bench() -> MeshBench:
    return MeshBench(PARAMS, Fabric.VECTOR, gated=True)


def load(bench: MeshBench, plan: Plan, seed: int = 1) -> None:
    words = configure(bench.params, bench.fabric, plan)
    bench.load(words, resolve(bench.params, words), seed)


@pytest.mark.parametrize("number", range(4))
def test_random_streams_under_random_stalls_arrive_complete_and_in_order(
    bench: MeshBench, rng: np.random.Generator, number: int
) -> None:
    """Unicast, multicast and dynamic at once; the golden model says where each flit is due."""
    plan = random_plan(PARAMS, Fabric.VECTOR, rng)
    load(bench, plan, seed=int(rng.integers(1 << 32)))
    bench.rates({source: rng.choice([0.1, 0.5, 1.0]) for source in bench.routes}, sink=rng.choice([0.3, 0.8, 1.0]))
    bench.run(1_000)
    bench.drain()
    verdict = bench.verdict()
    assert verdict.wrong == ()
    assert verdict.delivered >= verdict.sent > 500


def pcu(row: int, column: int, port: int) -> Endpoint:
    return Endpoint(row, column, Kind.PCU, port)


def test_one_stream_fills_a_link_between_tiles_with_a_flit_every_cycle(bench: MeshBench) -> None:
    load(bench, Plan([Stream(pcu(0, 0, 0), (Hop(0, 0, E, 1),), (pcu(0, 1, 0),))]))
    bench.rates({pcu(0, 0, 0): 1.0})
    bench.run(100)
    before = bench.total("taken")
    bench.run(1_000)
    assert bench.total("taken") - before == 1_000
    assert bench.status((0, 0))["moved_east"] > 1_000


def test_streams_that_share_a_link_share_it_evenly_and_fill_it(bench: MeshBench) -> None:
    """Two on one virtual channel, one on the other, two dynamic."""
    plan = Plan([Stream(pcu(0, 0, 0), (Hop(0, 0, E, 0),), (pcu(0, 1, 0),))])
    plan.streams.append(Stream(pcu(0, 0, 1), (Hop(0, 0, E, 2),), (pcu(0, 1, 1),)))
    plan.streams.append(Stream(Endpoint(0, 0, Kind.PMU, 0), (Hop(0, 0, E, 1),), (pcu(0, 1, 2),)))
    load(bench, plan)
    bench.rates(dict.fromkeys(bench.routes, 1.0))
    bench.run(100)
    bench.model["select"], before = 0, bench.total("taken")
    counts = [taken_by(bench, pcu(0, 1, k)) for k in range(3)]
    bench.run(900)
    assert bench.total("taken") - before == 900
    assert [taken_by(bench, pcu(0, 1, k)) - counts[k] for k in range(3)] == [300] * 3


def taken_by(bench: MeshBench, sink: Endpoint) -> int:
    bench.model["select"] = bench.sinks.index(sink)
    return bench.model["taken"]


def test_no_source_starves_when_all_send_to_one_input(bench: MeshBench) -> None:
    plan = Plan()
    used: dict[tuple[int, int, Side], int] = {}
    for source in bench.sources:
        hops = []
        if source.row == 1:
            hops.append((1, source.column, N))
        if source.column == 1:
            hops.append((0, 1, W))
        if all(used.get(hop, 0) < PARAMS.rdn.flows for hop in hops):
            flows = [Hop(*hop, used.get(hop, 0)) for hop in hops]
            used |= {hop: used.get(hop, 0) + 1 for hop in hops}
            plan.streams.append(Stream(source, tuple(flows), (pcu(0, 0, 3),)))
    load(bench, plan)
    bench.rates(dict.fromkeys(bench.routes, 1.0))
    bench.run(3_000)
    sent = [sum(bench.sent(bench.sources.index(stream.source), c) for c in range(4)) for stream in plan.streams]
    assert len(sent) > 10
    assert min(sent) > 3_000 / len(sent) / 3
    bench.drain()
    assert bench.verdict().wrong == ()


RING = [Hop(0, 0, E, 0), Hop(0, 1, S, 0), Hop(1, 1, W, 0), Hop(1, 0, N, 0)]
SLOW = 0.1  # of the cycles, receivers take a flit: channels fill, and in a cycle of waits none empties again
STARTS = [pcu(0, 0, 0), pcu(0, 1, 0), pcu(1, 1, 0), pcu(1, 0, 0)]


def ring(flows: tuple[int, ...]) -> Plan:
    """Each corner sends to the opposite one, clockwise; the second link of stream i has flow id ``flows[i]``."""
    plan = Plan()
    for i, start in enumerate(STARTS):
        hops = (replace(RING[i], flow=0), replace(RING[(i + 1) % 4], flow=flows[i]))
        plan.streams.append(Stream(start, hops, (replace(STARTS[(i + 2) % 4], port=1),)))
    return plan


def test_a_ring_of_waits_is_refused_and_when_forced_in_it_deadlocks(bench: MeshBench) -> None:
    plan = ring((2, 2, 2, 2))  # flows 0 and 2 share virtual channel 0
    with pytest.raises(ParameterError, match="the routes can deadlock: channel 0"):
        check(PARAMS, [stream.hops for stream in plan.streams])
    load(bench, plan)
    bench.rates(dict.fromkeys(bench.routes, 1.0), sink=SLOW)
    bench.run(3_000)
    bench.drain()
    assert any("never left their senders" in sentence for sentence in bench.verdict().wrong)
    stuck = bench.stuck()
    for side, row, column in (("west", 0, 1), ("north", 1, 1), ("east", 1, 0), ("south", 0, 0)):
        assert f"flits from {side} do not move at row {row}, column {column}" in stuck


def test_the_same_ring_on_two_channels_is_accepted_and_runs(bench: MeshBench) -> None:
    plan = ring((1, 1, 1, 1))
    check(PARAMS, [stream.hops for stream in plan.streams])
    load(bench, plan)
    bench.rates(dict.fromkeys(bench.routes, 1.0), sink=SLOW)
    bench.run(3_000)
    bench.drain()
    assert bench.verdict().wrong == ()
    assert bench.stuck() == []


def test_below_saturation_the_network_takes_what_is_offered_and_its_delay_is_that_of_the_way(bench: MeshBench) -> None:
    low, half = network_traffic.measure(bench, "uniform", rates=(0.05, 0.3), cycles=3_000)
    assert low.accepted == pytest.approx(0.05, rel=0.15)
    assert half.accepted == pytest.approx(0.3, rel=0.1)
    # two cycles a switch and 4/3 links on average, 2/3 of the ways cross tiles; and up to three in the sender
    way = 2 * (1 + 4 / 3) + PARAMS.rdn.die_latency * 2 / 3
    assert way + 2 < low.delay < way + 4
    assert low.delay < half.delay < way + 8


def test_an_ideal_crossbar_is_limited_by_its_outputs_only() -> None:
    mesh = network_traffic.MESH
    assert network_traffic.saturation(network_traffic.ideal(mesh, "uniform")) == 1.0
    hot = network_traffic.ideal(mesh, "hot spot")
    assert [p.accepted == pytest.approx(p.offered) for p in hot[:4]] == [True, True, True, False]
    assert network_traffic.svg({"hot spot": {"ideal crossbar": hot}}).count("<polyline") == 2
