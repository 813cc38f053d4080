"""The memory system of one socket: network, channel controllers and tier DMA, up to the AXI4 faces."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.memory.channel import Tier, tag_bits, tier_map
from hdl.memory.controller import Controller, axi_port
from hdl.memory.counters import ChannelCounter, DMACounter
from hdl.memory.dma import COMPLETION, DESCRIPTOR, DMA
from hdl.memory.port import memory_port
from hdl.once import once
from hdl.params import SCALAR_BITS, RDUParams
from hdl.tln.tln import TLN

DMA_PORTS = 2
BLOCK_BITS = 4
"""Counter words of a block stand 16 apart: block 0 is the DMA, then the channels of HBM, then those of DDR."""


def counter_blocks(params: RDUParams) -> list[str]:
    """What the blocks of counters are: ``dma``, ``hbm 0``, ..., ``ddr 0``, ..."""
    channels = [f"{tier.name.lower()} {c}" for tier in Tier for c in range(tier_map(params, tier).channels)]
    return ["dma", *channels]


class MemorySystem(wiring.Component):
    """``requesters`` memory ports in front, a list of AXI4 masters for each tier behind.

    - ``descriptor``, ``completion``, ``halt``, ``quiet``: of the DMA, which has two ports of the network to itself;
      ``clear`` resets it, once it is quiet.
    - ``counter``: word ``counter.index`` (block, then counter) stands on ``counter.value`` one cycle later.
    """

    def __init__(self, params: RDUParams, requesters: int) -> None:
        self.params, self.count = params, requesters
        channels = {tier: tier_map(params, tier).channels for tier in Tier}
        super().__init__(
            {
                "requesters": In(memory_port(params)).array(requesters),
                "descriptor": In(stream.Signature(DESCRIPTOR)),
                "completion": Out(stream.Signature(COMPLETION)),
                "halt": In(1),
                "quiet": Out(1),
                "clear": In(1),
                "counter": In(wiring.Signature({"index": Out(BLOCK_BITS + 6), "value": In(SCALAR_BITS)})),
                "hbm": Out(axi_port(params, Tier.HBM)).array(channels[Tier.HBM]),
                "ddr": Out(axi_port(params, Tier.DDR)).array(channels[Tier.DDR]),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports = self.count + DMA_PORTS
        m.submodules.tln = tln = TLN(self.params, ports)
        dma = DMA(self.params)
        m.domains.dma = domain = ClockDomain(local=True)
        m.d.comb += [domain.clk.eq(ClockSignal()), domain.rst.eq(ResetSignal() | self.clear)]
        m.submodules.dma = DomainRenamer("dma")(dma)
        for inner, outer in zip(tln.requesters, self.requesters, strict=False):
            connect(m, flipped(outer), inner)
        connect(m, dma.read, tln.requesters[self.count])
        connect(m, dma.write, tln.requesters[self.count + 1])
        connect(m, flipped(self.descriptor), dma.descriptor)
        connect(m, dma.completion, flipped(self.completion))
        m.d.comb += [dma.halt.eq(self.halt), self.quiet.eq(dma.quiet)]
        blocks: list[Any] = [[dma.counters[c.name.lower()] for c in DMACounter]]
        for tier in Tier:
            name = tier.name.lower()
            for c, (port, axi) in enumerate(zip(getattr(tln, name), getattr(self, name), strict=True)):
                m.submodules[f"{name}_{c}"] = channel = once(Controller, self.params, tier, tag_bits(ports))
                connect(m, port, channel.port)
                connect(m, channel.axi, flipped(axi))
                blocks.append([channel.counters[k.name.lower()] for k in ChannelCounter])
        self._read_counters(m, blocks)
        return m

    def _read_counters(self, m: Module, blocks: Sequence[Sequence[Any]]) -> None:
        """The register moves only when what it shows does."""
        shown = Signal(SCALAR_BITS)
        with m.Switch(self.counter.index):
            for b, words in enumerate(blocks):
                for w, word in enumerate(words):
                    with m.Case(b << BLOCK_BITS | w):
                        m.d.comb += shown.eq(word)
        m.d.sync += self.counter.value.eq(shown)
