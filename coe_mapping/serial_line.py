"""The host registers over a serial line: the driver's end of :mod:`hdl.host.uart`."""

from typing import Protocol

from hdl.axi import Resp
from hdl.host.uart import READ, REFUSED, WRITE

WORD = 4
"""Bytes of a register."""


class Line(Protocol):
    """Bytes both ways; a port of ``pyserial`` with a timeout is one."""

    def write(self, data: bytes) -> object:
        """Sends."""
        ...

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes; fewer if they do not come in time."""
        ...


class LineError(Exception):
    """The machine did not answer, or refused the access."""


class SerialLine:
    """A transport for :class:`~coe_mapping.registers.Registers`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def read(self, address: int) -> int:
        """The register at a byte address.

        Raises:
            LineError: no answer, or an error response.
        """
        what = f"read of {address:#x}"
        self._line.write(bytes([READ, address]))
        response = self._response(what)
        value = int.from_bytes(self._bytes(WORD, what), "little")
        self._check(response, what)
        return value

    def write(self, address: int, value: int) -> None:
        """Writes all 32 bits of a register.

        Raises:
            LineError: no answer, or an error response.
        """
        what = f"write to {address:#x}"
        self._line.write(bytes([WRITE, address]) + value.to_bytes(WORD, "little"))
        self._check(self._response(what), what)

    def _response(self, what: str) -> int:
        (response,) = self._bytes(1, what)
        if response == REFUSED:
            raise LineError(f"{what}: the machine did not take the command; is something else writing to the line?")
        return response

    def _check(self, response: int, what: str) -> None:
        if response != Resp.OKAY:
            raise LineError(f"{what}: {Resp(response).name}")

    def _bytes(self, count: int, what: str) -> bytes:
        data = self._line.read(count)
        if len(data) < count:
            raise LineError(
                f"{what}: {len(data)} of {count} bytes came back; check the baud rate, and that the board is configured"
            )
        return data
