"""Reduction and tail: from the body's vectors to results."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model import numerics as golden
from golden_model.numerics.special import evaluate
from golden_model.pcu.simd import Words, accumulate, floats, rounded_to_bf16, steps, words_of
from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function
from hdl.pcu.config import Conversion, Operation

_OVER_TIME = {
    ReduceOp.SUM: Operation.ADD,
    ReduceOp.MAX: Operation.MAXIMUM,
    ReduceOp.MIN: Operation.MINIMUM,
}


@dataclass(frozen=True)
class Context:
    """What the results carry beside their lanes: shared values (r, SHARED) and the systolic stage (r,)."""

    shared: Words
    stage: NDArray[np.int64]

    def choose(self, choice: int) -> Words:
        """(r,): shared value ``choice`` - 1, zeros for 0."""
        return self.shared[:, choice - 1] if choice else np.zeros(len(self.shared), np.uint32)


def reduce(
    config: Any, values: Words, base: Words, starts: NDArray[np.bool_], slots: NDArray[np.int64]
) -> tuple[Words, Words]:
    """(n,) value and index of each iteration: across lanes, then over time if configured.

    Args:
        values: (n, lanes). base: (n,), added to the lane to give an index. starts, slots: as in the SIMD body.
    """
    operation = ReduceOp(config.operation)
    reduced = golden.lane_tree(operation, floats(values))
    value, index = words_of(reduced.value), words_of(reduced.index)
    if operation in (ReduceOp.ARG_MAX, ReduceOp.ARG_MIN):
        index = index + base
    if not config.over_time:
        return value, index
    if operation in _OVER_TIME:
        return accumulate(_OVER_TIME[operation], value, starts, slots), index
    return _winner_over_time(operation, value, index, starts, slots)


def _winner_over_time(
    operation: ReduceOp, value: Words, index: Words, starts: NDArray[np.bool_], slots: NDArray[np.int64]
) -> tuple[Words, Words]:
    choose = golden.arg_max if operation is ReduceOp.ARG_MAX else golden.arg_min
    value, index = value.copy(), index.copy()
    for now, before in steps(starts, slots):
        if before is None:
            continue
        earlier_wins = choose(floats(np.stack([value[before], value[now]])), 0) == 0
        value[now] = np.where(earlier_wins, value[before], value[now])
        index[now] = np.where(earlier_wins, index[before], index[now])
    return value, index


def run(tail: Any, x: Words, context: Context) -> Words:
    """The tail's results (r, lanes): mask, scale, offset, special function, clamp, conversion, mask."""
    keep = _kept(tail.mask, context, x.shape[1])
    if tail.mask.before:
        x = np.where(keep, x, np.uint32(int(tail.mask.value_before)))
    if tail.scale.use:
        x = words_of(golden.multiply(floats(x), _number(tail.scale, context)))
    if tail.offset.use:
        x = words_of(golden.add(floats(x), _number(tail.offset, context)))
    if tail.special.use:
        x = words_of(evaluate(Function(tail.special.function), floats(x)))
    if tail.clamp.use:
        low, high = (floats(np.array(int(limit), np.uint32)) for limit in (tail.clamp.low, tail.clamp.high))
        x = words_of(golden.minimum(golden.maximum(floats(x), low), high))
    x = _converted(tail, x)
    if tail.mask.after:
        x = np.where(keep, x, np.uint32(int(tail.mask.value_after)))
    return x


def _kept(mask: Any, context: Context, lanes: int) -> NDArray[np.bool_]:
    margin = context.choose(int(mask.plus)) - context.choose(int(mask.minus)) + np.uint32(int(mask.constant))
    if mask.by_stage:
        margin = margin + context.stage.astype(np.uint32)
    return np.asarray(np.arange(lanes) <= margin.view(np.int32)[:, np.newaxis])


def _number(operand: Any, context: Context) -> Any:
    if int(operand.shared):
        return floats(context.choose(int(operand.shared)))[:, np.newaxis]
    return floats(np.array(int(operand.constant), np.uint32))


def _converted(tail: Any, x: Words) -> Words:
    conversion = Conversion(tail.conversion)
    if conversion is Conversion.BF16:
        return rounded_to_bf16(x)
    if conversion is Conversion.BF16_STOCHASTIC:
        return rounded_to_bf16(x, golden.draws(golden.lane_seeds(int(tail.seed), x.shape[1]), len(x)))
    if conversion is Conversion.INT32:
        return words_of(golden.to_int32(floats(x)))
    if conversion is Conversion.INT8:
        return words_of(golden.to_int8(floats(x)).astype(np.int32))
    return x
