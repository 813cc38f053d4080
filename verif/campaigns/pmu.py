"""The campaign of the PMU: proofs, random programs and coverage, planted defects, directed programs, clean Verilog."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from hdl.errors import ToolError
from hdl.params import DEMO, NANO, PMUParams
from hdl.pmu.pmu import PMU
from verif import pmu_coverage
from verif.benches.pmu import COVERAGE, EXAMPLES, public, sizes
from verif.campaign import SOURCES, Part, Result, Shard
from verif.campaigns.pmu_defects import DEFECTS
from verif.defects import Defect, caught
from verif.formal import prove
from verif.lint import complaints
from verif.proofs.handover import HandoverSpecification, TokenSpecification
from verif.proofs.regions import RegionSpecification
from verif.sim import SimulationError, run_bench
from verif.sources import ROOT, fingerprint

BENCH = "verif.benches.pmu"
DIRECTED = "verif.benches.pmu_directed"
PROGRAMS = 200  # a shard
COVERED = "4_lanes"  # the size whose bins are counted
FLOOR = 0.98  # of the bins
SIZES: dict[str, dict[str, object]] = {
    "4_lanes": {},
    "8_lanes": {"lanes": 8, "rows": 64, "alu_stages": 6},
    "16_lanes": {"lanes": 16, "rows": 64},
    "ecc": {"ecc": True, "groups": 8, "alu_stages": 3, "fifo_depth": 16},
    "smallest": {"lanes": 2, "rows": 16, "groups": 1, "alu_stages": 2, "fifo_depth": 2},
}
SHARDS = {"4_lanes": 10, "8_lanes": 2, "16_lanes": 1, "ecc": 1, "smallest": 1}
LINTED = {
    **{f"{lanes}_lanes": PMUParams(lanes=lanes, rows=64, fifo_depth=4) for lanes in (2, 4, 8, 16, 32)},
    "8_lanes_ecc": PMUParams(lanes=8, rows=64, ecc=True, alu_stages=16),
    "nano": NANO.pmu,
    "demo": DEMO.pmu,
}
BUFFERS = (1, 2, 3, 4, 7)


def parts() -> list[Part]:
    """Everything ``make verify ONLY=pmu`` does; after the proofs, which are quick, what figures hang on."""
    proofs = [
        Shard("tokens", _tokens),
        *(Shard(f"handover_{n}", partial(_handover, n)) for n in BUFFERS),
        *(Shard(f"regions_{lanes}", partial(_regions, lanes)) for lanes in (2, 4, 8)),
    ]
    verilog = [Shard(name, partial(_verilog, params)) for name, params in LINTED.items()]
    random = [
        Shard(f"{name}_{k}", partial(_programs, name, k)) for name, shards in SHARDS.items() for k in range(shards)
    ]
    directed = [Shard(name, partial(_directed, SIZES[name])) for name in ("4_lanes", "8_lanes", "16_lanes")]
    defects = [Shard(defect.name.replace(" ", "_"), partial(_defect, defect)) for defect in DEFECTS]
    return [
        Part("pmu", "proofs", proofs, lambda _: {}, lambda _: []),
        Part("pmu", "random", random, _random_figures, _random_failures),
        Part("pmu", "defects", defects, _defect_figures, _defect_failures),
        Part("pmu", "directed", directed, lambda _: {}, lambda _: []),
        Part("pmu", "verilog", verilog, lambda _: {}, lambda _: []),
    ]


def _tokens() -> Result:
    return {"proved": 1, "seconds": round(prove(TokenSpecification(bits=8), "tokens_8", depth=2).seconds, 1)}


def _handover(buffers: int) -> Result:
    proof = prove(HandoverSpecification(buffers), f"handover_{buffers}", depth=2)
    return {"proved": 1, "seconds": round(proof.seconds, 1)}


def _regions(lanes: int) -> Result:
    params = PMUParams(lanes=lanes, rows=16, groups=2)
    proof = prove(RegionSpecification(params), f"regions_{lanes}", mode="bmc", depth=3)
    return {"proved": 1, "seconds": round(proof.seconds, 1)}


def _verilog(params: PMUParams) -> Result:
    """One if lint is clean; raises on what it says."""
    said = complaints(PMU(params), "pmu")
    if said:
        raise ToolError(f"the Verilog of {params} is not clean:\n{said}")
    return {"clean": 1}


def _directed(size: Mapping[str, object]) -> Result:
    return {"tests": len(run_bench(DIRECTED, name="pmu", parameters=size, public=public(sizes(**size))).tests)}


def _programs(name: str, shard: int) -> Result:
    """Programs that were run, and one mismatch if a counter-example was found, which is then printed."""
    size = SIZES[name]
    os.environ[EXAMPLES] = str(PROGRAMS)
    os.environ[COVERAGE] = str(_coverage_folder() / f"{name}_{shard}.txt")
    try:
        run_bench(BENCH, parameters=size, test="random_programs", public=public(sizes(**size)), seed=1 + shard)
    except SimulationError as error:
        print(error, file=sys.stderr)
        return {"programs": 0, "mismatches": 1}
    finally:
        del os.environ[EXAMPLES], os.environ[COVERAGE]
    return {"programs": PROGRAMS, "mismatches": 0}


def _coverage_folder() -> Path:
    """Beside the shards' results, which hold numbers only; like them it belongs to these sources."""
    folder = ROOT / "build" / "verify" / fingerprint(SOURCES) / "pmu" / "coverage"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _covered() -> tuple[float, str]:
    """The share of the bins covered by all shards so far, and the report that lists the holes."""
    params = sizes(**SIZES[COVERED])
    found = pmu_coverage.load(sorted(_coverage_folder().glob(f"{COVERED}_*.txt")))
    return len(found) / len(pmu_coverage.universe(params)), pmu_coverage.report(params, found)


def _random_figures(results: Sequence[Result]) -> dict[str, float]:
    share, report = _covered()
    _coverage_folder().with_suffix(".txt").write_text(report + "\n")
    return {
        "pmu_random_configs": sum(r["programs"] for r in results),
        "pmu_mismatches": sum(r["mismatches"] for r in results),
        "pmu_coverage": round(share, 4),
    }


def _random_failures(results: Sequence[Result]) -> list[str]:
    wrong = ["a random program differs from the golden model, see above" for r in results if r["mismatches"]]
    share, report = _covered()
    print(f"coverage: {report}", file=sys.stderr)
    return [*wrong, *([f"coverage is not above {FLOOR:.0%}"] if share <= FLOOR else [])]


def _defect(defect: Defect) -> Result:
    return {"caught": int(caught(defect))}


def _defect_figures(results: Sequence[Result]) -> dict[str, float]:
    return {"pmu_defects_planted": len(results), "pmu_defects_caught": sum(r["caught"] for r in results)}


def _defect_failures(results: Sequence[Result]) -> list[str]:
    missed = [defect.name for defect, r in zip(DEFECTS, results, strict=False) if not r["caught"]]
    return [f"the planted defect {name!r} was not caught" for name in missed]
