"""What judges the judges: a comparison that finds a difference says which, one of nothing is no success."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.formats import BF16
from verif import exact, units
from verif.agreement import assert_equal


def test_a_difference_is_shown_with_its_operands_and_the_seed() -> None:
    with pytest.raises(AssertionError) as error:
        assert_equal([1, 2, 3], [1, 2, 4], what="adder", seed=7, a=[0x10, 0x20, 0x30])
    assert str(error.value) == "adder: 1 of 3 differ (seed 7):\n  a 0x30, got 0x3, want 0x4"


def test_comparing_nothing_or_unlike_shapes_fails() -> None:
    with pytest.raises(AssertionError, match="nothing was compared"):
        assert_equal([], [])
    with pytest.raises(AssertionError, match=r"shapes differ: \(1,\) and \(2,\)"):
        assert_equal([1], [1, 1])


class Leaky(wiring.Component):
    """A unit whose registers move without its enable."""

    def __init__(self, latency: int) -> None:
        self.latency = latency
        super().__init__({"en": In(1), "i": In(data.StructLayout({"value": 8})), "o": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = self.i.value
        for _ in range(self.latency):
            register = Signal(8)
            m.d.sync += register.eq(value)
            value = register
        m.d.comb += self.o.eq(value)
        return m


def test_a_unit_that_moves_without_its_enable_is_found_out() -> None:
    with pytest.raises(AssertionError, match="leaky: the result changes while the unit's enable is low"):
        units.results(Leaky(1), "leaky", value=np.arange(200))
    with pytest.raises(AssertionError, match="leaky_2: pauses of its enable change the unit's results"):
        units.results(Leaky(2), "leaky_2", value=np.arange(200))


@pytest.mark.parametrize(
    ("rational", "bits"),
    [
        (exact.Fraction(1) + exact.Fraction(1, 256), 0x3F80),  # a tie goes to the even one
        (exact.Fraction(1) + exact.Fraction(3, 256), 0x3F82),
        (exact.Fraction(1) + exact.Fraction(1, 256) + exact.Fraction(1, 10**30), 0x3F81),
        (exact.SMALLEST_NORMAL * exact.Fraction(1023, 1024), 0x0080),
        (exact.SMALLEST_NORMAL * exact.Fraction(127, 128), 0x0000),
        (exact.TOO_LARGE * exact.Fraction(511, 512), 0x7F80),
        (exact.TOO_LARGE * exact.Fraction(510, 512), 0x7F7F),
    ],
)
def test_the_exact_judge_rounds_as_done_by_hand(rational: exact.Fraction, bits: int) -> None:
    assert exact.encode(exact.Number(False, rational), BF16) == bits
    assert exact.encode(exact.Number(True, rational), BF16) == 0x8000 | bits
