"""Specifications of a link's flow control and of the arbiter."""

from typing import Any

from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect

from hdl.params import RDNParams
from hdl.rdn.arbiter import LeastRecent
from hdl.rdn.channel import Channel, places_layout
from hdl.rdn.config import SwitchSizes
from hdl.rdn.link import Credits, LinkPipe, link_signature

SIZES = SwitchSizes(RDNParams(flows=1, channels=1, depth=4, token_wires=1, die_latency=0), 1, 1)


class LinkSpecification(wiring.Component):
    """One virtual channel of a link with ``cycles`` registers in it: credits of the sender, pipe, channel at the end.

    The sender sends when it likes and has a credit, routes and grants are anything at all. A place of the channel is
    always free, or with a flit on its way, or holding one, or with a credit on its way back: never two of these, so
    nothing overflows, and never none, so no place is lost. ``too_many``: credits more than places, a planted defect.
    """

    def __init__(self, cycles: int, too_many: int = 0) -> None:
        self.cycles, self.too_many = cycles, too_many
        super().__init__({"send": In(1), "places": In(places_layout(SIZES)), "grant": In(places_layout(SIZES))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = SIZES.rdn.depth
        m.submodules.credits = credits = Credits(1, depth + self.too_many)
        m.submodules.channel = channel = Channel(SIZES, 1, depth)
        sender, receiver = link_signature(SIZES).create(), link_signature(SIZES).flip().create()
        sent, flight, back = Signal(), [], []
        m.d.comb += sent.eq(self.send & credits.room[0])
        m.submodules.pipe = pipe = LinkPipe(SIZES, self.cycles)
        connect(m, sender, pipe.sender)
        connect(m, pipe.receiver, receiver)
        m.d.sync += [sender.valid.eq(sent), receiver.credit[0].eq(channel.taken)]
        # what the pipe holds, told from outside: it is a delay, and the proof needs its contents by name
        valid, credit = sender.valid, receiver.credit[0]
        for k in range(self.cycles):
            later_valid, later_credit = Signal(name=f"valid_{k}"), Signal(name=f"credit_{k}")
            m.d.sync += [later_valid.eq(valid), later_credit.eq(credit)]
            flight.append(valid)
            back.append(credit)
            valid, credit = later_valid, later_credit
        m.d.comb += [Assert(valid == receiver.valid), Assert(credit == sender.credit[0])]
        m.d.comb += [
            credits.take.eq(sent),
            credits.give.eq(credit),
            channel.push.eq(valid),
            channel.route.places.eq(self.places),
            channel.moved.eq(self.grant),
        ]
        queued = Signal(range(depth))
        m.d.comb += queued.eq(channel.end - channel.next)
        count = Signal(8)
        m.d.comb += count.eq(credits.free[0] + queued + channel.valid + sum([*flight, valid, *back, credit]))
        m.d.comb += [
            Assert(count == depth + self.too_many),
            Assert(queued + channel.valid <= depth),
            Assert(~(valid & (queued + channel.valid == depth))),  # a flit arrives only where a place is free
            # what makes it inductive: a queue without a head is empty
            Assert(channel.valid | (queued == 0)),
        ]
        return m


class FairnessSpecification(wiring.Component):
    """Whoever requests loses at most n - 1 times before it is granted, whatever else happens and whenever it asks.

    ``who`` is any requester, the same throughout. ``forgetful`` plants a defect: the winner keeps its place.
    """

    def __init__(self, requesters: int, forgetful: bool = False) -> None:
        self.requesters, self.forgetful = requesters, forgetful
        super().__init__({"requests": In(requesters), "who": In(range(requesters))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        n = self.requesters
        m.submodules.dut = dut = LeastRecent(n)
        m.d.comb += [dut.requests.eq(self.requests), dut.served.eq(0 if self.forgetful else self.requests.any())]
        who, started, losses = Signal(range(n)), Signal(), Signal(range(n + 2))
        m.d.sync += started.eq(1)
        with m.If(~started):
            m.d.sync += who.eq(self.who)
            m.d.comb += Assume((self.requests == 0) & (self.who < n))
        asks, wins = Signal(), Signal()
        m.d.comb += [asks.eq(self.requests.bit_select(who, 1)), wins.eq(dut.grant.bit_select(who, 1))]
        with m.If(started & asks):
            m.d.sync += losses.eq(Mux(wins, 0, losses + 1))
        ahead = Signal(range(n + 1))
        rows: list[Value] = [Value.cast(before) for before in dut.before]
        m.d.comb += ahead.eq(Mux(started, sum(Cat(*rows).word_select(who, n)[j] for j in range(n)), 0))
        m.d.comb += [
            Assert(losses <= n - 1),
            Assert((dut.grant & ~self.requests) == 0),
            Assert(dut.grant.any() == self.requests.any()),
            Assert((dut.grant & (dut.grant - 1)) == 0),
            # what makes it inductive: "before" is an order, and every loss brings a requester forward in it
            Assert((losses + ahead <= n - 1) & (who < n)),
        ]
        for i in range(n):
            m.d.comb += Assert(~dut.before[i][i])
            for j in range(i):
                m.d.comb += Assert(dut.before[i][j] ^ dut.before[j][i])
                for k in range(n):
                    if k not in (i, j):
                        m.d.comb += Assert(~(dut.before[i][j] & dut.before[j][k]) | dut.before[i][k])
                        m.d.comb += Assert(~(dut.before[j][i] & dut.before[i][k]) | dut.before[j][k])
        return m
