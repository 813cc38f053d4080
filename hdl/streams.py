"""Payloads and signatures of everything that flows between units. Rules: ``amaranth.lib.stream``.

Between units, ``valid`` and ``ready`` come from registers, so no combinational path crosses a unit.
"""

from amaranth.lib import data, stream

from hdl.params import ELEMENT_BITS, SCALAR_BITS

SEQUENCE_BITS = 16
"""Width of the sequence id that a sender gives a vector and a PMU may use in the write address."""


def vector_layout(lanes: int) -> data.StructLayout:
    """One beat: ``lanes`` elements of 16 bits, lane 0 first, and the sequence id.

    A 32-bit vector takes two beats in memory order: lanes 0 .. lanes/2 - 1, low half first, then the rest.
    """
    return data.StructLayout({"elements": data.ArrayLayout(ELEMENT_BITS, lanes), "sequence": SEQUENCE_BITS})


def vector_stream(lanes: int) -> stream.Signature:
    return stream.Signature(vector_layout(lanes))


def scalar_stream() -> stream.Signature:
    return stream.Signature(SCALAR_BITS)
