"""The random numbers of stochastic rounding."""

from amaranth.hdl import C, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.lfsr_params import DRAW_BITS, TAPS, WIDTH


def leap(state: Value) -> Value:
    """The state ``DRAW_BITS`` Galois steps later.

    Bit j, which falls out at step j, toggles the taps and then moves right with them for the steps that remain. Every
    tap stands high enough that none of that falls out again.
    """
    result = state >> DRAW_BITS
    for tap in TAPS:
        result ^= state[:DRAW_BITS] << (tap + 1 - DRAW_BITS)
    return result[:WIDTH]


class Lfsr(wiring.Component):
    """A 32-bit Galois register that gives 16 fresh random bits a cycle.

    - ``o`` is the next number; a cycle with ``en`` uses it up. With ``load`` the register takes ``seed`` instead (1 for
      0, which it could not leave). It is 1 after reset.
    - Golden model: :func:`golden_model.numerics.draws`, with seeds from :func:`golden_model.numerics.lane_seeds`.
    """

    def __init__(self) -> None:
        super().__init__({"en": In(1), "load": In(1), "seed": In(WIDTH), "o": Out(DRAW_BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(WIDTH, init=1)
        with m.If(self.load):
            m.d.sync += state.eq(Mux(self.seed.any(), self.seed, C(1, WIDTH)))
        with m.Elif(self.en):
            m.d.sync += state.eq(leap(state))
        m.d.comb += self.o.eq(state[:DRAW_BITS])
        return m
