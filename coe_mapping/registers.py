"""The driver's side of the host registers: by name, over whatever carries a read or a write of 32 bits."""

from collections.abc import Mapping
from typing import Protocol

from hdl.errors import ParameterError
from hdl.host.registers import BY_NAME, OFFSETS, Register


class Transport(Protocol):
    """What reaches the host port: a simulated AXI4-Lite master, a serial line, a mapped device."""

    def read(self, address: int) -> int:
        """The register at a byte address."""
        ...

    def write(self, address: int, value: int) -> None:
        """Writes all 32 bits of a register."""
        ...


class Registers:
    """Named access to the registers of a machine.

    Raises:
        ParameterError: no such register or field, an access it does not allow, a value that does not fit.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def read(self, name: str) -> int:
        """All 32 bits."""
        register = _find(name)
        if not register.access.readable:
            raise ParameterError(f"register {name} cannot be read")
        return self._transport.read(OFFSETS[name])

    def write(self, name: str, value: int = 0) -> None:
        register = _find(name)
        if not register.access.writable:
            raise ParameterError(f"register {name} cannot be written")
        if not 0 <= value < 1 << 32:
            raise ParameterError(f"register {name}: {value} does not fit 32 bits")
        self._transport.write(OFFSETS[name], value)

    def fields(self, name: str) -> Mapping[str, int]:
        """A read, field by field."""
        value, found = self.read(name), {}
        for key, (bits, _) in _find(name).fields.items():
            found[key] = value & (1 << bits) - 1
            value >>= bits
        return found

    def set(self, name: str, **values: int) -> None:
        """A write; fields left out are zero."""
        register, word, shift = _find(name), 0, 0
        unknown = values.keys() - register.fields.keys()
        if unknown:
            raise ParameterError(f"register {name} has no field {min(unknown)}; it has {', '.join(register.fields)}")
        for key, (bits, _) in register.fields.items():
            value = values.get(key, 0)
            if not 0 <= value < 1 << bits:
                raise ParameterError(f"register {name}.{key}: {value} does not fit {bits} bits")
            word |= value << shift
            shift += bits
        self.write(name, word)


def _find(name: str) -> Register:
    if name not in BY_NAME:
        raise ParameterError(f"there is no register {name}; there are {', '.join(BY_NAME)}")
    return BY_NAME[name]
