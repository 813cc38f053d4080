"""SECDED in NumPy: the extended Hamming code of ``hdl.ecc``, by its parity-check matrix."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Words = NDArray[np.uint64]
Flags = NDArray[np.bool_]


class Decoded(NamedTuple):
    """``data`` as corrected, and for each word whether one bit was corrected, or more were flipped than can be."""

    data: Words
    corrected: Flags
    detected: Flags


def positions(width: int) -> NDArray[np.int64]:
    """Positions of the ``width`` data bits in the code word: ascending, powers of two and zero left to parity."""
    candidates = [p for p in range(3, 2 * width + 8) if p & (p - 1)]
    return np.array(candidates[:width], np.int64)


def encode(values: ArrayLike, width: int) -> Words:
    """Code words of unsigned ``values`` of ``width`` bits."""
    data = np.asarray(values, np.uint64)
    word, syndrome = np.zeros_like(data), np.zeros_like(data)
    for k, position in enumerate(positions(width)):
        bit = data >> np.uint64(k) & np.uint64(1)
        word |= bit << np.uint64(position)
        syndrome ^= bit * np.uint64(position)
    for k in range(int(positions(width)[-1]).bit_length()):
        word |= (syndrome >> np.uint64(k) & np.uint64(1)) << np.uint64(1 << k)
    return word | _parity(word)


def decode(words: ArrayLike, width: int) -> Decoded:
    """Checks and corrects code words of ``width`` data bits."""
    word = np.asarray(words, np.uint64)
    highest = int(positions(width)[-1])
    syndrome = np.zeros_like(word)
    for position in range(1, highest + 1):
        syndrome ^= (word >> np.uint64(position) & np.uint64(1)) * np.uint64(position)
    odd = _parity(word).astype(np.bool_)
    corrected = odd & (syndrome <= highest)
    word = np.where(corrected, word ^ np.uint64(1) << np.minimum(syndrome, np.uint64(highest)), word)
    data = np.zeros_like(word)
    for k, position in enumerate(positions(width)):
        data |= (word >> np.uint64(position) & np.uint64(1)) << np.uint64(k)
    return Decoded(data, corrected, ~corrected & (odd | (syndrome != 0)))


def _parity(words: Words) -> Words:
    folded = words
    for shift in (32, 16, 8, 4, 2, 1):
        folded = folded ^ folded >> np.uint64(shift)
    return folded & np.uint64(1)
