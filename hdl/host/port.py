"""The host's AXI4-Lite face: the registers of :mod:`hdl.host.registers` in hardware."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.axi import Resp, axi4_lite
from hdl.host.registers import ADDRESS_BITS, REGISTERS, Access, Register
from hdl.params import SCALAR_BITS

DEPTH = 4


def register_port(register: Register) -> wiring.Signature:
    """What the hardware sees of a register.

    - ``value``: from the hardware, or held for it. ``written`` with ``data``: pulse; ``read``: pulse.
    - ``ready``, of registers that wait: the access that stands there may happen.
    """
    members: dict[str, Any] = {}
    if register.access is Access.HELD:
        members["value"] = Out(register.layout)
    elif register.access.readable:
        members |= {"value": In(register.layout), "read": Out(1)}
    if register.access in (Access.EVENT, Access.BOTH):
        members |= {"written": Out(1), "data": Out(register.layout)}
    if register.waits:
        members |= {f"{what}_ready": In(1) for what in ("read", "write") if _possible(register, what)}
    return wiring.Signature(members)


def _possible(register: Register, what: str) -> bool:
    return register.access.readable if what == "read" else register.access.writable


class HostPort(wiring.Component):
    """AXI4-Lite slave; every register is a member by its name in small letters, see :func:`register_port`.

    - Throughput: a read and a write every cycle. Latency: 3 cycles from address to answer.
    - A write of part of a word, or an access that the register does not allow, is answered with SLVERR and does
      nothing. Addresses are cut to a multiple of 4.
    """

    def __init__(self) -> None:
        ports = {register.name.lower(): Out(register_port(register)) for register in REGISTERS}
        super().__init__({"axi": In(axi4_lite(ADDRESS_BITS)), **ports})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi = self.axi
        address = data.StructLayout({"word": ADDRESS_BITS - 2})
        write_data = data.StructLayout({"data": SCALAR_BITS, "strobe": SCALAR_BITS // 8})
        answer = data.StructLayout({"data": SCALAR_BITS, "resp": 2})
        aw = self._incoming(m, "aw", address, axi.awvalid, axi.awready, axi.awaddr[2:])
        w = self._incoming(m, "w", write_data, axi.wvalid, axi.wready, axi.wdata, axi.wstrb)
        ar = self._incoming(m, "ar", address, axi.arvalid, axi.arready, axi.araddr[2:])
        b = self._outgoing(m, "b", data.StructLayout({"resp": 2}), axi.bvalid, axi.bready)
        r = self._outgoing(m, "r", answer, axi.rvalid, axi.rready)
        m.d.comb += [axi.bresp.eq(b.front.resp), axi.rdata.eq(r.front.data), axi.rresp.eq(r.front.resp)]

        write_open, read_open = Signal(init=1), Signal(init=1)  # low while the register wants to wait
        write = aw.valid & w.valid & b.room & write_open
        read = ar.valid & r.room & read_open
        m.d.comb += [aw.take.eq(write), w.take.eq(write), b.put.eq(write), ar.take.eq(read), r.put.eq(read)]
        m.d.comb += [b.back.resp.eq(Resp.SLVERR), r.back.resp.eq(Resp.SLVERR)]
        with m.Switch(aw.front.word):
            for number, register in enumerate(REGISTERS):
                if register.access.writable:
                    with m.Case(number):
                        self._write(m, register, w, write, write_open, b)
        with m.Switch(ar.front.word):
            for number, register in enumerate(REGISTERS):
                if register.access.readable:
                    with m.Case(number):
                        self._read(m, register, read, read_open, r)
        return m

    def _write(self, m: Module, register: Register, w: Any, write: Value, opened: Signal, b: Any) -> None:
        port = getattr(self, register.name.lower())
        if register.waits:
            m.d.comb += opened.eq(port.write_ready)
        with m.If(w.front.strobe.all()):
            m.d.comb += b.back.resp.eq(Resp.OKAY)
            if register.access is Access.HELD:
                with m.If(write):
                    m.d.sync += port.value.eq(w.front.data)
            else:
                m.d.comb += [port.written.eq(write), port.data.eq(w.front.data)]

    def _read(self, m: Module, register: Register, read: Value, opened: Signal, r: Any) -> None:
        port = getattr(self, register.name.lower())
        m.d.comb += [r.back.data.eq(port.value), r.back.resp.eq(Resp.OKAY)]
        if register.waits:
            m.d.comb += opened.eq(port.read_ready)
        if register.access is not Access.HELD:
            m.d.comb += port.read.eq(read)

    def _incoming(
        self, m: Module, name: str, layout: data.StructLayout, valid: Value, ready: Value, *values: Value
    ) -> "_Queue":
        """A queue behind a channel on which the host sends."""
        queue = _Queue(m, name, layout)
        m.d.comb += [queue.put.eq(valid), ready.eq(queue.room)]
        m.d.comb += [queue.back[field].eq(value) for (field, _), value in zip(layout, values, strict=True)]
        return queue

    def _outgoing(self, m: Module, name: str, layout: data.StructLayout, valid: Value, ready: Value) -> "_Queue":
        """A queue before a channel on which the host receives."""
        queue = _Queue(m, name, layout)
        m.d.comb += [valid.eq(queue.valid), queue.take.eq(ready)]
        return queue


class _Queue:
    """A queue with its two ends as signals: ``put``, ``back``, ``room``; ``valid``, ``front``, ``take``."""

    def __init__(self, m: Module, name: str, layout: data.StructLayout) -> None:
        fifo = SyncFIFOBuffered(width=layout.size, depth=DEPTH)
        m.submodules[name] = fifo
        self.put, self.room, self.back = fifo.w_en, fifo.w_rdy, data.View(layout, fifo.w_data)
        self.take, self.valid, self.front = fifo.r_en, fifo.r_rdy, data.View(layout, fifo.r_data)
