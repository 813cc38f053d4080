"""What a user of a block's Verilog needs beside it."""

import enum
import inspect
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import wiring


@dataclass(frozen=True)
class Port:
    """A port of a module; ``width`` counts bits."""

    name: str
    width: int
    is_input: bool

    @property
    def direction(self) -> str:
        """As Verilog says it."""
        return "input" if self.is_input else "output"


def ports_of(component: wiring.Component) -> list[Port]:
    """The ports of its module as Amaranth names them, clock and reset apart."""
    return [
        Port("__".join(map(str, path)), Shape.cast(member.shape).width, member.flow is wiring.In)
        for path, member, _ in component.signature.flatten(component)
    ]


def describe(unit: wiring.Component) -> dict[str, Any]:
    """Ports (name, direction, width in bits), parameters, latency in cycles; as JSON has them."""
    ports = [{"name": port.name, "direction": port.direction, "width": port.width} for port in ports_of(unit)]
    arguments = inspect.signature(type(unit)).parameters
    parameters = {name: _plain(vars(unit)[name]) for name in arguments if name in vars(unit)}
    return {
        "component": type(unit).__name__,
        "latency": getattr(unit, "latency", None),
        "parameters": parameters,
        "ports": ports,
    }


def _plain(value: Any) -> Any:
    """A parameter as JSON has it."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, wiring.Component):
        return describe(value)
    if isinstance(value, enum.Enum):
        return value.name
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return getattr(value, "name", None) or str(value)
