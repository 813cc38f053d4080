"""What stands behind addresses that do not exist."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from hdl.memory.channel import channel_port, channel_response
from hdl.params import RDUParams
from hdl.tln.slice import Slice


class Nowhere(wiring.Component):
    """A channel without memory: takes any request and answers every beat with an error and data of zero.

    - Latency: 1 cycle. Throughput: one request, or one beat of an answer, a cycle. All outputs are registered.
    """

    def __init__(self, params: RDUParams, tags: int) -> None:
        self.params, self.tags = params, tags
        super().__init__({"port": In(channel_port(params, tags))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = self.port.request
        m.submodules.stage = stage = Slice(channel_response(self.params, self.tags))
        connect(m, stage.o, flipped(self.port.response))
        answering = Signal()
        left = Signal.like(request.payload.length)
        answer = stage.i.payload
        m.d.comb += [request.ready.eq(~answering), answer.error.eq(1)]
        m.d.comb += [stage.i.valid.eq(answering), answer.last.eq(left == 0)]
        tag, write = Signal(self.tags), Signal()
        m.d.comb += [answer.tag.eq(tag), answer.write.eq(write)]
        with m.If(request.valid & ~answering):
            m.d.sync += [tag.eq(request.payload.tag), write.eq(request.payload.write)]
            m.d.sync += answering.eq(~request.payload.write | request.payload.last)
            with m.If(request.payload.write):
                m.d.sync += left.eq(0)
            with m.Else():
                m.d.sync += left.eq(request.payload.length)
        with m.Elif(answering & stage.i.ready):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += answering.eq(0)
        return m
