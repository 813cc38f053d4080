"""Specifications of a peer link's flow control: its credits, and the window of packets under way."""

from typing import Any

from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.link.buffer import ChannelBuffer
from hdl.link.credits import LinkCredits
from hdl.link.layout import LinkSizes
from hdl.link.window import Window
from hdl.params import LinkParams

SMALL = LinkSizes(
    2, LinkParams(width=256, latency=1, packet=2, window=8, channels=1, depth=32, timeout=64, patience=256)
)
"""Small enough to prove; the properties do not depend on the sizes."""


class CreditSpecification(wiring.Component):
    """Every place of a channel's buffer is free, or spent for a vector that has not come, or holds one: the three
    always add up to the depth, though the sender hears only now and then what was freed, and some of it never.

    Vectors arrive (``commit``) at any time after they were spent, in packets; ``take``: the buffer's reader. ``hear``:
    what was told some time ago arrives; ``tell``: it is told anew, whether or not the last one was heard.
    ``too_many``: planted defect, the sender begins with credits for more places than there are.
    """

    def __init__(self, too_many: int = 0) -> None:
        self.too_many = too_many
        packet = SMALL.link.packet
        super().__init__(
            {
                "spend": In(1),
                "commit": In(1),
                "length": In(range(packet + 1)),
                "take": In(1),
                "tell": In(1),
                "hear": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = SMALL.link.depth
        m.submodules.credits = credits = LinkCredits(SMALL)
        m.submodules.buffer = buffer = ChannelBuffer(SMALL)
        spent, told = Signal(), Signal(range(2 * depth))
        under_way = Signal(range(2 * depth))  # vectors spent that have not come
        arrived = Signal.like(under_way)
        m.d.comb += [
            spent.eq(self.spend & credits.room[0]),
            credits.take.eq(spent),
            credits.heard.eq(self.hear),
            credits.freed[0].eq(told + self.too_many),
            buffer.commit.eq(self.commit),
            buffer.length.eq(self.length),
            buffer.o.ready.eq(self.take),
            arrived.eq(Mux(self.commit, self.length, 0)),
            Assume(arrived <= under_way),
        ]
        m.d.sync += under_way.eq(under_way + spent - arrived)
        with m.If(self.tell):
            m.d.sync += told.eq(buffer.freed)
        # places as the receiver sees them, and as the sender does: those it does not know to be free yet
        unknown, unheard = Signal(range(2 * depth)), Signal(range(2 * depth))
        counted = Signal(range(2 * depth))
        m.d.comb += [
            unknown.eq(buffer.freed - told),
            unheard.eq(told - credits.free[0]),
            counted.eq(credits.spent[0] - credits.free[0]),
            Assert(buffer.level + under_way <= depth),
            Assert(~self.commit | buffer.fits),
            Assert(counted <= depth),
            Assert(counted == under_way + buffer.level + unknown + unheard),
            # what makes it inductive: nothing is known before it is so
            Assert((unknown <= depth) & (unheard <= depth) & (under_way <= depth)),
        ]
        return m


class WindowSpecification(wiring.Component):
    """Sender's window and receiver's order together, over a wire that loses what it likes.

    - 0 <= sent <= reached <= built <= window at all times: no slot is used twice.
    - The receiver's number is never outside what the sender has sent: so every packet that it accepts is the next one
      and no old one looks new, and an acknowledgement acknowledges only what has come.

    One packet and one acknowledgement are on the wires at a time, for as long as it pleases; the next one that is sent
    replaces what is left of it. ``overrun``: planted defect, packets are built without room.
    """

    def __init__(self, overrun: bool = False) -> None:
        self.overrun = overrun
        super().__init__(
            {name: In(1) for name in ("build", "start", "deliver", "nak", "say", "hear")},
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        window = SMALL.link.window
        m.submodules.dut = dut = Window(SMALL)
        expected, said, number = (Signal(range(2 * window), name=name) for name in ("expected", "said", "number"))
        full, arrives = Signal(), Signal()  # the wire holds packet ``number``; it is accepted
        m.d.comb += [
            dut.build.eq(self.build & (dut.room | self.overrun)),
            dut.start.eq(self.start & dut.ready),
            dut.heard.eq(self.hear),
            dut.ack.eq(said),
            dut.nak.eq(self.nak),
            arrives.eq(full & self.deliver & (number == expected)),
        ]
        with m.If(dut.start):  # what was on the wire is lost
            m.d.sync += [full.eq(1), number.eq(dut.sequence)]
        with m.Elif(self.deliver):
            m.d.sync += full.eq(0)
        m.d.sync += expected.eq(expected + arrives)
        with m.If(self.say):
            m.d.sync += said.eq(expected)
        known, told, behind = (Signal(range(2 * window), name=name) for name in ("known", "told", "behind"))
        m.d.comb += [
            known.eq(expected - dut.base),  # what the receiver has and the sender does not know of
            told.eq(said - dut.base),
            behind.eq(expected - number),
            Assert((dut.sent <= dut.reached) & (dut.reached <= dut.built) & (dut.built <= window)),
            Assert(known <= dut.reached),
            Assert(told <= known),
            # a packet on the wire is the next one, or of those just before it, or sent after it
            Assert(~full | ((number - dut.base)[: len(number)] < dut.reached) | ((behind != 0) & (behind <= window))),
        ]
        return m
