"""Links between switches: one flit a cycle one way, credits the other; and registers to make a link longer."""

from functools import cache

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.rdn.config import SwitchSizes, destination_layout


@cache
def flit_layout(sizes: SwitchSizes) -> data.StructLayout:
    """What moves in one cycle. A static flit has a flow id, a dynamic one a destination; the other field is unused."""
    return data.StructLayout(
        {
            "payload": sizes.payload,
            "flow": range(sizes.rdn.flows),
            "dynamic": 1,
            "destination": destination_layout(),
        }
    )


def link_signature(sizes: SwitchSizes) -> wiring.Signature:
    """Seen from the sender; all of it from registers.

    - ``valid``: ``flit`` is there in this cycle only, and the receiver takes it: the sender had a credit for it.
    - ``credit``: a pulse on wire c gives back a place in virtual channel c. A static flow f rides on channel f %
      channels, dynamic flits on the last.
    """
    return wiring.Signature(
        {"flit": Out(flit_layout(sizes)), "valid": Out(1), "credit": In(sizes.virtual_channels)},
    )


class LinkPipe(wiring.Component):
    """``cycles`` more registers in a link, each way, as between two tiles; 0 are wires.

    - Latency: ``cycles`` for flits and for credits, so a channel needs 2 x ``cycles`` more places to keep a flit a
      cycle moving. Payload registers change only under a valid flit.
    """

    def __init__(self, sizes: SwitchSizes, cycles: int) -> None:
        self.cycles = cycles
        super().__init__({"sender": In(link_signature(sizes)), "receiver": Out(link_signature(sizes))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        flit, valid, credit = self.sender.flit, self.sender.valid, self.receiver.credit
        for k in range(self.cycles):
            next_flit = Signal.like(flit, name=f"flit_{k}", reset_less=True)
            next_valid, next_credit = Signal(name=f"valid_{k}"), Signal.like(credit, name=f"credit_{k}")
            with m.If(valid):
                m.d.sync += next_flit.eq(flit)
            m.d.sync += [next_valid.eq(valid), next_credit.eq(credit)]
            flit, valid, credit = next_flit, next_valid, next_credit
        m.d.comb += [self.receiver.flit.eq(flit), self.receiver.valid.eq(valid), self.sender.credit.eq(credit)]
        return m


class TokenPipe(wiring.Component):
    """``wires`` token wires with ``cycles`` registers in them."""

    def __init__(self, wires: int, cycles: int) -> None:
        self.cycles = cycles
        super().__init__({"i": In(wires), "o": Out(wires)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = self.i
        for k in range(self.cycles):
            following = Signal.like(value, name=f"after_{k + 1}")
            m.d.sync += following.eq(value)
            value = following
        m.d.comb += self.o.eq(value)
        return m


class Credits(wiring.Component):
    """The sender's side of flow control: places free in each virtual channel at the other end of its link.

    - ``take``: a flit leaves on that channel; only where ``room`` allows. ``give``: credits that come back.
    - ``room``: from registers, so a place given back is used a cycle later at the earliest.
    """

    def __init__(self, channels: int, depth: int) -> None:
        self.free = [Signal(range(depth + 1), init=depth, name=f"free_{c}") for c in range(channels)]
        super().__init__({"take": In(channels), "give": In(channels), "room": Out(channels)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for c, free in enumerate(self.free):
            m.d.comb += self.room[c].eq(free != 0)
            with m.If(self.take[c] & ~self.give[c]):
                m.d.sync += free.eq(free - 1)
            with m.Elif(~self.take[c] & self.give[c]):
                m.d.sync += free.eq(free + 1)
        return m
