"""Puts a stream on either side of a fixed-latency arithmetic unit, which never stalls: issue is credited by room."""

from typing import Any, Protocol

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.errors import ParameterError


class ArithmeticUnit(Protocol):
    """Anything with the members of ``docs/architecture.md``, arithmetic units: ``en``, ``i``, ``o``, ``latency``."""

    latency: int
    signature: wiring.Signature
    en: Signal
    i: Any
    o: Any

    def elaborate(self, platform: Any) -> Any: ...


class Streamed(wiring.Component):
    """``unit`` between an input stream of its operands and an output stream of its results, order kept.

    An operand is accepted only when the output queue has a slot for its result, so the unit, which cannot stall, never
    has to. Every slot is in one of three states: free, promised to an operand in flight, or filled.

    - Latency: ``unit.latency + 2`` cycles from the transfer in to valid out.
    - Throughput: one a cycle with ``room`` at its default, the shortest queue that reaches it; ``room`` divided by
      ``unit.latency + 3`` with less.
    - Stall behaviour: back-pressure fills the queue, then ready falls; nothing in flight ever waits.
    - Registered: ready, valid and payload all come from registers; no path leads from an input to an output.
    - Idle costs nothing: ``en`` of the unit is high only in cycles in which something in it must move.

    Raises:
        ParameterError: ``room`` is less than three slots. The queue is Amaranth's buffered one, which needs one word to
            pass on, one to hold at its output, and one to accept meanwhile.
    """

    ROUND_TRIP = 3  # cycles a slot is taken besides the unit's latency: into the queue, to its output, credit back
    LEAST_ROOM = 3

    def __init__(self, unit: ArithmeticUnit, room: int | None = None) -> None:
        self.unit = unit
        self.room = unit.latency + self.ROUND_TRIP if room is None else room
        if self.room < self.LEAST_ROOM:
            raise ParameterError(f"streamed unit: room {self.room} is less than {self.LEAST_ROOM} results")
        # Attributes, because the proof of this block states how they relate.
        self.free = Signal(range(self.room + 1), init=self.room)
        self.in_flight = Signal(unit.latency)  # bit k: a result will leave the unit in (latency - 1 - k) cycles
        self.queue = fifo.SyncFIFOBuffered(width=Value.cast(unit.o).shape().width, depth=self.room)
        super().__init__(
            {
                "i": In(stream.Signature(unit.signature.members["i"].shape)),
                "o": Out(stream.Signature(unit.signature.members["o"].shape)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        m.submodules.queue = queue = self.queue

        accept = self.i.valid & self.i.ready
        take = self.o.valid & self.o.ready
        free = Signal.like(self.free)
        m.d.comb += free.eq(self.free - accept + take)
        ready = Signal(init=1)
        m.d.sync += [self.free.eq(free), ready.eq(free != 0)]

        m.d.sync += self.in_flight.eq(Cat(accept, self.in_flight))
        m.d.comb += [
            self.i.ready.eq(ready),
            unit.i.eq(self.i.payload),
            unit.en.eq(accept | self.in_flight[:-1].any()),
            queue.w_data.eq(unit.o),
            queue.w_en.eq(self.in_flight[-1]),
            queue.r_en.eq(self.o.ready),
            self.o.payload.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
        ]
        return m
