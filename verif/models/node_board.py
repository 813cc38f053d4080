"""A node with its memories, and wires that may do harm: what simulations of several sockets run."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.arith.lfsr_params import WIDTH
from hdl.axi import axi4_lite
from hdl.host.registers import ADDRESS_BITS
from hdl.link.ring import LINKS
from hdl.node import Node
from hdl.params import RDUParams
from verif.models.memory import SHAKE, MemoryModel
from verif.models.noisy_wire import NoisyWire


def memory_prefix(socket: int) -> str:
    """Before the names of a socket's regions."""
    return f"socket_{socket}_"


class NodeBoard(wiring.Component):
    """``axi``, ``irq``: of each socket. ``shake``: random latency of the memories, zero for none.

    - ``rate``, ``load``, ``seed``: errors on all wires (:class:`~verif.models.noisy_wire.NoisyWire`); ``cut``: a bit
      each wire, in the order of :func:`hdl.link.ring.joined`. ``hits``: words harmed.
    - ``gated``, ``fast``: as of a :class:`~verif.models.board.Board`.
    """

    def __init__(self, params: RDUParams, gated: bool = True, fast: bool = False) -> None:
        self.params, self.gated, self.fast = params, gated, fast
        super().__init__(
            {
                "axi": In(axi4_lite(ADDRESS_BITS)).array(params.sockets),
                "irq": Out(1).array(params.sockets),
                "shake": In(SHAKE),
                "rate": In(WIDTH),
                "cut": In(LINKS * params.sockets),
                "load": In(1),
                "seed": In(WIDTH),
                "hits": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.node = node = Node(self.params, self.gated, self.fast, NoisyWire)
        for s in range(self.params.sockets):
            m.submodules[f"memory_{s}"] = memory = MemoryModel(self.params, memory_prefix(s))
            connect(m, flipped(self.axi[s]), node.axi[s])
            for name in ("hbm", "ddr"):
                for master, slave in zip(getattr(node, name)[s], getattr(memory, name), strict=True):
                    connect(m, master, slave)
            m.d.comb += [self.irq[s].eq(node.irq[s]), memory.shake.eq(self.shake)]
        for number, wire in enumerate(node.wires):
            m.d.comb += [
                wire.rate.eq(self.rate),
                wire.cut.eq(self.cut[number]),
                wire.load.eq(self.load),
                wire.seed.eq(self.seed + number * 0x1111),
            ]
        m.d.sync += self.hits.eq(self.hits + sum(wire.hit for wire in node.wires))
        return m
