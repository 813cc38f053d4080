"""The bytes behind memory models, as NumPy arrays, zero copy: loading and reading without a simulated cycle.

A region is a whole tier: the model undoes the interleave over channels, so byte i of the array is byte i of the tier.
"""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import ParameterError

Bytes = NDArray[np.uint8]


def region(library: Any, name: str) -> Bytes:
    """The bytes of region ``name`` in the simulation that ``library`` entered last; they live as long as that.

    Raises:
        ParameterError: there is no such region.
    """
    try:
        find = library.openrdu_memory_find
    except AttributeError:
        raise ParameterError("this simulation was built without memory models: pass sources=SOURCES") from None
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint64)]
    size = ctypes.c_uint64()
    address = find(name.encode(), ctypes.byref(size))
    if not address:
        raise ParameterError(f"the simulation has no memory region {name!r}")
    return np.ctypeslib.as_array((ctypes.c_uint8 * size.value).from_address(address))


def in_bench(name: str) -> Bytes:
    """The bytes of a region, from within a cocotb bench on Verilator."""
    return region(simulator(), name)


def simulator() -> Any:
    """From within a cocotb bench: the simulator process, for C functions of its sources."""
    return ctypes.CDLL(None)


def flip(data: Bytes, masks: Bytes, word: int, bit: int, width: int) -> None:
    """Turns one stored bit of a SECDED word over.

    Args:
        data: bytes of the tier. masks: its check-bit masks, one byte a word.
        word: number of the code word. bit: below ``width`` a data bit, then the check bits, that of the parity of all
            first.
        width: data bits of a word.
    """
    if bit >= width:
        masks[word] ^= 1 << (bit - width)
        return
    data[word * width // 8 + bit // 8] ^= 1 << bit % 8
    # the check bits stay, so they differ from those of the new data where the code's column of this bit is set
    position = [p for p in range(1, 2 * width) if p & (p - 1)][bit]
    masks[word] ^= position << 1 | (1 + position.bit_count()) & 1
