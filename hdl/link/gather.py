"""Vectors into packets: which channel is next, and when a packet is long enough."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.link.layout import LinkSizes, address_layout, beat_layout
from hdl.rdn.arbiter import LeastRecent, chosen
from hdl.tln.slice import Slice


def slot_layout(sizes: LinkSizes) -> data.StructLayout:
    """What the header of a packet is made of when it is sent, however often."""
    return data.StructLayout(
        {
            "channel": range(sizes.link.channels),
            "length": range(sizes.link.packet + 1),
            "address": address_layout(),
        }
    )


class Gather(wiring.Component):
    """Takes vectors of one channel at a time and makes packets of those that follow each other with one address.

    A packet is closed when it is full or the next vector of its channel has another address; otherwise it stays open
    for more until the wire has nothing else to send (``idle``). So a slow stream makes short packets only on a wire
    that has time for them. Of the channels with a vector and a credit, the one served least recently opens the next.

    - ``room``: channels that have a credit; ``take``: a vector of that channel goes into the packet.
    - ``free``: there is a slot. ``write``: pulse, ``vector`` is number ``row`` of the packet; ``close``: pulse, it is
      complete, and ``slot`` says what it is.
    - ``alone``: no packet is under way. If vectors wait for credits so long as ``timeout`` then, an empty packet asks
      the peer for an answer: what it told last may have been lost.
    - Latency: 1 cycle to ``write``. Throughput: a vector a cycle.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(sizes))).array(sizes.link.channels),
                "room": In(sizes.link.channels),
                "take": Out(sizes.link.channels),
                "free": In(1),
                "idle": In(1),
                "alone": In(1),
                "write": Out(1),
                "row": Out(range(sizes.link.packet)),
                "vector": Out(sizes.vector),
                "close": Out(1),
                "slot": Out(slot_layout(sizes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beats = self._beats(m)
        waiting = Cat(beat.valid for beat in beats)
        m.submodules.arbiter = arbiter = LeastRecent(len(beats))
        count, mine, address = Signal(range(self.sizes.link.packet)), Signal(len(beats)), Signal(address_layout())
        is_open, next_is, fits = Signal(), Signal(len(beats)), Signal()
        beat = Signal(beat_layout(self.sizes))
        m.d.comb += [
            is_open.eq(count != 0),
            arbiter.requests.eq(waiting & self.room),
            next_is.eq(Mux(is_open, mine, arbiter.grant)),
            beat.eq(chosen(next_is, [Value.cast(beat.payload) for beat in beats])),
            fits.eq(~is_open | (Value.cast(beat.address) == Value.cast(address))),
            self.write.eq((next_is & arbiter.requests).any() & fits & self.free),
            self.take.eq(Mux(self.write, next_is, 0)),
            arbiter.served.eq(self.write & ~is_open),
            self.row.eq(count),
            self.vector.eq(beat.vector),
            *(source.ready.eq(self.take[c]) for c, source in enumerate(beats)),
        ]
        full, other, asks = Signal(), Signal(), self._asks(m, is_open, waiting, arbiter.requests)
        m.d.comb += [
            full.eq(self.write & (count == self.sizes.link.packet - 1)),
            other.eq((next_is & waiting).any() & ~fits),
            self.close.eq(full | (is_open & (other | (self.idle & ~self.write))) | asks),
            self.slot.length.eq(count + self.write),
            self.slot.channel.eq(chosen(next_is, [Value.cast(c) for c in range(len(beats))])),
            self.slot.address.eq(Mux(is_open, address, beat.address)),
        ]
        with m.If(self.close):
            m.d.sync += count.eq(0)
        with m.Elif(self.write):
            m.d.sync += count.eq(count + 1)
        with m.If(self.write):
            m.d.sync += [mine.eq(next_is), address.eq(beat.address)]
        return m

    def _beats(self, m: Module) -> list[Any]:
        """The streams behind registers, so that none of their outputs depends on another's input."""
        beats = []
        for c, source in enumerate(self.i):
            m.submodules[f"slice_{c}"] = piece = Slice(beat_layout(self.sizes))
            connect(m, flipped(source), piece.i)
            beats.append(piece.o)
        return beats

    def _asks(self, m: Module, is_open: Value, waiting: Value, able: Value) -> Signal:
        """Vectors have waited for credits too long, and nothing is under way that would be answered."""
        timer, asks = Signal(range(self.sizes.link.timeout + 1)), Signal()
        m.d.comb += asks.eq(timer == self.sizes.link.timeout)
        with m.If(self.alone & waiting.any() & ~able.any() & ~is_open & ~asks):
            m.d.sync += timer.eq(timer + 1)
        with m.Else():
            m.d.sync += timer.eq(0)
        return asks
