"""The campaign of the PMU: random programs at three sizes and with ECC, directed programs, proofs, planted defects."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from verif.benches.pmu import DIRECTED, EXAMPLES, public, sizes
from verif.campaign import Part, Result, Shard
from verif.campaigns.pmu_defects import DEFECTS
from verif.defects import Defect, caught
from verif.formal import prove
from verif.proofs.handover import HandoverSpecification, TokenSpecification
from verif.sim import SimulationError, run_bench

BENCH = "verif.benches.pmu"
PROGRAMS = 200  # a shard
SIZES: dict[str, dict[str, object]] = {
    "4_lanes": {},
    "8_lanes": {"lanes": 8, "rows": 64, "alu_stages": 6},
    "16_lanes": {"lanes": 16, "rows": 64},
    "ecc": {"ecc": True, "groups": 8, "alu_stages": 3, "fifo_depth": 16},
    "smallest": {"lanes": 2, "rows": 16, "groups": 1, "alu_stages": 2, "fifo_depth": 2},
}
SHARDS = {"4_lanes": 6, "8_lanes": 3, "16_lanes": 2, "ecc": 1, "smallest": 1}
BUFFERS = (1, 2, 3, 4, 7)


def parts() -> list[Part]:
    """Everything ``make verify ONLY=pmu`` does, quickest first."""
    proofs = [Shard("tokens", _tokens), *(Shard(f"handover_{n}", partial(_handover, n)) for n in BUFFERS)]
    random = [
        Shard(f"{name}_{k}", partial(_programs, SIZES[name], k))
        for name, shards in SHARDS.items()
        for k in range(shards)
    ]
    directed = [Shard(name, partial(_directed, SIZES[name])) for name in ("4_lanes", "8_lanes", "16_lanes")]
    defects = [Shard(defect.name.replace(" ", "_"), partial(_defect, defect)) for defect in DEFECTS]
    return [
        Part("pmu", "proofs", proofs, lambda _: {}, lambda _: []),
        Part("pmu", "directed", directed, lambda _: {}, lambda _: []),
        Part("pmu", "random", random, _random_figures, _random_failures),
        Part("pmu", "defects", defects, _defect_figures, _defect_failures),
    ]


def _tokens() -> Result:
    return {"proved": 1, "seconds": round(prove(TokenSpecification(bits=8), "tokens_8", depth=2).seconds, 1)}


def _handover(buffers: int) -> Result:
    proof = prove(HandoverSpecification(buffers), f"handover_{buffers}", depth=2)
    return {"proved": 1, "seconds": round(proof.seconds, 1)}


def _directed(size: Mapping[str, object]) -> Result:
    tests = run_bench(BENCH, parameters=size, test="|".join(DIRECTED), public=public(sizes(**size))).tests
    return {"tests": len(tests)}


def _programs(size: Mapping[str, object], shard: int) -> Result:
    """Programs that were run, and one mismatch if a counter-example was found, which is then printed."""
    os.environ[EXAMPLES] = str(PROGRAMS)
    try:
        run_bench(BENCH, parameters=size, test="random_programs", public=public(sizes(**size)), seed=1 + shard)
    except SimulationError as error:
        print(error, file=sys.stderr)
        return {"programs": 0, "mismatches": 1}
    finally:
        del os.environ[EXAMPLES]
    return {"programs": PROGRAMS, "mismatches": 0}


def _random_figures(results: Sequence[Result]) -> dict[str, float]:
    return {
        "pmu_random_configs": sum(r["programs"] for r in results),
        "pmu_mismatches": sum(r["mismatches"] for r in results),
    }


def _random_failures(results: Sequence[Result]) -> list[str]:
    return ["a random program differs from the golden model, see above" for r in results if r["mismatches"]]


def _defect(defect: Defect) -> Result:
    return {"caught": int(caught(defect))}


def _defect_figures(results: Sequence[Result]) -> dict[str, float]:
    return {"pmu_defects_planted": len(results), "pmu_defects_caught": sum(r["caught"] for r in results)}


def _defect_failures(results: Sequence[Result]) -> list[str]:
    missed = [defect.name for defect, r in zip(DEFECTS, results, strict=False) if not r["caught"]]
    return [f"the planted defect {name!r} was not caught" for name in missed]
