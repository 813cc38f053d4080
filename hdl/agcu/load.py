"""One load stream: its bursts are answered in any order and leave in order."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.agcu.coalesce import burst_layout
from hdl.agcu.config import part_layout
from hdl.agcu.front import Front
from hdl.agcu.tags import retire_layout, slot_layout
from hdl.params import ELEMENT_BITS, SCALAR_BITS, TAG_BITS, RDUParams
from hdl.streams import SEQUENCE_BITS, scalar_stream, vector_stream


class LoadStream(wiring.Component):
    """Load stream ``number``: accesses to bursts, and the answers, vector by vector, to ``vector_out`` or ``words``.

    - ``burst`` goes to the arbiter, which gives its ``tag`` as it takes it. ``complete[t]``: burst t was answered.
    - ``wanted``: the vector in turn can be delivered; ``taken`` in the same cycle delivers it: its element ``slot`` of
      the reorder buffer stands at ``elements`` in the next cycle. ``freed``: the last of burst ``freed_tag`` was taken.
    - ``fire``: tokens of the vectors taken. Beyond an access's limit lanes are zero; a dropped access gives no vector.
    - ``words``: instead of vectors, their 32-bit words one by one, if the program says so.
    - Latency: two cycles from ``taken`` to ``vector_out``. Throughput: one vector a cycle.
    """

    PIPELINE = 2  # vectors between ``taken`` and the level of the output queue

    def __init__(self, params: RDUParams, number: int) -> None:
        self.params, self.number = params, number
        agcu = params.agcu
        front = Front(params, number)
        self.front = front
        shared = ("start", "stopped", "tokens", "writing", "emit_room", "begun", "item", "refused", "busy")
        super().__init__(
            {
                "config": In(part_layout(params, number)),
                "scalars": In(scalar_stream()).array(agcu.SCALAR_INPUTS),
                **{name: front.signature.members[name] for name in shared},
                "burst": Out(stream.Signature(burst_layout(params))),
                "tag": In(TAG_BITS),
                "retire_room": Out(1),
                "complete": In(agcu.outstanding),
                "freed": Out(1),
                "freed_tag": Out(TAG_BITS),
                "wanted": Out(1),
                "taken": In(1),
                "slot": Out(slot_layout(params)),
                "elements": In(data.ArrayLayout(ELEMENT_BITS, params.lanes)),
                "fire": Out(agcu.TOKENS),
                "vector_out": Out(vector_stream(params.lanes)),
                "words": Out(scalar_stream()),
                "wait_scalar": Out(1),
                "wait_token": Out(1),
                "wait_fence": Out(1),
                "wait_output": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.front = front = self.front
        for inner, outer in zip(front.scalars, self.scalars, strict=True):
            connect(m, inner, flipped(outer))
        connect(m, front.burst, flipped(self.burst))
        m.d.comb += [
            front.config.eq(self.config),
            *(getattr(front, n).eq(getattr(self, n)) for n in ("start", "stopped", "tokens", "writing", "emit_room")),
            *(
                getattr(self, n).eq(getattr(front, n))
                for n in ("begun", "item", "refused", "wait_scalar", "wait_token", "wait_fence")
            ),
        ]
        delivering = self._deliver(m)
        self._output(m)
        m.d.comb += self.busy.eq(front.busy | delivering | self.output.level.bool())
        return m

    def _deliver(self, m: Module) -> Any:
        """Vectors in order of their accesses, with what is known of each without its data. Returns whether any wait."""
        params, front = self.params, self.front
        about = data.StructLayout(
            {
                "limit": self.item.limit.shape(),
                "kept": 1,
                "touches": 1,
                "sequence": SEQUENCE_BITS,
                "fire": params.agcu.TOKENS,
            }
        )
        depth = (params.agcu.outstanding + 2) * params.memory.granule
        m.submodules.vectors = vectors = fifo.SyncFIFOBuffered(width=about.size, depth=depth)
        m.submodules.bursts = bursts = fifo.SyncFIFOBuffered(
            width=retire_layout(params).size, depth=params.agcu.outstanding + 2
        )
        vector, burst = Signal(about), Signal(retire_layout(params))
        beat = Signal(range(params.memory.granule))
        there, last = Signal(), Signal()
        lanes = params.lanes
        self.output = output = fifo.SyncFIFOBuffered(
            width=lanes * ELEMENT_BITS + SEQUENCE_BITS, depth=params.agcu.fifo_depth + self.PIPELINE + 2
        )
        m.submodules.output = output
        item = front.item
        m.d.comb += [
            front.room.eq(vectors.w_rdy),
            vectors.w_en.eq(front.begun),
            vectors.w_data.eq(Cat(item.limit, item.kept, item.touches, item.sequence, item.events.fire)),
            vector.as_value().eq(vectors.r_data),
            vectors.r_en.eq(self.taken),
            self.retire_room.eq(bursts.w_rdy),
            bursts.w_en.eq(self.burst.valid & self.burst.ready),
            bursts.w_data.eq(Cat(self.tag, self.burst.payload.beats)),
            burst.as_value().eq(bursts.r_data),
            there.eq(vectors.r_rdy & (~vector.touches | (bursts.r_rdy & self.complete.bit_select(burst.tag, 1)))),
            self.wanted.eq(there & ~self.stopped & (output.level < output.depth - self.PIPELINE)),
            self.wait_output.eq(there & ~self.stopped & ~self.wanted),
            self.slot.tag.eq(burst.tag),
            self.slot.beat.eq(beat),
            last.eq(beat + 1 == burst.beats),
            self.freed.eq(self.taken & vector.touches & last),
            self.freed_tag.eq(burst.tag),
            bursts.r_en.eq(self.freed),
            self.fire.eq(Mux(self.taken, vector.fire, 0)),
        ]
        with m.If(self.taken & vector.touches):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        arriving, came = Signal(), Signal(about)
        scalar = self.config.own.scalar
        m.d.sync += arriving.eq(self.taken & vector.kept & (~scalar | vector.touches))
        with m.If(self.taken):
            m.d.sync += came.eq(vector)
        masked = [Mux(came.limit > i, self.elements[i], 0) for i in range(lanes)]
        count = came.limit >> 1  # words of two lanes travel in place of the sequence id, which they have not
        m.d.comb += [
            output.w_en.eq(arriving),
            output.w_data.eq(Cat(*masked, Mux(scalar, count, came.sequence)[:SEQUENCE_BITS])),
        ]
        return vectors.level.bool() | bursts.level.bool() | arriving

    def _output(self, m: Module) -> None:
        scalar, output, lanes = self.config.own.scalar, self.output, self.params.lanes
        word = Signal(range(max(lanes // 2, 2)))
        elements, sequence = output.r_data[: lanes * ELEMENT_BITS], output.r_data[lanes * ELEMENT_BITS :]
        last = word + 1 == sequence
        m.d.comb += [
            self.vector_out.valid.eq(output.r_rdy & ~scalar),
            self.vector_out.payload.elements.eq(elements),
            self.vector_out.payload.sequence.eq(sequence),
            self.words.valid.eq(output.r_rdy & scalar),
            self.words.payload.eq(elements.word_select(word, SCALAR_BITS)),
            output.r_en.eq(Mux(scalar, self.words.ready & last, self.vector_out.ready)),
        ]
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
