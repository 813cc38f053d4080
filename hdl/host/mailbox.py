"""The queue of commands from the host, which arrive some time after they were sent."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.host.format import COMMAND_WORDS
from hdl.params import SCALAR_BITS

COMMAND_BITS = COMMAND_WORDS * SCALAR_BITS


class Mailbox(wiring.Component):
    """Commands in order, each at ``head`` no sooner than ``latency`` cycles after its ``push``.

    - ``push``: pulse, ignored without ``room``. ``pop``: pulse, the head is gone. ``flush``: all are gone.
    - ``filled``: ``head`` is a command whose time has come.
    """

    def __init__(self, latency: int, depth: int = 4) -> None:
        self.latency, self.depth = latency, depth
        super().__init__(
            {
                "push": In(1),
                "command": In(COMMAND_BITS),
                "room": Out(1),
                "empty": Out(1),
                "pop": In(1),
                "flush": In(1),
                "filled": Out(1),
                "head": Out(COMMAND_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=COMMAND_BITS, depth=self.depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        first, level = Signal(range(self.depth)), Signal(range(self.depth + 1))
        waits = [Signal(range(self.latency + 1), name=f"wait_{i}") for i in range(self.depth)]
        elapsed, put = Signal(self.depth), Signal()
        end = (first + level) % self.depth
        m.d.comb += [
            self.room.eq(level != self.depth),
            self.empty.eq(level == 0),
            put.eq(self.push & self.room),
            write.addr.eq(end),
            write.data.eq(self.command),
            write.en.eq(put),
            read.addr.eq(first),
            self.head.eq(read.data),
            self.filled.eq((level != 0) & elapsed.bit_select(first, 1)),
        ]
        for i, wait in enumerate(waits):
            m.d.comb += elapsed[i].eq(wait == 0)
            with m.If(put & (end == i)):
                m.d.sync += wait.eq(max(0, self.latency - 1))
            with m.Elif(~elapsed[i]):
                m.d.sync += wait.eq(wait - 1)
        with m.If(self.flush):
            m.d.sync += level.eq(0)
        with m.Else():
            m.d.sync += level.eq(level + put - self.pop)
            m.d.sync += first.eq(Mux(self.pop, (first + 1) % self.depth, first))
        return m
