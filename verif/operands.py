"""Operands where bugs live: one decoder from integers, fed by NumPy in campaigns and by Hypothesis in properties.

An operand is decoded from a word of named fields. Tables turn the two *kind* fields into an exponent and a fraction,
so that signed zeros, infinities, NaN of many payloads, subnormals, the ends of the range, sparse and full fractions
all come up often. Pairs and triples add a *relation* between operands: exponents near each other, cancellation from
one bit to total, halves of a unit in the last place, products at the ends of the range. The integer 0 decodes to the
simplest operands (all 1.0), small integers to simple ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from hdl.arith.formats import BF16, FP32, FloatFormat

Bits = NDArray[np.int64]
"""Operand bits, unsigned values in int64."""

Pair = tuple[Bits, Bits]
Triple = tuple[Bits, Bits, Bits]

NEAR_CANCELLATION = (0xBAC6, 0xC068, 0xBBF70154)
"""fma(-0.001511, -3.625, -0.007538): a published unit got this multiply-add wrong. Bits of BF16, BF16, FP32."""


def singles(fmt: FloatFormat, rng: np.random.Generator, count: int) -> Bits:
    """``count`` operands of ``fmt``."""
    (operands,) = _draw(lambda word: (_single(fmt, word),), (_OPERAND_BITS,), rng, count)
    return operands


def pairs(fmt: FloatFormat, rng: np.random.Generator, count: int) -> Pair:
    """``count`` operand pairs of ``fmt`` for add, multiply, compare."""
    a, b = _draw(lambda *words: _pair(fmt, *words), _PAIR_BITS, rng, count)
    return a, b


def triples(rng: np.random.Generator, count: int) -> Triple:
    """``count`` operand triples of the multiply-add: BF16, BF16, FP32."""
    a, b, c = _draw(_triple, _TRIPLE_BITS, rng, count)
    return a, b, c


def addends(rng: np.random.Generator, a: Bits, b: Bits) -> Bits:
    """An FP32 operand c for each of these BF16 ones, as in :func:`triples`."""
    count = len(a)
    free = singles(FP32, rng, count)
    relation = rng.integers(0, 1 << _RELATION_BITS, count)
    return _related(FP32, relation, *_product(a, b), free)


def single_strategy(fmt: FloatFormat) -> st.SearchStrategy[int]:
    """One operand's bits; shrinks towards 1.0."""
    return _integers((_OPERAND_BITS,)).map(lambda n: int(_single(fmt, *_split(n, (_OPERAND_BITS,)))[0]))


def pair_strategy(fmt: FloatFormat) -> st.SearchStrategy[tuple[int, int]]:
    """Bits of a pair; shrinks towards (1.0, 1.0)."""

    def decode(n: int) -> tuple[int, int]:
        a, b = _pair(fmt, *_split(n, _PAIR_BITS))
        return int(a[0]), int(b[0])

    return _integers(_PAIR_BITS).map(decode)


def triple_strategy() -> st.SearchStrategy[tuple[int, int, int]]:
    """Bits of a multiply-add's triple; shrinks towards (1.0, 1.0, 1.0)."""

    def decode(n: int) -> tuple[int, int, int]:
        a, b, c = _triple(*_split(n, _TRIPLE_BITS))
        return int(a[0]), int(b[0]), int(c[0])

    return _integers(_TRIPLE_BITS).map(decode)


def pack(layout: data.StructLayout, **fields: ArrayLike) -> NDArray[Any]:
    """Words of ``layout`` from one array a field (they broadcast; an array's last axis holds the array's elements).

    Returns uint64 of shape (n,) where the layout fits, else uint32 of shape (n, words), least significant first.
    """
    flat = dict(_flatten(layout, fields))
    count = max(np.size(values) for values in flat.values())
    words = -(-layout.size // 32)
    packed = np.zeros((count, words + 1), np.uint64)
    for (offset, width), values in flat.items():
        kept = np.asarray(values).astype(np.int64) & ((1 << width) - 1)
        shifted = kept.astype(np.uint64) << np.uint64(offset % 32)  # no field is wider than 32 bits
        packed[:, offset // 32] |= shifted & np.uint64(0xFFFFFFFF)
        packed[:, offset // 32 + 1] |= shifted >> np.uint64(32)
    if words <= 2:
        return np.asarray(packed[:, 0] | packed[:, 1] << np.uint64(32))
    return packed[:, :words].astype(np.uint32)


def unpack(layout: data.StructLayout, words: NDArray[Any]) -> dict[str, Bits]:
    """The fields of packed words as unsigned numbers, the inverse of :func:`pack` (no array fields)."""
    if words.ndim == 1:
        words = np.stack([words & 0xFFFFFFFF, words >> np.uint64(32)], axis=1)
    padded = np.concatenate([words.astype(np.uint64), np.zeros((len(words), 2), np.uint64)], axis=1)
    fields = {}
    for name, field in layout:
        word, shift = divmod(field.offset, 32)
        value = padded[:, word] >> np.uint64(shift) | padded[:, word + 1] << np.uint64(32 - shift)
        fields[str(name)] = value.astype(np.int64) & ((1 << field.width) - 1)
    return fields


def _flatten(layout: data.StructLayout, fields: dict[str, ArrayLike]) -> Iterator[tuple[tuple[int, int], ArrayLike]]:
    """((offset, width), values) of every scalar in the layout."""
    assert {name for name, _ in layout} == set(fields), f"fields {sorted(fields)} are not those of {layout}"
    for name, field in layout:
        if isinstance(field.shape, data.ArrayLayout):
            columns = np.asarray(fields[str(name)])
            for i in range(field.shape.length):
                width = Shape.cast(field.shape.elem_shape).width
                yield (field.offset + i * width, width), columns[..., i]
        else:
            yield (field.offset, field.width), fields[str(name)]


# --- words ---

_CHUNK = 8192  # decoded at a time, so that the many small steps stay in the cache


def _draw(
    decode: Callable[..., tuple[Bits, ...]], bits: Sequence[int], rng: np.random.Generator, count: int
) -> Sequence[Bits]:
    chunks = [min(_CHUNK, count - start) for start in range(0, max(count, 1), _CHUNK)]
    decoded = [decode(*(rng.integers(0, 1 << width, size) for width in bits)) for size in chunks]
    return [np.concatenate(column) for column in zip(*decoded, strict=True)]


def _integers(bits: tuple[int, ...]) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << sum(bits)) - 1)


def _split(n: int, bits: tuple[int, ...]) -> list[Bits]:
    words = []
    for width in bits:
        words.append(np.array([n & ((1 << width) - 1)]))
        n >>= width
    return words


class _Fields:
    """Takes fields off a word, least significant first."""

    def __init__(self, word: Bits) -> None:
        self._word = word

    def take(self, width: int) -> Bits:
        field = self._word & ((1 << width) - 1)
        self._word = self._word >> width
        return field


# --- one operand ---

_KIND_BITS = 5
_POSITION_BITS = 5
_OPERAND_BITS = 1 + 2 * _KIND_BITS + 8 + _POSITION_BITS + 23

# An exponent is base + (random & mask); simple kinds first, then the ends of the range, then anything
_EXPONENT_KINDS = [
    *[(127, 0), (0, 0), (127, 7), (119, 7), (255, 0), (1, 0), (254, 0), (1, 7), (247, 7)],
    *[(64, 127)] * 15,  # products stay in range
    *[(0, 255)] * 8,
]


@dataclass(frozen=True)
class _FractionKinds:
    """Masks by kind, over a random fraction and a random position: see :func:`_fraction`."""

    constant: Bits
    random: Bits
    at: Bits
    below: Bits
    above: Bits
    cleared: Bits


@cache
def _fraction_kinds(bits: int) -> _FractionKinds:
    ones, top = (1 << bits) - 1, 1 << (bits - 1)
    few = 7 << (bits - 3)
    kinds = [
        # constant, random, at, below, above, cleared
        (0, 0, 0, 0, 0, 0),  # a power of two, an infinity
        (top, 0, 0, 0, 0, 0),  # one and a half, a quiet NaN
        (0, few, 0, 0, 0, 0),  # a small integer
        (1, 0, 0, 0, 0, 0),  # just above a power of two
        (ones, 0, 0, 0, 0, 0),  # just below one
        (ones - 1, 0, 0, 0, 0, 0),
        (0, 0, ones, 0, 0, 0),  # a single bit
        (0, 0, 0, ones, 0, 0),  # a run of ones at the bottom
        (0, 0, 0, 0, ones, 0),  # a run of ones at the top
        *[(0, ones, ones, 0, 0, ones)] * 8,  # any, with a last one at a random place: ties of products
        *[(0, ones, 0, 0, 0, 0)] * 15,  # any
    ]
    return _FractionKinds(*np.array(kinds, np.int64).T.copy())


def _single(fmt: FloatFormat, word: Bits) -> Bits:
    fields = _Fields(word)
    exponent_kind, fraction_kind = fields.take(_KIND_BITS), fields.take(_KIND_BITS)
    sign = fields.take(1)
    bases, masks = np.array(_EXPONENT_KINDS, np.int64).T
    offset = fields.take(8)
    exponent = bases[exponent_kind] + (offset & masks[exponent_kind])
    position = fields.take(_POSITION_BITS) % fmt.fraction_bits
    fraction = _fraction(fmt.fraction_bits, fraction_kind, position, fields.take(fmt.fraction_bits))
    # every other zero exponent makes a zero, every other special one an infinity
    fraction = np.where((masks[exponent_kind] == 0) & (exponent % 255 == 0) & (offset % 2 == 0), 0, fraction)
    return np.asarray(sign << (fmt.width - 1) | exponent << fmt.fraction_bits | fraction)


def _fraction(bits: int, kind: Bits, position: Bits, random: Bits) -> Bits:
    kinds = _fraction_kinds(bits)
    at = np.int64(1) << position
    below = at - 1
    return np.asarray(
        kinds.constant[kind]
        | (random & kinds.random[kind] & ~(below & kinds.cleared[kind]))
        | (at & kinds.at[kind])
        | (below & kinds.below[kind])
        | (~at & ~below & kinds.above[kind])
    )


# --- relations ---

_RELATION_BITS = 4 + 1 + 8 + _POSITION_BITS + 23
_ENDS_BITS = 3 + 3
_PAIR_BITS = (_OPERAND_BITS, _OPERAND_BITS, _RELATION_BITS, _ENDS_BITS)
_TRIPLE_BITS = (_OPERAND_BITS, _OPERAND_BITS, _ENDS_BITS, _OPERAND_BITS, _RELATION_BITS)


def _pair(fmt: FloatFormat, first: Bits, second: Bits, relation: Bits, ends: Bits) -> Pair:
    a = _single(fmt, first)
    b = _related(fmt, relation, a, _exponent(fmt, a), _single(fmt, second))
    return a, _product_at_the_ends(fmt, ends, a, b)


def _triple(first: Bits, second: Bits, ends: Bits, third: Bits, relation: Bits) -> Triple:
    a = _single(BF16, first)
    b = _product_at_the_ends(BF16, ends, a, _single(BF16, second))
    return a, b, _related(FP32, relation, *_product(a, b), _single(FP32, third))


def _related(fmt: FloatFormat, relation: Bits, a: Bits, exponent: Bits, free: Bits) -> Bits:
    """``free`` as it is, or moved near ``exponent``, or ``a`` but for some low bits and the sign."""
    fields = _Fields(relation)
    kind, sign, offset = fields.take(4), fields.take(1), fields.take(8)
    width, distance = fields.take(_POSITION_BITS), fields.take(23)

    reach = fmt.precision + 4
    anywhere = offset % (2 * reach + 1) - reach
    half_a_unit = np.where(offset & 1, 1, -1) * (fmt.precision - 1 + (offset >> 1 & 3))
    near = _with_exponent(fmt, free, np.maximum(exponent + np.where(kind & 1, anywhere, half_a_unit), 1))

    step = distance & ((np.int64(1) << width % (fmt.fraction_bits + 1)) - 1)
    magnitude = (a & _magnitude_mask(fmt)) + np.where(offset & 1, step, -step)
    close = np.clip(magnitude, 0, _magnitude_mask(fmt)) | sign << (fmt.width - 1)
    return np.select([kind < 7, kind < 11], [free, near], close)


def _product_at_the_ends(fmt: FloatFormat, ends: Bits, a: Bits, b: Bits) -> Bits:
    """For every fourth pair, ``b`` with the exponent that puts a * b close to underflow or overflow.

    Or, now and then, close to half an FP32 unit of the smallest normal: such a product decides whether a sum vanishes.
    """
    fields = _Fields(ends)
    kind, offset = fields.take(3), fields.take(3)
    end = np.select([kind == 5, (offset & 1) == 0], [1 - FP32.precision, 1], fmt.EXPONENT_SPECIAL)
    target = end - (offset >> 1) + 1
    return np.where(kind >= 5, _with_exponent(fmt, b, target + fmt.BIAS - _exponent(fmt, a)), b)


def _product(a: Bits, b: Bits) -> tuple[Bits, Bits]:
    """FP32 bits of a * b where it is a normal number, and its biased exponent, be it in range or not."""
    product = (a & 127 | 128) * (b & 127 | 128)
    carry = product >> 15
    exponent = _exponent(BF16, a) + _exponent(BF16, b) - BF16.BIAS + carry
    fraction = (product << (9 - carry)) & ((1 << FP32.fraction_bits) - 1)
    sign = (a ^ b) >> 15
    inside = np.clip(exponent, 0, FP32.EXPONENT_SPECIAL)
    return sign << 31 | inside << FP32.fraction_bits | fraction, exponent


def _magnitude_mask(fmt: FloatFormat) -> int:
    return (1 << (fmt.width - 1)) - 1


def _exponent(fmt: FloatFormat, bits: Bits) -> Bits:
    return bits >> fmt.fraction_bits & fmt.EXPONENT_SPECIAL


def _with_exponent(fmt: FloatFormat, bits: Bits, exponent: Bits) -> Bits:
    others = bits & ~np.int64(fmt.EXPONENT_SPECIAL << fmt.fraction_bits)
    return others | np.clip(exponent, 0, fmt.EXPONENT_SPECIAL) << fmt.fraction_bits
