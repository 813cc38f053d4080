"""Where in its packet a word stands."""

import enum
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from hdl.link.layout import LinkSizes


class Section(enum.Enum):
    """The parts of a packet in their order; IDLE: between packets."""

    IDLE = 0
    HEADER = 1
    VECTOR = 2
    CHECK = 3


def position_layout(sizes: LinkSizes) -> data.StructLayout:
    """Part, word within the part (or within one vector), and number of the vector."""
    longest = max(sizes.header_words, sizes.vector_words, sizes.check_words)
    return data.StructLayout({"section": Section, "word": range(longest), "vector": range(sizes.link.packet)})


def ends_part(sizes: LinkSizes, at: Any) -> Value:
    """The word is the last of the header, of a vector or of the check."""
    lengths = {
        Section.HEADER: sizes.header_words,
        Section.VECTOR: sizes.vector_words,
        Section.CHECK: sizes.check_words,
    }
    ends = Value.cast(0)
    for section, length in lengths.items():
        ends = ends | ((at.section == section) & (at.word == length - 1))
    return ends


def following(m: Module, sizes: LinkSizes, at: Any, length: Value) -> Any:
    """The position after ``at``, in a packet of ``length`` vectors; that is read from the header's last word on."""
    after = Signal(position_layout(sizes))
    ends, more = Signal(), Signal()
    m.d.comb += [ends.eq(ends_part(sizes, at)), after.eq(at)]
    with m.If(~ends):
        m.d.comb += after.word.eq(Mux(at.section == Section.IDLE, 0, at.word + 1))
    with m.Else():
        m.d.comb += after.word.eq(0)
        with m.Switch(at.section):
            with m.Case(Section.HEADER):
                m.d.comb += [more.eq(length != 0), after.section.eq(Mux(more, Section.VECTOR, Section.CHECK))]
            with m.Case(Section.VECTOR):
                m.d.comb += more.eq(at.vector + 1 != length)
                with m.If(more):
                    m.d.comb += after.vector.eq(at.vector + 1)
                with m.Else():
                    m.d.comb += after.section.eq(Section.CHECK)
            with m.Default():
                m.d.comb += after.section.eq(Section.IDLE)
    return after


def beginning(sizes: LinkSizes) -> data.Const:
    """The position of a packet's first word."""
    return position_layout(sizes).const({"section": Section.HEADER})
