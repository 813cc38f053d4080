"""Running cocotb benches: both simulators, failures as messages, seeds, filters, waves, the watchdog of the process."""

import os
import re
import shutil
from pathlib import Path

import pytest

from hdl.errors import ParameterError, ToolError
from verif.sim import SimulationError, run_bench, tools

PROBE = "verif.benches.probe"


def test_the_bench_gets_its_parameters_and_the_tests_that_ran_are_listed() -> None:
    result = run_bench(PROBE, parameters={"bits": 12}, test="parameters_arrive")
    assert result.tests == ("parameters_arrive",)
    assert "the counter has 12 bits" in result.log


def test_a_failing_bench_fails_with_its_own_message_and_the_seed() -> None:
    with pytest.raises(SimulationError, match="says_why: the count is 3, which is wrong") as raised:
        run_bench(PROBE, test="says_why", seed=1234)
    assert "COCOTB_RANDOM_SEED=1234" in str(raised.value)
    log = re.search(r"log: (\S+)", str(raised.value))
    assert log is not None
    assert "says_why" in Path(log[1]).read_text()


def test_an_assertion_without_a_message_shows_its_values() -> None:
    with pytest.raises(SimulationError, match="assert 3 == 4"):
        run_bench(PROBE, test="shows_values")


def test_a_filter_that_matches_nothing_is_a_failure() -> None:
    with pytest.raises(SimulationError, match="no test ran"):
        run_bench(PROBE, test="no_such_test")


def test_a_simulator_that_dies_is_a_failure() -> None:
    with pytest.raises(SimulationError, match="the simulator died before it reported"):
        run_bench(PROBE, test="dies")


def test_a_bench_that_hangs_is_stopped() -> None:
    with pytest.raises(SimulationError, match="ran longer than 4 s"):
        run_bench(PROBE, test="hangs", timeout_s=4)


def test_the_same_seed_draws_the_same_numbers() -> None:
    logs = [run_bench(PROBE, test="draws", seed=seed).log for seed in (7, 7, 8)]
    drawn = [re.findall(r"drew (\d+)", log) for log in logs]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0]


def test_only_ports_are_public_unless_asked_for() -> None:
    run_bench(PROBE, test="inner_net_is_hidden", sim="verilator")
    run_bench(PROBE, test="inner_net_is_public", public=["inner.half"])


def test_waves_are_written_and_announced(capfd: pytest.CaptureFixture[str]) -> None:
    result = run_bench(PROBE, test="parameters_arrive", waves=True)
    assert result.waves is not None
    assert result.waves.stat().st_size > 200
    assert f"waves of probe: {result.waves}" in capfd.readouterr().err
    shutil.rmtree(result.waves.parent)


def test_a_bench_module_without_a_design_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"bench module verif\.streams has no function `design"):
        run_bench("verif.streams")


def test_an_unknown_simulator_is_refused() -> None:
    with pytest.raises(ParameterError, match="SIM=modelsim: unknown simulator, expected one of verilator, icarus"):
        run_bench(PROBE, sim="modelsim")


def test_a_missing_icarus_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    tools.icarus.cache_clear()
    try:
        with pytest.raises(ToolError, match="Icarus Verilog is a distribution package, not one of PyPI"):
            run_bench(PROBE, sim="icarus")
    finally:
        tools.icarus.cache_clear()


def test_a_missing_compiler_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    tools.linker.cache_clear()
    try:
        with pytest.raises(ToolError, match="no C\\+\\+ compiler found: install g\\+\\+"):
            tools.linker()
    finally:
        tools.linker.cache_clear()


def test_the_callers_environment_is_left_alone() -> None:
    before = dict(os.environ)
    run_bench(PROBE, test="parameters_arrive")
    assert dict(os.environ) == before


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is a distribution package and not installed here")
def test_icarus_runs_the_same_bench() -> None:
    result = run_bench(PROBE, parameters={"bits": 12}, test="parameters_arrive", sim="icarus")
    assert result.tests == ("parameters_arrive",)
