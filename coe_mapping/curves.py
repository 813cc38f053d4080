"""When the beats of streams move: curves, and what rates and servers make of them (max-plus algebra).

Long streams are sampled; between samples a curve is a straight line.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """``times`` of the beats numbered ``beats``, both ascending, of ``count`` in all."""

    count: int
    beats: Times
    times: Times

    def at(self, beats: Times) -> Times:
        """When beats with these numbers move; those below 0 always have."""
        return np.where(beats < 0, 0.0, np.interp(beats, self.beats, self.times))

    @property
    def last(self) -> float:
        return float(self.times[-1])

    def later(self, cycles: float) -> "Curve":
        return Curve(self.count, self.beats, self.times + cycles)


def sample(count: int, most: int) -> Times:
    """Numbers of the beats to keep of ``count``: the first, the last, and as many as there may be between."""
    if count <= most:
        return np.arange(count, dtype=np.float64)
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64)).astype(np.float64)


def pace(ready: Times, clock: Times) -> Times:
    """When the events of a sequence happen: each when it is ``ready``, and as long after those before it as ``clock``,
    which is their times if nothing was ever waited for, says."""
    return np.asarray(np.maximum.accumulate(ready - clock) + clock)


def merged(curves: Sequence[Curve]) -> Curve:
    """All beats of several streams in order of time."""
    if len(curves) == 1:
        return curves[0]
    times, weights, order = _together(curves)
    return Curve(sum(c.count for c in curves), np.cumsum(weights[order]) - 1, times[order])


def served(curves: Sequence[Curve], intervals: Sequence[float]) -> list[Curve]:
    """What one server makes of several streams of requests, first come, first served; ``intervals``: cycles a beat."""
    times, weights, order = _together(curves)
    lengths = [len(c.times) for c in curves]
    each = np.repeat(intervals, lengths)[order]
    done = np.cumsum(weights[order] * each)
    result = np.empty_like(times)
    result[order] = np.maximum.accumulate(times[order] + each - done) + done
    ends = np.cumsum(lengths)[:-1]
    return [Curve(c.count, c.beats, t) for c, t in zip(curves, np.split(result, ends), strict=True)]


def _together(curves: Sequence[Curve]) -> tuple[Times, Times, NDArray[np.int64]]:
    """Times of all samples, the beats each stands for, and their order in time."""
    times = np.concatenate([c.times for c in curves])
    weights = np.concatenate([np.diff(c.beats, prepend=-1.0) for c in curves])
    return times, weights, np.argsort(times, kind="stable")
