"""A copy from HBM to HBM: AGCUs, each with its load wired to its own store, on the memory system and its models."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.agcu.agcu import AGCU
from hdl.config import ADDRESS_BITS
from hdl.memory.system import MemorySystem
from hdl.once import once
from hdl.params import SCALAR_BITS, RDUParams
from hdl.streams import vector_layout
from hdl.tln.slice import Slice
from verif.models.memory import SHAKE, MemoryModel

HOPS = 4
"""Register stages that stand for the network between a load and its store."""

UNIT_BITS = 6


class CopyMachine(wiring.Component):
    """``agcus`` AGCUs on the memory of ``params``; vectors of load 0 go to store 0 of the same AGCU.

    - ``unit``, ``address``, ``write``, ``write_data``: configuration of one AGCU; ``commit``, ``start``: of all.
    - ``running``: a start came, and not every AGCU was done since. ``fault``: one has a fault.
    - ``beats``: beats that have crossed the AXI faces of HBM, both ways: the bench's own count.
    - ``counter``: of the memory system.
    """

    def __init__(self, params: RDUParams, agcus: int) -> None:
        self.params, self.agcus = params, agcus
        self.system, self.model = MemorySystem(params, agcus), MemoryModel(params)
        super().__init__(
            {
                "unit": In(UNIT_BITS),
                "address": In(ADDRESS_BITS),
                "write": In(1),
                "write_data": In(SCALAR_BITS),
                "commit": In(1),
                "start": In(1),
                "running": Out(1),
                "fault": Out(1),
                "beats": Out(SCALAR_BITS),
                "counter": self.system.signature.members["counter"],
                "shake": In(SHAKE),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.system, m.submodules.model = system, model = self.system, self.model
        for master, slave in zip((*system.hbm, *system.ddr), (*model.hbm, *model.ddr), strict=True):
            connect(m, master, slave)
        connect(m, flipped(self.counter), system.counter)
        m.d.comb += model.shake.eq(self.shake)
        units = [self._unit(m, k) for k in range(self.agcus)]
        for unit, port in zip(units, system.requesters, strict=True):
            connect(m, unit.memory, port)
        working = Signal(self.agcus)
        start = Signal()
        m.d.sync += [start.eq(self.start), working.eq(working & ~Cat(unit.done for unit in units))]
        with m.If(self.start):
            m.d.sync += working.eq(-1)
        m.d.comb += [self.running.eq(working.any()), self.fault.eq(Cat(unit.fault.valid for unit in units).any())]
        m.d.comb += [unit.start.eq(start) for unit in units]
        self._count(m, system.hbm)
        return m

    def _unit(self, m: Module, k: int) -> Any:
        m.submodules[f"agcu_{k}"] = unit = once(AGCU, self.params)
        at = unit.vector_out[0]
        for hop in range(HOPS):
            m.submodules[f"hop_{k}_{hop}"] = stage = once(Slice, vector_layout(self.params.lanes))
            connect(m, at, stage.i)
            at = stage.o
        connect(m, at, unit.vector_in[0])
        for name in ("address", "write_data"):  # through registers: a unit's inputs change after an edge
            m.d.sync += getattr(unit.bus, name).eq(getattr(self, name))
        m.d.sync += [unit.bus.write.eq(self.write & (self.unit == k)), unit.commit.eq(self.commit)]
        return unit

    def _count(self, m: Module, faces: Sequence[Any]) -> None:
        moves = [face.rvalid & face.rready for face in faces] + [face.wvalid & face.wready for face in faces]
        m.d.sync += self.beats.eq(self.beats + sum(moves, start=Cat()))
