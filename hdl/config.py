"""How a unit is configured: one ``StructLayout`` next to its RTL, packed into 32-bit words, held twice.

The layout is the one source of truth: the assembler packs with :func:`pack`, the golden model reads with
:func:`unpack`, the hardware gets it as a struct from :class:`ConfigRegisters`, and the documentation is generated from
it. Words are written into a *shadow* copy while the unit runs; ``commit`` makes the shadow the active configuration in
one cycle, which is how the next program loads while this one runs (SN40L section IV-D, kernel launch). The shadow can
take in the same cycle what was active, so two programs take turns without being loaded again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.clock_gate import gated_domain
from hdl.errors import ParameterError
from hdl.fields import Fields, form
from hdl.params import SCALAR_BITS

ADDRESS_BITS = 8
STATUS_BASE = 1 << (ADDRESS_BITS - 1)
"""Word addresses from here up are read-only status: fire and stall counters, error flags."""

COMMIT = data.StructLayout({"take": 1, "keep": 1})
"""One-cycle pulses. ``take``: the shadow becomes the active configuration. ``keep``, with ``take`` only: and what was
active becomes the shadow, so that the two are exchanged."""


def word_count(layout: data.Layout) -> int:
    """Configuration words that ``layout`` takes."""
    return int(-(-form(layout).size // SCALAR_BITS))


def pack(layout: data.StructLayout, values: Mapping[str, Any]) -> list[int]:
    """The configuration words of ``values``, field by field; fields left out are zero.

    Raises:
        ParameterError: a field that the layout does not have, or a value that does not fit its field.
    """
    bits = form(layout).pack(values)
    return [bits >> SCALAR_BITS * i & 0xFFFF_FFFF for i in range(word_count(layout))]


def unpack(layout: data.StructLayout, words: Sequence[int]) -> Fields:
    """The struct that these words hold: fields read as attributes or items, numbers as plain integers.

    Raises:
        ParameterError: the number of words is not that of the layout.
    """
    if len(words) != word_count(layout):
        raise ParameterError(f"{len(words)} configuration words given, the layout takes {word_count(layout)}")
    bits = sum(word << SCALAR_BITS * i for i, word in enumerate(words))
    return Fields(form(layout), bits & ((1 << form(layout).size) - 1))


def config_port() -> wiring.Signature:
    """The configuration bus of one unit, seen from the master: a write, or a read answered one cycle later."""
    return wiring.Signature(
        {"address": Out(ADDRESS_BITS), "write": Out(1), "write_data": Out(SCALAR_BITS), "read_data": In(SCALAR_BITS)}
    )


class ConfigRegisters(wiring.Component):
    """Shadow and active configuration of a unit, and its read-only status words.

    - ``bus``: words 0 .. n-1 write and read the shadow, so unload mirrors load; ``STATUS_BASE`` + i reads status i.
    - ``commit`` (:data:`COMMIT`): on the next edge the active configuration becomes the shadow, and if that is to be
      kept the shadow what was active, bits of the last word beyond the layout included. A word that is written in the
      cycle of an exchange is lost.
    - Reads answer one cycle after the address.
    """

    def __init__(self, layout: data.StructLayout, status_words: int, gated: bool = False) -> None:
        """``gated``: the configuration is clocked only while it is written or committed (:mod:`hdl.clock_gate`)."""
        self._layout, self._status_words, self._gated = layout, status_words, gated
        assert word_count(layout) <= STATUS_BASE
        super().__init__(
            {
                "bus": In(config_port()),
                "commit": In(COMMIT),
                "active": Out(layout),
                "status": In(data.ArrayLayout(SCALAR_BITS, status_words)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = m.d.sync
        if self._gated:
            gated_domain(m, "held", self.commit.take | self.bus.write)
            held = m.d["held"]
        words = [Signal(SCALAR_BITS, name=f"shadow_{i}") for i in range(word_count(self._layout))]
        beyond = Signal(len(words) * SCALAR_BITS - self._layout.size)
        active = Cat(self.active, beyond)
        exchange = self.commit.take & self.commit.keep
        for i, word in enumerate(words):  # one choice and one enable, so that a bit takes one LUT on an FPGA
            with m.If(exchange | (self.bus.write & (self.bus.address == i))):
                held += word.eq(Mux(exchange, active.word_select(i, SCALAR_BITS), self.bus.write_data))
        with m.If(self.commit.take):
            held += active.eq(Cat(words))
        with m.Switch(self.bus.address):
            for i, word in enumerate(words):
                with m.Case(i):
                    m.d.sync += self.bus.read_data.eq(word)
            for i in range(self._status_words):
                with m.Case(STATUS_BASE + i):
                    m.d.sync += self.bus.read_data.eq(self.status[i])
            with m.Default():
                m.d.sync += self.bus.read_data.eq(0)
        return m
