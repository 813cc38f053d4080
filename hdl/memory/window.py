"""The requests of one kind that a channel has taken and not yet answered, in order."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Window(wiring.Component):
    """A ring of ``size`` requests with two read pointers: the next to issue, and the oldest not answered.

    - ``push`` with ``value`` while ``room``; ``issue`` moves past ``next`` while ``waiting`` is not zero; ``retire``
      forgets ``oldest`` while ``in_flight`` is not
      zero.
    - ``hit``: some request in the ring has ``probe`` as its ``key``. Combinational from ``probe``; what is pushed
      counts from the next cycle on.
    """

    def __init__(self, layout: data.StructLayout, key: str, size: int) -> None:
        self.layout, self.key, self.size = layout, key, size
        super().__init__(
            {
                "push": In(1),
                "value": In(layout),
                "room": Out(1),
                "next": Out(layout),
                "waiting": Out(range(size + 1)),
                "issue": In(1),
                "oldest": Out(layout),
                "in_flight": Out(range(size + 1)),
                "retire": In(1),
                "probe": In(layout[key].shape),
                "hit": Out(1),
                "any": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.layout.size, depth=self.size, init=[])
        write, following, oldest = memory.write_port(), *(memory.read_port(domain="comb") for _ in range(2))
        taken, issued, retired = (Signal(range(2 * self.size), name=n) for n in ("taken", "issued", "retired"))
        m.d.comb += [
            write.addr.eq(taken),
            write.en.eq(self.push),
            write.data.eq(self.value),
            following.addr.eq(issued),
            oldest.addr.eq(retired),
            self.next.eq(following.data),
            self.oldest.eq(oldest.data),
            self.room.eq((taken - retired)[: len(taken)] != self.size),
            self.waiting.eq(taken - issued),
            self.in_flight.eq(issued - retired),
            self.any.eq(taken != retired),
        ]
        for pointer, moves in ((taken, self.push), (issued, self.issue), (retired, self.retire)):
            with m.If(moves):
                m.d.sync += pointer.eq(pointer + 1)
        self._match(m, taken, retired)
        return m

    def _match(self, m: Module, taken: Any, retired: Any) -> None:
        """The keys once more, in registers, so that all are compared at once."""
        present = Signal(self.size)
        keys = Array(Signal.like(self.probe, name=f"key_{k}") for k in range(self.size))
        where = len(taken) - 1
        with m.If(self.push):
            m.d.sync += [keys[taken[:where]].eq(self.value[self.key]), present.bit_select(taken[:where], 1).eq(1)]
        with m.If(self.retire):
            m.d.sync += present.bit_select(retired[:where], 1).eq(0)
        m.d.comb += self.hit.eq(Cat(present[k] & (keys[k] == self.probe) for k in range(self.size)).any())
