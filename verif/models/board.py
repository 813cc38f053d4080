"""A socket with its memories: what simulations run."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.axi import axi4_lite
from hdl.host.registers import ADDRESS_BITS
from hdl.params import RDUParams
from hdl.socket import Socket
from verif.models.memory import SHAKE, MemoryModel


class Board(wiring.Component):
    """``axi``, ``irq``: of the socket. ``shake``: random latency of the memories, zero for none.

    ``gated``: units that have nothing to do are not clocked, which is faster. ``fast``: arithmetic in C
    (:mod:`verif.fast`), which is faster still.
    """

    def __init__(self, params: RDUParams, gated: bool = True, fast: bool = False) -> None:
        self.params, self.gated, self.fast = params, gated, fast
        super().__init__({"axi": In(axi4_lite(ADDRESS_BITS)), "irq": Out(1), "shake": In(SHAKE)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.socket = socket = Socket(self.params, self.gated, self.fast)
        m.submodules.memory = memory = MemoryModel(self.params)
        connect(m, flipped(self.axi), socket.axi)
        for name in ("hbm", "ddr"):
            for master, slave in zip(getattr(socket, name), getattr(memory, name), strict=True):
                connect(m, master, slave)
        m.d.comb += [self.irq.eq(socket.irq), memory.shake.eq(self.shake)]
        return m
