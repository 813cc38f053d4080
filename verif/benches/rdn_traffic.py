"""Senders and checking receivers of random traffic, in hardware, so that a million flits take seconds."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.arith.lfsr import leap
from hdl.arith.lfsr_params import WIDTH
from hdl.rdn.config import SwitchSizes

SOURCE_BITS = 8
CHOICE_BITS = 2
COUNT_BITS = 16
RATE_BITS = 17
ALWAYS = 1 << (RATE_BITS - 1)
"""A rate of one a cycle; 0 is never."""

SPREAD = 0x9E37_79B1  # an odd number whose multiples look random
BACKLOG = 64


def traffic_layout(sizes: SwitchSizes) -> data.StructLayout:
    """The payload: who sent it, its number in its stream, when it was made (not on scalars), and a check of all that.

    ``choice`` lies where the selector bits begin; a sender with several destinations counts for each of them.
    """
    if not sizes.lanes:
        return data.StructLayout({"choice": CHOICE_BITS, "source": SOURCE_BITS, "count": COUNT_BITS, "check": 6})
    filler = sizes.lanes * 16 - 16 - COUNT_BITS - SOURCE_BITS - 16
    return data.StructLayout(
        {
            "count": COUNT_BITS,
            "source": SOURCE_BITS,
            "check": 16,
            "stamp": 16,
            "filler": filler,
            "choice": CHOICE_BITS,
            "sequence": 16 - CHOICE_BITS,
        }
    )


def check_of(payload: Any, bits: int) -> Value:
    """A check of who sent a flit, and which it is."""
    word = Cat(payload.source, payload.choice, payload.count) * SPREAD
    return (word[8 : 8 + bits]) ^ (word[16 : 16 + bits])


class Random(wiring.Component):
    """A register of random bits, 16 steps a cycle; ``seed`` is taken while ``load`` is high."""

    def __init__(self) -> None:
        super().__init__({"load": In(1), "seed": In(WIDTH), "o": Out(WIDTH)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.o.eq(Mux(self.load, (self.seed * SPREAD) | 1, leap(self.o)))
        return m


class TrafficSource(wiring.Component):
    """Makes flits at random while ``run`` is high: one a cycle with probability ``rate`` / ``ALWAYS``.

    - ``number``: of this source. ``choices``: it has several destinations. ``seed`` is taken while ``clear``, which
      also starts the counts anew.
    - ``made``: flits that were made, while fewer than ``BACKLOG`` wait. ``sent``: of each choice, those that left the
      backlog; one of them may still be offered.
    """

    def __init__(self, sizes: SwitchSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "out": Out(stream.Signature(sizes.payload)),
                "number": In(SOURCE_BITS),
                "choices": In(1),
                "rate": In(RATE_BITS),
                "seed": In(WIDTH),
                "run": In(1),
                "clear": In(1),
                "now": In(16),
                "sent": Out(data.ArrayLayout(32, 1 << CHOICE_BITS)),
                "made": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.random = random = Random()
        m.submodules.backlog = backlog = fifo.SyncFIFOBuffered(width=16, depth=BACKLOG)
        free = ~self.out.valid | self.out.ready
        m.d.comb += [
            random.load.eq(self.clear),
            random.seed.eq(self.seed ^ self.number),
            backlog.w_en.eq(self.run & (random.o[:16] < self.rate)),
            backlog.w_data.eq(self.now),
            backlog.r_en.eq(free),
        ]
        self._send(m, free, backlog, random)
        with m.If(self.clear):
            m.d.sync += self.made.eq(0)
        with m.Elif(backlog.w_en & backlog.w_rdy):
            m.d.sync += self.made.eq(self.made + 1)
        return m

    def _send(self, m: Module, free: Value, backlog: Any, random: Any) -> None:
        choice = Mux(self.choices, random.o[20 : 20 + CHOICE_BITS], 0)
        flit = Signal(traffic_layout(self.sizes))
        m.d.comb += [flit.source.eq(self.number), flit.choice.eq(choice), flit.count.eq(self.sent[choice])]
        m.d.comb += flit.check.eq(check_of(flit, len(flit.check)))
        if self.sizes.lanes:
            m.d.comb += [flit.stamp.eq(backlog.r_data), flit.filler.eq(random.o), flit.sequence.eq(random.o[8:])]
        with m.If(self.clear):
            m.d.sync += [self.out.valid.eq(0), *(count.eq(0) for count in self.sent)]
        with m.Elif(free):
            m.d.sync += self.out.valid.eq(backlog.r_rdy)
            with m.If(backlog.r_rdy):
                m.d.sync += [Value.cast(self.out.payload).eq(flit), self.sent[choice].eq(self.sent[choice] + 1)]


class TrafficSink(wiring.Component):
    """Takes flits with probability ``rate`` / ``ALWAYS`` a cycle and checks that those of each source, for each of its
    choices, come complete and in order, unharmed, and by the rules of streams.

    - ``clear``: forgets everything; it takes as many cycles as there are streams.
    - ``stream``: of which ``count`` tells how many came. ``taken``, ``wrong``: of all streams.
    - ``delay``, ``slowest``, ``measured``: cycles from when flits were made, of those taken while ``measure``.
    """

    def __init__(self, sizes: SwitchSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "i": In(stream.Signature(sizes.payload)),
                "rate": In(RATE_BITS),
                "seed": In(WIDTH),
                "clear": In(1),
                "measure": In(1),
                "now": In(16),
                "stream": In(SOURCE_BITS + CHOICE_BITS),
                "count": Out(COUNT_BITS),
                "taken": Out(32),
                "wrong": Out(32),
                "measured": Out(32),
                "delay": Out(32),
                "slowest": Out(16),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.random = random = Random()
        flit = data.View(traffic_layout(self.sizes), Value.cast(self.i.payload))
        m.submodules.counts = counts = Memory(shape=COUNT_BITS, depth=1 << (SOURCE_BITS + CHOICE_BITS), init=[])
        write, read, look = counts.write_port(), counts.read_port(domain="comb"), counts.read_port(domain="comb")
        sweep = Signal(SOURCE_BITS + CHOICE_BITS)
        take, broken, held = self.i.valid & self.i.ready, Signal(), Signal()
        before = Signal(len(Value.cast(self.i.payload)))
        m.d.comb += [
            random.load.eq(self.clear),
            random.seed.eq(self.seed),
            read.addr.eq(Cat(flit.choice, flit.source)),
            write.addr.eq(Mux(self.clear, sweep, read.addr)),
            write.data.eq(Mux(self.clear, 0, read.data + 1)),
            write.en.eq(take | self.clear),
            look.addr.eq(self.stream),
            self.count.eq(look.data),
            broken.eq(held & (~self.i.valid | (Value.cast(self.i.payload) != before))),
        ]
        m.d.sync += [
            self.i.ready.eq(random.o[:16] < self.rate),
            held.eq(self.i.valid & ~self.i.ready & ~self.clear),
        ]
        with m.If(self.i.valid):
            m.d.sync += before.eq(self.i.payload)
        with m.If(self.clear):
            m.d.sync += [sweep.eq(sweep + 1), self.taken.eq(0), self.wrong.eq(0)]
        with m.Elif(take | broken):
            bad = (flit.count != read.data) | (flit.check != check_of(flit, len(flit.check)))
            m.d.sync += [self.taken.eq(self.taken + take), self.wrong.eq(self.wrong + (broken | (take & bad)))]
        if self.sizes.lanes:
            self._time(m, flit, take)
        return m

    def _time(self, m: Module, flit: Any, take: Value) -> None:
        delay = Signal(16)
        m.d.comb += delay.eq(self.now - flit.stamp)
        with m.If(self.clear):
            m.d.sync += [self.measured.eq(0), self.delay.eq(0), self.slowest.eq(0)]
        with m.Elif(take & self.measure):
            m.d.sync += [self.measured.eq(self.measured + 1), self.delay.eq(self.delay + delay)]
            with m.If(delay > self.slowest):
                m.d.sync += self.slowest.eq(delay)
