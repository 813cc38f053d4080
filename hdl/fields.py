"""Layouts for programs: packing and reading configuration as plain integers.

Amaranth's own constants build a value object a field; a bitstream has tens of thousands of fields, so a layout is
walked once here, and its fields are shifts and masks from then on.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from hdl.errors import ParameterError


class Form:
    """A layout with the offsets and widths of its members worked out; made by :func:`form`.

    ``members``: (offset, width, form of the member or None if it is a number) by name, or by index of an array.
    """

    def __init__(self, layout: data.Layout) -> None:
        self.layout = layout
        self.size = int(layout.size)
        self.is_array = isinstance(layout, data.ArrayLayout)
        self.members: dict[str | int, tuple[int, int, Form | None]] = {}
        for key, member in layout:
            inner = form(member.shape) if isinstance(member.shape, data.Layout) else None
            width = inner.size if inner else Shape.cast(member.shape).width
            self.members[key] = member.offset, width, inner

    def pack(self, values: Mapping[Any, Any] | Sequence[Any], path: str = "") -> int:
        """The bits of ``values``; members left out are zero.

        Raises:
            ParameterError: a member that does not exist, or a value that does not fit, by its path.
        """
        bits = 0
        for key, value in values.items() if isinstance(values, Mapping) else enumerate(values):
            if key not in self.members:
                names = ", ".join(map(str, self.members))
                raise ParameterError(f"configuration field {path}{key} does not exist; there are {names}")
            offset, width, inner = self.members[key]
            if inner is None:
                number = value.value if isinstance(value, enum.Enum) else int(value)
                if not -(1 << (width - 1) if width else 0) <= number < 1 << width:
                    raise ParameterError(f"configuration field {path}{key}: {number} does not fit its {width} bits")
                bits |= (number & ((1 << width) - 1)) << offset
            else:
                bits |= inner.pack(value, f"{path}{key}.") << offset
        return bits


def form(layout: data.Layout) -> Form:
    """The form of ``layout``, worked out once."""
    return _form(_Key(layout))


class _Key:
    """A layout by identity: comparing two by value takes longer than walking one."""

    def __init__(self, layout: data.Layout) -> None:
        self.layout = layout

    def __hash__(self) -> int:
        return id(self.layout)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.layout is other.layout


@cache
def _form(key: _Key) -> Form:
    return Form(key.layout)


class Fields:
    """The members of a struct or array that ``bits`` hold, read by attribute or item: integers, or ``Fields`` again."""

    __slots__ = ("_bits", "_form")

    def __init__(self, of: Form, bits: int) -> None:
        self._form, self._bits = of, bits

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, int) and key < 0:
            key += len(self)
        offset, width, inner = self._form.members[key]
        bits = self._bits >> offset & ((1 << width) - 1)
        return bits if inner is None else Fields(inner, bits)

    def __getattr__(self, name: str) -> Any:
        if name not in self._form.members:
            raise AttributeError(f"no field is called {name!r}; there are {', '.join(map(str, self._form.members))}")
        return self[name]

    def __len__(self) -> int:
        return len(self._form.members)

    def __iter__(self) -> Iterator[Any]:
        return (self[key] for key in self._form.members)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and (self._form, self._bits) == (other._form, other._bits)

    def __hash__(self) -> int:
        return hash(self._bits)

    def __repr__(self) -> str:
        return f"Fields({dict(zip(self._form.members, self, strict=True))})"

    def as_bits(self) -> int:
        """All of it as one integer."""
        return self._bits
