"""The sender's side of flow control: which channels have room where the link ends."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.link.layout import LinkSizes, credits_layout


class LinkCredits(wiring.Component):
    """Counts vectors spent, against those that the receiver says it has freed.

    - ``take``: a vector of that channel is on its way; only where there is ``room``. It stays spent when it is sent
      again.
    - ``heard``: ``freed`` is what the receiver said last: a count and no difference, so that a lost one does no harm.
    - ``room``: from registers. Proof: ``verif/proofs/link.py``.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        channels, counts = sizes.link.channels, credits_layout(sizes)
        # attributes because a proof speaks of them
        self.spent, self.free = Signal(counts), Signal(counts)
        super().__init__(
            {"take": In(channels), "heard": In(1), "freed": In(counts), "room": Out(channels)},
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = self.sizes.link.depth
        with m.If(self.heard):
            m.d.sync += self.free.eq(self.freed)
        for c in range(self.sizes.link.channels):
            under_way = Signal(range(2 * depth), name=f"under_way_{c}")
            m.d.comb += [under_way.eq(self.spent[c] - self.free[c]), self.room[c].eq(under_way != depth)]
            with m.If(self.take[c]):
                m.d.sync += self.spent[c].eq(self.spent[c] + 1)
        return m
