"""The iterations of a counter chain as arrays, one row an iteration, in the order the hardware runs them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import ParameterError

Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Iterations:
    """A program's iterations.

    Attributes:
        index: (n, counters), position of each counter.
        value: (n, counters), position times stride, modulo 2^32.
        at_first: (n, counters), whether each counter stands at its first position; counters not used always do.
        at_last: (n, counters), at its last.
        popped: limits taken from each scalar input.
    """

    index: Integers
    value: Integers
    at_first: Truths
    at_last: Truths
    popped: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.index)

    def first(self, boundary: int) -> Truths:
        """(n,): every counter from ``boundary`` inwards stands at its first position."""
        return np.asarray(self.at_first[:, boundary:].all(axis=1))

    def last(self, boundary: int) -> Truths:
        """(n,): every counter from ``boundary`` inwards stands at its last position."""
        return np.asarray(self.at_last[:, boundary:].all(axis=1))


def rounds(chain: Any) -> int:
    """How often ``chain`` runs."""
    return max(1, int(chain.rounds))


def summed(counts: Iterable[Sequence[int]]) -> Any:
    """What several rounds count, place by place: as many numbers as each has."""
    return tuple(map(sum, zip(*counts, strict=True)))


def turns(chain: Any) -> int:
    """Iterations of the outermost loop of ``chain``, each of which may be run by itself after those before it; 1 if a
    limit is popped."""
    limits = [chain.counters[i] for i in range(int(chain.depth))]
    return max(1, int(limits[0].limit)) if limits and not any(int(c.source) for c in limits) else 1


def iterations(chain: Any, scalars: Sequence[NDArray[np.uint32]], turns: int | None = None) -> Iterations:
    """A round of ``chain``, a constant of :func:`hdl.control.counters.chain_layout`, on the scalar inputs' streams;
    only the first ``turns`` iterations of its outermost loop, if they are given.

    Loop by loop from the outermost: every instance of a loop is replaced by its iterations.

    Raises:
        ParameterError: two counters take their limits from one scalar input.
        ValueError: a scalar input holds fewer limits than are popped.
    """
    depth, counters = int(chain.depth), len(chain.counters)
    sources = [int(chain.counters[i].source) for i in range(depth)]
    if len(popping := [s for s in sources if s]) != len(set(popping)):
        raise ParameterError("two counters take their limits from one scalar input; give each its own")
    popped = [0] * len(scalars)
    columns: list[Integers] = []
    limits: list[Integers] = []
    for i in range(depth):
        instances = len(columns[0]) if columns else 1
        if sources[i]:
            limit = _pop(scalars[sources[i] - 1], instances, sources[i] - 1)
            popped[sources[i] - 1] = instances
        else:
            limit = np.full(instances, int(chain.counters[i].limit), np.int64)
        limit = np.maximum(limit, 1)
        columns = [np.repeat(column, limit) for column in columns]
        limits = [np.repeat(each, limit) for each in limits]
        starts = np.cumsum(limit) - limit
        columns.append(np.arange(limit.sum()) - np.repeat(starts, limit))
        limits.append(np.repeat(limit, limit))
    n = len(columns[0]) if columns else 1
    index = np.zeros((n, counters), np.int64)
    last = np.zeros((n, counters), np.int64)
    for i in range(depth):
        index[:, i], last[:, i] = columns[i], limits[i] - 1
    stride = np.array([int(chain.counters[i].stride) for i in range(counters)], np.int64)
    ran = slice(None) if turns is None else slice(0, int(np.searchsorted(index[:, 0], turns)))
    index, last = index[ran], last[ran]
    return Iterations(index, index * stride & 0xFFFF_FFFF, index == 0, index == last, tuple(popped))


def _pop(stream: NDArray[np.uint32], count: int, number: int) -> Integers:
    if len(stream) < count:
        raise ValueError(f"scalar input {number} holds {len(stream)} limits, the program takes {count}")
    return np.asarray(stream[:count], np.int64) & 0xFF_FFFF
