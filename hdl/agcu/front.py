"""The front of one stream: checked accesses, made when they may be, joined into bursts."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.agcu.coalesce import Coalescer, burst_layout
from hdl.agcu.config import Cause, part_layout
from hdl.agcu.pipeline import AddressPipeline, item_layout
from hdl.params import RDUParams
from hdl.streams import scalar_stream


class Front(wiring.Component):
    """Stream ``number`` (loads first, then stores) up to its bursts.

    - An access begins when its tokens are there, its fence is passed, its emitted word and it itself have ``room``, and
      the unit has not ``stopped``. ``begun``: pulse, with the ``item``.
    - ``refused``: level, the access in turn must not be made; it stays there, nothing behind it is made.
    - ``there``: only its data and room may be missing. ``alone``: every access is a burst.
    - ``making``: a burst is being made. ``busy``: it is, or accesses are still to come.
    - ``wait_*``: what the access in turn waits for, one cause a cycle.
    - Latency: one cycle from ``AddressPipeline``, then that of :class:`Coalescer`. Throughput: one access a cycle.
    """

    def __init__(self, params: RDUParams, number: int) -> None:
        self.params, self.number = params, number
        agcu = params.agcu
        super().__init__(
            {
                "config": In(part_layout(params, number)),
                "start": In(1),
                "stopped": In(1),
                "scalars": In(scalar_stream()).array(agcu.SCALAR_INPUTS),
                "tokens": In(agcu.TOKENS),
                "writing": In(1),
                "emit_room": In(1),
                "room": In(1),
                "alone": In(1),
                "begun": Out(1),
                "item": Out(item_layout(params)),
                "there": Out(1),
                "refused": Out(1),
                "burst": Out(stream.Signature(burst_layout(params))),
                "making": Out(1),
                "busy": Out(1),
                "wait_scalar": Out(1),
                "wait_token": Out(1),
                "wait_fence": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pipeline = pipeline = AddressPipeline(self.params, self.number)
        m.submodules.coalescer = coalescer = Coalescer(self.params)
        for inner, outer in zip(pipeline.scalars, self.scalars, strict=True):
            connect(m, inner, flipped(outer))
        connect(m, coalescer.o, flipped(self.burst))
        item: Any = pipeline.o.payload
        tokens, fence, may = Signal(), Signal(), Signal()
        m.d.comb += [
            pipeline.config.eq(self.config),
            pipeline.start.eq(self.start),
            self.item.eq(item),
            tokens.eq((item.events.wait & self.tokens) == item.events.wait),
            fence.eq(~item.events.fence | ~self.writing),
            may.eq(pipeline.o.valid & (item.cause == Cause.NONE) & ~self.stopped),
            self.there.eq(may & tokens & fence),
            coalescer.i.valid.eq(self.there & self.room & (~item.events.emit | self.emit_room)),
            self.begun.eq(coalescer.i.valid & coalescer.i.ready),
            pipeline.o.ready.eq(self.begun),
            coalescer.i.payload.offset.eq(item.offset),
            coalescer.i.payload.touches.eq(item.touches),
            coalescer.i.payload.close.eq(item.events.last | item.events.fire.any() | self.alone),
            self.refused.eq(pipeline.o.valid & (item.cause != Cause.NONE)),
            self.making.eq(coalescer.busy),
            self.busy.eq(pipeline.busy | coalescer.busy),
            self.wait_scalar.eq(pipeline.wait_scalar),
            self.wait_token.eq(may & ~tokens),
            self.wait_fence.eq(may & tokens & ~fence),
        ]
        if pipeline.is_store:  # a load's tokens go when its data have come back
            m.d.comb += coalescer.i.payload.fire.eq(item.events.fire)
        return m
