"""The configuration network: one master, a registered broadcast to every tile, and a tree that reads back.

The time from a request to its answer is the same for every unit (:func:`latency`), so answers need no handshake.
"""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect

from hdl.agcu.config import fault_layout
from hdl.config import ADDRESS_BITS, COMMIT, ConfigRegisters, config_port
from hdl.floorplan import Kind
from hdl.host.format import TILE_BITS, UNIT_BITS, UnitMap
from hdl.params import SCALAR_BITS

RADIX = 8
"""Inputs of a node of the read-back tree."""

REQUEST = data.StructLayout(
    {"unit": UNIT_BITS, "tiles": TILE_BITS, "all": 1, "address": ADDRESS_BITS, "write": 1, "data": SCALAR_BITS}
)
"""An access to one unit, or with ``all`` a write to every unit of ``tiles``."""


def bus_link(units: UnitMap) -> wiring.Signature:
    """The configuration bus of one tile, seen from the master: an access in every cycle with ``select``.

    ``index`` is the unit's in its tile, ``all`` writes to every unit. ``read_data`` answers a read, else it is zero.
    """
    return wiring.Signature(
        {
            "select": Out(1),
            "index": Out(range(units.indices)),
            "all": Out(1),
            "address": Out(ADDRESS_BITS),
            "write": Out(1),
            "data": Out(SCALAR_BITS),
            "read_data": In(SCALAR_BITS),
        }
    )


def control_link(units: UnitMap) -> wiring.Signature:
    """Between the sequencer and one tile, seen from the sequencer.

    - ``commit`` (:data:`~hdl.config.COMMIT`), ``start``, ``clear``: pulses; ``halt``: level.
    - ``done``: pulse, every started unit is done. ``quiet``: level, every AGCU is. ``progress``: pulse now and then
      while memory moves.
    - ``fault``: level, from the first AGCU that was refused an access; ``faulty``: its index.
    """
    return wiring.Signature(
        {
            "commit": Out(COMMIT),
            **dict.fromkeys(("start", "halt", "clear"), Out(1)),
            **dict.fromkeys(("done", "quiet", "progress"), In(1)),
            "fault": In(fault_layout()),
            "faulty": In(range(units.per_tile + 1)),
        }
    )


def tile_link(units: UnitMap) -> wiring.Signature:
    """Everything between the host block and one tile, seen from the host block."""
    return wiring.Signature({"bus": Out(bus_link(units)), "control": Out(control_link(units))})


def slot_layout(units: UnitMap) -> data.StructLayout:
    """A row of :class:`UnitTable`."""
    return data.StructLayout(
        {
            "tile": range(TILE_BITS),
            "index": range(units.indices),
            "words": ADDRESS_BITS,
            "status": ADDRESS_BITS,
        }
    )


class UnitTable(wiring.Component):
    """What is known of unit ``number``, in the same cycle; ``known`` is low where there is no such unit."""

    def __init__(self, units: UnitMap) -> None:
        self._units = units
        super().__init__({"number": In(UNIT_BITS), "known": Out(1), "slot": Out(slot_layout(units))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slots = self._units.slots
        rows = [{"tile": s.tile, "index": s.index, "words": s.size.words, "status": s.size.status} for s in slots]
        m.submodules.memory = memory = Memory(shape=slot_layout(self._units), depth=len(slots), init=rows)
        port = memory.read_port(domain="comb")
        m.d.comb += [port.addr.eq(self.number), self.known.eq(self.number < len(slots)), self.slot.eq(port.data)]
        return m


def latency(units: UnitMap) -> int:
    """Cycles from ``valid`` at the master to ``answered``."""
    return 3 + tile_latency(units)


def tile_latency(units: UnitMap) -> int:
    """Cycles from a tile's bus to its answer: a register, the unit, the tree."""
    levels, width = 0, units.per_tile + 1
    while width > 1:
        levels, width = levels + 1, -(-width // RADIX)
    return 2 + levels


class ConfigMaster(wiring.Component):
    """Sends the accesses of the sequencer, and in its pauses those of the host, to the tiles.

    - ``sequencer`` with ``sequencer_valid``: taken every cycle. ``host`` with ``host_valid``: when ``host_ready``.
    - ``sequencer_answered``, ``host_answered``: pulse, ``answer`` is what a read found; zero from a unit there is not.
    - ``beside``: the answer of the unit outside the tiles, in the same cycle as theirs.
    - Throughput: an access a cycle. Latency: :func:`latency`.
    """

    def __init__(self, units: UnitMap) -> None:
        self._units = units
        super().__init__(
            {
                "sequencer": In(REQUEST),
                "sequencer_valid": In(1),
                "sequencer_answered": Out(1),
                "host": In(REQUEST),
                "host_valid": In(1),
                "host_ready": Out(1),
                "host_answered": Out(1),
                "answer": Out(SCALAR_BITS),
                "beside": In(SCALAR_BITS),
                "buses": Out(bus_link(units)).array(units.params.tiles),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.table = table = UnitTable(self._units)
        request, valid = Signal(REQUEST), Signal()
        host_taken = self.host_valid & self.host_ready
        m.d.comb += [self.host_ready.eq(~self.sequencer_valid), table.number.eq(request.unit)]
        m.d.sync += valid.eq(self.sequencer_valid | self.host_valid)
        with m.If(self.sequencer_valid | self.host_valid):
            m.d.sync += request.eq(Mux(self.sequencer_valid, self.sequencer, self.host))
        for t, link in enumerate(self.buses):
            here = Mux(request.all, request.tiles.bit_select(t, 1), table.known & (table.slot.tile == t))
            m.d.sync += link.select.eq(valid & here)
            with m.If(valid & here):
                m.d.sync += [
                    link.index.eq(table.slot.index),
                    *(getattr(link, name).eq(request[name]) for name in ("all", "address", "write", "data")),
                ]
        m.d.sync += self.answer.eq(reduce(or_, (self.beside, *(link.read_data for link in self.buses))))
        flying = latency(self._units)
        for reads, answered in (
            (self.sequencer_valid & ~self.sequencer.write, self.sequencer_answered),
            (host_taken & ~self.host.write, self.host_answered),
        ):
            on_the_way = Signal(flying, name="on_the_way")
            m.d.sync += on_the_way.eq(Cat(reads, on_the_way))
            m.d.comb += answered.eq(on_the_way[-1])
        return m


class TileControl(wiring.Component):
    """The tile's end: hands the bus, commits, starts and clears to its units; gathers answers, dones and faults.

    - Units by their index in the tile: ``buses``. Compute units in the order of :attr:`UnitMap.compute`: ``starts``,
      ``dones``. AGCUs in floorplan order: ``faults``, ``quiets``.
    - A start goes to the units that the tile's own configuration names; ``done`` follows when all of these were done.
    - ``clear``: a reset of every unit and switch of the tile; this block obeys it and must not be reset by it.
    - Everything to and from ``link`` is registered here, one cycle each way.
    """

    def __init__(self, units: UnitMap) -> None:
        self._units = units
        self._agcus = [p.number for p in units.compute if p.kind is Kind.AGCU]
        n = len(units.compute)
        super().__init__(
            {
                "link": In(tile_link(units)),
                "buses": Out(config_port()).array(units.per_tile),
                "commit": Out(COMMIT),
                "starts": Out(n),
                "dones": In(n),
                "halt": Out(1),
                "quiets": In(len(self._agcus)),
                "faults": In(data.ArrayLayout(fault_layout(), len(self._agcus))),
                "clear": Out(1),
                "progress": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link = self.link.control
        m.d.sync += [getattr(self, name).eq(getattr(link, name)) for name in ("commit", "halt", "clear")]
        m.d.sync += [link.quiet.eq(self.quiets.all()), link.progress.eq(self.progress)]
        self._gather_faults(m)
        own = config_port().create()
        self._run(m, own)
        self._access(m, [*self.buses, own])
        return m

    def _run(self, m: Module, own: Any) -> None:
        """Starts the units that take part, and waits for them."""
        layout = self._units.tile_layout
        registers = ConfigRegisters(layout, -(-layout.size // SCALAR_BITS))
        m.submodules.registers = ResetInserter(self.clear)(registers)
        connect(m, own, registers.bus)
        running = Signal(layout.size)
        start, going = Signal(), Signal()
        m.d.comb += [
            registers.commit.eq(self.commit),
            registers.status.as_value().eq(running),
            self.starts.eq(registers.active.active & start.replicate(len(self.starts))),
        ]
        m.d.sync += [start.eq(self.link.control.start), self.link.control.done.eq(going & (running == 0) & ~start)]
        with m.If(self.clear):
            m.d.sync += [running.eq(0), going.eq(0)]
        with m.Elif(start):
            m.d.sync += [running.eq(registers.active.active), going.eq(1)]
        with m.Elif(going):
            m.d.sync += [running.eq(running & ~self.dones), going.eq(running != 0)]

    def _access(self, m: Module, buses: list[Any]) -> None:
        """One register, then each unit's own write; the units' answers through a tree that only reads disturb."""
        link = self.link.bus
        bus = {name: Signal.like(getattr(link, name), name=name) for name in ("index", "all", "address", "data")}
        write, read = Signal(), Signal()
        m.d.sync += [write.eq(link.select & link.write), read.eq(link.select & ~link.write)]
        with m.If(link.select):
            m.d.sync += [register.eq(getattr(link, name)) for name, register in bus.items()]
        answers: list[Value] = []
        for i, unit in enumerate(buses):
            this, reading = Signal(name=f"is_{i}"), Signal(name=f"reading_{i}")
            m.d.comb += [
                this.eq(bus["index"] == i),
                unit.address.eq(bus["address"] & (this | bus["all"]).replicate(ADDRESS_BITS)),  # others see no change
                unit.write_data.eq(bus["data"]),
                unit.write.eq(write & (this | bus["all"])),
            ]
            m.d.sync += reading.eq(read & this)
            answers.append(unit.read_data & reading.replicate(SCALAR_BITS))
        while len(answers) > 1:
            groups = [answers[i : i + RADIX] for i in range(0, len(answers), RADIX)]
            answers = [Signal(Shape.cast(SCALAR_BITS), name="answers") for _ in groups]
            m.d.sync += [node.eq(reduce(or_, group)) for node, group in zip(answers, groups, strict=True)]
        m.d.comb += link.read_data.eq(answers[0])

    def _gather_faults(self, m: Module) -> None:
        """The fault of the first AGCU that has one."""
        link = self.link.control
        found = Signal(fault_layout())
        index = Signal.like(link.faulty)
        for fault, number in reversed(list(zip(self.faults, self._agcus, strict=True))):
            with m.If(fault.valid):
                m.d.comb += [found.eq(fault), index.eq(number)]
        m.d.sync += link.fault.valid.eq(found.valid)
        with m.If(found.valid):
            m.d.sync += [link.fault.eq(found), link.faulty.eq(index)]
