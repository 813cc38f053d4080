"""Address pipelines in NumPy: initial registers and ALU stages, as PMU and AGCU have them. 32-bit values in int64."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import ParameterError
from hdl.pmu.config import AddressOp

Integers = NDArray[np.int64]
Words = NDArray[np.uint32]
Flags = NDArray[np.bool_]
MASK = 0xFFFF_FFFF


def held(stream: Words, popped: Flags, j: int) -> Integers:
    """The head of scalar input ``j`` in every iteration; ``popped`` says after which it is taken.

    Raises:
        ParameterError: the stream is too short.
    """
    places: Integers = np.cumsum(popped) - popped
    if places[-1] >= len(stream):
        raise ParameterError(f"the program takes {places[-1] + 1} words from scalar input {j}, {len(stream)} given")
    return stream[places].astype(np.int64)


def initial(register: Any, values: Integers, operands: Mapping[int, Integers]) -> Integers:
    """Constant, plus chosen counters' values, plus the operand named by ``register.addend``."""
    chosen = [i for i in range(values.shape[1]) if register.counters >> i & 1]
    total: Integers = register.constant + values[:, chosen].sum(axis=1) + operands[register.addend]
    return total & MASK


def signed(values: Integers) -> Integers:
    """Words as two's complement."""
    return np.asarray(values ^ 0x8000_0000) - 0x8000_0000


def alu(stage: Any, registers: Sequence[Integers]) -> Integers:
    """One stage on 32-bit values held in int64."""
    a = registers[stage.a]
    b = np.full_like(a, stage.constant) if stage.b_constant else registers[stage.b]
    match AddressOp(stage.op):
        case AddressOp.ADD:
            result = a + b
        case AddressOp.SUBTRACT:
            result = a - b
        case AddressOp.MULTIPLY:
            result = _product(a, stage.constant)
        case AddressOp.MULTIPLY_SUBTRACT:
            result = b - _product(a, stage.constant)
        case AddressOp.DIVIDE:
            k = np.uint64(stage.constant)
            total = a.astype(np.uint64) * k + (k if stage.increment else np.uint64(0))
            result = (total >> np.uint64(32 + stage.shift)).astype(np.int64)
        case AddressOp.SHIFT_LEFT:
            result = (a << (b & 31)) & MASK
        case AddressOp.SHIFT_RIGHT:
            result = a >> (b & 31)
        case AddressOp.AND:
            result = a & b
        case AddressOp.EXTRACT:
            result = a >> stage.shift & ((1 << stage.width) - 1)
        case AddressOp.SHIFT_SET:
            result = a << stage.shift | b & ((1 << stage.shift) - 1)
        case AddressOp.LESS:
            result = (signed(a) < signed(b)).astype(np.int64)
        case AddressOp.EQUAL:
            result = (a == b).astype(np.int64)
        case AddressOp.SELECT:
            result = np.where(registers[stage.c] & 1, a, b)
        case AddressOp.MIN:
            result = np.minimum(signed(a), signed(b))
        case AddressOp.MAX:
            result = np.maximum(signed(a), signed(b))
        case AddressOp.NONE:
            result = registers[stage.destination]
    return np.asarray(result) & MASK


def _product(a: Integers, k: int) -> Integers:
    return (a.astype(np.uint64) * np.uint64(k) & np.uint64(MASK)).astype(np.int64)
