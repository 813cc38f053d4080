"""A wire that flips bits, loses words and garbles bursts of them, as often as it is told."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.arith.lfsr_params import WIDTH
from hdl.link.layout import LinkSizes, wire_signature
from hdl.link.wire import Wire
from verif.benches.rdn_traffic import Random

BURST_BITS = 4
"""A burst is 1 to 2**BURST_BITS words long."""


class NoisyWire(wiring.Component):
    """A :class:`~hdl.link.wire.Wire` behind a source of errors; one cycle more.

    - ``rate``: chance of an error in a word, of 2**32. One half of them flip one bit, be it of the data or the mark of
      a packet's first word, a quarter lose the word, a quarter begin a burst: words that are garbled, marks as well.
    - ``cut``: nothing comes through. ``seed`` is taken while ``load``. ``hit``: a word is harmed in this cycle.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "i": In(wire_signature(sizes)),
                "o": Out(wire_signature(sizes)),
                "rate": In(WIDTH),
                "cut": In(1),
                "load": In(1),
                "seed": In(WIDTH),
                "hit": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.wire = wire = Wire(self.sizes)
        m.submodules.when, m.submodules.what = when, what = Random(), Random()
        connect(m, wire.o, flipped(self.o))
        word = Cat(self.i.word.data, self.i.word.first)
        strikes, burst, flipped_bit = Signal(), Signal(BURST_BITS), Signal(range(len(word)))
        kind = what.o[:2]
        m.d.comb += [
            when.load.eq(self.load),
            when.seed.eq(self.seed),
            what.load.eq(self.load),
            what.seed.eq(~self.seed),
            strikes.eq(self.i.valid & (when.o < self.rate)),
            flipped_bit.eq((what.o[8:24] * len(word)) >> 16),
            self.hit.eq(strikes | (self.i.valid & (burst != 0))),
        ]
        with m.If(strikes & (kind == 3)):
            m.d.sync += burst.eq(what.o[2 : 2 + BURST_BITS])
        with m.Elif(self.i.valid & (burst != 0)):
            m.d.sync += burst.eq(burst - 1)
        garbled = word ^ Cat(*(what.o for _ in range(0, len(word), WIDTH)))[: len(word)]
        flips = word ^ (C(1, 1) << flipped_bit)[: len(word)]
        harmed = Mux((burst != 0) | (kind == 3), garbled, flips)
        m.d.sync += [
            wire.i.valid.eq(self.i.valid & ~self.cut & ~(strikes & (kind == 2))),
            Cat(wire.i.word.data, wire.i.word.first).eq(Mux(self.hit, harmed, word)),
        ]
        return m
