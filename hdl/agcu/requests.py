"""The way out: bursts of all streams in turn, beat by beat, to the memory."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.agcu.coalesce import burst_layout
from hdl.agcu.store import beat_layout
from hdl.memory.port import request_layout
from hdl.params import MEMORY_ADDRESS_BITS, TAG_BITS, RDUParams
from hdl.tln.arbiter import RoundRobin


class Requests(wiring.Component):
    """Sends one burst after the other: a read is one flit, a write one a beat, back to back.

    - ``allowed[s]``: stream s may be given ``tag``, and can remember it. ``stopped``: nothing new begins.
    - ``bases[s]``: byte address of the segment of stream s.
    - ``begun``: pulse, a burst with beats begins, of the stream ``granted`` (one hot); it uses ``tag``.
    - ``sending``: a write is half sent, or a flit was not yet taken.
    - Latency: one cycle from ``bursts`` to ``request``. Throughput: one flit a cycle.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params = params
        agcu = params.agcu
        count = agcu.loads + agcu.stores
        super().__init__(
            {
                "bursts": In(stream.Signature(burst_layout(params))).array(count),
                "beats": In(stream.Signature(beat_layout(params))).array(agcu.stores),
                "bases": In(data.ArrayLayout(MEMORY_ADDRESS_BITS, count)),
                "retire_room": In(count),
                "allowed": In(count),
                "tag": In(TAG_BITS),
                "stopped": In(1),
                "begun": Out(1),
                "granted": Out(count),
                "request": Out(stream.Signature(request_layout(params))),
                "sending": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        loads, stores = self.params.agcu.loads, self.params.agcu.stores
        count = loads + stores
        m.submodules.turns = turns = RoundRobin(count)
        request: Any = self.request.payload
        room, half = Signal(), Signal()
        left, owner = Signal(range(self.params.memory.granule + 1)), Signal(range(max(stores, 2)))
        m.d.comb += [
            room.eq(~self.request.valid | self.request.ready),
            half.eq(left != 0),
            self.sending.eq(half | self.request.valid),
        ]
        empty = [self.bursts[s].payload.beats == 0 for s in range(count)]
        for s, burst in enumerate(self.bursts):
            may = burst.valid & self.retire_room[s] & (self.allowed[s] | empty[s])
            m.d.comb += [turns.requests[s].eq(may & room & ~half & ~self.stopped), burst.ready.eq(turns.grant[s])]
        write, which, burst = self._granted(m, turns.grant)
        begins = Signal()
        m.d.comb += [
            self.granted.eq(turns.grant),
            turns.take.eq(1),
            begins.eq(turns.grant.any() & (burst.beats != 0)),
            self.begun.eq(begins),
        ]
        beat, now = Signal(beat_layout(self.params)), Signal.like(owner)
        m.d.comb += now.eq(Mux(half, owner, which))
        for k, source in enumerate(self.beats):
            with m.If(now == k):
                # valid all along: a store queues its beats before the burst that they make
                m.d.comb += [beat.eq(source.payload), source.ready.eq(room & (half | (begins & write)))]
        with m.If(begins):
            m.d.sync += [
                request.address.eq(self._address(turns.grant, burst)),
                request.length.eq(burst.beats - 1),
                request.tag.eq(self.tag),
                request.write.eq(write),
            ]
        with m.If(begins & write):
            m.d.sync += [left.eq(burst.beats - 1), owner.eq(which)]
        with m.Elif(half & room):
            m.d.sync += left.eq(left - 1)
        with m.If((begins & write) | (half & room)):
            m.d.sync += [request.data.eq(beat.data), request.strobe.eq(beat.strobe)]
        with m.If(room):
            last = Mux(half, left == 1, ~write | (burst.beats == 1))
            m.d.sync += self.request.valid.eq(begins | half)
            with m.If(begins | half):
                m.d.sync += request.last.eq(last)
        return m

    def _granted(self, m: Module, grant: Value) -> tuple[Value, Value, Any]:
        """Whether the burst granted is a write, of which store, and the burst."""
        loads, stores = self.params.agcu.loads, self.params.agcu.stores
        burst, which = Signal(burst_layout(self.params)), Signal(range(max(stores, 2)))
        for s, source in enumerate(self.bursts):
            with m.If(grant[s]):
                m.d.comb += [burst.eq(source.payload), which.eq(max(s - loads, 0))]
        return grant[loads:].any(), which, burst

    def _address(self, grant: Value, burst: Any) -> Value:
        beat = (self.params.beat_bytes - 1).bit_length()
        chosen = [Mux(grant[s], self.bases[s], 0) for s in range(len(grant))]
        base = chosen[0]
        for other in chosen[1:]:
            base = base | other
        address = (base + burst.offset)[:MEMORY_ADDRESS_BITS]
        return Cat(C(0, beat), address[beat:])
