"""Specification of the AGCU's tags: each is given to one burst at a time, and no stream is left without for ever."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Array, Assert, Assume, Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hdl.agcu.tags import TagPool
from hdl.params import TAG_BITS, TEST

STREAMS = 3
COUNT = 4
PARAMS = replace(TEST, agcu=replace(TEST.agcu, outstanding=COUNT))


class TagSpecification(wiring.Component):
    """Streams that take tags when they may and give them back when they like.

    - A tag that is given belongs to nobody.
    - Every active stream that has none finds the count of free tags in its favour: were it alone to ask, it is allowed
      as soon as a tag stands there. So a tag is refused to it only until another stream's last is given.
    - ``too_few``: plants a defect, an environment that does not keep to ``allowed``.
    """

    def __init__(self, too_few: bool = False) -> None:
        self.too_few = too_few
        super().__init__(
            {
                "take": In(1),
                "who": In(range(STREAMS)),
                "active": In(STREAMS),
                "freed": In(STREAMS),
                "freed_tag": In(data.ArrayLayout(TAG_BITS, STREAMS)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dut = dut = TagPool(PARAMS, STREAMS)
        owner = Array(Signal(range(STREAMS + 1), name=f"owner_{t}") for t in range(COUNT))  # stream + 1, 0: nobody
        before = Signal(STREAMS)
        taken = Signal()
        m.d.comb += [
            taken.eq(self.take & (dut.standing if self.too_few else (dut.allowed & dut.granted).any())),
            dut.take.eq(taken),
            dut.granted.eq(1 << self.who),
            dut.active.eq(self.active),
            dut.freed.eq(self.freed),
            dut.freed_tag.eq(self.freed_tag),
            Assume(self.who < STREAMS),
            # streams become active all at once, when a program starts and nothing is under way
            Assume(((self.active & ~before) == 0) | (dut.taken == 0)),
            Assume(~taken | (self.active & dut.granted).any()),
        ]
        m.d.sync += before.eq(self.active)
        for s in range(STREAMS):
            tag = self.freed_tag[s]
            m.d.comb += Assume(~self.freed[s] | ((tag < COUNT) & (owner[tag[:2]] == s + 1)))
            with m.If(self.freed[s]):
                m.d.sync += owner[tag[:2]].eq(0)
        with m.If(taken):
            m.d.sync += owner[dut.tag[:2]].eq(self.who + 1)
            m.d.comb += Assert(owner[dut.tag[:2]] == 0)
        self._state(m, dut, owner)
        wanting = Cat(self.active[s] & (dut.held[s] == 0) & before[s] for s in range(STREAMS))
        m.d.comb += Assert(dut.taken + sum(wanting[s] for s in range(STREAMS)) <= COUNT)
        return m

    def _state(self, m: Module, dut: TagPool, owner: Any) -> None:
        """What the unit's registers say of who owns what; with this the proof goes by induction."""
        for s in range(STREAMS):
            m.d.comb += Assert(dut.held[s] == sum(owner[t] == s + 1 for t in range(COUNT)))
        m.d.comb += [
            Assert(dut.taken == sum(owner[t] != 0 for t in range(COUNT))),
            *(
                Assert(dut.used[t] == ((owner[t] != 0) | (dut.standing & (dut.tag == t) & (owner[t] == 0))))
                for t in range(COUNT)
            ),
            Assert(~dut.standing | ((dut.tag < COUNT) & (owner[dut.tag[:2]] == 0))),
        ]
