"""The campaign of the network: proofs, a million flits under random stalls, the same asleep and awake, defects."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np

from golden_model.rdn import resolve
from hdl.params import TEST, RDNParams, RDUParams
from hdl.rdn.config import Fabric
from verif.benches.rdn_mesh import MeshBench, Verdict
from verif.campaign import Part, Result, Shard
from verif.campaigns.network_defects import DEFECTS
from verif.defects import Defect, caught
from verif.formal import prove
from verif.proofs.rdn import FairnessSpecification, LinkSpecification
from verif.strategies.rdn import configure, random_plan

FLITS = 400_000  # sent in a shard, at least
SHARDS = {"tiles_vector": 6, "tiles_scalar": 3, "one_tile": 3}
MESHES: dict[str, tuple[RDUParams, Fabric]] = {
    "tiles_vector": (replace(TEST, rows=2, columns=2, tiles=2), Fabric.VECTOR),
    "tiles_scalar": (
        replace(TEST, rows=2, columns=1, tiles=2, rdn=RDNParams(flows=8, channels=1, depth=16, die_latency=3)),
        Fabric.SCALAR,
    ),
    "one_tile": (
        replace(TEST, rows=3, columns=3, rdn=RDNParams(flows=4, channels=4, depth=4, die_latency=0)),
        Fabric.VECTOR,
    ),
}


def parts() -> list[Part]:
    """Everything ``make verify ONLY=socket`` does for the network, quickest first."""
    proofs = [Shard(f"link_{cycles}", partial(_link, cycles)) for cycles in (0, 1, 2, 3)]
    proofs += [Shard(f"fairness_{n}", partial(_fairness, n)) for n in (2, 3, 5, 8, 9)]
    traffic = [Shard(f"{mesh}_{k}", partial(_traffic, mesh, k)) for mesh, n in SHARDS.items() for k in range(n)]
    defects = [Shard(defect.name.replace(" ", "_"), partial(_defect, defect)) for defect in DEFECTS]
    return [
        Part("socket", "network proofs", proofs, lambda _: {}, lambda _: []),
        Part("socket", "network traffic", traffic, _figures, _failures),
        Part("socket", "network asleep", [Shard("equal", _asleep)], lambda _: {}, _asleep_failures),
        Part("socket", "network defects", defects, lambda _: {}, _defect_failures),
    ]


def _link(cycles: int) -> Result:
    return {"proved": 1, "seconds": round(prove(LinkSpecification(cycles), f"rdn_link_{cycles}", depth=3).seconds, 1)}


def _fairness(requesters: int) -> Result:
    proof = prove(FairnessSpecification(requesters), f"rdn_fairness_{requesters}", depth=2)
    return {"proved": 1, "seconds": round(proof.seconds, 1)}


@cache
def _bench(mesh: str, gated: bool = False) -> MeshBench:
    return MeshBench(*MESHES[mesh], gated)


def _random_run(bench: MeshBench, seed: int, cycles: int) -> Verdict:
    """One random network with random rates, drained."""
    rng = np.random.default_rng(seed)
    plan = random_plan(bench.params, bench.fabric, rng)
    words = configure(bench.params, bench.fabric, plan)
    bench.load(words, resolve(bench.params, words), seed)
    rates = {source: rng.choice([0.05, 0.3, 0.7, 1.0]) for source in bench.routes}
    bench.rates(rates, sink=rng.choice([0.2, 0.6, 0.9, 1.0]))
    bench.model["measure"] = 1
    bench.run(cycles)
    bench.drain()
    return bench.verdict()


def _traffic(mesh: str, shard: int) -> Result:
    """Flits that left a sender, deliveries, and findings; each is printed with the seed that repeats it."""
    bench = _bench(mesh)
    sent = delivered = wrong = seed = 0
    while sent < FLITS:
        verdict = _random_run(bench, 1_000 * shard + seed, cycles=5_000)
        for sentence in verdict.wrong:
            print(f"{mesh}, seed {1_000 * shard + seed}: {sentence}", file=sys.stderr)
        sent, delivered, wrong, seed = (
            sent + verdict.sent,
            delivered + verdict.delivered,
            wrong + len(verdict.wrong),
            seed + 1,
        )
    return {"networks": seed, "sent": sent, "delivered": delivered, "wrong": wrong}


def _figures(results: Sequence[Result]) -> dict[str, float]:
    return {
        "network_flits_checked": sum(r["sent"] for r in results),
        "network_flits_wrong": sum(r["wrong"] for r in results),
    }


def _failures(results: Sequence[Result]) -> list[str]:
    return ["flits were lost, repeated, harmed or out of order, see above" for r in results if r["wrong"]]


def _asleep() -> Result:
    """Switches that sleep do the same, cycle by cycle: every flit arrives with the same delay."""
    different = 0
    for seed in range(6):
        runs = []
        for gated in (False, True):
            bench = _bench("tiles_vector", gated)
            runs.append((_random_run(bench, seed, cycles=2_000), bench.latency()))
        different += runs[0] != runs[1]
    return {"networks": 6, "different": different}


def _asleep_failures(results: Sequence[Result]) -> list[str]:
    return ["a network of sleeping switches does something else" for r in results if r["different"]]


def _defect(defect: Defect) -> Result:
    return {"caught": int(caught(defect))}


def _defect_failures(results: Sequence[Result]) -> list[str]:
    missed = [defect.name for defect, r in zip(DEFECTS, results, strict=False) if not r["caught"]]
    return [f"the planted defect {name!r} was not caught" for name in missed]
