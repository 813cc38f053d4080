"""Program load from the memory tiers: the host block before the memory system, its models, and nothing to configure."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from coe_mapping.bitstream import Bitstream, encode
from coe_mapping.commands import command
from coe_mapping.registers import Registers
from hdl.axi import axi4_lite
from hdl.host.errors import ErrorCode
from hdl.host.format import Opcode, UnitMap
from hdl.host.host import Host
from hdl.host.registers import ADDRESS_BITS
from hdl.memory.channel import Tier
from hdl.memory.system import MemorySystem
from verif.benches.host import AxiLite
from verif.models import SOURCES
from verif.models.memory import MemoryModel, region_name
from verif.sim import compile_python


class LoadBench(wiring.Component):
    """Writes on the configuration bus go nowhere; ``bus_writes`` counts the cycles that have one."""

    def __init__(self, units: UnitMap) -> None:
        self._units = units
        super().__init__({"axi": In(axi4_lite(ADDRESS_BITS)), "bus_writes": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self._units.params
        m.submodules.host = host = Host(self._units)
        m.submodules.system = system = MemorySystem(params, 2)
        m.submodules.model = model = MemoryModel(params)
        connect(m, flipped(self.axi), host.axi)
        for master, slave in zip((*system.hbm, *system.ddr), (*model.hbm, *model.ddr), strict=True):
            connect(m, master, slave)
        for port, requester in zip((host.memory, host.window_memory), system.requesters, strict=True):
            connect(m, port, requester)
        connect(m, host.counter, system.counter)
        m.d.sync += self.bus_writes.eq(self.bus_writes + (host.links[0].bus.select & host.links[0].bus.write))
        return m


class LoadRig:
    """Loads programs and says what a load takes."""

    def __init__(self, units: UnitMap) -> None:
        self.units = units
        self.model = compile_python(LoadBench(units), f"load_{units.params.name}", sources=SOURCES)
        self.model.reset(4)
        self.registers = Registers(AxiLite(self.model))

    def cycles(self, program: Bitstream, tier: Tier) -> tuple[int, int]:
        """Words of ``program``, and cycles in which the sequencer works to load it from ``tier``.

        Raises:
            AssertionError: it is not loaded, or not every word of it was written.
        """
        image = encode(self.units, program)
        self.model.memory(region_name(tier))[: len(image)] = list(image)
        begun, written = self._now(), self.model["bus_writes"]
        for i, word in enumerate(command(Opcode.LOAD, address=tier.base)):
            self.registers.write(f"COMMAND_{i}", word)
        self.registers.write("DOORBELL")
        while not self.registers.fields("STATUS")["idle"]:
            self.model.tick(100)
        assert ErrorCode(self.registers.read("ERROR")) is ErrorCode.NONE
        assert self.model["bus_writes"] - written >= sum(len(words) for words in program.units.values())
        return len(image) // 4, self._now() - begun

    def _now(self) -> int:
        return self.registers.read("CYCLES_LOW")
