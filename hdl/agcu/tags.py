"""Tags of bursts under way: each is also the right to one granule of the reorder buffer."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.params import TAG_BITS, RDUParams


def retire_layout(params: RDUParams) -> data.StructLayout:
    """A burst under way as its stream remembers it."""
    return data.StructLayout({"tag": TAG_BITS, "beats": range(params.memory.granule + 1)})


def slot_layout(params: RDUParams) -> data.StructLayout:
    """A place in the reorder buffer."""
    return data.StructLayout({"beat": range(params.memory.granule), "tag": range(params.agcu.outstanding)})


class TagPool(wiring.Component):
    """``outstanding`` tags for the bursts of all streams.

    - ``tag``: a free one; ``take``: the stream ``granted`` (one hot) is given it.
    - ``allowed[s]``: stream s may take it: there is one, and were it gone every other stream that is ``active`` could
      still get a quarter of all. So a stream whose data nobody takes neither starves the others nor slows them to the
      memory's latency, whatever waits for what.
    - ``freed[s]``: pulse, stream s gives ``freed_tag[s]`` back.
    - ``answered``: pulse, ``answered_tag`` is ``complete`` from the next cycle until it is freed.
    - Throughput: a tag a cycle.
    """

    def __init__(self, params: RDUParams, streams: int) -> None:
        self.params, self.streams = params, streams
        count = params.agcu.outstanding
        # attributes, because proofs speak of them: given out or standing at ``tag``; one stands there; of each stream
        self.used, self.standing = Signal(count), Signal()
        self.held = [Signal(range(count + 1), name=f"held_{s}") for s in range(streams)]
        super().__init__(
            {
                "tag": Out(TAG_BITS),
                "take": In(1),
                "active": In(streams),
                "granted": In(streams),
                "allowed": Out(streams),
                "freed": In(streams),
                "freed_tag": In(data.ArrayLayout(TAG_BITS, streams)),
                "answered": In(1),
                "answered_tag": In(TAG_BITS),
                "complete": Out(count),
                "taken": Out(range(count + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = self.params.agcu.outstanding
        used, standing = self.used, self.standing
        chosen, found = Signal(range(count)), Signal()
        for i in reversed(range(count)):
            with m.If(~used[i]):
                m.d.comb += [chosen.eq(i), found.eq(1)]
        back = Cat(
            Cat(self.freed[s] & (self.freed_tag[s] == i) for s in range(self.streams)).any() for i in range(count)
        )
        refill = ~standing | self.take
        fill = Mux(refill & found, 1 << chosen, 0)[:count]
        with m.If(refill):
            m.d.sync += [standing.eq(found), self.tag.eq(chosen)]
        with m.If((refill & found) | self.freed.any()):
            m.d.sync += used.eq((used | fill) & ~back)
        with m.If(self.answered | self.freed.any()):
            answer = Mux(self.answered, 1 << self.answered_tag, 0)[:count]
            m.d.sync += self.complete.eq((self.complete | answer) & ~back)
        with m.If(self.take | self.freed.any()):
            m.d.sync += self.taken.eq(self.taken + self.take - _ones(self.freed))
        share = max(1, count // 4)
        wanting = [Signal(range(share + 1), name=f"wanting_{s}") for s in range(self.streams)]
        for s in range(self.streams):
            held = self.held[s]
            with m.If(self.active[s] & (held < share)):
                m.d.comb += wanting[s].eq(share - held)
            given = self.take & self.granted[s]
            with m.If(given ^ self.freed[s]):
                m.d.sync += held.eq(Mux(given, held + 1, held - 1))
        for s in range(self.streams):
            others = sum((wanting[j] for j in range(self.streams) if j != s), start=Value.cast(0))
            m.d.comb += self.allowed[s].eq(standing & (count - self.taken > others))
        return m


def _ones(bits: Value) -> Value:
    return sum((bits[i] for i in range(len(bits))), start=Value.cast(0))
