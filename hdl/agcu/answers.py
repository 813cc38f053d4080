"""The way back: answers in any order into the reorder buffer, from which every load takes its vectors in order."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.agcu.config import STREAM_BITS
from hdl.agcu.tags import slot_layout
from hdl.memory.port import response_layout
from hdl.params import ELEMENT_BITS, SCALAR_BITS, TAG_BITS, RDUParams
from hdl.tln.arbiter import RoundRobin


def origin_layout() -> data.StructLayout:
    """Where a burst came from."""
    return data.StructLayout({"stream": STREAM_BITS, "offset": SCALAR_BITS})


class Answers(wiring.Component):
    """Takes every answer at once, since a burst is sent only with room for it.

    - ``answered``: pulse, all beats of ``answered_tag`` have come and are right. ``ended``: pulse, right or not.
    - ``sent``: pulse, a burst of ``origin`` goes out as ``sent_tag``. ``failed``: pulse, a burst had an error; that of
      ``failed_origin``. It never becomes complete, so that wrong data go nowhere.
    - ``wanted[k]``, ``slots[k]``: load k could take a vector; ``taken[k]``: it is given it, ``elements`` in the next
      cycle.
    - Throughput: one beat in and one out a cycle. Latency: two cycles from ``response`` to ``answered``.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params = params
        agcu = params.agcu
        super().__init__(
            {
                "response": In(stream.Signature(response_layout(params))),
                "sent": In(1),
                "sent_tag": In(TAG_BITS),
                "origin": In(origin_layout()),
                "answered": Out(1),
                "answered_tag": Out(TAG_BITS),
                "ended": Out(1),
                "failed": Out(1),
                "failed_origin": Out(origin_layout()),
                "wanted": In(agcu.loads),
                "slots": In(data.ArrayLayout(slot_layout(params), agcu.loads)),
                "taken": Out(agcu.loads),
                "elements": Out(data.ArrayLayout(ELEMENT_BITS, params.lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        answer: Any = Signal(response_layout(self.params))
        there, beat, bad = Signal(), Signal(range(self.params.memory.granule)), Signal()
        m.d.comb += self.response.ready.eq(1)
        m.d.sync += there.eq(self.response.valid)
        with m.If(self.response.valid):
            m.d.sync += answer.eq(self.response.payload)
        wrong = answer.error | bad
        m.d.comb += [
            self.answered.eq(there & answer.last & ~wrong),
            self.answered_tag.eq(answer.tag),
            self.ended.eq(there & answer.last),
        ]
        with m.If(there):
            m.d.sync += [beat.eq(Mux(answer.last, 0, beat + 1)), bad.eq(wrong & ~answer.last)]
        self._buffer(m, there & ~answer.write, answer, beat)
        self._origins(m, there & answer.last & wrong, answer.tag)
        return m

    def _buffer(self, m: Module, write: Any, answer: Any, beat: Signal) -> None:
        params = self.params
        depth = 1 << slot_layout(params).size
        m.submodules.buffer = buffer = memory.Memory(shape=ELEMENT_BITS * params.lanes, depth=depth, init=[])
        write_port, read_port = buffer.write_port(), buffer.read_port()
        m.submodules.turns = turns = RoundRobin(params.agcu.loads)
        slot = Signal(slot_layout(params))
        for k in range(params.agcu.loads):
            with m.If(turns.grant[k]):
                m.d.comb += slot.eq(self.slots[k])
        place = Signal(slot_layout(params))
        m.d.comb += [
            place.tag.eq(answer.tag),
            place.beat.eq(beat),
            write_port.en.eq(write),
            write_port.addr.eq(place),
            write_port.data.eq(answer.data),
            turns.requests.eq(self.wanted),
            turns.take.eq(1),
            self.taken.eq(turns.grant),
            read_port.en.eq(turns.grant.any()),
            read_port.addr.eq(slot),
            self.elements.eq(read_port.data),
        ]

    def _origins(self, m: Module, failed: Any, tag: Any) -> None:
        origins = memory.Memory(shape=origin_layout().size, depth=self.params.agcu.outstanding, init=[])
        m.submodules.origins = origins
        write_port, read_port = origins.write_port(), origins.read_port()
        m.d.comb += [
            write_port.en.eq(self.sent),
            write_port.addr.eq(self.sent_tag),
            write_port.data.eq(Cat(self.origin.stream, self.origin.offset)),
            read_port.en.eq(failed),
            read_port.addr.eq(tag),
            self.failed_origin.eq(read_port.data),
        ]
        m.d.sync += self.failed.eq(failed)
