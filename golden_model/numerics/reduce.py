"""Reductions in the machine's order: across lanes as a balanced tree, over time one after the other."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden_model.numerics.floating import add, arg_max, arg_min, maximum, minimum
from golden_model.numerics.formats import Floats, canonicalize
from hdl.arith.operations import ReduceOp


@dataclass(frozen=True)
class Reduced:
    """What a reduction gives, each with the reduced axis gone.

    ``value`` is canonical. ``index`` (int32) is where it stood for ``ARG_MAX`` and ``ARG_MIN``, zero for the others.
    """

    value: Floats
    index: NDArray[np.int32]


_COMBINE: dict[ReduceOp, Callable[[Floats, Floats], Floats]] = {
    ReduceOp.SUM: add,
    ReduceOp.MAX: maximum,
    ReduceOp.MIN: minimum,
}


def lane_tree(operation: ReduceOp, values: ArrayLike, axis: int = -1) -> Reduced:
    """Balanced tree: neighbours (0,1), (2,3), ... level by level, an odd last lane passes a level unchanged.

    A single lane comes out canonical.
    """
    return _reduce(operation, values, axis, _level_by_level)


def time_reduce(operation: ReduceOp, values: ArrayLike, axis: int = 0) -> Reduced:
    """One after the other in ascending order, starting from the first element itself (so a lone -0 stays -0)."""
    return _reduce(operation, values, axis, _one_by_one)


Fold = Callable[[Callable[[Floats, Floats], Floats], Floats], Floats]


def _reduce(operation: ReduceOp, values: ArrayLike, axis: int, fold: Fold) -> Reduced:
    lanes = np.moveaxis(canonicalize(values), axis, 0)
    if len(lanes) == 0:
        raise ValueError("nothing to reduce: the axis is empty")
    if operation in _COMBINE:
        return Reduced(fold(_COMBINE[operation], lanes), np.zeros(lanes.shape[1:], np.int32))
    # the winner is the same in every order: the lowest index among equals is a total order
    index = arg_max(lanes, 0) if operation is ReduceOp.ARG_MAX else arg_min(lanes, 0)
    return Reduced(np.take_along_axis(lanes, index[np.newaxis], 0)[0], index)


def _level_by_level(combine: Callable[[Floats, Floats], Floats], lanes: Floats) -> Floats:
    while len(lanes) > 1:
        even = len(lanes) // 2 * 2
        lanes = np.concatenate([combine(lanes[0:even:2], lanes[1:even:2]), lanes[even:]])
    return np.asarray(lanes[0])


def _one_by_one(combine: Callable[[Floats, Floats], Floats], steps: Floats) -> Floats:
    total = steps[0]
    for step in steps[1:]:
        total = combine(total, step)
    return np.asarray(total)
