"""Fair choice of one among many."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class LeastRecent(wiring.Component):
    """Grants the requester that was served least recently (a matrix arbiter).

    - ``grant``: one-hot, combinational; none without a request.
    - ``served``: the grant of this cycle counts: the granted one goes behind all others.
    - Fair: whoever requests loses at most n - 1 times before it is granted, whenever it asks and whatever the others
      do. Round-robin has no such bound for one that asks now and then, as an input does whose credits come slowly:
      others who ask in between move the turn past it, every time the same way.
    - Proof: ``verif/proofs/rdn.py``.
    """

    def __init__(self, requesters: int) -> None:
        # bit j of before[i]: j is served before i. One half of this would do; both are quicker to simulate.
        self.before = [Signal(requesters, init=(1 << i) - 1, name=f"before_{i}") for i in range(requesters)]
        super().__init__({"requests": In(requesters), "served": In(1), "grant": Out(requesters)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for i, before in enumerate(self.before):
            m.d.comb += self.grant[i].eq(self.requests[i] & ~(self.requests & before).any())
        with m.If(self.served):
            for i, before in enumerate(self.before):
                others = self.grant[i].replicate(len(before)) & ~(1 << i)
                m.d.sync += before.eq(before & ~self.grant | others)
        return m


def chosen(grant: Value, values: list[Value]) -> Value:
    """The value whose bit of the one-hot ``grant`` is set; zero without any."""
    return reduce(or_, (Mux(bit, value, 0) for bit, value in zip(grant, values, strict=True)))
