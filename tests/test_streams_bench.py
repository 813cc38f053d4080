"""The bench kit on real simulators: faults are reported in a sentence, Hypothesis shrinks, good designs pass."""

import shutil

import pytest

from verif.sim import run_bench

SIMULATORS = [
    "verilator",
    pytest.param(
        "icarus",
        marks=pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is a distribution package"),
    ),
]


@pytest.mark.parametrize("sim", SIMULATORS)
def test_every_fault_of_a_queue_is_reported_in_a_sentence_and_shrunk_to_the_smallest_case(sim: str) -> None:
    result = run_bench("verif.benches.faulty_queue", sim=sim)
    assert sum("a_fault_is_reported" in test for test in result.tests) == 11
    assert "hypothesis_finds_the_smallest_case_and_finds_it_again" in result.tests
    assert ("an_unknown_payload_is_reported" in result.tests) == (sim == "icarus")


@pytest.mark.parametrize("sim", SIMULATORS)
def test_nested_streams_plain_ports_and_structs_get_their_endpoints(sim: str) -> None:
    assert len(run_bench("verif.benches.router", sim=sim).tests) == 4


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize(("depth", "room"), [(1, None), (4, None), (5, 3)])
def test_a_streamed_unit_keeps_order_and_rate_under_any_stalls(sim: str, depth: int, room: int | None) -> None:
    run_bench("verif.benches.streamed", sim=sim, parameters={"depth": depth, "room": room})
