"""The host's window into memory: runs of words through two registers, at the bandwidth of the host link."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.host.format import COUNT_BITS, WORD_BYTES
from hdl.host.words import WordPort
from hdl.memory.port import memory_port
from hdl.params import MEMORY_ADDRESS_BITS, SCALAR_BITS, RDUParams


class Pace(wiring.Component):
    """Lets ``rate[0]`` words through every ``rate[1]`` cycles, and after a pause ``burst`` words at once.

    A gate, without a register in the way: ``o`` follows ``i`` while there is allowance.
    """

    def __init__(self, rate: tuple[int, int], burst: int = 4) -> None:
        self.rate, self.burst = rate, burst
        super().__init__({"i": In(stream.Signature(SCALAR_BITS)), "o": Out(stream.Signature(SCALAR_BITS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        gain, cost = self.rate
        most = self.burst * cost
        allowance = Signal(range(most + 1), init=most)
        may = allowance >= cost
        passed = self.o.valid & self.o.ready
        m.d.comb += [
            self.o.valid.eq(self.i.valid & may),
            self.o.payload.eq(self.i.payload),
            self.i.ready.eq(self.o.ready & may),
        ]
        following = Signal(range(most + gain + 1))
        m.d.comb += following.eq(allowance + gain - Mux(passed, cost, 0))
        m.d.sync += allowance.eq(Mux(following > most, most, following))
        return m


class Window(wiring.Component):
    """One run of words at a time, as the registers WINDOW_* say; requester of a memory port.

    - ``begin_read``, ``begin_write``: pulse with ``address`` and ``count``; ignored, with ``error``, while ``busy`` or
      if the address is no multiple of 4.
    - ``reading``, ``writing``: words of the run are still to come, on ``read`` or ``write``.
    - ``read``: the words read; a run that nobody reads to its end goes on until it is.
    - Bandwidth: that of the host link, a word a cycle at most.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params = params
        super().__init__(
            {
                "begin_read": In(1),
                "begin_write": In(1),
                "address": In(MEMORY_ADDRESS_BITS),
                "count": In(COUNT_BITS),
                "read": Out(stream.Signature(SCALAR_BITS)),
                "write": In(stream.Signature(SCALAR_BITS)),
                "reading": Out(1),
                "writing": Out(1),
                "busy": Out(1),
                "error": Out(1),
                "memory": Out(memory_port(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beats, cycles = self.params.host.beats
        rate = (beats * self.params.beat_bytes // WORD_BYTES, cycles)
        m.submodules.words = words = WordPort(self.params)
        m.submodules.read_pace = read_pace = Pace(rate)
        m.submodules.write_pace = write_pace = Pace(rate)
        connect(m, words.memory, flipped(self.memory))
        connect(m, words.read, read_pace.i)
        connect(m, read_pace.o, flipped(self.read))
        connect(m, flipped(self.write), write_pace.i)
        connect(m, write_pace.o, words.write)
        refused, begin, wrote = Signal(), Signal(), Signal()
        good = ~self.busy & (self.address % WORD_BYTES == 0)
        m.d.comb += [
            begin.eq(self.begin_read | self.begin_write),
            words.reading.start.eq(self.begin_read & good),
            words.writing.start.eq(self.begin_write & good),
            self.reading.eq(words.reading.busy),
            self.writing.eq(words.wanting),
            self.busy.eq(words.reading.busy | words.writing.busy),
            self.error.eq(Mux(wrote, words.writing.error, words.reading.error) | refused),
        ]
        for run in (words.reading, words.writing):
            m.d.comb += [run.address.eq(self.address), run.count.eq(self.count)]
        with m.If(begin):
            m.d.sync += [refused.eq(~good), wrote.eq(Mux(good, self.begin_write, wrote))]
        return m
