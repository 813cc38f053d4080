"""The campaign of the AGCU, part of the socket's: random programs at several sizes, directed ones, planted defects."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from verif.benches.agcu import EXAMPLES
from verif.campaign import Part, Result, Shard
from verif.campaigns.agcu_defects import DEFECTS
from verif.defects import Defect, caught
from verif.sim import SimulationError, run_bench

PROGRAMS = 100  # a shard
SIZES: dict[str, dict[str, object]] = {
    "4_lanes": {},
    "8_lanes": {"lanes": 8, "outstanding": 32, "segments": 8, "fifo_depth": 16},
    "two_stores": {"stores": 2, "loads": 1, "granule": 2},
    "single_beats": {"lanes": 2, "granule": 1, "fifo_depth": 2},
    "few_tags": {"outstanding": 4, "alu_stages": 1, "granule": 8},
}
SHARDS = {"4_lanes": 6, "8_lanes": 2, "two_stores": 2, "single_beats": 1, "few_tags": 1}
DIRECTED_SIZES = ("4_lanes", "8_lanes")


def parts() -> list[Part]:
    """What the AGCU brings to ``make verify ONLY=socket``, quickest first."""
    random = [
        Shard(f"{name}_{k}", partial(_programs, SIZES[name], k))
        for name, shards in SHARDS.items()
        for k in range(shards)
    ]
    directed = [Shard(name, partial(_directed, SIZES[name])) for name in DIRECTED_SIZES]
    defects = [Shard(defect.name.replace(" ", "_"), partial(_defect, defect)) for defect in DEFECTS]
    return [
        Part("socket", "agcu directed", directed, lambda _: {}, lambda _: []),
        Part("socket", "agcu random", random, lambda _: {}, _random_failures),
        Part("socket", "agcu defects", defects, lambda _: {}, _defect_failures),
    ]


def _directed(size: Mapping[str, object]) -> Result:
    return {"tests": len(run_bench("verif.benches.agcu_directed", name="agcu", parameters=size).tests)}


def _programs(size: Mapping[str, object], shard: int) -> Result:
    """Programs that were run, and one mismatch if a counter-example was found, which is then printed."""
    os.environ[EXAMPLES] = str(PROGRAMS)
    try:
        run_bench("verif.benches.agcu", parameters=size, test="random_programs", seed=1 + shard)
    except SimulationError as error:
        print(error, file=sys.stderr)
        return {"programs": 0, "mismatches": 1}
    finally:
        del os.environ[EXAMPLES]
    return {"programs": PROGRAMS, "mismatches": 0}


def _random_failures(results: Sequence[Result]) -> list[str]:
    return ["a random program differs from the golden model, see above" for r in results if r["mismatches"]]


def _defect(defect: Defect) -> Result:
    return {"caught": int(caught(defect))}


def _defect_failures(results: Sequence[Result]) -> list[str]:
    missed = [defect.name for defect, r in zip(DEFECTS, results, strict=False) if not r["caught"]]
    return [f"the planted defect {name!r} was not caught" for name in missed]
