"""The flow behind ``make fpga-units``: a small unit goes through, and what it says of it is what the unit is."""

from pathlib import Path
from typing import Any

import pytest

from hdl.arith.formats import BF16
from hdl.arith.multiply import Multiply
from hdl.errors import ToolError
from scripts import fpga_units
from verif import ecp5


def test_a_multiplier_goes_through_and_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecp5, "CACHE", tmp_path)
    unit = Multiply(BF16, BF16, 1)
    assert ecp5.Registered(unit).registers == len(unit.i.as_value()) + 1  # operands and enable
    first = ecp5.measure(unit, "multiply_flow", seeds=(1,))
    assert first.area.mult18 == 1
    assert first.area.ff == BF16.width  # its own result register; the harness's registers are not its area
    assert 0 < first.area.lut4 + 2 * first.area.ccu2c <= first.comb
    assert 20 < first.median_mhz < 400
    assert all("." in end or "_" in end for end in first.limits), f"the slowest path runs between {first.limits}"

    def synthesised_again(*_: object) -> None:
        raise AssertionError("the result was not kept")

    monkeypatch.setattr(ecp5, "_synthesised", synthesised_again)
    assert ecp5.measure(Multiply(BF16, BF16, 1), "multiply_flow", seeds=(1,)) == first


def test_a_placement_that_takes_too_long_is_stopped_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecp5, "CACHE", tmp_path)
    with pytest.raises(ToolError, match=r"stopped after 0 s on multiply_flow, seed 7; the last it said"):
        ecp5.measure(Multiply(BF16, BF16, 1), "multiply_flow", seeds=(7,), timeout_s=0.1)
    assert not list(tmp_path.rglob("seed_*")), "a placement that failed was kept"


def test_a_measurement_that_was_stopped_goes_on_with_the_seeds_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecp5, "CACHE", tmp_path)
    unit, steps = Multiply(BF16, BF16, 1), list[str]()

    def routed(*arguments: Any) -> ecp5._Run:
        seed = arguments[2]
        if seed == 3 and not steps:  # the first time
            raise ToolError("stopped")
        return ecp5._Run(comb=10, mhz=100.0 - seed, limits=(f"from_{seed}", f"to_{seed}"))

    monkeypatch.setattr(ecp5, "_routed", routed)
    with pytest.raises(ToolError, match="stopped"):
        ecp5.measure(unit, "multiply_flow", seeds=(1, 2, 3))
    figures = ecp5.measure(Multiply(BF16, BF16, 1), "multiply_flow", seeds=(1, 2, 3), say=steps.append)
    assert [step.partition("; ")[2] for step in steps] == ["placing and routing, seed 3"]
    assert figures.mhz == (99.0, 98.0, 97.0)
    assert figures.limits == ("from_2", "to_2")


def test_a_unit_that_the_device_has_no_room_for_is_not_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecp5, "CACHE", tmp_path)
    monkeypatch.setattr(ecp5, "MULTIPLIERS", 0)
    steps: list[str] = []
    figures = ecp5.measure(Multiply(BF16, BF16, 1), "multiply_flow", seeds=(1,), say=steps.append)
    assert figures.area.mult18 == 1
    assert figures.mhz == ()
    assert steps == ["multiply_flow: synthesis"]
    page = "# Title\n| unit | MHz |\n| multiply_flow | not measured |\n| other | 1 |\n"
    told = fpga_units.with_rows(page, {"multiply_flow": figures})
    title, _, row, other = told.splitlines()
    assert (title, other) == ("# Title", "| other | 1 |")
    assert row.startswith("| multiply_flow | ")
    assert f"| {fpga_units.NOT_PLACED} |" in row


def test_the_page_has_a_row_for_every_unit_of_the_fabric() -> None:
    page = fpga_units.FABRIC_PAGE.read_text()
    assert [name for name in fpga_units.FABRIC if page.count(f"| {name} |") != 1] == []
