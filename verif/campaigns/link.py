"""The campaign of the peer links: proofs, random traffic over wires that do harm, rings of sockets, planted defects."""

import sys
from collections.abc import Sequence
from functools import partial

import numpy as np

from coe_mapping.device import DeviceError
from golden_model.link import Links
from hdl.link.layout import LinkSizes
from hdl.params import TEST, LinkParams
from verif import spanning_programs
from verif.benches import link, link_ring
from verif.campaign import Part, Result, Shard
from verif.campaigns.link_defects import DEFECTS
from verif.defects import Defect, caught
from verif.formal import prove
from verif.node_machine import RTLNode
from verif.proofs.link import CreditSpecification, WindowSpecification
from verif.sim import SimulationError

SIZES: dict[str, LinkSizes] = {
    "default": LinkSizes(8),
    "narrow": LinkSizes(
        4, LinkParams(width=8, packet=2, window=16, channels=1, depth=64, latency=3, timeout=256, patience=2048)
    ),
    "wide": LinkSizes(4, LinkParams(width=176, packet=8, window=16, channels=3, latency=40, timeout=256)),
    "vector_a_word": LinkSizes(8, LinkParams(width=144, packet=16, window=16, depth=256, latency=64)),
}
ERRORS = (0.0, 1 / 1000, 1 / 100, 1 / 10)
SEEDS = 6
CYCLES = 60_000
RINGS = 20
PROGRAMS, PROGRAM_SEEDS = 60, 3


def parts() -> list[Part]:
    """What ``make verify ONLY=experts`` does for the links, quickest first."""
    proofs = [Shard("credits", _credits), Shard("window", _window)]
    traffic = [
        Shard(f"{name}_{round(1000 * errors)}_in_1000", partial(_traffic, name, errors))
        for name in SIZES
        for errors in ERRORS
    ]
    rings = [Shard(f"{sockets}_sockets", partial(_rings, sockets)) for sockets in (2, 3, 4)]
    nodes = [Shard(f"programs_{seed}", partial(_programs, seed)) for seed in range(PROGRAM_SEEDS)]
    defects = [Shard(defect.name.replace(" ", "_"), partial(_defect, defect)) for defect in DEFECTS]
    return [
        Part("experts", "link_proofs", proofs, lambda _: {}, lambda _: []),
        Part("experts", "link_traffic", [*traffic, *rings, *nodes], _figures, _failures),
        Part("experts", "link_defects", defects, lambda _: {}, _defect_failures),
    ]


def _credits() -> Result:
    return {"proved": 1, "seconds": round(prove(CreditSpecification(), "link_credits", depth=2).seconds, 1)}


def _window() -> Result:
    return {"proved": 1, "seconds": round(prove(WindowSpecification(), "link_window", depth=2).seconds, 1)}


def _traffic(name: str, errors: float) -> Result:
    """Vectors checked and findings over random rates; and vectors a cycle and direction on the full link."""
    sizes = SIZES[name]
    bench = link.bench(sizes.lanes, sizes.link)
    checked = wrong = damaged = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        bench.load(seed, errors)
        rates = [dict(enumerate(rng.choice([0.01, 0.1, 0.5, 1.0], bench.numbers))) for _ in range(2)]
        bench.rates(*rates)
        bench.run(CYCLES)
        bench.drain()
        verdict = bench.verdict()
        for sentence in verdict.wrong:
            print(f"{name}, errors {errors:g}, seed {seed}: {sentence}", file=sys.stderr)
        checked, wrong = checked + verdict.taken, wrong + len(verdict.wrong)
        damaged += sum(bench.count(side, "bad") for side in link.SIDES)
    rate = bench.rate(SEEDS, errors, CYCLES)
    return {"vectors": checked, "wrong": wrong, "damaged": damaged, "vectors_a_cycle": round(rate, 4)}


def _rings(sockets: int) -> Result:
    """Random streams between the sockets of a ring, one packet in a hundred harmed."""
    bench = link_ring.bench(sockets)
    links = Links(link_ring.ring(sockets), _routes(sockets))
    checked = wrong = 0
    for seed in range(RINGS):
        rng = np.random.default_rng(seed)
        running = {socket: int(rng.choice([7, 7, 7, 8])) for socket in range(sockets)}
        bench.load(links, running, seed, 1 / 100)
        goals = [int(goal) for goal in rng.integers(sockets, size=bench.numbers)]
        for number, goal in enumerate(goals):
            bench.set(number, rng.choice([0.02, 0.3, 1.0]), goal, rng.choice([0.05, 0.7, 1.0]))
        bench.run(CYCLES // RINGS)
        bench.drain()
        findings = _ring_findings(bench, running, goals)
        for sentence in findings:
            print(f"ring of {sockets}, seed {seed}: {sentence}", file=sys.stderr)
        checked += sum(bench.read("taken", number) for number in range(bench.numbers))
        wrong += len(findings)
    return {"vectors": checked, "wrong": wrong}


def _programs(seed: int) -> Result:
    """Random programs over two sockets, on golden and RTL, one packet in a hundred harmed."""
    node = RTLNode(TEST)
    try:
        return {"programs": spanning_programs.campaign(node, PROGRAMS, seed, 1 / 100), "wrong": 0}
    except (AssertionError, DeviceError, SimulationError) as error:
        print(f"programs over two sockets, seed {seed}: {error}", file=sys.stderr)
        return {"programs": 0, "wrong": 1}


def _routes(sockets: int) -> dict[tuple[int, int], int]:
    """Never over the link from the last socket to the first, except between these two: no circle."""
    last = sockets - 1
    routes = {
        (a, b): link_ring.FORWARD if a < b else link_ring.BACK for a in range(sockets) for b in range(sockets) if a != b
    }
    return routes | {(0, last): link_ring.BACK, (last, 0): link_ring.FORWARD}


def _ring_findings(bench: link_ring.RingBench, running: dict[int, int], goals: Sequence[int]) -> list[str]:
    """What a drained ring did wrong, in sentences."""
    found = [
        f"receiver {n} got {bench.read('wrong', n)} wrong vectors"
        for n in range(bench.numbers)
        if bench.read("wrong", n)
    ]
    if bench.model["astray"]:
        found.append("vectors came with another's address")
    refused = dict.fromkeys(running, 0)
    for number, goal in enumerate(goals):
        source, channel = divmod(number, bench.channels)
        made, got = bench.read("made", number), bench.count(goal * bench.channels + channel, number)
        due = made if running[source] == running[goal] else 0
        refused[goal] += made - due
        if got != due:
            found.append(f"receiver at socket {goal} got {got} of {due} vectors of sender {number}")
    found += [
        f"socket {socket} refused {bench.refused(socket)[0]} vectors and not {count}"
        for socket, count in refused.items()
        if bench.refused(socket)[0] != count
    ]
    return found


def _figures(results: Sequence[Result]) -> dict[str, float]:
    return {"link_error_mismatches": sum(r["wrong"] for r in results)}


def _failures(results: Sequence[Result]) -> list[str]:
    return ["vectors were lost, repeated, harmed or out of order, see above" for r in results if r["wrong"]]


def _defect(defect: Defect) -> Result:
    return {"caught": int(caught(defect))}


def _defect_failures(results: Sequence[Result]) -> list[str]:
    missed = [defect.name for defect, r in zip(DEFECTS, results, strict=False) if not r["caught"]]
    return [f"the planted defect {name!r} was not caught" for name in missed]
