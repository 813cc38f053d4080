"""A serial line as a way to the host's registers: 8 data bits, no parity, one stop bit, and AXI4-Lite behind it.

A command is a letter, the byte address of a register, and for a write four bytes of data, least significant first:

==================  ===============================  =================================
command             bytes to the machine             bytes back
==================  ===============================  =================================
write               ``W``, address, 4 of data        BRESP
read                ``R``, address                   RRESP, 4 of data
anything else       a byte                           ``REFUSED``
==================  ===============================  =================================

A command whose bytes stop coming is forgotten, so whoever has lost count need only be silent for a while.
"""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.axi import axi4_lite
from hdl.host.registers import ADDRESS_BITS
from hdl.params import SCALAR_BITS, require

BYTE = 8
FRAME = 1 + BYTE + 1
"""Bits on the line for a byte: start, data, stop."""

WRITE, READ = ord("W"), ord("R")
REFUSED = 0xFF
PATIENCE = 4
"""Byte times of silence after which an unfinished command is forgotten."""


class Receiver(wiring.Component):
    """Bytes from the line: each stands on ``o`` for one cycle, ``valid``; a byte without its stop bit is dropped.

    ``divisor``: cycles a bit, at least 4; each bit is sampled in its middle.
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "valid": Out(1), "o": Out(BYTE)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(3, init=-1)  # the two older ones are synchronous
        wait, left, bits = Signal(range(self.divisor)), Signal(range(FRAME + 1)), Signal(FRAME)
        m.d.sync += [line.eq(Cat(self.rx, line)), self.valid.eq(0)]
        with m.If(left == 0), m.If(line[2] & ~line[1]):
            m.d.sync += [left.eq(FRAME), wait.eq(self.divisor // 2 - 1)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [wait.eq(self.divisor - 1), bits.eq(Cat(bits[1:], line[1])), left.eq(left - 1)]
            with m.If((left == FRAME) & line[1]):  # no start bit, only a glitch
                m.d.sync += left.eq(0)
            with m.If(left == 1):
                m.d.sync += [self.valid.eq(line[1]), self.o.eq(bits[2:])]
        return m


class Transmitter(wiring.Component):
    """Bytes to the line, one every ``FRAME`` x ``divisor`` cycles."""

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(BYTE)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wait, left, bits = Signal(range(self.divisor)), Signal(range(FRAME + 1)), Signal(FRAME, init=-1)
        m.d.comb += self.i.ready.eq(left == 0)
        m.d.sync += self.tx.eq(bits[0])
        with m.If(left == 0), m.If(self.i.valid):
            m.d.sync += [bits.eq(Cat(C(0, 1), self.i.payload, C(1, 1)))]
            m.d.sync += [left.eq(FRAME), wait.eq(self.divisor - 1)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [wait.eq(self.divisor - 1), bits.eq(Cat(bits[1:], C(1, 1))), left.eq(left - 1)]
        return m


class UartBridge(wiring.Component):
    """Commands from ``rx`` to ``axi``, one at a time; answers to ``tx``.

    - ``divisor``: cycles a bit.
    - An answer begins when the register has given it; a register that waits delays it.

    Raises:
        ParameterError: fewer than 4 cycles a bit.
    """

    def __init__(self, divisor: int) -> None:
        require(divisor >= 4, f"UART: {divisor} cycles a bit is less than 4: lower the baud rate")
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "axi": Out(axi4_lite(ADDRESS_BITS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.receiver = receiver = Receiver(self.divisor)
        m.submodules.transmitter = transmitter = Transmitter(self.divisor)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx)]
        axi = self.axi
        writes, come = Signal(), Signal(range(1 + SCALAR_BITS // BYTE))
        arguments: Any = Signal(data.StructLayout({"address": BYTE, "data": SCALAR_BITS}))
        answer, owed = Signal(BYTE + SCALAR_BITS), Signal(range(2 + SCALAR_BITS // BYTE))
        silence = Signal(range(PATIENCE * FRAME * self.divisor))
        m.d.comb += [
            axi.awaddr.eq(arguments.address),
            axi.araddr.eq(arguments.address),
            axi.wdata.eq(arguments.data),
            axi.wstrb.eq(-1),
            transmitter.i.payload.eq(answer),
        ]
        with m.FSM(name="command"):
            with m.State("LETTER"):
                m.d.sync += [come.eq(0), silence.eq(0), writes.eq(receiver.o == WRITE)]
                with m.If(receiver.valid):
                    with m.If((receiver.o == WRITE) | (receiver.o == READ)):
                        m.next = "ARGUMENTS"
                    with m.Else():
                        m.d.sync += [answer.eq(REFUSED), owed.eq(1)]
                        m.next = "ANSWER"
            with m.State("ARGUMENTS"):
                m.d.sync += silence.eq(Mux(receiver.valid, 0, silence + 1))
                with m.If(receiver.valid):
                    m.d.sync += come.eq(come + 1)
                    with m.If(come == 0):
                        m.d.sync += arguments.address.eq(receiver.o)
                    with m.Else():
                        m.d.sync += arguments.data.eq(Cat(arguments.data[BYTE:], receiver.o))
                    with m.If(~writes):
                        m.d.sync += axi.arvalid.eq(1)
                        m.next = "ACCESS"
                    with m.Elif(come == SCALAR_BITS // BYTE):
                        m.d.sync += [axi.awvalid.eq(1), axi.wvalid.eq(1)]
                        m.next = "ACCESS"
                with m.Elif(silence == PATIENCE * FRAME * self.divisor - 1):
                    m.next = "LETTER"
            with m.State("ACCESS"):
                m.d.comb += [axi.bready.eq(1), axi.rready.eq(1)]
                for channel in ("aw", "w", "ar"):
                    with m.If(getattr(axi, f"{channel}ready")):
                        m.d.sync += getattr(axi, f"{channel}valid").eq(0)
                with m.If(axi.bvalid):
                    m.d.sync += [answer.eq(axi.bresp), owed.eq(1)]
                    m.next = "ANSWER"
                with m.If(axi.rvalid):
                    m.d.sync += [answer.eq(Cat(axi.rresp, C(0, BYTE - len(axi.rresp)), axi.rdata))]
                    m.d.sync += owed.eq(1 + SCALAR_BITS // BYTE)
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += transmitter.i.valid.eq(1)
                with m.If(transmitter.i.ready):
                    m.d.sync += [answer.eq(answer >> BYTE), owed.eq(owed - 1)]
                    with m.If(owed == 1):
                        m.next = "LETTER"
        return m
