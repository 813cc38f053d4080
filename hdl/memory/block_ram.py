"""A memory of block RAM behind AXI4: the tier of a machine that has no other, as on a small FPGA."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In
from amaranth.utils import exact_log2

from hdl.control.credits import Credits
from hdl.memory.channel import Tier, tier_map, tier_params
from hdl.memory.controller import axi_port
from hdl.params import ELEMENT_BITS, RDUParams, require

ROOM = 4  # beats read and not taken: the memory's two cycles, and two to spare


class BlockMemory(wiring.Component):
    """One channel of ``tier``.

    - Serves one burst at a time, INCR of whole beats, which is all that :class:`~hdl.memory.controller.Controller` asks
      for; the other kind of burst, and the next, wait. All answers are OKAY.
    - Latency: 4 cycles from AR, taken every other cycle, to the first beat. Throughput: within a burst a beat a cycle.
    - ``storage``: its words, a beat each; what they hold outlives a reset.

    Raises:
        ParameterError: the tier has check bits, which this memory does not keep.
    """

    def __init__(self, params: RDUParams, tier: Tier) -> None:
        sizes, self.map = tier_params(params, tier), tier_map(params, tier)
        require(not sizes.ecc, f"{params.name}: block RAM keeps no check bits; set ecc=False for {tier.name}")
        self.params, self.tier = params, tier
        self.width = ELEMENT_BITS * params.lanes
        self.storage = Memory(shape=self.width, depth=(1 << self.map.local_bits) // params.beat_bytes, init=[])
        super().__init__({"axi": In(axi_port(params, tier))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi, low = self.axi, exact_log2(self.params.beat_bytes)
        m.submodules.storage = self.storage
        writer, reader = self.storage.write_port(granularity=8), self.storage.read_port()
        beat = data.StructLayout({"last": 1, "data": self.width})
        m.submodules.beats = beats = fifo.SyncFIFOBuffered(width=beat.size, depth=ROOM)
        m.submodules.room = room = Credits(ROOM)
        out: Any = data.View(beat, beats.r_data)
        place, left = Signal(self.map.local_bits - low), Signal(8)
        reading, writing = Signal(), Signal()
        idle, turn = Signal(), Signal()  # while idle it takes a read in one cycle, a write in the next
        asked, came = Signal(), Signal(2)  # a word is read; what came: that it did, and whether it is the last
        m.d.comb += [
            idle.eq(~reading & ~writing & ~axi.bvalid),
            axi.arready.eq(idle & ~turn),
            axi.awready.eq(idle & turn),
            axi.wready.eq(writing),
            asked.eq(reading & room.some),
            reader.addr.eq(place),
            reader.en.eq(asked),
            writer.addr.eq(place),
            writer.data.eq(axi.wdata),
            writer.en.eq(axi.wstrb & (axi.wvalid & writing).replicate(len(axi.wstrb))),
            room.take.eq(asked),
            room.give.eq(axi.rvalid & axi.rready),
            beats.w_en.eq(came[0]),
            beats.w_data.eq(Cat(came[1], reader.data)),
            beats.r_en.eq(axi.rready),
            axi.rvalid.eq(beats.r_rdy),
            axi.rdata.eq(out.data),
            axi.rlast.eq(out.last),
        ]
        m.d.sync += [came.eq(Cat(asked, left == 0)), turn.eq(~turn)]
        moves = asked | (writing & axi.wvalid)
        with m.If(moves):
            m.d.sync += [place.eq(place + 1), left.eq(left - 1)]
            with m.If(left == 0):
                m.d.sync += [reading.eq(0), writing.eq(0), axi.bvalid.eq(writing)]
        with m.Elif(axi.arvalid & axi.arready):
            m.d.sync += [reading.eq(1), place.eq(axi.araddr[low:]), left.eq(axi.arlen)]
        with m.Elif(axi.awvalid & axi.awready):
            m.d.sync += [writing.eq(1), place.eq(axi.awaddr[low:]), left.eq(axi.awlen)]
        with m.If(axi.bvalid & axi.bready):
            m.d.sync += axi.bvalid.eq(0)
        return m
