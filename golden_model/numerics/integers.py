"""INT32 arithmetic: two's complement, wrapping."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdl.arith.operations import IntegerOp

Int32s = NDArray[np.int32]


def integer(operation: IntegerOp, a: ArrayLike, b: ArrayLike) -> Int32s:
    """``a operation b`` on broadcastable INT32 arrays; comparisons give 0 or 1, ``NOT`` ignores ``b``.

    Computed in int64, where only a product can wrap, and its low 32 bits are right all the same.

    Raises:
        TypeError: an operand is not INT32.
    """
    left, right = np.broadcast_arrays(np.asarray(a), np.asarray(b))
    if left.dtype != np.int32 or right.dtype != np.int32:
        raise TypeError(f"two int32 arrays are wanted, not {left.dtype} and {right.dtype}")
    return np.asarray(_OPERATIONS[operation](left.astype(np.int64), right.astype(np.int64))).astype(np.int32)


_OPERATIONS: dict[IntegerOp, Callable[[Any, Any], Any]] = {
    IntegerOp.ADD: np.add,
    IntegerOp.SUB: np.subtract,
    IntegerOp.MUL: np.multiply,
    IntegerOp.AND: np.bitwise_and,
    IntegerOp.OR: np.bitwise_or,
    IntegerOp.XOR: np.bitwise_xor,
    IntegerOp.NOT: lambda a, _: ~a,
    IntegerOp.SHL: lambda a, b: a << (b & 31),
    IntegerOp.SHR: lambda a, b: (a & 0xFFFFFFFF) >> (b & 31),
    IntegerOp.SAR: lambda a, b: a >> (b & 31),
    IntegerOp.MIN: np.minimum,
    IntegerOp.MAX: np.maximum,
    IntegerOp.EQ: np.equal,
    IntegerOp.NE: np.not_equal,
    IntegerOp.LT: np.less,
    IntegerOp.LE: np.less_equal,
}
