"""Which direction a channel issues: a bus that turns round between reads and writes rests meanwhile."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.memory.channel import Tier, tier_params
from hdl.params import RDUParams

REST_SHARE = 32
"""A batch takes so many times as long as a turn, or longer: turns cost at most 1/33 of the time."""

PATIENCE = 2
"""Batches that one direction may issue while the other waits."""


def batch_size(params: RDUParams, tier: Tier) -> int:
    """Bursts that pay for a turn, and ``queue_depth`` at least."""
    sizes = tier_params(params, tier)
    beats = -(-REST_SHARE * sizes.turnaround * sizes.beats[0] // sizes.beats[1])
    return max(params.memory.queue_depth, -(-beats // params.memory.granule))


class Turn(wiring.Component):
    """Reads are issued as they come, writes in batches.

    - ``reads``, ``writes``: bursts that wait to be issued, of at most ``size``. ``short``: the memory has so few that
      it would run dry. ``needed``: something waits for a write that waits. ``issue``: one of the direction in turn is
      issued. ``hold``: no turn to reads.
    - High watermark, to writes: a batch waits, and a batch of reads was issued meanwhile or none waits. Before that
      when no read waits and the memory runs ``short``, or a write is ``needed``. Low watermark, to reads: no write
      waits; or a batch of reads does, and a batch of writes was issued meanwhile.
    - Nobody starves: a direction that waits gets its turn after at most ``PATIENCE`` batches of the other (and what
      ``hold`` takes). Proof: ``verif/proofs/turn.py``.
    - ``writing``: the direction in turn. ``turn``: pulse, it is the other from the next cycle on.
    """

    def __init__(self, batch: int, size: int) -> None:
        self.batch, self.limit = batch, PATIENCE * batch
        self.streak = Signal(range(self.limit + 1))  # issued since the other direction began to wait
        super().__init__(
            {
                "reads": In(range(size + 1)),
                "writes": In(range(size + 1)),
                "short": In(1),
                "needed": In(1),
                "hold": In(1),
                "issue": In(1),
                "writing": Out(1),
                "turn": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        streak, writing = self.streak, self.writing
        left, other = Signal.like(self.reads), Signal.like(self.reads)
        spent = streak == self.limit
        high = (other >= self.batch) & ((left == 0) | (streak >= self.batch))
        low = (left == 0) & (self.short | writing)
        m.d.comb += [
            left.eq(Mux(writing, self.writes, self.reads)),
            other.eq(Mux(writing, self.reads, self.writes)),
            self.turn.eq((other != 0) & (high | low | spent | (self.needed & ~writing)) & ~(self.hold & writing)),
        ]
        with m.If(self.turn):
            m.d.sync += [writing.eq(~writing), streak.eq(0)]
        with m.Elif(self.issue & (other != 0) & ~spent):
            m.d.sync += streak.eq(streak + 1)
        return m
