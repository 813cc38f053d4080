"""Cyclic redundancy check, a word of any width a step: CRC-32 of IEEE 802.3, the one of Ethernet, zip and ``zlib``.

Bits go in least significant first, so words taken in little-endian memory order give what ``zlib.crc32`` gives.
"""

from functools import cache

from amaranth.hdl import Cat, Const, Value

BITS = 32
POLYNOMIAL = 0xEDB88320
"""Reflected: bit 31 is the coefficient of x**0."""

INITIAL = 0xFFFF_FFFF
"""State before the first word; the checksum is the inverse of the state after the last."""


def advance(state: Value, word: Value) -> Value:
    """The state after ``word``: exclusive-ors only, some (32 + width) / 2 inputs each before sharing."""
    terms = [(bit, image) for bit, image in zip(Cat(state, word), _matrix(len(word)), strict=True)]
    return Cat(Cat(bit for bit, image in terms if image >> j & 1).xor() for j in range(BITS))


def checksum(state: Value) -> Value:
    """What is sent after the last word."""
    return state ^ Const(INITIAL, BITS)


@cache
def _matrix(width: int) -> tuple[int, ...]:
    """The state after one word, for each single bit of (state, word): the step is linear."""
    return tuple(
        _serial(1 << i, 0, width) if i < BITS else _serial(0, 1 << i - BITS, width) for i in range(BITS + width)
    )


def _serial(state: int, word: int, width: int) -> int:
    for i in range(width):
        state = state >> 1 ^ (POLYNOMIAL if (state ^ word >> i) & 1 else 0)
    return state
