"""The SIMD body: one operation after the other, each on all iterations at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model import numerics as golden
from hdl.arith.formats import FP32
from hdl.arith.operations import CompareOp, IntegerOp
from hdl.pcu.config import IDENTITY, REGISTERS, SHARED, Operation, Source

Words = NDArray[np.uint32]
"""32-bit words: bits of FP32, or INT32."""


def floats(words: Words) -> Any:
    return golden.from_bits(words, FP32)


def words_of(values: Any) -> Words:
    """The bits of FP32, INT32 or truth values."""
    array = np.asarray(values)
    return array.astype(np.uint32) if array.dtype == np.bool_ else np.ascontiguousarray(array).view(np.uint32)


def rounded_to_bf16(words: Words, random: NDArray[np.uint16] | None = None) -> Words:
    """FP32 rounded to BF16 precision: the BF16 in the upper half, zeros below."""
    return np.asarray(golden.to_bits(golden.to_bf16(floats(words), random)).astype(np.uint32) << np.uint32(16))


def _compare(operation: CompareOp) -> Callable[[Words, Words], Words]:
    return lambda a, b: words_of(golden.compare(operation, floats(a), floats(b)))


def _integer(operation: IntegerOp) -> Callable[[Words, Words], Words]:
    return lambda a, b: words_of(golden.integer(operation, a.view(np.int32), b.view(np.int32)))


_BINARY: dict[Operation, Callable[[Words, Words], Words]] = {
    Operation.PASS: lambda a, _: a,
    Operation.ADD: lambda a, b: words_of(golden.add(floats(a), floats(b))),
    Operation.SUBTRACT: lambda a, b: words_of(golden.subtract(floats(a), floats(b))),
    Operation.MULTIPLY: lambda a, b: words_of(golden.multiply(floats(a), floats(b))),
    Operation.MINIMUM: lambda a, b: words_of(golden.minimum(floats(a), floats(b))),
    Operation.MAXIMUM: lambda a, b: words_of(golden.maximum(floats(a), floats(b))),
    Operation.FROM_INTEGER: lambda a, _: words_of(golden.to_fp32(a.view(np.int32))),
    Operation.TO_INTEGER: lambda a, _: words_of(golden.to_int32(floats(a))),
    Operation.TRUNCATE: lambda a, _: words_of(golden.to_int32(floats(a), toward_zero=True)),
    Operation.ROUND_BF16: lambda a, _: rounded_to_bf16(a),
    **{Operation[c.name]: _compare(c) for c in CompareOp},
    **{Operation[f"INT_{i.name}"]: _integer(i) for i in IntegerOp},
}


def operate(operation: Operation, a: Words, b: Words, condition: Words) -> Words:
    """One stage's operation on arrays of one shape."""
    if operation is Operation.SELECT:
        return np.where(condition != 0, a, b)
    return _BINARY[operation](np.ascontiguousarray(a), np.ascontiguousarray(b))


def accumulate(operation: Operation, values: Words, starts: NDArray[np.bool_], slots: NDArray[np.int64]) -> Words:
    """Running accumulation over iterations, each slot by itself, anew where ``starts``: every intermediate value.

    Args:
        values: (n, ...). starts, slots: (n,).
    """
    result = np.empty_like(values)
    for now, before in steps(starts, slots):
        previous = result[before] if before is not None else np.full_like(values[now], IDENTITY[operation])
        result[now] = operate(operation, values[now], previous, previous)
    return result


def steps(starts: NDArray[np.bool_], slots: NDArray[np.int64]) -> Any:
    """Yields (iterations, their predecessors in the same slot), step by step of every group; first with no predecessor.

    All groups advance together, so the number of steps is the longest group's.
    """
    order = np.argsort(slots, kind="stable")  # slot by slot, each in time
    fresh = starts[order].copy()
    fresh[:1] = True
    fresh[1:] |= np.diff(slots[order]) != 0
    begin = np.flatnonzero(fresh)
    length = np.diff(np.append(begin, len(order)))
    for step in range(int(length.max(initial=0))):
        at = begin[length > step] + step
        yield order[at], (order[at - 1] if step else None)


def run(
    config: Any, registers: list[Words], shared: Words, starts: NDArray[np.bool_], slots: NDArray[np.int64]
) -> list[Words]:
    """The registers (REGISTERS arrays of (n, lanes)) after all stages.

    Args:
        shared: (n, SHARED). starts, slots: (n,), the groups that accumulating stages go by.
    """
    lanes = registers[0].shape[1]
    for stage in config.stages:
        condition = registers[int(stage.condition)]
        a, b = (_operand(stage, Source(which), registers, shared) for which in (stage.a, stage.b))
        a, b = np.broadcast_to(a, condition.shape), np.broadcast_to(b, condition.shape)
        operation = Operation(stage.operation)
        values = accumulate(operation, a, starts, slots) if stage.accumulate else operate(operation, a, b, condition)
        registers = [*registers]
        registers[int(stage.into)] = values.reshape(-1, lanes)
    return registers


def _operand(stage: Any, source: Source, registers: list[Words], shared: Words) -> Words:
    lanes = np.arange(registers[0].shape[1])
    if source.value < REGISTERS:
        return registers[source.value]
    if source.value < REGISTERS + SHARED:
        return shared[:, source.value - REGISTERS, np.newaxis]
    if source is Source.CONSTANT:
        return np.full((1, 1), int(stage.constant), np.uint32)
    if source is Source.LANE:
        return lanes.astype(np.uint32)[np.newaxis]
    exchanged, distance = registers[int(stage.exchange.register)], int(stage.exchange.distance)
    if not stage.exchange.shift:
        return exchanged[:, lanes ^ distance]
    return np.where(lanes >= distance, exchanged[:, lanes - distance], np.uint32(int(stage.constant)))
