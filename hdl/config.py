"""How a unit is configured: one ``StructLayout`` next to its RTL, packed into 32-bit words, held twice.

The layout is the one source of truth: the assembler packs with :func:`pack`, the golden model reads with
:func:`unpack`, the hardware gets it as a struct from :class:`ConfigRegisters`, and the documentation is generated from
it. Words are written into a *shadow* copy while the unit runs; ``commit`` makes the shadow the active configuration in
one cycle, which is how the next program loads while this one runs (SN40L section IV-D, kernel launch).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.errors import ParameterError
from hdl.params import SCALAR_BITS

ADDRESS_BITS = 8
STATUS_BASE = 1 << (ADDRESS_BITS - 1)
"""Word addresses from here up are read-only status: fire and stall counters, error flags."""


def word_count(layout: data.Layout) -> int:
    """Configuration words that ``layout`` takes."""
    return int(-(-layout.size // SCALAR_BITS))


def pack(layout: data.StructLayout, values: Mapping[str, Any]) -> list[int]:
    """The configuration words of ``values``, field by field; fields left out are zero.

    Raises:
        ParameterError: a field that the layout does not have, or a value that does not fit its field.
    """
    _check(layout, values, "")
    bits = layout.const(values).as_bits()
    return [bits >> SCALAR_BITS * i & 0xFFFF_FFFF for i in range(word_count(layout))]


def unpack(layout: data.StructLayout, words: Sequence[int]) -> data.Const:
    """The struct constant that these words hold: fields read as attributes or items.

    Raises:
        ParameterError: the number of words is not that of the layout.
    """
    if len(words) != word_count(layout):
        raise ParameterError(f"{len(words)} configuration words given, the layout takes {word_count(layout)}")
    bits = sum(word << SCALAR_BITS * i for i, word in enumerate(words))
    return layout.from_bits(bits & ((1 << layout.size) - 1))


def _check(layout: data.Layout, values: Any, path: str) -> None:
    """Walks ``values`` beside ``layout`` so that an error names the field, which Amaranth's own message does not."""
    if isinstance(layout, data.StructLayout | data.ArrayLayout) and isinstance(values, Mapping | Sequence):
        items = values.items() if isinstance(values, Mapping) else enumerate(values)
        members = dict(layout)
        for key, value in items:
            if key not in members:
                raise ParameterError(
                    f"configuration field {path}{key} does not exist; there are {', '.join(map(str, members))}"
                )
            _check_value(members[key].shape, value, f"{path}{key}")


def _check_value(shape: Any, value: Any, path: str) -> None:
    if isinstance(shape, data.Layout):
        _check(shape, value, f"{path}.")
        return
    number = getattr(value, "value", value)
    width = data.StructLayout({"value": shape}).size
    if isinstance(number, int) and not -(1 << (width - 1)) <= number < 1 << width:
        raise ParameterError(f"configuration field {path}: {number} does not fit its {width} bits")


def config_port() -> wiring.Signature:
    """The configuration bus of one unit, seen from the master: a write, or a read answered one cycle later."""
    return wiring.Signature(
        {"address": Out(ADDRESS_BITS), "write": Out(1), "write_data": Out(SCALAR_BITS), "read_data": In(SCALAR_BITS)}
    )


class ConfigRegisters(wiring.Component):
    """Shadow and active configuration of a unit, and its read-only status words.

    - ``bus``: words 0 .. n-1 write and read the shadow, so unload mirrors load; ``STATUS_BASE`` + i reads status i.
    - ``commit``: one-cycle pulse, the active configuration becomes the shadow on the next edge.
    - Reads answer one cycle after the address.
    """

    def __init__(self, layout: data.StructLayout, status_words: int) -> None:
        self._layout, self._status_words = layout, status_words
        assert word_count(layout) <= STATUS_BASE
        super().__init__(
            {
                "bus": In(config_port()),
                "commit": In(1),
                "active": Out(layout),
                "status": In(data.ArrayLayout(SCALAR_BITS, status_words)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = [Signal(SCALAR_BITS, name=f"shadow_{i}") for i in range(word_count(self._layout))]
        with m.Switch(self.bus.address):
            for i, word in enumerate(words):
                with m.Case(i):
                    m.d.sync += self.bus.read_data.eq(word)
                    with m.If(self.bus.write):
                        m.d.sync += word.eq(self.bus.write_data)
            for i in range(self._status_words):
                with m.Case(STATUS_BASE + i):
                    m.d.sync += self.bus.read_data.eq(self.status[i])
            with m.Default():
                m.d.sync += self.bus.read_data.eq(0)
        with m.If(self.commit):
            m.d.sync += self.active.as_value().eq(Cat(words))
        return m
