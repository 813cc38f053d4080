"""SECDED: a Hamming code with an overall parity bit. Corrects one flipped bit of a word, detects two.

Bit positions 1, 2, 4, 8, ... of the code word are parity bits, the data bits fill the others in ascending order, and
position 0 is the parity of all: a single flip makes that parity odd and the syndrome its position; a double flip leaves
the parity even with a syndrome that is not zero. Source: R. W. Hamming, "Error detecting and error correcting codes",
Bell System Technical Journal 29(2), 1950. Golden model: ``golden_model.ecc``.
"""

from functools import reduce
from operator import xor
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Signal, Value


def check_bits(width: int) -> int:
    """Parity bits for ``width`` data bits, the overall one not counted: 5 for 16, 7 for 64."""
    bits = 2
    while (1 << bits) - bits - 1 < width:
        bits += 1
    return bits


def code_width(width: int) -> int:
    """Bits of the stored word: 22 for 16, 72 for 64."""
    return width + check_bits(width) + 1


def data_positions(width: int) -> list[int]:
    """Where the data bits stand in the code word, least significant first."""
    return [p for p in range(1, code_width(width)) if p & (p - 1)]


def encode(value: Value) -> Value:
    """The code word of ``value``; combinational."""
    width = len(value)
    bits: list[Value] = [Const(0, 1)] * code_width(width)
    for k, position in enumerate(data_positions(width)):
        bits[position] = value[k]
    for k in range(check_bits(width)):
        bits[1 << k] = _parity(bits, 1 << k)
    bits[0] = reduce(xor, bits[1:])
    return Cat(bits)


class Decoded(NamedTuple):
    """``data`` as corrected; ``corrected``: one bit was flipped; ``detected``: two were, and ``data`` is wrong."""

    data: Value
    corrected: Value
    detected: Value


def decode(m: Module, word: Value, width: int, name: str) -> Decoded:
    """Checks and corrects a code word of ``width`` data bits; combinational."""
    bits = list(word)
    syndrome = Signal(check_bits(width), name=f"{name}_syndrome")
    odd = Signal(name=f"{name}_odd")
    m.d.comb += [syndrome.eq(Cat(_parity(bits, 1 << k) for k in range(check_bits(width)))), odd.eq(word.xor())]
    data = Cat(bits[p] ^ (odd & (syndrome == p)) for p in data_positions(width))
    # an odd number of flips that points beyond the word is three or more: nothing was corrected
    beyond = syndrome >= code_width(width)
    return Decoded(data, odd & ~beyond, (~odd & syndrome.any()) | (odd & beyond))


def _parity(bits: list[Value], position: int) -> Value:
    return reduce(xor, [bit for p, bit in enumerate(bits) if p & position])
