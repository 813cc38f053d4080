"""The way past the tail: a register of the body, as it is or rounded to BF16."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.convert import Fp32ToBf16
from hdl.arith.formats import BF16, Fp32
from hdl.params import SCALAR_BITS, PCUParams
from hdl.pcu.inputs import lane_words


class Side(wiring.Component):
    """``o`` is ``i``, or with ``wide`` low its lanes rounded to BF16 in the upper half.

    - Latency: none if wide, else one cycle. Throughput: one vector a cycle. Does not move unless ``enable``.
    """

    LATENCY = 1

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        words = lane_words(params)
        super().__init__(
            {
                "enable": In(1),
                "wide": In(1),
                "i_valid": In(1),
                "i": In(words),
                "o_valid": Out(1),
                "o": Out(words),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enters, finished = Signal(), Signal()
        m.d.comb += enters.eq(self.enable & self.i_valid)
        m.d.sync += finished.eq(enters)
        m.d.comb += self.o_valid.eq(Mux(self.wide, enters, finished))
        for number, lane in enumerate(self.i):
            m.submodules[f"round_{number}"] = unit = Fp32ToBf16(self.LATENCY)
            m.d.comb += [unit.en.eq(enters & ~self.wide), unit.i.value.eq(Fp32(lane))]
            rounded = Cat(C(0, SCALAR_BITS - BF16.width), Value.cast(unit.o))
            m.d.comb += self.o[number].eq(Mux(self.wide, lane, rounded))
        return m
