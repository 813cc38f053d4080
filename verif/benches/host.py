"""Bench of the host block: the whole of it before stub tiles, stub units, a stub DMA and a small memory, all in RTL."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from amaranth.hdl import Array, Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from numpy.typing import NDArray

from coe_mapping.commands import command
from coe_mapping.registers import Registers
from golden_model.launch import Error
from hdl.agcu.config import Cause, fault_layout
from hdl.axi import Resp, axi4_lite
from hdl.config import COMMIT, ConfigRegisters, config_port
from hdl.floorplan import COMPUTE, Kind, floorplan
from hdl.host.config_network import TileControl
from hdl.host.errors import ErrorCode
from hdl.host.format import DESCRIPTOR, DMA_STATUS_BITS, Opcode, UnitMap, UnitSize
from hdl.host.host import Host
from hdl.host.registers import ADDRESS_BITS, OFFSETS
from hdl.host.words import WordPort
from hdl.memory.port import memory_port, request_layout
from hdl.params import TEST, HostParams, RDUParams
from verif.sim import Ports, compile_python

MEMORY_BYTES = 1 << 14
TIME_BITS = 8
NOWHERE = (1 << 32) - 1
COUNT_BITS = 16

SIZES = {
    Kind.VECTOR_SWITCH: UnitSize(7, 1),
    Kind.SCALAR_SWITCH: UnitSize(3, 2),
    Kind.TOKEN_SWITCH: UnitSize(1, 0),
    Kind.PCU: UnitSize(5, 3),
    Kind.PMU: UnitSize(4, 1),
    Kind.AGCU: UnitSize(6, 2),
}
"""Of the stubs: small, and no two kinds alike."""


def machine(*, lanes: int = 4, tiles: int = 2, latency: int = 3, granule: int = 4) -> UnitMap:
    """Two tiles of two switches, three kinds of compute unit."""
    params = replace(
        TEST,
        name="stub",
        pcu=replace(TEST.pcu, lanes=lanes),
        pmu=replace(TEST.pmu, lanes=lanes),
        memory=replace(TEST.memory, granule=granule),
        host=HostParams((1, 1), latency),
        rows=1,
        columns=2,
        tiles=tiles,
    )
    return UnitMap(params, tuple(SIZES.items()))


class StubUnit(wiring.Component):
    """Configuration, and for compute units a run of ``time`` cycles that ends in ``done``, or in a fault.

    Layout: ``time`` in the low bits of word 0, ``fails`` in its top bit; status word 0 counts the starts.
    """

    def __init__(self, size: UnitSize) -> None:
        self._size = size
        super().__init__(
            {
                "bus": In(config_port()),
                "commit": In(COMMIT),
                "start": In(1),
                "halt": In(1),
                "done": Out(1),
                "quiet": Out(1),
                "fault": Out(fault_layout()),
                "active": Out(32 * size.words),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = data.StructLayout({"bits": 32 * self._size.words})
        m.submodules.registers = registers = ConfigRegisters(layout, self._size.status)
        connect(m, flipped(self.bus), registers.bus)
        left, going, starts = Signal(TIME_BITS), Signal(), Signal(32)
        halted = Signal(4)
        m.d.comb += [registers.commit.eq(self.commit), self.active.eq(registers.active)]
        for i in range(self._size.status):
            m.d.comb += registers.status[i].eq(starts if i == 0 else 0x5747_0000 + i)
        m.d.sync += [self.done.eq(0), halted.eq(Cat(self.halt, halted)), self.quiet.eq(halted.all() & self.halt)]
        with m.If(self.start):
            m.d.sync += [left.eq(registers.active.bits), going.eq(1), starts.eq(starts + 1)]
        with m.Elif(going & ~self.halt):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += going.eq(0)
                with m.If(registers.active.bits[31]):
                    m.d.sync += [
                        self.fault.valid.eq(1),
                        self.fault.cause.eq(Cause.OUTSIDE),
                        self.fault.stream.eq(2),
                        self.fault.segment.eq(5),
                        self.fault.write.eq(1),
                        self.fault.address.eq(registers.active.bits[:32]),
                    ]
                with m.Else():
                    m.d.sync += self.done.eq(1)
        return m


class StubMemory(wiring.Component):
    """``MEMORY_BYTES`` behind two ports: up to four bursts a port, answered in any order, with random pauses.

    Addresses beyond it, and the granule-aligned burst that holds ``bad_beat``, are answered with an error. ``written``
    counts beats. ``calm``: no pauses, in order.
    """

    SLOTS = 4

    def __init__(self, params: RDUParams, ports: int = 2) -> None:
        self.params = params
        self.depth = MEMORY_BYTES // params.beat_bytes
        super().__init__(
            {
                "ports": In(memory_port(params)).array(ports),
                "bad_beat": In(32),
                "calm": In(1),
                "written": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        memory = Memory(shape=self.params.beat_bytes * 8, depth=self.depth, init=[])
        m.submodules.memory = memory
        random = Signal(32, init=0x1234_5678)
        m.d.sync += random.eq(Cat(random[31] ^ random[21] ^ random[1] ^ random[0], random[:31]))
        writes = [self._port(m, k, port, memory, random[7 * k : 7 * k + 7]) for k, port in enumerate(self.ports)]
        m.d.sync += self.written.eq(self.written + sum(writes))
        return m

    def _port(self, m: Module, k: int, port: Any, memory: Memory, random: Any) -> Any:
        write = memory.write_port(granularity=16)
        read = memory.read_port(domain="comb")
        slots = Array(Signal(request_layout(self.params), name=f"slot_{k}_{i}") for i in range(self.SLOTS))
        filled = Signal(self.SLOTS, name=f"filled_{k}")
        busy, chosen, beat = Signal(name=f"busy_{k}"), Signal(2, name=f"chosen_{k}"), Signal(5, name=f"beat_{k}")
        free = Signal(2, name=f"free_{k}")
        request, response = port.request, port.response
        shift = self.params.beat_bytes.bit_length() - 1
        for i in reversed(range(self.SLOTS)):
            with m.If(~filled[i]):
                m.d.comb += free.eq(i)
        taken = request.valid & request.ready
        outside = (request.payload.address >> shift) >= self.depth
        m.d.comb += [
            request.ready.eq(~filled.all() & (random[0] | self.calm)),
            write.addr.eq(request.payload.address >> shift),
            write.data.eq(request.payload.data),
            write.en.eq(Mux(taken & request.payload.write & ~outside, request.payload.strobe, 0)),
        ]
        with m.If(taken & request.payload.last):
            m.d.sync += [slots[free].eq(request.payload), filled.bit_select(free, 1).eq(1)]
        ready = Mux(self.calm, filled, filled & Cat(random[i + 1] for i in range(self.SLOTS)))
        with m.If(~busy):
            for i in range(self.SLOTS):
                with m.If(ready[i]):
                    m.d.sync += [busy.eq(1), chosen.eq(i), beat.eq(0)]
        one = slots[chosen]
        address = (one.address >> shift) + beat
        advance = busy & (~response.valid | response.ready) & (random[6] | self.calm)
        last = one.write | (beat == one.length)
        m.d.comb += read.addr.eq(address)
        with m.If(response.ready):
            m.d.sync += response.valid.eq(0)
        with m.If(advance):
            m.d.sync += [
                response.valid.eq(1),
                response.payload.data.eq(read.data),
                response.payload.tag.eq(one.tag),
                response.payload.write.eq(one.write),
                response.payload.last.eq(last),
                response.payload.error.eq((address >= self.depth) | (address == self.bad_beat)),
                beat.eq(beat + 1),
            ]
            with m.If(last):
                m.d.sync += [busy.eq(0), filled.bit_select(chosen, 1).eq(0)]
        return taken & request.payload.write


class HostBench(wiring.Component):
    """Host block, tiles of stubs, memory, and a DMA that takes ``rows`` cycles and answers ``share`` as its status."""

    def __init__(self, units: UnitMap) -> None:
        self.units = units
        n = len(floorplan(units.params).units)
        super().__init__(
            {
                "axi": In(axi4_lite(ADDRESS_BITS)),
                "irq": Out(1),
                "bad_beat": In(32),
                "calm": In(1),
                "bus_writes": Out(32),
                "starts": Out(data.ArrayLayout(COUNT_BITS, n)),
                "clears": Out(COUNT_BITS),
                "active_words": Out(data.ArrayLayout(32, n)),
                "descriptor": Out(DESCRIPTOR),
                "copies": Out(COUNT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.host = host = Host(self.units)
        m.submodules.memory = memory = StubMemory(self.units.params)
        connect(m, flipped(self.axi), host.axi)
        connect(m, host.memory, memory.ports[0])
        connect(m, host.window_memory, memory.ports[1])
        m.d.comb += [self.irq.eq(host.irq), memory.bad_beat.eq(self.bad_beat), memory.calm.eq(self.calm)]
        written = [self._tile(m, t, link) for t, link in enumerate(host.links)]
        m.d.sync += self.bus_writes.eq(self.bus_writes + sum(written))
        self._dma(m, host.dma)
        return m

    def _tile(self, m: Module, tile: int, link: Any) -> Any:
        m.submodules[f"control_{tile}"] = control = TileControl(self.units)
        connect(m, link, control.link)
        places = floorplan(self.units.params).tile(tile)
        compute, agcus = 0, 0
        for i, place in enumerate(places):
            stub = StubUnit(dict(self.units.sizes)[place.kind])
            m.submodules[f"unit_{place.number}"] = ResetInserter(control.clear)(stub)
            connect(m, control.buses[i], stub.bus)
            m.d.comb += [stub.commit.eq(control.commit), stub.halt.eq(control.halt)]
            m.d.comb += self.active_words[place.number].eq(stub.active[:32])
            if place.kind in COMPUTE:
                m.d.comb += [stub.start.eq(control.starts[compute]), control.dones[compute].eq(stub.done)]
                with m.If(stub.start):
                    m.d.sync += self.starts[place.number].eq(self.starts[place.number] + 1)
                compute += 1
            if place.kind is Kind.AGCU:
                m.d.comb += [control.faults[agcus].eq(stub.fault), control.quiets[agcus].eq(stub.quiet)]
                agcus += 1
        with m.If(control.clear):
            m.d.sync += self.clears.eq(self.clears + 1)
        return link.bus.select & link.bus.write

    def _dma(self, m: Module, dma: Any) -> None:
        left, busy, halted = Signal(32), Signal(), Signal(3)
        m.d.comb += dma.descriptor.ready.eq(~busy & ~dma.halt)
        m.d.sync += [halted.eq(Cat(dma.halt, halted)), dma.quiet.eq(halted.all())]
        with m.If(dma.completion.ready):
            m.d.sync += dma.completion.valid.eq(0)
        with m.If(dma.descriptor.valid & dma.descriptor.ready):
            m.d.sync += [busy.eq(1), left.eq(dma.descriptor.payload.rows), self.descriptor.eq(dma.descriptor.payload)]
        with m.Elif(busy & ~dma.halt):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += [busy.eq(0), dma.completion.valid.eq(1), self.copies.eq(self.copies + 1)]
                m.d.sync += dma.completion.payload.status.eq(self.descriptor.share[:DMA_STATUS_BITS])
        with m.If(dma.clear):
            m.d.sync += busy.eq(0)


class AxiError(RuntimeError):
    """The host port answered something else than OKAY."""


class AxiLite:
    """AXI4-Lite master on a model: a transport for :class:`~coe_mapping.registers.Registers`.

    An answer is seen in the cycle in which it is taken; the next transaction may begin in it.
    """

    PATIENCE = 20_000  # cycles

    def __init__(self, model: Ports) -> None:
        self.model = model
        model["axi__bready"] = model["axi__rready"] = 1

    def write(self, address: int, value: int, strobe: int = 15) -> None:
        model = self.model
        model["axi__awaddr"], model["axi__wdata"], model["axi__wstrb"] = address, value, strobe
        model["axi__awvalid"] = model["axi__wvalid"] = 1
        self._until("axi__awready", after=1)
        model["axi__awvalid"] = model["axi__wvalid"] = 0
        self._until("axi__bvalid")
        self._check(model["axi__bresp"], f"write to {address:#x}")

    def read(self, address: int) -> int:
        model = self.model
        model["axi__araddr"], model["axi__arvalid"] = address, 1
        self._until("axi__arready", after=1)
        model["axi__arvalid"] = 0
        self._until("axi__rvalid")
        value = model["axi__rdata"]
        self._check(model["axi__rresp"], f"read of {address:#x}")
        return value

    def _until(self, port: str, after: int = 0) -> None:
        if not self.model.until(port, self.PATIENCE, after):
            raise TimeoutError(f"{port} stayed low for {self.PATIENCE} cycles")

    def _check(self, response: int, what: str) -> None:
        if response != Resp.OKAY:
            raise AxiError(f"{what}: {Resp(response).name}")


class Rig:
    """The bench as a machine: memory by the back door, registers and commands by the front."""

    def __init__(self, units: UnitMap, name: str = "host_bench") -> None:
        self.units = units
        self.model = compile_python(HostBench(units), name, public=["memory.memory"])
        self.store = self.model.array("memory.memory").view(np.uint8)
        self.axi = AxiLite(self.model)
        self.registers = Registers(self.axi)
        self.model["bad_beat"] = NOWHERE
        self.reset()

    def reset(self) -> None:
        self.model.reset(2)

    @property
    def content(self) -> NDArray[np.uint8]:
        """The memory, live."""
        return self.store.reshape(-1)

    def put(self, address: int, content: bytes) -> None:
        self.content[address : address + len(content)] = np.frombuffer(content, np.uint8)

    def put_words(self, address: int, words: Sequence[int]) -> None:
        self.put(address, np.array(words, "<u4").tobytes())

    def command(self, opcode: Opcode, **fields: Any) -> None:
        """Sends one command from the host."""
        for i, word in enumerate(command(opcode, **fields)):
            self.registers.write(f"COMMAND_{i}", word)
        self.registers.write("DOORBELL")

    def settle(self, cycles: int = 100_000) -> ErrorCode:
        """Waits until no command is waiting or under way; returns the error code."""
        model, address = self.model, OFFSETS["STATUS"]
        for _ in range(cycles // 50):
            if self.axi.read(address) & 1:
                return ErrorCode(self.registers.read("ERROR"))
            model.tick(50)
        raise TimeoutError(f"the sequencer is not idle after {cycles} cycles: {self.registers.fields('STATUS')}")

    def run(self, opcode: Opcode, **fields: Any) -> ErrorCode:
        self.command(opcode, **fields)
        return self.settle()

    def error(self) -> Error:
        """The error registers."""
        read = self.registers.read
        address = read("ERROR_ADDRESS_LOW") | read("ERROR_ADDRESS_HIGH") << 32
        return Error(ErrorCode(read("ERROR")), read("ERROR_UNIT"), address, read("ERROR_DETAIL"))

    def acknowledge(self) -> None:
        self.registers.write("ERROR")

    def peek(self, unit: int, address: int) -> int:
        self.registers.set("PEEK", unit=unit, address=address)
        return self.registers.read("PEEK_DATA")

    def shadow(self, unit: int) -> list[int]:
        """Configuration words of a unit as the bus reads them."""
        return [self.peek(unit, i) for i in range(self.units.slots[unit].size.words)]


class WordBench(wiring.Component):
    """A :class:`~hdl.host.words.WordPort` before the stub memory."""

    def __init__(self, params: RDUParams) -> None:
        self.params, self.words = params, WordPort(params)
        members = {name: member for name, member in self.words.signature.members.items() if name != "memory"}
        super().__init__({**members, "bad_beat": In(32), "calm": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = self.words
        m.submodules.memory = memory = StubMemory(self.params, ports=1)
        connect(m, words.memory, memory.ports[0])
        for name in ("reading", "writing", "write"):
            connect(m, flipped(getattr(self, name)), getattr(words, name))
        connect(m, words.read, flipped(self.read))
        m.d.comb += [
            self.wanting.eq(words.wanting),
            memory.bad_beat.eq(self.bad_beat),
            memory.calm.eq(self.calm),
        ]
        return m
