"""The specification of sums and products refuses a unit that is one unit in the last place off."""

from typing import Any

import pytest
from amaranth.hdl import Module

from hdl.arith.formats import BF16
from hdl.arith.multiply import Multiply
from verif.formal import ProofError, prove
from verif.proofs.sums_and_products import MultiplySpecification


def test_the_specification_refuses_a_result_one_unit_off() -> None:
    class OneOff(MultiplySpecification):
        def state(self, m: Module, i: Any, o: Any) -> None:
            wrong = self.unit.o.shape()(o.as_value() ^ 1)
            super().state(m, i, wrong)

    with pytest.raises(ProofError, match="an assertion fails"):
        prove(OneOff(Multiply(BF16, BF16, 1)), "multiply_one_off", mode="bmc", depth=2)
