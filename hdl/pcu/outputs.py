"""Results on their way out: the queue that reserves their room, packing to beats, scalars, tokens."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.params import ELEMENT_BITS, SCALAR_BITS, PCUParams
from hdl.pcu.config import BYTE_BITS, Conversion, ScalarSource, pcu_layout
from hdl.pcu.header import context_layout
from hdl.pcu.inputs import lane_words
from hdl.pcu.queues import Companion
from hdl.streams import scalar_stream, vector_layout, vector_stream

PORT_DEPTH = 4  # the shortest buffered queue that passes one beat a cycle


class Outputs(wiring.Component):
    """Collects the parts of each result and sends them; a result leaves when all its beats and scalars have.

    - ``reserve`` takes room for one result; ``room`` says that there is. ``idle``: none is on its way.
    - ``context_push``, ``result_push``, ``side_push``, ``index_push``: the parts, each in order, in any cycle.
    - Throughput: one result a cycle, if it is at most one beat an output; two cycles if it is two.
    - INT8 results: one waits for the next, and both leave as one beat, the first in the lower half, with the sequence
      id of the second. The last of a start leaves alone if it must, zeros above it.
    - ``token_out``: pulses when the last beat of the result has entered its port's queue.
    """

    def __init__(self, params: PCUParams, in_flight: int) -> None:
        """``in_flight``: results that can be reserved at a time."""
        self.params, self.in_flight = params, in_flight
        super().__init__(
            {
                "config": In(pcu_layout(params)),
                "reserve": In(1),
                "room": Out(1),
                "idle": Out(1),
                "context_push": In(1),
                "context": In(context_layout(params)),
                "result_push": In(1),
                "result": In(lane_words(params)),
                "side_push": In(1),
                "side": In(lane_words(params)),
                "index_push": In(1),
                "index": In(SCALAR_BITS),
                "vector_out": Out(vector_stream(params.lanes)).array(params.VECTOR_OUTPUTS),
                "scalar_out": Out(scalar_stream()).array(params.SCALAR_OUTPUTS),
                "token_out": Out(params.TOKENS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        queues = {}
        for name in ("context", "result", "side", "index"):
            value = getattr(self, name)
            m.submodules[name] = queue = Companion(value.shape(), self.in_flight, late=self.params.passes > 1)
            m.d.comb += [queue.push.eq(getattr(self, f"{name}_push")), queue.value.eq(value)]
            queues[name] = queue
        context, result = queues["context"].head, queues["result"].head
        whole, leaves = Signal(), Signal()
        m.d.comb += whole.eq(
            queues["result"].filled
            & (~self.config.side.enable | queues["side"].filled)
            & (~self.config.reduce.enable | queues["index"].filled)
        )
        used = {"context": 1, "result": 1, "side": self.config.side.enable, "index": self.config.reduce.enable}
        m.d.comb += [queues[name].pop.eq(leaves & use) for name, use in used.items()]

        wide = (self.config.tail.conversion == Conversion.NONE) | (self.config.tail.conversion == Conversion.INT32)
        paired = self.config.tail.conversion == Conversion.INT8
        from_side = self.config.side.enable
        side = Mux(from_side, Cat(queues["side"].head), Cat(result))
        sent = [
            self._vector(m, 0, whole, leaves, context, Cat(result), wide, paired),
            self._vector(
                m, 1, whole, leaves, context, side, Mux(from_side, self.config.side.wide, wide), paired & ~from_side
            ),
            *(self._scalar(m, k, whole, leaves, context, result, queues["index"].head) for k in range(2)),
        ]
        m.d.comb += leaves.eq(whole & Cat(sent).all())
        m.d.sync += self.token_out.eq(Mux(leaves, context.token_out, 0))

        free = Signal(range(self.in_flight + 1), init=self.in_flight)
        m.d.sync += free.eq(free - self.reserve + leaves)
        m.d.comb += [self.room.eq(free != 0), self.idle.eq(free == self.in_flight)]
        return m

    def _vector(
        self,
        m: Module,
        k: int,
        whole: Value,
        leaves: Value,
        context: Any,
        words: Value,
        wide: Value,
        paired: Value,
    ) -> Value:
        """Sends the beats of one output; whether it has nothing left to send after this cycle."""
        layout = vector_layout(self.params.lanes)
        m.submodules[f"vector_{k}"] = fifo = SyncFIFOBuffered(width=layout.size, depth=PORT_DEPTH)
        sent = Signal(2, name=f"vector_{k}_sent")
        beat = Signal(layout, name=f"beat_{k}")
        sends, done = Signal(name=f"vector_{k}_sends"), Signal(name=f"vector_{k}_done")
        half = self.params.lanes * ELEMENT_BITS
        upper = Cat(words.word_select(i, SCALAR_BITS)[SCALAR_BITS - ELEMENT_BITS :] for i in range(self.params.lanes))
        bytes_ = Cat(words.word_select(i, SCALAR_BITS)[:BYTE_BITS] for i in range(self.params.lanes))
        waits, pair = self._pair(m, k, paired & ~context.final, bytes_, leaves & context.vector_out[k] & paired)
        beats = Mux(wide, 2, ~waits)
        m.d.comb += [
            sends.eq(whole & context.vector_out[k] & (sent < beats) & fifo.w_rdy),
            done.eq(~context.vector_out[k] | (sent + sends == beats)),
            beat.elements.as_value().eq(Mux(wide, Mux(sent[0], words[half:], words[:half]), Mux(paired, pair, upper))),
            beat.sequence.eq(context.sequence + Mux(sent[0], self.config.sequence.beat, 0)),
            fifo.w_en.eq(sends),
            fifo.w_data.eq(beat),
            self.vector_out[k].payload.eq(fifo.r_data),
            self.vector_out[k].valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.vector_out[k].ready),
        ]
        m.d.sync += sent.eq(Mux(leaves, 0, sent + sends))
        return done

    def _pair(self, m: Module, k: int, may_wait: Value, now: Value, leaves: Value) -> tuple[Value, Value]:
        """Whether these bytes wait for the next result's, and the beat they make if they do not."""
        waiting, first = Signal(name=f"vector_{k}_waiting"), Signal.like(now, name=f"vector_{k}_first")
        waits = Signal(name=f"vector_{k}_waits")
        m.d.comb += waits.eq(may_wait & ~waiting)
        with m.If(leaves):
            m.d.sync += [waiting.eq(waits), first.eq(now)]
        return waits, Mux(waiting, Cat(first, now), now)

    def _scalar(self, m: Module, k: int, whole: Value, leaves: Value, context: Any, result: Any, index: Value) -> Value:
        """The same for a scalar output."""
        m.submodules[f"scalar_{k}"] = fifo = SyncFIFOBuffered(width=SCALAR_BITS, depth=PORT_DEPTH)
        sent = Signal(name=f"scalar_{k}_sent")
        sends, done = Signal(name=f"scalar_{k}_sends"), Signal(name=f"scalar_{k}_done")
        m.d.comb += [
            sends.eq(whole & context.scalar_out[k] & ~sent & fifo.w_rdy),
            done.eq(~context.scalar_out[k] | sent | sends),
            fifo.w_en.eq(sends),
            self.scalar_out[k].payload.eq(fifo.r_data),
            self.scalar_out[k].valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.scalar_out[k].ready),
        ]
        m.d.sync += sent.eq(~leaves & (sent | sends))
        sources = {ScalarSource.RESULT: result[0], ScalarSource.INDEX: index}
        first = ScalarSource.SHARED_0.value
        sources |= {ScalarSource(first + i): value for i, value in enumerate(context.shared)}
        with m.Switch(self.config.scalar_out[k].source):
            for source, value in sources.items():
                with m.Case(source):
                    m.d.comb += fifo.w_data.eq(value)
        return done
