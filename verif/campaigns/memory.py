"""The campaign of the memory system: random traffic, directed and fault benches, proofs, planted defects, copies."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial

from hdl.floorplan import Kind, floorplan
from hdl.params import DEMO, TEST, RDUParams
from verif.benches.memory import DIRECTED, FAULTS
from verif.campaign import Part, Result, Shard
from verif.campaigns.memory_defects import DEFECTS
from verif.defects import Defect, caught
from verif.formal import prove
from verif.machine import RTLMachine
from verif.memory_figures import copy_hbm_utilisation, dma_ddr_utilisation
from verif.models import SOURCES
from verif.proofs.arbiter import ArbiterSpecification
from verif.proofs.turn import TurnSpecification
from verif.sim import SimulationError, run_bench
from verif.socket_copy import copy_through_socket

BENCH = "verif.benches.memory"
SIZES: dict[str, dict[str, object]] = {
    "plain": {},
    "deep": {"queue_depth": 32},
    "short_bursts": {"granule": 1, "queue_depth": 2},
    "long_bursts": {"granule": 8, "dma_outstanding": 4},
}
SEEDS = 4
WIDTHS = (1, 2, 3, 5, 8, 17)
BATCHES = (1, 2, 8, 32)


def parts() -> list[Part]:
    """What ``make verify ONLY=socket`` does for memory, quickest first."""
    proofs = [Shard(f"arbiter_{width}", partial(_arbiter, width)) for width in WIDTHS]
    proofs += [Shard(f"turn_{batch}", partial(_turn, batch)) for batch in BATCHES]
    benches = [Shard("directed", partial(_bench, {}, "|".join(DIRECTED), 1))]
    benches += [Shard(f"faults_{k}", partial(_bench, {"ecc": True}, FAULTS, k)) for k in range(SEEDS)]
    benches += [
        Shard(f"{name}_{k}", partial(_bench, size, "random_traffic|random_descriptors", k))
        for name, size in SIZES.items()
        for k in range(SEEDS)
    ]
    copies = [Shard(params.name, partial(_copy, params)) for params in (TEST, DEMO)]
    copies += [Shard("test_socket", partial(_copy_through_socket, TEST))]
    defects = [Shard(defect.name.replace(" ", "_"), partial(_defect, defect)) for defect in DEFECTS]
    return [
        Part("socket", "memory_proofs", proofs, lambda _: {}, lambda _: []),
        Part("socket", "memory_benches", benches, lambda _: {}, _bench_failures),
        Part("socket", "memory_dma", [Shard("ddr_to_hbm", _dma)], _dma_figures, lambda _: []),
        Part("socket", "memory_copy", copies, _copy_figures, lambda _: []),
        Part("socket", "memory_defects", defects, lambda _: {}, _defect_failures),
    ]


def _arbiter(width: int) -> Result:
    return {"proved": 1, "seconds": round(prove(ArbiterSpecification(width), f"arbiter_{width}", depth=2).seconds, 1)}


def _turn(batch: int) -> Result:
    proof = prove(TurnSpecification(batch, 4 * batch), f"turn_{batch}", depth=2)
    return {"proved": 1, "seconds": round(proof.seconds, 1)}


def _bench(size: Mapping[str, object], tests: str, seed: int) -> Result:
    try:
        ran = run_bench(BENCH, parameters=size, test=tests, sources=SOURCES, seed=1 + seed).tests
    except SimulationError as error:
        print(error, file=sys.stderr)
        return {"tests": 0, "failures": 1}
    return {"tests": len(ran), "failures": 0}


def _bench_failures(results: Sequence[Result]) -> list[str]:
    return ["a bench of the memory system failed, see above" for r in results if r["failures"]]


def _dma() -> Result:
    return {"utilisation": round(dma_ddr_utilisation(DEMO), 4)}


def _dma_figures(results: Sequence[Result]) -> dict[str, float]:
    return {"dma_ddr_utilisation": min(r["utilisation"] for r in results)}


def _copy(params: RDUParams) -> Result:
    agcus = sum(place.kind is Kind.AGCU for place in floorplan(params).units)
    return {"utilisation": round(copy_hbm_utilisation(params, agcus), 4)}


def _copy_through_socket(params: RDUParams) -> Result:
    """Network included; on the simulation that the random programs have."""
    copy = copy_through_socket(RTLMachine(params, tapped=True))
    return {"utilisation": round(copy.utilisation(params), 4), "cycles": copy.cycles}


def _copy_figures(results: Sequence[Result]) -> dict[str, float]:
    return {"copy_hbm_utilisation": min(r["utilisation"] for r in results)}


def _defect(defect: Defect) -> Result:
    return {"caught": int(caught(defect))}


def _defect_failures(results: Sequence[Result]) -> list[str]:
    missed = [defect.name for defect, r in zip(DEFECTS, results, strict=False) if not r["caught"]]
    return [f"the planted defect {name!r} was not caught" for name in missed]
