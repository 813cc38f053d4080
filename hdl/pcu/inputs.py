"""The heads of the input streams: FIFOs, and beats put together to vectors."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.params import ELEMENT_BITS, SCALAR_BITS, PCUParams
from hdl.streams import scalar_stream, vector_stream


def lane_words(params: PCUParams) -> data.ArrayLayout:
    """A vector of 32-bit words, one a lane."""
    return data.ArrayLayout(SCALAR_BITS, params.lanes)


class VectorInput(wiring.Component):
    """A FIFO of beats, and the vector at its head as 32-bit words.

    - ``wide``: a vector is two beats; else it is one, whose elements become the upper halves (BF16 to FP32).
    - ``valid``: ``head`` is a whole vector; ``pop`` drops it. Throughput: one beat a cycle.
    - Sequence ids of incoming beats are not used.
    """

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        super().__init__(
            {
                "stream": In(vector_stream(params.lanes)),
                "wide": In(1),
                "pop": In(1),
                "valid": Out(1),
                "head": Out(lane_words(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = ELEMENT_BITS * self.params.lanes
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=width, depth=self.params.fifo_depth)
        half, has_half = Signal(width), Signal()
        take_half = Signal()
        m.d.comb += [
            fifo.w_data.eq(self.stream.payload.elements),
            fifo.w_en.eq(self.stream.valid),
            self.stream.ready.eq(fifo.w_rdy),
            take_half.eq(self.wide & fifo.r_rdy & ~has_half),
            self.valid.eq(fifo.r_rdy & (has_half | ~self.wide)),
            fifo.r_en.eq(self.pop | take_half),
            self.head.as_value().eq(Mux(self.wide, Cat(half, fifo.r_data), _upper_halves(fifo.r_data))),
        ]
        with m.If(take_half):
            m.d.sync += [half.eq(fifo.r_data), has_half.eq(1)]
        with m.Elif(self.pop):
            m.d.sync += has_half.eq(0)
        return m


def _upper_halves(beat: Value) -> Value:
    return Cat(Cat(C(0, ELEMENT_BITS), beat.word_select(i, ELEMENT_BITS)) for i in range(len(beat) // ELEMENT_BITS))


class ScalarInput(wiring.Component):
    """A FIFO of scalars: ``valid``, ``head``, ``pop``."""

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        super().__init__({"stream": In(scalar_stream()), "pop": In(1), "valid": Out(1), "head": Out(SCALAR_BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=SCALAR_BITS, depth=self.params.fifo_depth)
        m.d.comb += [
            fifo.w_data.eq(self.stream.payload),
            fifo.w_en.eq(self.stream.valid),
            self.stream.ready.eq(fifo.w_rdy),
            self.valid.eq(fifo.r_rdy),
            self.head.eq(fifo.r_data),
            fifo.r_en.eq(self.pop),
        ]
        return m


class BroadcastBuffer(wiring.Component):
    """The broadcast operand of the systolic body, held for as long as it is used; the next block loads meanwhile.

    - Rows: a block is ``rows`` beats, one a stage, each ``lanes`` consecutive values of k, played one after the other.
    - Columns: a block is one beat and serves one k, element s for stage s.
    - ``valid``: ``values`` stand for the present k; ``advance`` moves to the next, and with ``tile_end`` to the next
      block even if this one is not played out.
    - Throughput: one k a cycle while blocks load in time; a block loads in as many cycles as it has beats.
    """

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        super().__init__(
            {
                "enable": In(1),
                "rows": In(range(params.stages + 1)),
                "columns": In(1),
                "beat_valid": In(1),
                "beat": In(lane_words(params)),
                "pop": Out(1),
                "valid": Out(1),
                "advance": In(1),
                "tile_end": In(1),
                "values": Out(data.ArrayLayout(ELEMENT_BITS, params.stages)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stages, lanes = self.params.stages, self.params.lanes
        block = data.ArrayLayout(data.ArrayLayout(ELEMENT_BITS, lanes), stages)
        loading, playing = Signal(block), Signal(block)
        row, full, k = Signal(range(stages)), Signal(), Signal(range(lanes))
        ends, turn = Signal(), Signal()  # the block played ends; the loaded one takes its place
        m.d.comb += [
            ends.eq(self.advance & (self.columns | self.tile_end | (k == lanes - 1))),
            turn.eq(full & (~self.valid | ends)),
            self.pop.eq(self.enable & self.beat_valid & (~full | turn)),
        ]
        elements = [lane[SCALAR_BITS - ELEMENT_BITS :] for lane in self.beat]
        with m.If(turn):
            m.d.sync += [playing.eq(loading), self.valid.eq(1), full.eq(0), k.eq(0)]
        with m.Elif(ends):
            m.d.sync += self.valid.eq(0)
        with m.Elif(self.advance):
            m.d.sync += k.eq(k + 1)
        with m.If(self.pop):
            last = self.columns | (row + 1 == self.rows)
            m.d.sync += [row.eq(Mux(last, 0, row + 1)), full.eq(last)]
            for s in range(stages):
                with m.If(self.columns):
                    m.d.sync += loading[s][0].eq(elements[s])
                with m.Elif(row == s):
                    m.d.sync += Cat(loading[s]).eq(Cat(elements))
        for s in range(stages):
            m.d.comb += self.values[s].eq(playing[s][Mux(self.columns, 0, k)])
        return m


class InitialBuffer(wiring.Component):
    """Start values of one slot after the other: ``rows`` vectors a slot, ``interleave`` slots ahead."""

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        tile = data.ArrayLayout(lane_words(params), params.stages)
        super().__init__(
            {
                "enable": In(1),
                "rows": In(range(params.stages + 1)),
                "vector_valid": In(1),
                "vector": In(lane_words(params)),
                "pop_vector": Out(1),
                "valid": Out(1),
                "head": Out(tile),
                "pop": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = self.head.shape()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=layout.size, depth=self.params.interleave)
        loading, row, full = Signal(layout), Signal(range(self.params.stages)), Signal()
        m.d.comb += [
            self.pop_vector.eq(self.enable & self.vector_valid & (~full | fifo.w_rdy)),
            fifo.w_data.eq(loading),
            fifo.w_en.eq(full),
            fifo.r_en.eq(self.pop),
            self.valid.eq(fifo.r_rdy),
            self.head.eq(fifo.r_data),
        ]
        with m.If(fifo.w_rdy):
            m.d.sync += full.eq(0)
        with m.If(self.pop_vector):
            last = row + 1 == self.rows
            m.d.sync += [row.eq(Mux(last, 0, row + 1)), loading[row].eq(self.vector)]
            with m.If(last):
                m.d.sync += full.eq(1)
        return m
