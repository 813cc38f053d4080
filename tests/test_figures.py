"""Figures are declared once, recorded by measurement, and never shown as met when they are not."""

import json
from pathlib import Path

import pytest

from scripts.figures import table
from verif import figures


@pytest.fixture(autouse=True)
def empty_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(figures, "FILE", tmp_path / "build" / "figures.json")
    return figures.FILE


def entry(name: str) -> dict[str, object]:
    return next(e for e in figures.measured() if e["name"] == name)


def test_a_recorded_figure_carries_value_unit_target_verdict_command_and_time(empty_figures: Path) -> None:
    figures.record("fma_ecp5_mhz", 101.5)
    (found,) = json.loads(empty_figures.read_text())
    assert {k: found[k] for k in ("name", "value", "unit", "target", "met", "command")} == {
        "name": "fma_ecp5_mhz",
        "value": 101.5,
        "unit": "MHz, median of the seeds",
        "target": ">= 100",
        "met": True,
        "command": "make fpga-units",
    }
    assert found["when"].endswith("+00:00")


def test_a_figure_short_of_its_target_is_recorded_as_not_met() -> None:
    figures.record("fma_ecp5_mhz", 99.9)
    assert entry("fma_ecp5_mhz")["met"] is False


def test_a_second_measurement_replaces_the_first() -> None:
    figures.record("fma_ecp5_lut4", 900)
    figures.record("fma_ecp5_lut4", 500)
    assert [e["value"] for e in figures.measured()] == [500]


def test_caught_defects_meet_their_target_only_when_all_planted_are_caught() -> None:
    figures.record("arith_defects_caught", 12)
    assert entry("arith_defects_caught")["met"] is False
    figures.record("arith_defects_planted", 13)
    figures.record("arith_defects_caught", 12)
    assert entry("arith_defects_caught")["met"] is False
    figures.record("arith_defects_caught", 13)
    assert entry("arith_defects_caught")["met"] is True


def test_an_undeclared_figure_is_refused_with_where_to_declare_it() -> None:
    with pytest.raises(KeyError, match=r"figure 'speed' is not declared in verif/figures\.py"):
        figures.record("speed", 1)


def test_what_was_not_measured_shows_as_missing() -> None:
    figures.record("fma_ecp5_lut4", 500)
    shown = dict(zip(*(list(table().columns[i].cells) for i in (0, 1)), strict=True))
    assert shown["fma_ecp5_lut4"] == "500"
    assert shown["fma_mismatches"] == "missing"
