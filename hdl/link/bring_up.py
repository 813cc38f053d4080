"""How the two ends of a link begin together, and when one gives it up."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.link.layout import Fault, Kind, LinkSizes


class BringUp(wiring.Component):
    """Lets data pass only when both ends have forgotten what was before.

    After reset an end is deaf for as long as anything of before could be on its way (``timeout`` cycles). Then it says
    HELLO, and HEARD once it has heard the peer; what proves that the peer has heard as well, HEARD or any later packet,
    makes it ``up``. A HELLO while ``up`` means that the peer was reset.

    - ``good``, ``kind``: pulse, a packet came. ``up``: what it says counts.
    - ``waiting``: packets are not acknowledged; ``progress``: pulse, one was. ``patience`` cycles without are a fault.
    - ``due``: say ``kind_due`` now; ``told``: pulse, it is said. Said again every ``timeout`` cycles.
    - ``fault``: why the link is given up; nothing is sent or heard until a reset. Bounded: a packet that is never
      acknowledged is a fault ``patience`` + 1 cycles after it was built, or after the last progress.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "good": In(1),
                "kind": In(Kind),
                "waiting": In(1),
                "progress": In(1),
                "told": In(1),
                "due": Out(1),
                "kind_due": Out(Kind),
                "up": Out(1),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        heard, proved = self.good & (self.kind == Kind.HELLO), self.good & (self.kind == Kind.HEARD)
        well, says, again, said = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [well.eq(self.fault == Fault.NONE), self.due.eq(well & says & ~said)]
        with m.FSM():
            with m.State("DEAF"), m.If(again):
                m.next = "ALONE"
            with m.State("ALONE"):
                m.d.comb += [self.kind_due.eq(Kind.HELLO), says.eq(1)]
                with m.If(heard):
                    m.next = "HEARD"
                with m.Elif(proved):
                    m.next = "UP"
            with m.State("HEARD"):
                m.d.comb += [self.kind_due.eq(Kind.HEARD), says.eq(1)]
                with m.If(self.good & ~heard):
                    m.next = "UP"
            with m.State("UP"):
                m.d.comb += self.up.eq(well)
                with m.If(heard & well):
                    m.d.sync += self.fault.eq(Fault.PEER_RESTARTED)
        self._repeat(m, again)
        m.d.sync += said.eq((said | self.told) & ~again & ~heard)
        with m.If(self._lost(m) & well):
            m.d.sync += self.fault.eq(Fault.NOT_ACKNOWLEDGED)
        return m

    def _repeat(self, m: Module, again: Signal) -> None:
        """``again``: a pulse every ``timeout`` + 1 cycles until the link is up."""
        timer = Signal(range(self.sizes.link.timeout + 1))
        m.d.comb += again.eq(timer == self.sizes.link.timeout)
        with m.If(~self.up):
            m.d.sync += timer.eq(Mux(again, 0, timer + 1))

    def _lost(self, m: Module) -> Signal:
        """Nothing was acknowledged for as long as patience lasts."""
        patience = self.sizes.link.patience
        waited, lost = Signal(range(patience + 1)), Signal()
        m.d.comb += lost.eq(waited == patience)
        with m.If(~self.waiting | self.progress):
            m.d.sync += waited.eq(0)
        with m.Elif(~lost):
            m.d.sync += waited.eq(waited + 1)
        return lost
