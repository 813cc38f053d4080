"""Who goes next."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class RoundRobin(wiring.Component):
    """Grants one of ``requests`` at a time, in turn.

    - ``grant``: one hot, in the same cycle; nothing when nothing is requested.
    - ``take``: the granted request is served; the one after it comes first next time.
    - Fair: a request that stays is granted after at most ``width`` - 1 others were served. Proof:
      ``verif/proofs/arbiter.py``.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.after = Signal(width)  # requests that come before the others: those above the last one served
        super().__init__({"requests": In(width), "take": In(1), "grant": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first = Signal(self.width)
        m.d.comb += [
            first.eq(self.requests & self.after),
            self.grant.eq(_lowest(Mux(first.any(), first, self.requests))),
        ]
        with m.If(self.take & self.requests.any()):
            # all bits above the granted one: -x is ~(x - 1), which has x itself too
            m.d.sync += self.after.eq(-self.grant & ~self.grant)
        return m


def _lowest(bits: Value) -> Value:
    return bits & -bits
