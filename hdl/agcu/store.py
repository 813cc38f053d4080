"""One store stream: data joined with addresses, bursts that wait until their data are there, and their answers."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.agcu.coalesce import burst_layout
from hdl.agcu.config import part_layout
from hdl.agcu.front import Front
from hdl.agcu.tags import retire_layout
from hdl.params import ELEMENT_BITS, SCALAR_BITS, TAG_BITS, RDUParams
from hdl.streams import scalar_stream, vector_stream


def beat_layout(params: RDUParams) -> data.StructLayout:
    """One beat of a write: ``data`` of all lanes, and which of them are written."""
    return data.StructLayout({"data": ELEMENT_BITS * params.lanes, "strobe": params.lanes})


class StoreStream(wiring.Component):
    """Store stream ``number`` (loads count first): every access takes a vector, or a word of a scalar input.

    - ``burst``: goes to the arbiter when all its ``beats`` are there; its ``tag`` is given as it is taken.
    - ``complete[t]``: burst t was answered. Bursts retire in order, and then send their tokens (``fire``) and free
      their tags (``freed``). ``writing``: any write is being made or was not yet answered.
    - A dropped access takes its vector and writes nothing.
    - Throughput: one vector a cycle. Latency: one cycle to ``beats``, two to ``burst`` from the vector that ends it.
    """

    def __init__(self, params: RDUParams, number: int) -> None:
        self.params, self.number = params, number
        agcu = params.agcu
        front = Front(params, number)
        self.front = front
        shared = ("start", "stopped", "tokens", "emit_room", "begun", "item", "refused", "busy")
        super().__init__(
            {
                "config": In(part_layout(params, number)),
                "scalars": In(scalar_stream()).array(agcu.SCALAR_INPUTS),
                **{name: front.signature.members[name] for name in shared},
                "vector_in": In(vector_stream(params.lanes)),
                "others_writing": In(1),
                "writing": Out(1),
                "burst": Out(stream.Signature(burst_layout(params))),
                "beats": Out(stream.Signature(beat_layout(params))),
                "tag": In(TAG_BITS),
                "retire_room": Out(1),
                "complete": In(agcu.outstanding),
                "freed": Out(1),
                "freed_tag": Out(TAG_BITS),
                "fire": Out(agcu.TOKENS),
                "wait_scalar": Out(1),
                "wait_token": Out(1),
                "wait_fence": Out(1),
                "wait_data": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.front = front = self.front
        connect(m, front.burst, flipped(self.burst))
        m.d.comb += [
            front.config.eq(self.config),
            *(getattr(front, n).eq(getattr(self, n)) for n in ("start", "stopped", "tokens", "emit_room")),
            *(
                getattr(self, n).eq(getattr(front, n))
                for n in ("begun", "item", "refused", "wait_scalar", "wait_token", "wait_fence")
            ),
            front.writing.eq(self.writing | self.others_writing),
        ]
        self._data(m)
        retiring = self._retire(m)
        m.d.comb += [self.writing.eq(self.front.making | retiring), self.busy.eq(front.busy | retiring)]
        return m

    def _data(self, m: Module) -> None:
        params, front, lanes = self.params, self.front, self.params.lanes
        source = self.config.own.source
        m.submodules.vectors = vectors = fifo.SyncFIFOBuffered(width=lanes * ELEMENT_BITS, depth=params.agcu.fifo_depth)
        m.submodules.beats = beats = fifo.SyncFIFOBuffered(
            width=beat_layout(params).size, depth=4 * params.memory.granule
        )
        word, word_there = Signal(SCALAR_BITS), Signal()
        for j, (inner, outer) in enumerate(zip(front.scalars, self.scalars, strict=True)):
            with m.If(source == j + 1):
                m.d.comb += [word.eq(outer.payload), word_there.eq(outer.valid)]
            m.d.comb += [
                inner.payload.eq(outer.payload),
                inner.valid.eq(outer.valid),
                outer.ready.eq(inner.ready | (front.begun & (source == j + 1))),
            ]
        by_word, there = source != 0, Signal()
        item = front.item
        m.d.comb += [
            vectors.w_en.eq(self.vector_in.valid),
            vectors.w_data.eq(self.vector_in.payload.elements),
            self.vector_in.ready.eq(vectors.w_rdy),
            there.eq(Mux(by_word, word_there, vectors.r_rdy)),
            vectors.r_en.eq(front.begun & ~by_word),
            front.room.eq(there & beats.w_rdy),
            front.alone.eq(by_word),
            self.wait_data.eq(front.there & ~there),
            beats.w_en.eq(front.begun & item.touches),
            beats.w_data.eq(
                Mux(
                    by_word,
                    Cat(word.replicate(lanes // 2), self._lanes_of_word(item)),
                    Cat(vectors.r_data, (item.limit > i for i in range(lanes))),
                )
            ),
            self.beats.valid.eq(beats.r_rdy),
            self.beats.payload.as_value().eq(beats.r_data),
            beats.r_en.eq(self.beats.ready),
        ]

    def _lanes_of_word(self, item: Any) -> Value:
        """The two lanes that hold the word at an offset."""
        words = self.params.lanes // 2
        place = item.offset[(SCALAR_BITS // 8 - 1).bit_length() :][: (words - 1).bit_length()]
        return Cat((place == w).replicate(2) for w in range(words))

    def _retire(self, m: Module) -> Value:
        """Answered bursts, in the order in which they were sent. Returns whether any is still to retire."""
        params = self.params
        m.submodules.bursts = bursts = fifo.SyncFIFOBuffered(
            width=retire_layout(params).size + params.agcu.TOKENS, depth=params.agcu.outstanding + 2
        )
        burst, fire, done = Signal(retire_layout(params)), Signal(params.agcu.TOKENS), Signal()
        m.d.comb += [
            self.retire_room.eq(bursts.w_rdy),
            bursts.w_en.eq(self.burst.valid & self.burst.ready),
            bursts.w_data.eq(Cat(self.tag, self.burst.payload.beats, self.burst.payload.fire)),
            Cat(burst, fire).eq(bursts.r_data),
            done.eq(bursts.r_rdy & ((burst.beats == 0) | self.complete.bit_select(burst.tag, 1))),
            bursts.r_en.eq(done),
            self.freed.eq(done & (burst.beats != 0)),
            self.freed_tag.eq(burst.tag),
            self.fire.eq(Mux(done, fire, 0)),
        ]
        return bursts.level.bool()
