"""The serial line: registers read and written over it, at a bit time that is not quite its own, and what goes wrong."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from coe_mapping.registers import Registers
from coe_mapping.serial_line import LineError, SerialLine
from hdl.errors import ParameterError
from hdl.host.port import HostPort
from hdl.host.registers import OFFSETS
from hdl.host.uart import FRAME, PATIENCE, READ, REFUSED, WRITE, UartBridge
from verif.serial_model import SimulatedLine
from verif.sim import Model, compile_python

DIVISOR = 8
MAGIC = 0x5EED_1234


class Rig(wiring.Component):
    """The bridge before the host port; one register's value is fixed, one waits for its time."""

    def __init__(self) -> None:
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "ready": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bridge = bridge = UartBridge(DIVISOR)
        m.submodules.port = port = HostPort()
        connect(m, bridge.axi, port.axi)
        m.d.comb += [
            bridge.rx.eq(self.rx),
            self.tx.eq(bridge.tx),
            port.magic.value.eq(MAGIC),
            port.peek_data.value.eq(~MAGIC),
            port.peek_data.read_ready.eq(self.ready),
        ]
        return m


@pytest.fixture(scope="module")
def model() -> Model:
    return compile_python(Rig(), "uart_rig")


@pytest.fixture
def line(model: Model) -> SimulatedLine:
    line = SimulatedLine(model, DIVISOR)
    model.reset()
    line.idle(10)
    return line


@pytest.mark.parametrize("bit", [DIVISOR, 0.97 * DIVISOR, 1.03 * DIVISOR])
def test_registers_are_read_and_written(model: Model, bit: float, rng: np.random.Generator) -> None:
    """The two clocks may differ by 3 %."""
    model.reset()
    registers = Registers(SerialLine(SimulatedLine(model, bit)))
    assert registers.read("MAGIC") == MAGIC
    written = {f"COMMAND_{i}": int(rng.integers(1 << 32)) for i in range(4)}
    for name, value in written.items():
        registers.write(name, value)
    assert {name: registers.read(name) for name in written} == written


def test_the_answer_of_a_register_that_waits_comes_when_it_has_one(model: Model, line: SimulatedLine) -> None:
    model["ready"] = 0
    line.write(bytes([READ, OFFSETS["PEEK_DATA"]]))
    line.patience = 1000
    assert line.read(1) == b""
    model["ready"] = 1
    assert line.read(5) == b"\0" + (~MAGIC & 0xFFFF_FFFF).to_bytes(4, "little")


def test_an_access_that_a_register_does_not_allow_is_told(line: SimulatedLine) -> None:
    transport = SerialLine(line)
    with pytest.raises(LineError, match="write to 0x0: SLVERR"):
        transport.write(OFFSETS["MAGIC"], 1)
    with pytest.raises(LineError, match=r"read of 0xfc: SLVERR"):
        transport.read(0xFC)
    assert transport.read(OFFSETS["MAGIC"]) == MAGIC


def test_what_is_no_command_is_refused_byte_by_byte(line: SimulatedLine) -> None:
    for byte in b"\x00w\xff":
        line.write(bytes([byte]))
        assert line.read(1) == bytes([REFUSED])
    assert SerialLine(line).read(OFFSETS["MAGIC"]) == MAGIC


@pytest.mark.parametrize("sent", [1, 2, 5])
def test_a_command_that_stops_in_the_middle_is_forgotten(line: SimulatedLine, sent: int) -> None:
    registers = Registers(SerialLine(line))
    registers.write("COMMAND_0", 77)
    line.write(bytes([WRITE, OFFSETS["COMMAND_0"], 1, 2, 3, 4])[:sent])
    line.idle(PATIENCE * FRAME * DIVISOR + 4 * DIVISOR)
    assert registers.read("COMMAND_0") == 77


def test_a_glitch_is_no_byte_and_a_byte_without_its_stop_bit_is_dropped(model: Model, line: SimulatedLine) -> None:
    model["rx"] = 0
    line.idle(DIVISOR // 4)
    model["rx"] = 1
    line.idle(20 * DIVISOR)
    line.drive(READ << 1)  # no stop bit
    line.idle(20 * DIVISOR)
    line.patience = 1000
    assert line.read(1) == b""
    assert SerialLine(line).read(OFFSETS["MAGIC"]) == MAGIC


def test_a_machine_that_does_not_answer_is_told_in_a_sentence(line: SimulatedLine) -> None:
    line.patience = 10
    with pytest.raises(LineError, match="read of 0x0: 0 of 1 bytes came back; check the baud rate"):
        SerialLine(line).read(0)


def test_a_bit_shorter_than_four_cycles_is_refused() -> None:
    with pytest.raises(ParameterError, match="UART: 3 cycles a bit is less than 4"):
        UartBridge(3)
