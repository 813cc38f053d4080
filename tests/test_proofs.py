"""Units proved equal to integer specifications, and a specification shown to reject a unit that is almost right."""

from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.formats import BF16
from hdl.arith.multiply import Multiply
from verif.formal import ProofError, prove
from verif.proofs import PROOFS, SLOW
from verif.proofs.units import UnitSpecification, is_product


@pytest.mark.parametrize("name", sorted(PROOFS.keys() - SLOW))
def test_the_unit_equals_its_integer_specification_for_every_operand(name: str) -> None:
    PROOFS[name]()


class AlmostMultiply(wiring.Component):
    """A BF16 multiplier that gives 0x4048 where 0x4049 (3.140625) is right."""

    latency = 1

    def __init__(self) -> None:
        self.unit = Multiply(BF16, BF16, depth=1)
        super().__init__({"en": In(1), "i": In(self.unit.i.shape()), "o": Out(BF16.layout)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        right = unit.o.as_value()
        m.d.comb += [unit.en.eq(self.en), unit.i.eq(self.i), self.o.as_value().eq(right ^ (right == 0x4049))]
        return m


def test_a_multiplier_wrong_for_one_result_is_rejected() -> None:
    with pytest.raises(ProofError, match="an assertion fails"):
        prove(UnitSpecification(AlmostMultiply(), is_product), "almost_multiply", mode="bmc", depth=2)
