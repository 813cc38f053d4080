"""One end of a link between two sockets. Composition only."""

from typing import Any

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.link.bring_up import BringUp
from hdl.link.layout import COUNT_BITS, Fault, LinkSizes, beat_layout, wire_signature
from hdl.link.receiver import Receiver
from hdl.link.transmitter import Transmitter

COUNTERS = ("sent", "back", "bad", "repeated")
"""Packets of data that left, times that sending went back, packets that came damaged, packets that came again."""


def counts_layout() -> data.StructLayout:
    """A word for each of :data:`COUNTERS`."""
    return data.StructLayout(dict.fromkeys(COUNTERS, COUNT_BITS))


class PeerLink(wiring.Component):
    """Streams of vectors to the peer and from it, by channel: each vector once, in order, bit for bit, whatever the
    wires do short of breaking (``docs/node.md``).

    - ``i``, ``o``: vectors with their addresses, by channel. ``wire_out``, ``wire_in``: the wires.
    - ``up``: the peer is there. ``fault``: the link was given up, in bounded time, until ``clear``.
    - ``clear``: while high the link is reset, and what was on its way is lost; the peer then notices by itself.
    - ``counts``: of :data:`COUNTERS`, since reset or ``clear``.
    - Latency: a packet is sent when it is complete and delivered when it is whole. Throughput: a word a cycle.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        beats = stream.Signature(beat_layout(sizes))
        super().__init__(
            {
                "i": In(beats).array(sizes.link.channels),
                "o": Out(beats).array(sizes.link.channels),
                "wire_out": Out(wire_signature(sizes)),
                "wire_in": In(wire_signature(sizes)),
                "clear": In(1),
                "up": Out(1),
                "fault": Out(Fault),
                "counts": Out(counts_layout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        transmitter, receiver, bring_up = Transmitter(self.sizes), Receiver(self.sizes), BringUp(self.sizes)
        cleared = ResetInserter(self.clear)
        m.submodules.transmitter = cleared(transmitter)
        m.submodules.receiver = cleared(receiver)
        m.submodules.bring_up = cleared(bring_up)
        for c in range(self.sizes.link.channels):
            connect(m, flipped(self.i[c]), transmitter.i[c])
            connect(m, receiver.o[c], flipped(self.o[c]))
        connect(m, transmitter.wire, flipped(self.wire_out))
        connect(m, flipped(self.wire_in), receiver.wire)
        m.d.comb += [
            transmitter.heard.eq(receiver.heard),
            transmitter.peer.eq(receiver.peer),
            transmitter.status.eq(receiver.status),
            transmitter.due.eq(receiver.due),
            receiver.told.eq(transmitter.told),
            receiver.up.eq(bring_up.up),
            transmitter.up.eq(bring_up.up),
            transmitter.hello.eq(bring_up.due),
            transmitter.hello_kind.eq(bring_up.kind_due),
            bring_up.told.eq(transmitter.hello_told),
            bring_up.good.eq(receiver.good),
            bring_up.kind.eq(receiver.kind),
            bring_up.waiting.eq(transmitter.waiting),
            bring_up.progress.eq(transmitter.progress),
            self.up.eq(bring_up.up),
            self.fault.eq(bring_up.fault),
        ]
        self._count(m, transmitter, receiver)
        return m

    def _count(self, m: Module, transmitter: Any, receiver: Any) -> None:
        pulses = (transmitter.sent, transmitter.repeated, receiver.bad, receiver.repeated)
        for name, pulse in zip(COUNTERS, pulses, strict=True):
            event = Signal(name=f"event_{name}")
            m.d.sync += event.eq(pulse)
            with m.If(self.clear):
                m.d.sync += self.counts[name].eq(0)
            with m.Elif(event):
                m.d.sync += self.counts[name].eq(self.counts[name] + 1)
