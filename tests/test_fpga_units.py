"""The flow behind ``make fpga-units``: a small unit goes through, and what it says of it is what the unit is."""

from pathlib import Path

import pytest

from hdl.arith.formats import BF16
from hdl.arith.multiply import Multiply
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

    def synthesised_again(*_: object) -> None:
        raise AssertionError("the result was not kept")

    monkeypatch.setattr(ecp5, "_synthesised", synthesised_again)
    assert ecp5.measure(Multiply(BF16, BF16, 1), "multiply_flow", seeds=(1,)) == first
