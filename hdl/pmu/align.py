"""Data alignment on both sides of the banks: conversion, permutation, rotation back to lanes."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.classify import canonical
from hdl.arith.convert import Fp32ToBf16
from hdl.arith.formats import BF16, FP32, Bf16, Fp32
from hdl.control.credits import Credits
from hdl.params import ELEMENT_BITS, PMUParams
from hdl.pmu.access import request_layout
from hdl.pmu.banks import Banks
from hdl.pmu.config import pipeline_layout
from hdl.pmu.lanes import permuted, to_lanes
from hdl.streams import SEQUENCE_BITS, vector_layout, vector_stream


class WriteAlign(wiring.Component):
    """Write data: beats to vectors, FP32 to BF16 where configured (two beats a vector), then the lane permutation.

    - Latency: two cycles. Throughput: one beat a cycle.
    - ``clear``: forgets half a vector.
    """

    def __init__(self, params: PMUParams) -> None:
        self.params = params
        elements = data.ArrayLayout(ELEMENT_BITS, params.lanes)
        super().__init__(
            {
                "config": In(pipeline_layout(params)),
                "clear": In(1),
                "i": In(stream.Signature(elements)),
                "o": Out(stream.Signature(elements)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, half = self.params.lanes, self.params.lanes // 2
        taken, moved = Signal(), Signal()
        loaded, second = Signal(), Signal()  # a beat stands in the registers; it completes a vector
        beat, first = Signal.like(self.i.payload), Signal(half * ELEMENT_BITS)
        narrow = [Signal(Bf16, name=f"narrow_{k}") for k in range(half)]
        for k in range(half):
            m.submodules[f"convert_{k}"] = convert = Fp32ToBf16(depth=1)
            pair = Cat(self.i.payload[2 * k], self.i.payload[2 * k + 1])
            m.d.comb += [convert.en.eq(taken), convert.i.value.eq(pair), narrow[k].eq(convert.o)]
        whole = Signal(lanes * ELEMENT_BITS)
        complete = ~self.config.convert | second
        m.d.comb += [
            whole.eq(Mux(self.config.convert, Cat(first, *narrow), beat.as_value())),
            moved.eq(loaded & (~complete | ~self.o.valid | self.o.ready)),
            self.i.ready.eq(~loaded | moved),
            taken.eq(self.i.valid & self.i.ready),
        ]
        with m.If(taken):
            m.d.sync += [beat.eq(self.i.payload), loaded.eq(1)]
        with m.Elif(moved):
            m.d.sync += loaded.eq(0)
        with m.If(self.clear):
            m.d.sync += second.eq(0)
        with m.Elif(moved & self.config.convert):
            m.d.sync += second.eq(~second)
        vector = permuted(m, [whole.word_select(i, ELEMENT_BITS) for i in range(lanes)], self.config.permute)
        with m.If(moved & complete):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.as_value().eq(Cat(vector))]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(moved & ~complete):
            m.d.sync += first.eq(Cat(narrow))
        return m


class ReadAlign(wiring.Component):
    """Read data: bank order to lane order, masked lanes zero, the lane permutation, a queue, BF16 to FP32.

    - ``reserve``: a read was let begin, and a place in the queue is its; ``room``: there is another.
    - ``taken``, ``request``: the read goes to the banks in this cycle.
    - ``busy``: results on their way or queued.
    - Latency: five cycles from ``taken`` to ``o``. Throughput: one beat a cycle.
    """

    LATENCY = Banks.LATENCY + 3

    def __init__(self, params: PMUParams) -> None:
        self.params = params
        self.depth = params.fifo_depth + self.LATENCY + 2
        super().__init__(
            {
                "config": In(pipeline_layout(params)),
                "reserve": In(1),
                "room": Out(1),
                "busy": Out(1),
                "taken": In(1),
                "request": In(request_layout(params)),
                "elements": In(data.ArrayLayout(ELEMENT_BITS, params.lanes)),
                "o": Out(vector_stream(params.lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = data.StructLayout({"valid": 1, "start": self.request.start.shape(), "lanes": self.params.lanes})
        tag = data.StructLayout({**{key: field.shape for key, field in layout}, "sequence": SEQUENCE_BITS})
        waiting = [Signal(tag, name=f"waiting_{k}") for k in range(Banks.LATENCY)]
        now: Any = waiting[-1]
        for stage, before in zip(waiting, [None, *waiting[:-1]], strict=True):
            if before is None:
                m.d.sync += stage.valid.eq(self.taken)
                with m.If(self.taken):
                    m.d.sync += [
                        getattr(stage, name).eq(getattr(self.request, name)) for name in ("start", "lanes", "sequence")
                    ]
            else:
                m.d.sync += stage.eq(before)
        rotated, valid = Signal(vector_layout(self.params.lanes)), Signal()
        m.d.sync += valid.eq(now.valid)
        with m.If(now.valid):
            elements = to_lanes([self.elements[b] for b in range(self.params.lanes)], now.start)
            m.d.sync += rotated.sequence.eq(now.sequence)
            m.d.sync += [rotated.elements[i].eq(Mux(now.lanes[i], e, 0)) for i, e in enumerate(elements)]
        vector = permuted(m, [rotated.elements[i] for i in range(self.params.lanes)], self.config.permute)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=len(rotated.as_value()), depth=self.depth)
        m.d.comb += [queue.w_en.eq(valid), queue.w_data.eq(Cat(*vector, rotated.sequence))]
        self._credit(m, popped=queue.r_en & queue.r_rdy)
        self._serialise(m, queue)
        return m

    def _credit(self, m: Module, popped: Any) -> None:
        m.submodules.credits = credits = Credits(self.depth)
        m.d.comb += [
            credits.take.eq(self.reserve),
            credits.give.eq(popped),
            self.room.eq(credits.some),
            self.busy.eq(~credits.every),
        ]

    def _serialise(self, m: Module, queue: fifo.SyncFIFOBuffered) -> None:
        """One beat a vector, or two with every element widened."""
        lanes = self.params.lanes
        head, second = Signal(vector_layout(lanes)), Signal()
        padding = C(0, FP32.width - BF16.width)
        wide = [Signal(Fp32, name=f"wide_{i}") for i in range(lanes)]
        m.d.comb += head.as_value().eq(queue.r_data)
        for i in range(lanes):
            value = data.View(Bf16, head.elements[i])
            m.d.comb += wide[i].as_value().eq(Cat(padding, canonical(BF16, value)[: BF16.width]))
        halves = Cat(wide).word_select(second, lanes * ELEMENT_BITS)
        m.d.comb += [
            self.o.valid.eq(queue.r_rdy),
            self.o.payload.elements.as_value().eq(Mux(self.config.convert, halves, head.elements.as_value())),
            self.o.payload.sequence.eq(head.sequence),
            queue.r_en.eq(self.o.ready & (~self.config.convert | second)),
        ]
        with m.If(self.o.valid & self.o.ready & self.config.convert):
            m.d.sync += second.eq(~second)
