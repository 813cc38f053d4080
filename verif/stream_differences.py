"""Streams of one kernel on golden fabric and RTL, compared: which unit was the first to send something else."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from golden_model.fabric import Data, End, length
from golden_model.pmu import VectorBeats
from hdl.floorplan import Place

NOTHING = "nothing more"


@dataclass(frozen=True)
class Difference:
    """The first element of a stream that is not the same; ``end``: the output that it left by."""

    end: End
    index: int
    golden: str
    rtl: str

    def __str__(self) -> str:
        what = f"{self.end.fabric.name.lower()} output {self.end.index}, element {self.index}"
        return f"{self.end.unit} differs first, {what}: golden {self.golden}, RTL {self.rtl}"


def first_difference(golden: Mapping[End, Data], rtl: Mapping[End, Data], *, stuck: bool = False) -> Difference | None:
    """The earliest difference on the way of the data; None if all streams are equal.

    Args:
        golden: streams by output, in the order in which the golden fabric executed their units, so that all that a unit
            was sent stands before what it sends. rtl: what was recorded, in any order.
        stuck: the RTL did not finish. Then all streams end early, those before the fault as well, so an element that is
            wrong counts before one that is missing.
    """
    unequal = [found for end in _outputs(golden, rtl) if (found := _compare(end, golden.get(end), rtl.get(end)))]
    wrong = [found for found in unequal if NOTHING not in (found.golden, found.rtl)]
    return next(iter(wrong if stuck and wrong else unequal), None)


def _outputs(golden: Mapping[End, Data], rtl: Mapping[End, Data]) -> list[End]:
    """Of units; those that the golden fabric knows first, and not its own sorters of streams."""
    return [end for end in {**golden, **rtl} if isinstance(end.unit, Place)]


def _compare(end: End, golden: Data | None, rtl: Data | None) -> Difference | None:
    counts = [0 if data is None else length(data) for data in (golden, rtl)]
    common = min(counts)
    unequal = np.zeros(common, bool)
    if isinstance(golden, VectorBeats) and isinstance(rtl, VectorBeats):
        unequal = (golden.elements[:common] != rtl.elements[:common]).any(axis=1)
        unequal |= golden.sequence[:common] != rtl.sequence[:common]
    elif isinstance(golden, np.ndarray) and isinstance(rtl, np.ndarray):
        unequal = golden[:common] != rtl[:common]
    if counts[0] == counts[1] and not unequal.any():
        return None
    index = int(np.argmax(unequal)) if unequal.any() else common
    return Difference(end, index, _element(golden, index), _element(rtl, index))


def _element(data: Data | None, index: int) -> str:
    if data is None or index >= length(data):
        return NOTHING
    if isinstance(data, VectorBeats):
        lanes = " ".join(f"{int(lane):04x}" for lane in data.elements[index])
        return f"[{lanes}] with sequence id {int(data.sequence[index])}"
    return "a token" if isinstance(data, int) else f"{int(data[index]):#010x}"
