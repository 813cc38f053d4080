"""Values to bits and back through Amaranth shapes, so that no bench slices a payload by position."""

from typing import Any

from amaranth.hdl import Const, Shape, ShapeCastable
from amaranth.lib import data


def width(shape: Any) -> int:
    """Bits of a value of ``shape``."""
    return int(Shape.cast(shape).width)


def encode(shape: Any, value: Any) -> int:
    """The bits of ``value`` as a value of ``shape``.

    An integer given for a layout is taken as its bits; otherwise ``value`` is what ``shape.const`` takes (a dict for a
    struct, a sequence for an array, an enum member).

    Raises:
        ValueError: the value does not fit.
    """
    bits = width(shape)
    if isinstance(value, int) and (isinstance(shape, data.Layout) or not isinstance(shape, ShapeCastable)):
        low = -(1 << bits - 1) if bits and Shape.cast(shape).signed else 0
        if not low <= value < 1 << bits:
            raise ValueError(f"{value:#x} does not fit the {bits} bits of {shape!r}")
        return value & ((1 << bits) - 1)
    constant = value if isinstance(value, data.Const) else shape.const(value)
    return int(Const.cast(constant).value) & ((1 << bits) - 1)


def decode(shape: Any, bits: int) -> Any:
    """The value of ``shape`` with these bits: an integer, an enum member, or a ``data.Const`` with named fields."""
    if isinstance(shape, ShapeCastable):
        return shape.from_bits(bits)
    plain = Shape.cast(shape)
    if plain.signed and plain.width and bits >> plain.width - 1:
        return bits - (1 << plain.width)
    return bits


def describe(shape: Any, bits: int) -> str:
    """``bits`` for a reader: hexadecimal, and the fields by name if it is a struct."""
    value = decode(shape, bits)
    return f"{bits:#x} = {_text(value)}" if isinstance(value, data.Const) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, data.Const):
        layout: Any = value.shape()
        fields = [(str(key), _text(value[key])) for key, _ in layout]
        named = not isinstance(layout, data.ArrayLayout)
        return "{" + ", ".join(f"{k}: {v}" if named else v for k, v in fields) + "}"
    return f"{value:#x}" if type(value) is int else str(value)
