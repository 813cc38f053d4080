"""The campaign of the PCU: proofs, kernels at three sizes, clean Verilog, random programs and coverage, defects."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from hdl.errors import ToolError
from hdl.params import DEMO, NANO, SN40L, TEST, PCUParams
from hdl.pcu.pcu import PCU
from verif import pcu_coverage, pcu_proofs
from verif.benches.pcu import COVERAGE, EXAMPLES, MEASURED
from verif.campaign import SOURCES, Part, Result, Shard
from verif.campaigns.pcu_defects import DEFECTS
from verif.defects import Defect, caught
from verif.formal import Proof
from verif.lint import complaints
from verif.sim import SimulationError, run_bench
from verif.sources import ROOT, fingerprint

BENCH = "verif.benches.pcu"
KERNELS = "right"  # the tests that compare with float64 too
OTHERS = "one_vector|started_again|token|its_cause|under_the_first"
THROUGHPUT = "busy_every_cycle"
RANDOM = "any_legal_program"
PROGRAMS = 250  # a shard
SIZES: dict[str, dict[str, object]] = {
    "4x2": {},
    "8x4": {"lanes": 8, "stages": 4, "fifo_depth": 16},
    "16x6": {"lanes": 16, "stages": 6, "fifo_depth": 16},
    "2x1": {"lanes": 2, "stages": 1, "fifo_depth": 2},
    "4x2_in_4_passes": {"passes": 4},
    "8x4_in_2_passes": {"lanes": 8, "stages": 4, "fifo_depth": 16, "passes": 2},
}
DIRECTED = ("4x2", "8x4", "16x6")
SHARDS = {"4x2": 8, "8x4": 4, "16x6": 2, "2x1": 2, "4x2_in_4_passes": 2, "8x4_in_2_passes": 1}
COVERED = PCUParams(lanes=4, stages=2, fifo_depth=4)  # its bins are counted, at whatever size they were hit
FLOOR = 0.98  # of the bins
LINTED = {
    **{f"{lanes}x{stages}": PCUParams(lanes, stages) for lanes, stages in ((2, 1), (2, 2), (4, 4), (16, 6), (32, 1))},
    **{preset.name: preset.pcu for preset in (NANO, TEST, DEMO, SN40L)},
}


def parts() -> list[Part]:
    """Everything ``make verify ONLY=pcu`` does, quickest first."""
    proofs = [*(Shard(f"queue_{n}", partial(_queue, n)) for n in (2, 4)), Shard("drain", _drain)]
    throughput = [Shard(name, partial(_throughput, SIZES[name])) for name in DIRECTED]
    kernels = [
        Shard(f"{name}_{what}", partial(_directed, SIZES[name], tests))
        for name in DIRECTED
        for what, tests in (("kernels", KERNELS), ("others", OTHERS))
    ]
    verilog = [Shard(name, partial(_verilog, params)) for name, params in LINTED.items()]
    random = [
        Shard(f"{name}_{k}", partial(_programs, name, k)) for name, shards in SHARDS.items() for k in range(shards)
    ]
    defects = [Shard(defect.name.replace(" ", "_"), partial(_defect, defect)) for defect in DEFECTS]
    return [
        Part("pcu", "proofs", proofs, _no_figures, _no_failures),
        Part("pcu", "throughput", throughput, _throughput_figures, _no_failures),
        Part("pcu", "kernels", kernels, _no_figures, _no_failures),
        Part("pcu", "verilog", verilog, _no_figures, _no_failures),
        Part("pcu", "random", random, _random_figures, _random_failures),
        Part("pcu", "defects", defects, _defect_figures, _defect_failures),
    ]


def _no_figures(results: Sequence[Result]) -> dict[str, float]:
    del results
    return {}


def _no_failures(results: Sequence[Result]) -> list[str]:
    """A shard of these parts raises on what it finds."""
    del results
    return []


def _queue(depth: int) -> Result:
    return _proved(pcu_proofs.queue(depth))


def _drain() -> Result:
    return _proved(pcu_proofs.drain())


def _proved(proof: Proof) -> Result:
    return {"proved": 1, "cycles": proof.depth, "seconds": round(proof.seconds, 1)}


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """These environment variables, for the simulator process."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


def _throughput(size: Mapping[str, object]) -> Result:
    """Utilisation of a steady GEMM, and of one with k of 512; the bench asserts the floors too."""
    with tempfile.TemporaryDirectory(prefix="openrdu-pcu-") as scratch:
        report = Path(scratch) / "measured.json"
        with _environment(**{MEASURED: str(report)}):
            run_bench(BENCH, parameters=size, test=THROUGHPUT)
        return dict(json.loads(report.read_text()))


def _throughput_figures(results: Sequence[Result]) -> dict[str, float]:
    """The worst of the sizes."""
    return {
        "pcu_gemm_steady_utilisation": min(r["steady"] for r in results),
        "pcu_gemm_k512_utilisation": round(min(r["k512"] for r in results), 4),
    }


def _directed(size: Mapping[str, object], tests: str) -> Result:
    return {"tests": len(run_bench(BENCH, parameters=size, test=tests, timeout_s=3600).tests)}


def _verilog(params: PCUParams) -> Result:
    """One if lint is clean; raises on what it says."""
    said = complaints(PCU(params), "pcu")
    if said:
        raise ToolError(f"the Verilog of {params} is not clean:\n{said}")
    return {"clean": 1}


def _programs(name: str, shard: int) -> Result:
    """Programs that were run, and one mismatch if a counter-example was found, which is then printed."""
    report = str(_coverage_folder() / f"{name}_{shard}.json")
    try:
        with _environment(**{EXAMPLES: str(PROGRAMS), COVERAGE: report}):
            run_bench(BENCH, parameters=SIZES[name], test=RANDOM, seed=_seed(name, shard), timeout_s=3600)
    except SimulationError as error:
        print(error, file=sys.stderr)
        return {"programs": 0, "mismatches": 1}
    return {"programs": PROGRAMS, "mismatches": 0}


def _seed(name: str, shard: int) -> int:
    """Another one for every shard of every size."""
    return 1 + shard + 100 * list(SIZES).index(name)


def _coverage_folder() -> Path:
    """Beside the shards' results, which hold numbers only; like them it belongs to these sources."""
    folder = ROOT / "build" / "verify" / fingerprint(SOURCES) / "pcu" / "coverage"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _covered() -> set[pcu_coverage.Bin]:
    return pcu_coverage.load(sorted(_coverage_folder().glob("*.json")))


def _random_figures(results: Sequence[Result]) -> dict[str, float]:
    covered = _covered()
    _coverage_folder().with_suffix(".txt").write_text(pcu_coverage.report(COVERED, covered) + "\n")
    return {
        "pcu_random_configs": sum(r["programs"] for r in results),
        "pcu_mismatches": sum(r["mismatches"] for r in results),
        "pcu_coverage": round(pcu_coverage.share(COVERED, covered), 4),
    }


def _random_failures(results: Sequence[Result]) -> list[str]:
    wrong = ["a random program differs from the golden model, see above" for r in results if r["mismatches"]]
    covered = _covered()
    print(f"coverage: {pcu_coverage.report(COVERED, covered)}", file=sys.stderr)
    enough = pcu_coverage.share(COVERED, covered) > FLOOR
    return [*wrong, *([] if enough else [f"coverage is not above {FLOOR:.0%}"])]


def _defect(defect: Defect) -> Result:
    return {"caught": int(caught(defect))}


def _defect_figures(results: Sequence[Result]) -> dict[str, float]:
    return {"pcu_defects_planted": len(results), "pcu_defects_caught": sum(r["caught"] for r in results)}


def _defect_failures(results: Sequence[Result]) -> list[str]:
    missed = [defect.name for defect, r in zip(DEFECTS, results, strict=False) if not r["caught"]]
    return [f"the planted defect {name!r} was not caught" for name in missed]
