"""The campaign of the PCU: directed and random programs at three sizes, proofs, planted defects."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from verif.benches.pcu import EXAMPLES
from verif.campaign import Part, Result, Shard
from verif.campaigns.pcu_defects import DEFECTS
from verif.defects import Defect, caught
from verif.sim import SimulationError, run_bench

BENCH = "verif.benches.pcu"
DIRECTED = "exact|busy|one_vector|started_again|token"
RANDOM = "any_legal_program"
PROGRAMS = 250  # a shard
SIZES: dict[str, dict[str, object]] = {
    "4x2": {},
    "8x4": {"lanes": 8, "stages": 4, "fifo_depth": 16},
    "16x6": {"lanes": 16, "stages": 6, "fifo_depth": 16},
    "2x1": {"lanes": 2, "stages": 1, "fifo_depth": 2},
}
SHARDS = {"4x2": 8, "8x4": 4, "16x6": 2, "2x1": 2}


def parts() -> list[Part]:
    """Everything ``make verify ONLY=pcu`` does, quickest first."""
    directed = [Shard(name, partial(_directed, size)) for name, size in SIZES.items() if name != "2x1"]
    random = [
        Shard(f"{name}_{k}", partial(_programs, SIZES[name], k))
        for name, shards in SHARDS.items()
        for k in range(shards)
    ]
    defects = [Shard(defect.name.replace(" ", "_"), partial(_defect, defect)) for defect in DEFECTS]
    return [
        Part("pcu", "directed", directed, lambda _: {}, lambda _: []),
        Part("pcu", "random", random, _random_figures, _random_failures),
        Part("pcu", "defects", defects, _defect_figures, _defect_failures),
    ]


def _directed(size: Mapping[str, object]) -> Result:
    return {"tests": len(run_bench(BENCH, parameters=size, test=DIRECTED).tests)}


def _programs(size: Mapping[str, object], shard: int) -> Result:
    """Programs that were run, and one mismatch if a counter-example was found, which is then printed."""
    os.environ[EXAMPLES] = str(PROGRAMS)
    try:
        run_bench(BENCH, parameters=size, test=RANDOM, seed=1 + shard)
    except SimulationError as error:
        print(error, file=sys.stderr)
        return {"programs": 0, "mismatches": 1}
    finally:
        del os.environ[EXAMPLES]
    return {"programs": PROGRAMS, "mismatches": 0}


def _random_figures(results: Sequence[Result]) -> dict[str, float]:
    return {
        "pcu_random_configs": sum(r["programs"] for r in results),
        "pcu_mismatches": sum(r["mismatches"] for r in results),
    }


def _random_failures(results: Sequence[Result]) -> list[str]:
    return ["a random program differs from the golden model, see above" for r in results if r["mismatches"]]


def _defect(defect: Defect) -> Result:
    return {"caught": int(caught(defect))}


def _defect_figures(results: Sequence[Result]) -> dict[str, float]:
    return {"pcu_defects_planted": len(results), "pcu_defects_caught": sum(r["caught"] for r in results)}


def _defect_failures(results: Sequence[Result]) -> list[str]:
    missed = [defect.name for defect, r in zip(DEFECTS, results, strict=False) if not r["caught"]]
    return [f"the planted defect {name!r} was not caught" for name in missed]
