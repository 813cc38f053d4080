"""A packet switch that is clocked only while something happens to it or in it (:mod:`hdl.clock_gate`)."""

from amaranth.hdl import Cat, DomainRenamer, Module, Signal
from amaranth.lib import wiring

from hdl.clock_gate import asleep
from hdl.rdn.config import SwitchSizes
from hdl.rdn.switch import Switch


class SleepingSwitch(wiring.Component):
    """A :class:`Switch` with the same ports; cycle by cycle it does the same.

    Awake: in every cycle in which something comes in (a flit, a word, a credit, an access to its configuration), a flit
    is inside, a source rests, or an output has yet to be taken back.
    """

    def __init__(self, sizes: SwitchSizes) -> None:
        self.unit = Switch(sizes)
        super().__init__(self.unit.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = DomainRenamer("unit")(self.unit)
        address = Signal.like(self.bus.address)
        m.d.sync += address.eq(self.bus.address)
        events = Cat(
            *(link.valid for links in (self.side_in, self.side_out) for link in links),
            *(link.credit for links in (self.side_in, self.side_out) for link in links),
            *(stream.valid | ~stream.ready for stream in self.local_in),
            *(stream.valid & stream.ready for stream in self.local_out),
            *(self.commit, self.bus.write, self.bus.address != address, self.unit.busy),
        )
        asleep(m, self, self.unit, events.any())
        return m
