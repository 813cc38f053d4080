"""The PCU's benches, equal to the golden model and right by float64; its coverage, its Verilog, its proofs."""

import json
from pathlib import Path

import pytest

from coe_mapping.assembler.pcu import assemble
from hdl.errors import ParameterError
from hdl.params import PCUParams
from hdl.pcu.pcu import PCU
from verif import pcu_coverage, pcu_kernels, pcu_proofs
from verif.formal import ProofError, prove
from verif.lint import complaints
from verif.sim import run_bench
from verif.streams import Stalls

BENCH = "verif.benches.pcu"
PARAMS = PCUParams(lanes=4, stages=2, fifo_depth=4)
DIRECTED = {
    "matrix_products_of_awkward_shapes_are_exact_and_right",
    "the_kernels_of_a_model_are_exact_and_right",
    "a_steady_gemm_keeps_every_cell_busy_every_cycle",
    "simd_moves_one_vector_a_cycle",
    "a_program_started_again_reads_on_where_it_was",
    "a_token_serves_once_and_is_awaited",
    "a_token_leaves_with_the_last_vector_of_its_tile",
    "a_token_beyond_the_counter_is_lost_and_counted",
    "every_cycle_lost_is_counted_under_its_cause",
    "a_cycle_lost_to_two_causes_is_counted_under_the_first",
}


def test_kernels_are_exact_and_right_and_as_fast_as_they_should_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One simulation, a test a pattern; a failure says which."""
    report = tmp_path / "measured.json"
    monkeypatch.setenv("OPENRDU_MEASURED", str(report))
    assert set(run_bench(BENCH, test="|".join(DIRECTED)).tests) == DIRECTED
    measured = json.loads(report.read_text())
    assert measured["steady"] >= 0.99
    assert measured["k512"] >= 0.97


def test_200_random_programs_equal_the_golden_model_under_random_stalls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = tmp_path / "coverage.json"
    monkeypatch.setenv("OPENRDU_EXAMPLES", "200")
    monkeypatch.setenv("OPENRDU_COVERAGE", str(report))
    run_bench(BENCH, test="any_legal_program")
    assert pcu_coverage.share(PARAMS, pcu_coverage.load([report])) > 0.5


def test_a_small_pcu_equals_the_golden_model_too_and_is_as_slow_as_its_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One unit for four lanes, and multiply-adds as busy as ever."""
    monkeypatch.setenv("OPENRDU_EXAMPLES", "60")
    tests = "any_legal_program|a_steady_gemm|simd_moves|the_kernels_of_a_model"
    assert len(run_bench(BENCH, parameters={"passes": 4}, test=tests).tests) == 4


def test_passes_that_do_not_divide_the_lanes_are_refused() -> None:
    for passes in (0, 3, 8):
        with pytest.raises(ParameterError, match=rf"PCU: {passes} passes is not 1, 2, ... 4, the lanes"):
            PCUParams(lanes=4, stages=2, passes=passes)


def test_coverage_counts_what_a_program_uses_under_the_stalls_it_had() -> None:
    words = assemble(PARAMS, pcu_kernels.rotary_sines(3))
    quiet = pcu_coverage.hit(PARAMS, words, Stalls(), Stalls())
    assert ("stages[].a", "EXCHANGED", "none") in quiet
    assert ("stages[].exchange.distance", "1", "none") in quiet
    assert ("vector_in[1].pop", "1", "none") in quiet
    assert ("vector_in[2].enable", "0", "none") in quiet
    fields = {name for name, _, _ in quiet}
    assert not fields & {"vector_in[2].pop", "systolic.rows", "tail.special.function", "stages[].condition"}
    both = pcu_coverage.hit(PARAMS, words, Stalls(1), Stalls(2))
    assert both == {(name, value, kind) for name, value, _ in quiet for kind in ("input", "output")}
    assert quiet | both <= pcu_coverage.universe(PARAMS)


def test_the_coverage_report_names_every_hole_and_files_are_merged(tmp_path: Path) -> None:
    bins = sorted(pcu_coverage.universe(PARAMS))
    hole = ("tail.conversion", "INT8", "input")
    pcu_coverage.save((b for b in bins[:700] if b != hole), tmp_path / "a")
    pcu_coverage.save((b for b in bins[300:] if b != hole), tmp_path / "b")
    covered = pcu_coverage.load([tmp_path / "a", tmp_path / "b"])
    lines = pcu_coverage.report(PARAMS, covered).splitlines()
    assert lines == [f"{len(bins) - 1} of {len(bins)} bins", "  hole: tail.conversion = INT8 (input)"]
    assert pcu_coverage.share(PARAMS, covered) == 1 - 1 / len(bins)


def test_the_verilog_is_clean() -> None:
    assert complaints(PCU(PARAMS), "pcu") == ""


def test_queues_keep_everything_in_order_while_their_room_is_reserved_proved() -> None:
    assert pcu_proofs.queue(2).mode == "bmc"
    assert pcu_proofs.drain().mode == "bmc"


def test_a_queue_given_more_than_its_room_is_found_out() -> None:
    with pytest.raises(ProofError):
        prove(pcu_proofs.QueueSpecification(2, too_many=1), "pcu_queue_overfull", mode="bmc", depth=8)
    with pytest.raises(ProofError):
        prove(pcu_proofs.DrainSpecification(heedless=True), "pcu_drain_overfull", mode="bmc", depth=10)
