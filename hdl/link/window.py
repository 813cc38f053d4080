"""Go-back-N: which packets are under way, what is sent next, and when all of it is sent again."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.link.layout import LinkSizes


class Window(wiring.Component):
    """Packets that may have to be sent again, numbered modulo twice the ``window``; each has a slot until acknowledged.

    In their order: ``built`` packets have a slot; ``reached`` of them have been sent at least once; ``sent`` of them
    since the last time that sending went back. 0 <= sent <= reached <= built <= window: ``verif/proofs/link.py``.

    - ``room``: slot ``slot_in`` is free; ``build``: it holds a packet from now on.
    - ``ready``: packet ``sequence`` in slot ``slot_out`` waits to be sent; ``start``: it leaves.
    - ``heard``: the peer expects packet ``ack`` and has all before it; one that was never sent is ignored. With
      ``nak``, or after ``timeout`` cycles without progress, sending goes back to the first that it lacks.
    - ``progress``, ``back``: pulses, in the same cycle: something was acknowledged; sending goes back.
    - ``empty``: no packet has a slot.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        window = sizes.link.window
        number, slot = range(2 * window), range(window)
        # attributes because a proof speaks of them
        self.base = Signal(number)
        self.sent, self.reached, self.built = (
            Signal(range(window + 1), name=name) for name in ("sent", "reached", "built")
        )
        super().__init__(
            {
                "room": Out(1),
                "slot_in": Out(slot),
                "build": In(1),
                "ready": Out(1),
                "sequence": Out(number),
                "slot_out": Out(slot),
                "start": In(1),
                "heard": In(1),
                "ack": In(number),
                "nak": In(1),
                "progress": Out(1),
                "back": Out(1),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        base, sent, reached, built = self.base, self.sent, self.reached, self.built
        ahead, gone = Signal.like(base), Signal.like(built)
        m.d.comb += [
            self.room.eq(built != self.sizes.link.window),
            self.slot_in.eq(base + built),
            self.ready.eq(sent != built),
            self.sequence.eq(base + sent),
            self.slot_out.eq(base + sent),
            self.empty.eq(built == 0),
            ahead.eq(self.ack - base),
            gone.eq(Mux(self.heard & (ahead <= reached), ahead, 0)),
            self.progress.eq(gone != 0),
            self.back.eq((self.heard & self.nak) | self._late(m)),
        ]
        now_sent, now_reached = Signal.like(sent), Signal.like(reached)
        m.d.comb += [
            now_sent.eq(sent + self.start),
            now_reached.eq(Mux(now_sent > reached, now_sent, reached)),
        ]
        m.d.sync += [
            base.eq(base + gone),
            built.eq(built + self.build - gone),
            reached.eq(now_reached - gone),
            sent.eq(Mux(self.back | (now_sent < gone), 0, now_sent - gone)),
        ]
        return m

    def _late(self, m: Module) -> Signal:
        """Nothing was acknowledged for the time of a round trip."""
        timer, late = Signal(range(self.sizes.link.timeout + 1)), Signal()
        m.d.comb += late.eq(timer == self.sizes.link.timeout)
        with m.If((self.reached == 0) | self.progress | self.back):
            m.d.sync += timer.eq(0)
        with m.Else():
            m.d.sync += timer.eq(timer + 1)
        return late
