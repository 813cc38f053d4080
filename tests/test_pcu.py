"""The PCU's benches: patterns of real kernels, throughput, and random programs, all equal to the golden model."""

import pytest

from verif.sim import run_bench

BENCH = "verif.benches.pcu"
DIRECTED = {
    "a_matrix_product_of_any_shape_is_exact",
    "the_patterns_of_real_kernels_are_exact",
    "a_steady_gemm_keeps_every_cell_busy_every_cycle",
    "simd_moves_one_vector_a_cycle",
    "a_program_started_again_reads_on_where_it_was",
    "a_token_serves_once_and_is_awaited",
}


def test_directed_programs_are_exact_and_as_fast_as_they_should_be() -> None:
    """One simulation, a test a pattern; a failure says which."""
    assert set(run_bench(BENCH, test="|".join(DIRECTED)).tests) == DIRECTED


def test_200_random_programs_equal_the_golden_model_under_random_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENRDU_EXAMPLES", "200")
    run_bench(BENCH, test="any_legal_program")
