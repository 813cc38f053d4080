"""Joins the consecutive vectors of a stream into bursts."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.params import SCALAR_BITS, RDUParams


def vector_access_layout(params: RDUParams) -> data.StructLayout:
    """One vector at byte ``offset`` of a segment. One that does not ``touch`` memory only brings its tokens.

    ``fire``: tokens to send when the burst is answered; ``close``: nothing joins it.
    """
    return data.StructLayout({"offset": SCALAR_BITS, "touches": 1, "fire": params.agcu.TOKENS, "close": 1})


def burst_layout(params: RDUParams) -> data.StructLayout:
    """``beats`` vectors from byte ``offset`` of a segment on, within a granule; none: only tokens."""
    beats = range(params.memory.granule + 1)
    return data.StructLayout({"offset": SCALAR_BITS, "beats": beats, "fire": params.agcu.TOKENS})


class Coalescer(wiring.Component):
    """A burst ends at the end of its granule, where the next vector is not the next in memory, where a vector says so
    (``close``), and when none has come for ``PATIENCE`` cycles.

    - Latency: two cycles from the vector that ends a burst. Throughput: one vector a cycle, whatever the bursts.
    - ``busy``: a burst is being made or stands at ``o``.
    """

    PATIENCE = 4

    def __init__(self, params: RDUParams) -> None:
        self.params = params
        super().__init__(
            {
                "i": In(stream.Signature(vector_access_layout(params))),
                "o": Out(stream.Signature(burst_layout(params))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params, vector = self.params, self.i.payload
        burst, valid = Signal(burst_layout(params)), Signal()
        closing, following = Signal(), Signal(SCALAR_BITS)  # nothing may join; the offset that would
        idle = Signal(range(self.PATIENCE + 1))
        continues, joins, room, pushed = Signal(), Signal(), Signal(), Signal()
        beat = (params.beat_bytes - 1).bit_length()
        ends = vector.offset[beat:][: (params.memory.granule - 1).bit_length()].all()  # true if a granule is one beat
        m.d.comb += [
            continues.eq(~vector.touches | (vector.offset == following)),
            joins.eq(valid & continues & ~closing),
            room.eq(~self.o.valid | self.o.ready),
            pushed.eq(
                valid & room & (closing | (self.i.valid & ~continues) | (~self.i.valid & (idle == self.PATIENCE)))
            ),
            self.i.ready.eq(~valid | joins | room),
            self.busy.eq(valid | self.o.valid),
        ]
        with m.If(pushed):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(burst), valid.eq(0), closing.eq(0)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += idle.eq(0)
            with m.If(vector.touches):
                m.d.sync += following.eq(vector.offset + params.beat_bytes)
            with m.If(joins):
                m.d.sync += [
                    burst.beats.eq(burst.beats + vector.touches),
                    burst.fire.eq(burst.fire | vector.fire),
                    closing.eq(vector.close | (vector.touches & ends)),
                ]
            with m.Elif(vector.touches | vector.fire.any()):
                m.d.sync += [
                    burst.offset.eq(vector.offset),
                    burst.beats.eq(vector.touches),
                    burst.fire.eq(vector.fire),
                    valid.eq(1),
                    closing.eq(vector.close | ends | ~vector.touches),
                ]
        with m.Elif(valid & (idle != self.PATIENCE)):
            m.d.sync += idle.eq(idle + 1)
        return m
